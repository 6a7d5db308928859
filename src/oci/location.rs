//! Where artifacts are: a repository of a registry, or a layout folder.
//!
//! Made from the registry object of a plan, or from `--destination`. Pure: nothing is looked up and nobody is asked.

use std::path::{Component, Path, PathBuf};

use super::{
    auth::Credentials,
    reference::{self, NameError, Reference},
};
use crate::digest::{Digest, DigestError};

/// What Docker Hub is called in references.
pub(super) const HUB: &str = "docker.io";
/// Where Docker Hub's registry really is.
const HUB_API: &str = "registry-1.docker.io";

/// A repository or layout.
#[derive(Debug, Clone)]
pub enum Location {
    /// A repository of a registry.
    Registry {
        /// `HOST` or `HOST:PORT`; Docker Hub is always `docker.io`.
        host: String,
        /// Name of the repository, without the host.
        repository: String,
        /// Spoken to over plain HTTP, because the plan says so.
        plain_http: bool,
        /// Whose credentials.
        auth: Credentials,
    },
    /// A layout folder.
    Layout {
        /// The folder, absolute.
        path: PathBuf,
    },
}

/// What is wrong with a location.
#[derive(Debug, thiserror::Error)]
pub enum LocationError {
    /// A name that no registry takes.
    #[error(transparent)]
    Name(#[from] NameError),
    /// One field of the plan's registry object.
    #[error("{field}: {problem}")]
    Field {
        /// As the plan writes it.
        field: &'static str,
        /// What is wrong and what to do.
        problem: String,
    },
    /// `--destination`.
    #[error("'{text}' is not a destination: {problem}")]
    Destination {
        /// What was given.
        text: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// What is to be verified.
    #[error("'{text}' does not name an artifact: {problem}")]
    Artifact {
        /// What was given.
        text: String,
        /// What is wrong and what to do.
        problem: String,
    },
}

/// A host and a name, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Split<'a> {
    pub host: &'a str,
    pub name: &'a str,
}

/// Takes `HOST/NAME` apart as Docker does: what stands before the first `/` is a host if it has a `.` or `:` or is `localhost`.
pub(super) fn split_host(text: &str) -> Option<Split<'_>> {
    let (host, name) = text.split_once('/')?;
    let is_host = host.contains(['.', ':']) || host == "localhost";
    is_host.then_some(Split { host, name })
}

/// One name for each of Docker Hub's.
pub(super) fn canonical(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    if matches!(host.as_str(), HUB | "index.docker.io" | HUB_API) { HUB.to_owned() } else { host }
}

/// The host that is connected to.
pub(super) fn api_host(host: &str) -> &str {
    if host == HUB { HUB_API } else { host }
}

/// Whether the host is this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(""),
        None => host.split(':').next().unwrap_or(""),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The path without `.` and `..`, by its text alone: the folder may not exist yet.
fn normal(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut normal, part| {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            other => normal.push(other),
        }
        normal
    })
}

impl Location {
    /// A repository of a registry. `docker.io` gets the `library/` that its short names imply.
    ///
    /// # Errors
    /// When the host or name is malformed.
    pub fn registry(host: &str, repository: &str, plain_http: bool, auth: Credentials) -> Result<Self, LocationError> {
        let host = canonical(host);
        reference::check_host(&host)?;
        let repository = if host == HUB && !repository.contains('/') { format!("library/{repository}") } else { repository.to_owned() };
        reference::check_repository(&repository)?;
        Ok(Self::Registry { host, repository, plain_http, auth })
    }

    /// A layout folder; a relative one lies in `base`.
    #[must_use]
    pub fn layout(folder: &Path, base: &Path) -> Self {
        Self::Layout { path: normal(&base.join(folder)) }
    }

    /// `HOST/NAME` as people write it in references; names without a host are Docker Hub's.
    ///
    /// # Errors
    /// When the host or name is malformed.
    pub fn repository(text: &str, auth: Credentials) -> Result<Self, LocationError> {
        let split = split_host(text).unwrap_or(Split { host: HUB, name: text });
        Self::registry(split.host, split.name, false, auth)
    }

    /// What `--destination` takes: `oci-layout:DIR[:TAG]` or `REGISTRY/REPO[:TAG]`, and the tag if there is one. A relative folder
    /// lies in `base`.
    ///
    /// # Errors
    /// When it is neither, with the form that is wanted.
    pub fn parse_destination(text: &str, base: &Path) -> Result<(Self, Option<String>), LocationError> {
        // What stands before an '@' may be a password, unless a digest follows.
        let shown = match text.rsplit_once('@') {
            Some((_, rest)) if !rest.starts_with("sha") => format!("***@{rest}"),
            _ => text.to_owned(),
        };
        let wrong = |problem: String| LocationError::Destination { text: shown.clone(), problem };
        if let Some(rest) = text.strip_prefix("oci-layout:") {
            let (folder, tag) = match rest.rsplit_once(':') {
                Some((folder, tag)) if !tag.contains('/') => (folder, Some(tag)),
                _ => (rest, None),
            };
            if folder.is_empty() {
                return Err(wrong("it names no folder; write oci-layout:DIR or oci-layout:DIR:TAG".to_owned()));
            }
            tag.map_or(Ok(()), reference::check_tag).map_err(|e| wrong(e.to_string()))?;
            return Ok((Self::layout(Path::new(folder), base), tag.map(str::to_owned)));
        }
        if text.contains("://") {
            return Err(wrong("leave out the scheme; write REGISTRY/REPO:TAG".to_owned()));
        }
        if text.contains('@') {
            return Err(wrong("a digest cannot be chosen; write REGISTRY/REPO:TAG".to_owned()));
        }
        let Some(Split { host, name }) = split_host(text) else {
            return Err(wrong(format!("it names no registry; write REGISTRY/REPO:TAG, for example {HUB}/{text}, or oci-layout:DIR")));
        };
        let (name, tag) = name.split_once(':').map_or((name, None), |(name, tag)| (name, Some(tag)));
        tag.map_or(Ok(()), reference::check_tag).map_err(|e| wrong(e.to_string()))?;
        let location = Self::registry(host, name, false, Credentials::Configured).map_err(|e| wrong(e.to_string()))?;
        Ok((location, tag.map(str::to_owned)))
    }

    /// An artifact as people, and receipts, name one: what [`Location::parse_destination`] takes, or that with `@DIGEST` behind it; a path that
    /// begins with `/` or `.` is a layout folder. A tag before a digest is for people alone.
    ///
    /// # Errors
    /// When it is neither, with the form that is wanted.
    pub fn parse_artifact(text: &str, base: &Path) -> Result<(Self, Option<Reference>), LocationError> {
        if text.starts_with(['/', '.']) {
            return Self::parse_artifact(&format!("oci-layout:{text}"), base);
        }
        let place = |text: &str| match Self::parse_destination(text, base) {
            Err(LocationError::Destination { text, problem }) => Err(LocationError::Artifact { text, problem }),
            parsed => parsed,
        };
        // Written wrongly it is a digest all the same, and no password.
        let is_digest = |text: &str| text.get(..3).is_some_and(|begin| begin.eq_ignore_ascii_case("sha"));
        let Some((repository, digest)) = text.rsplit_once('@').filter(|(_, digest)| is_digest(digest)) else {
            let (location, tag) = place(text)?;
            return Ok((location, tag.map(Reference::Tag)));
        };
        let (location, _) = place(repository)?;
        let wrong = |error: DigestError| LocationError::Artifact { text: text.to_owned(), problem: error.to_string() };
        let digest: Digest = digest.parse().map_err(wrong)?;
        Ok((location, Some(Reference::Digest(digest))))
    }

    /// `HOST/NAME`, or the folder.
    #[must_use]
    pub fn display(&self) -> String {
        match self {
            Self::Registry { host, repository, .. } => format!("{host}/{repository}"),
            Self::Layout { path } => path.display().to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination(text: &str) -> Result<(String, Option<String>), String> {
        match Location::parse_destination(text, Path::new("/base")) {
            Ok((location, tag)) => Ok((location.display(), tag)),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn destinations_are_layouts_or_full_references() {
        let ok = |place: &str, tag: Option<&str>| Ok((place.to_owned(), tag.map(str::to_owned)));
        assert_eq!(destination("oci-layout:out:1.0"), ok("/base/out", Some("1.0")));
        assert_eq!(destination("oci-layout:/abs/c:d/out"), ok("/abs/c:d/out", None));
        assert_eq!(destination("localhost:5000/a/b:v1"), ok("localhost:5000/a/b", Some("v1")));
        assert_eq!(destination("index.docker.io/app"), ok("docker.io/library/app", None));
        for (bad, part) in [
            ("app:1", "names no registry"),
            ("https://a.b/c:1", "leave out the scheme"),
            ("a.b/C:1", "not a repository name"),
            ("a.b/c:", "not a tag"),
            ("oci-layout:", "names no folder"),
            ("a.b:x/c:1", "not a registry host"),
            ("a.b/c@sha256:00", "digest"),
        ] {
            let error = destination(bad).expect_err(bad);
            assert!(error.contains(part) && error.contains(bad), "{error}");
        }
    }

    #[test]
    fn artifacts_are_named_by_tag_or_digest() {
        let digest = Digest::of(b"");
        let named = |text: &str| {
            let (location, reference) = Location::parse_artifact(text, Path::new("/base")).map_err(|error| error.to_string())?;
            Ok::<_, String>((location.display(), reference.map(|reference| reference.to_string())))
        };
        let ok = |place: &str, reference: Option<&str>| Ok((place.to_owned(), reference.map(str::to_owned)));
        assert_eq!(named("localhost:5000/a:v1"), ok("localhost:5000/a", Some("v1")));
        assert_eq!(named(&format!("localhost:5000/a@{digest}")), ok("localhost:5000/a", Some(digest.as_str())));
        assert_eq!(named(&format!("localhost:5000/a:v1@{digest}")), ok("localhost:5000/a", Some(digest.as_str())));
        assert_eq!(named(&format!("oci-layout:out@{digest}")), ok("/base/out", Some(digest.as_str())));
        assert_eq!(named("oci-layout:out:1"), ok("/base/out", Some("1")));
        assert_eq!(named("oci-layout:out"), ok("/base/out", None));
        assert_eq!(named(&format!("/abs/out@{digest}")), ok("/abs/out", Some(digest.as_str())));
        assert_eq!(named("./out:1"), ok("/base/out", Some("1")));
        for (bad, part) in [
            ("a.b/c@sha256:00", "'a.b/c@sha256:00' does not name an artifact: 'sha256:00' is not a digest"),
            (&format!("a.b/c@{}", digest.as_str().to_uppercase()), "and 64, or sha512: and 128, lower-case"),
            ("u:secret@a.b/c", "digest cannot be chosen"),
            ("u:secret@a.b/c@SHA256:00", "digest cannot be chosen"),
            ("app:1", "'app:1' does not name an artifact: it names no registry"),
        ] {
            let error = named(bad).expect_err(bad);
            assert!(error.contains(part) && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn loopback_is_known_by_name_and_address() {
        for host in ["localhost", "localhost:5000", "127.0.0.1:1", "127.9.9.9", "[::1]:5000"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.evil.example", "128.0.0.1", "[::2]:1", "example.org:5000"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
