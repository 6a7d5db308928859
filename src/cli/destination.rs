//! `--destination`: where to push instead of where the plan says.

use std::path::{Path, PathBuf};

use crate::plan::{Registry, RegistryType, is_tag};

/// A parsed `--destination`.
#[derive(Debug, Clone)]
pub(super) struct Destination {
    /// Where.
    pub registry: Registry,
    /// Under which tag, if it says.
    pub tag: Option<String>,
}

/// Understands `oci-layout:DIR[:TAG]` and `REGISTRY/REPOSITORY[:TAG]`; relative folders are relative to `current_dir`.
///
/// # Errors
/// One sentence that says what is wrong and what is accepted.
pub(super) fn parse(text: &str, current_dir: &Path) -> Result<Destination, String> {
    let expected = "expected oci-layout:DIR[:TAG] or REGISTRY/REPOSITORY[:TAG]";
    if let Some(rest) = text.strip_prefix("oci-layout:") {
        let (dir, tag) = split_tag(rest);
        if dir.is_empty() {
            return Err(format!("--destination '{text}' names no folder; {expected}"));
        }
        return Ok(Destination { registry: Registry::layout(&current_dir.join(PathBuf::from(dir))), tag });
    }
    if text.contains("://") || text.contains('@') {
        return Err(format!("--destination '{}' is not a reference; {expected}", without_credentials(text)));
    }
    let (name, tag) = split_tag(text);
    match name.split_once('/') {
        Some((host, repository)) if !host.is_empty() && !repository.is_empty() && looks_like_host(host) => {
            Ok(Destination { registry: Registry::remote(RegistryType::PrivateOci, name), tag })
        }
        _ => Err(format!("--destination '{text}' names no registry host; {expected}, for instance registry.example.com/charts/app:1.0.0")),
    }
}

/// Whether a first path segment is a host (as docker decides): it has a dot or a port, or is `localhost`.
fn looks_like_host(segment: &str) -> bool {
    segment.contains(['.', ':']) || segment == "localhost"
}

/// Splits a trailing `:TAG` off, unless what follows the colon is a port or part of a path.
fn split_tag(text: &str) -> (&str, Option<String>) {
    match text.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') && is_tag(tag) => (name, Some(tag.to_owned())),
        _ => (text, None),
    }
}

/// A URL with a password in it must not be echoed.
fn without_credentials(text: &str) -> &str {
    text.rsplit_once('@').map_or(text, |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_references_are_told_apart() {
        let cwd = Path::new("/work-dir");
        let shown = |text: &str| {
            parse(text, cwd).map(|d| format!("{:?} {} {:?}", d.registry.registry_type, d.registry.repository, d.tag.unwrap_or_default()))
        };
        assert_eq!(shown("oci-layout:out:1.0"), Ok("OciLayout /work-dir/out \"1.0\"".to_owned()));
        assert_eq!(shown("oci-layout:/abs/out"), Ok("OciLayout /abs/out \"\"".to_owned()));
        assert_eq!(shown("127.0.0.1:5000/a/b:v1"), Ok("PrivateOci 127.0.0.1:5000/a/b \"v1\"".to_owned()));
        assert_eq!(shown("localhost/a"), Ok("PrivateOci localhost/a \"\"".to_owned()));
        for bad in ["", "oci-layout:", "app:1", "/a/b", "https://u:secret@r.io/a", "127.0.0.1:5000"] {
            let message = shown(bad).expect_err(bad);
            assert!(message.contains("expected oci-layout:DIR[:TAG]"), "{message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }
}
