//! What an error of BuildKit means. Texts are those of buildkit 0.12 to 0.33, of containerd's resolver and of runc.

use crate::job::FailureKind;

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Diagnosis {
    /// A step ran and said no.
    Step {
        /// Its exit code.
        code: i32,
    },
    /// An image of the Dockerfile, or the cache, cannot be had.
    Image {
        /// As it was resolved, host included.
        reference: String,
        kind: FailureKind,
    },
    /// The Dockerfile or its context is wrong.
    Source,
    /// The plan asks for what is not there; the field, and what to do.
    Plan(&'static str, &'static str),
    /// The generator of SBOMs is none, or what it wrote is none.
    Generator,
    /// The machine let the build down.
    Machine(FailureKind),
    /// The daemon went away or never came.
    Daemon,
    /// Something nobody has met before.
    Unknown,
}

/// Understands `error`, all lines of it; `tail` is the last output of the step that failed.
pub(super) fn diagnose(error: &str, tail: &str) -> Diagnosis {
    let has = |words: &[&str]| words.iter().any(|word| error.contains(word));
    let full = ["no space left on device", "disk quota exceeded"];
    // Go writes it small, C libraries with a capital.
    if [error, tail].iter().any(|text| full.iter().any(|words| text.to_ascii_lowercase().contains(words))) {
        return Diagnosis::Machine(FailureKind::DiskFull);
    }
    if has(&["cannot allocate memory", "out of memory"]) {
        return Diagnosis::Machine(FailureKind::OutOfMemory);
    }
    if let Some(code) = after(error, "did not complete successfully: exit code: ").and_then(|code| code.parse().ok()) {
        return Diagnosis::Step { code };
    }
    if has(&["make sure buildkitd is running", "failed to dial", "error reading from server", "transport is closing", "Unavailable desc"]) {
        return Diagnosis::Daemon;
    }
    // What `ADD` names by its address is no image.
    if error.contains("failed to load cache key: Get \"") {
        return Diagnosis::Unknown;
    }
    if let Some(reference) = reference(error) {
        return Diagnosis::Image { reference, kind: registry_kind(error) };
    }
    // "open : not a regular file": BuildKit reads what a generator wrote by names inside that folder.
    if has(&["cannot decode in-toto statement", "in-toto statement is not a single JSON object", "does not match required predicate type"])
        || (has(&["scanner "]) && has(&[" does not have cmd"]))
        || error.starts_with("open : ")
    {
        return Diagnosis::Generator;
    }
    if has(&["network.host is not allowed", "security.insecure is not allowed"]) {
        return Diagnosis::Plan(
            "network",
            "the BuildKit daemon does not allow it; start it with --allow-insecure-entitlement network.host",
        );
    }
    if has(&["no SSH key", "ssh: no key"]) {
        return Diagnosis::Plan("ssh", "a step mounts an ssh agent; set ssh in the plan and docker_ssh_agent on the runner");
    }
    if after(error, "secret ").is_some() && error.trim_end().ends_with("not found") {
        return Diagnosis::Plan("secrets", "a step needs a secret that the plan does not give");
    }
    if error.contains("target stage") && error.contains("could not be found") {
        return Diagnosis::Plan("target", "name a stage of the Dockerfile");
    }
    let source = [
        "dockerfile parse error",
        "file with no instructions",
        "failed to parse",
        "failed to process",
        "failed to compute cache key",
        "failed to calculate checksum",
        "failed to create LLB definition",
        "unknown instruction",
        "base name (",
        "no build stage",
        "circular dependency",
        "invalid reference format",
        "forbidden path",
        "greater than max allowed size",
    ];
    if has(&source) {
        return Diagnosis::Source;
    }
    if has(&["unexpected status from", "dial tcp", "failed to copy", "failed to push", "failed to authorize"]) {
        return Diagnosis::Image { reference: String::new(), kind: registry_kind(error) };
    }
    Diagnosis::Unknown
}

/// The image that could not be resolved: `failed to resolve source metadata for REF: …`.
fn reference(error: &str) -> Option<String> {
    ["failed to resolve source metadata for ", "failed to load cache key: ", "failed to configure registry cache importer: "]
        .iter()
        .find_map(|lead| after(error, lead))
        .map(|word| word.trim_end_matches(':').to_owned())
        .filter(|word| word.contains('/') || word.contains(':'))
}

/// What a registry's answer means for the job.
fn registry_kind(error: &str) -> FailureKind {
    let has = |words: &[&str]| words.iter().any(|word| error.contains(word));
    if has(&["401", "403", "unauthorized", "Unauthorized", "denied", "insufficient_scope", "authorization failed", "failed to authorize"])
        && !has(&["connection refused", "no such host"])
    {
        FailureKind::AuthDenied
    } else if has(&["dial tcp", "no such host", "timeout", "connection re", "x509", "tls:", "429", "500", "502", "503", "504", "EOF"]) {
        FailureKind::RegistryUnavailable
    } else if has(&["not found", "manifest unknown", "no match for platform"]) {
        FailureKind::SourceNotFound
    } else {
        FailureKind::RegistryRefused
    }
}

/// The word that follows `lead`.
fn after<'a>(text: &'a str, lead: &str) -> Option<&'a str> {
    text.split_once(lead)?.1.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_mean_what_they_say() {
        let image = |reference: &str, kind| Diagnosis::Image { reference: reference.to_owned(), kind };
        for (error, expected) in [
            ("process \"/bin/sh -c exit 3\" did not complete successfully: exit code: 3", Diagnosis::Step { code: 3 }),
            ("dockerfile parse error on line 2: unknown instruction: FOO (did you mean FROM?)", Diagnosis::Source),
            ("failed to compute cache key: failed to calculate checksum of ref a::b: \"/missing\": not found", Diagnosis::Source),
            (
                "h:1/x:1: failed to resolve source metadata for h:1/x:1: failed to do request: Head \"http://h:1/v2/x/manifests/1\": dial tcp 127.0.0.1:1: connect: connection refused",
                image("h:1/x:1", FailureKind::RegistryUnavailable),
            ),
            (
                "h/x:1: failed to resolve source metadata for h/x:1: unexpected status from HEAD request to http://h/v2/x/manifests/1: 401 Unauthorized",
                image("h/x:1", FailureKind::AuthDenied),
            ),
            ("h/x:2: failed to resolve source metadata for h/x:2: h/x:2: not found", image("h/x:2", FailureKind::SourceNotFound)),
            ("failed to load LLB: network.host is not allowed", Diagnosis::Plan("network", "")),
            ("target stage \"nope\" could not be found", Diagnosis::Plan("target", "")),
            ("secret x: not found", Diagnosis::Plan("secrets", "")),
            ("scanner h/scan:1 does not have cmd", Diagnosis::Generator),
            ("cannot decode in-toto statement: invalid character 'h' looking for beginning of value", Diagnosis::Generator),
            ("bundle entry  does not match required predicate type https://spdx.dev/Document", Diagnosis::Generator),
            ("open : not a regular file", Diagnosis::Generator),
            ("no SSH key \"\" forwarded from the client", Diagnosis::Plan("ssh", "")),
            ("write /x: no space left on device", Diagnosis::Machine(FailureKind::DiskFull)),
            ("failed to dial \"unix:///x\" . make sure buildkitd is running", Diagnosis::Daemon),
            ("something else", Diagnosis::Unknown),
            (
                "failed to load cache key: Get \"http://127.0.0.1:1/x\": dial tcp 127.0.0.1:1: connect: connection refused",
                Diagnosis::Unknown,
            ),
        ] {
            let found = match diagnose(error, "") {
                Diagnosis::Plan(field, _) => Diagnosis::Plan(field, ""),
                other => other,
            };
            assert_eq!(found, expected, "{error}");
        }
        assert_eq!(
            diagnose("process \"x\" did not complete successfully: exit code: 1", "tar: x: Cannot write: No space left on device"),
            Diagnosis::Machine(FailureKind::DiskFull)
        );
    }
}
