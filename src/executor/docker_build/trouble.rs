//! What tools say when a registry or the machine lets them down, turned into typed failures.
//!
//! buildah (containers/image) and the Docker engine word the answers of registries alike, for both quote the error codes of the distribution
//! specification. Called by the backends whose tools report in text.

use crate::job::{Failure, FailureKind};

/// What a line of a tool says about the machine or a registry, if it does; the worst first.
pub(super) fn kind(text: &str) -> Option<FailureKind> {
    let text = text.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&["invalid reference format", "repository name must be lowercase"]) {
        Some(FailureKind::InvalidSource)
    } else if has(&["no space left on device", "disk quota exceeded"]) {
        Some(FailureKind::DiskFull)
    } else if has(&["unauthorized", "authentication required", "401 (", "403 (", "invalid username/password", "no basic auth credentials"])
        || (has(&["access to the resource is denied", "pull access denied", "access forbidden"]))
    {
        Some(FailureKind::AuthDenied)
    } else if has(&[
        "manifest unknown",
        "name unknown",
        "manifest_unknown",
        "name_unknown",
        "not found: manifest",
        "404 (not found)",
        "no image found in",
        "no matching manifest",
    ]) || (has(&["manifest for ", "docker.io/", "failed to resolve"]) && has(&["not found"]))
    {
        Some(FailureKind::SourceNotFound)
    } else if has(&[
        "connection refused",
        "no such host",
        "i/o timeout",
        "tls handshake",
        "connection reset",
        "x509:",
        "server misbehaving",
        "toomanyrequests",
        "too many requests",
        "500 internal server error",
        "502 bad gateway",
        "503 service unavailable",
        "504 gateway",
        "network is unreachable",
        "unexpected eof",
        "server gave http response to https client",
        "pinging container registry",
    ]) {
        Some(FailureKind::RegistryUnavailable)
    } else {
        None
    }
}

/// The failure of a base image that could not be had; `line` is what the tool said.
pub(super) fn base_image(place: &str, image: &str, host: &str, kind: FailureKind, line: &str) -> Failure {
    let message = match kind {
        FailureKind::AuthDenied => {
            format!("{place}: the registry {host} does not let this job pull the base image '{image}': add its credentials to registries")
        }
        FailureKind::SourceNotFound => format!("{place}: the base image '{image}' does not exist at {host}, or not for this platform"),
        FailureKind::InvalidSource => format!("{place}: '{image}' cannot be the name of an image: {line}"),
        FailureKind::DiskFull => format!("{place}: no space left on the runner's disk for the base image '{image}'"),
        _ => format!("{place}: the base image '{image}' cannot be pulled from {host}: {line}"),
    };
    Failure::new(kind, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_registries_are_told_apart() {
        for (text, expected) in [
            ("reading manifest 1 in h/none: manifest unknown: manifest unknown", Some(FailureKind::SourceNotFound)),
            ("Error response from daemon: manifest for h/none:1 not found: manifest unknown", Some(FailureKind::SourceNotFound)),
            ("unable to retrieve auth token: invalid username/password: unauthorized", Some(FailureKind::AuthDenied)),
            ("pull access denied for x, repository does not exist or may require 'docker login'", Some(FailureKind::AuthDenied)),
            ("Get \"http://127.0.0.1:1/v2/\": dial tcp 127.0.0.1:1: connect: connection refused", Some(FailureKind::RegistryUnavailable)),
            ("creating build container: repository name must be lowercase", Some(FailureKind::InvalidSource)),
            ("write /x: no space left on device", Some(FailureKind::DiskFull)),
            ("exit status 7", None),
        ] {
            assert_eq!(kind(text), expected, "{text}");
        }
    }
}
