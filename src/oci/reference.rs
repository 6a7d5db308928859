//! Names of the distribution specification: repository names, tags, and references (a tag or a digest).

use std::{fmt, str::FromStr};

use crate::digest::Digest;

/// Longest repository name that Docker's registry takes, host included.
const MAX_NAME: usize = 255;

/// What a manifest is asked for by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reference {
    /// A name that may move.
    Tag(String),
    /// The content itself.
    Digest(Digest),
}

/// A name that registries do not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not a tag.
    #[error("'{0}' is not a tag: use 1 to 128 letters, digits, '_', '.' or '-', beginning with a letter, digit or '_'")]
    Tag(String),
    /// Not a repository name.
    #[error("'{0}' is not a repository name: use lower-case letters and digits, separated by '/', '.', '_', '__' or '-'")]
    Repository(String),
    /// Not a host.
    #[error("'{0}' is not a registry host: write HOST or HOST:PORT")]
    Host(String),
}

/// At most 80 characters, for a message.
fn excerpt(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Checks a tag (distribution-spec: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`).
///
/// # Errors
/// When it is none.
pub(super) fn check_tag(tag: &str) -> Result<(), NameError> {
    let ok = (1..=128).contains(&tag.len())
        && tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && tag.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
    if ok { Ok(()) } else { Err(NameError::Tag(excerpt(tag))) }
}

/// Checks a repository name (distribution-spec:
/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*`).
///
/// # Errors
/// When it is none.
pub(super) fn check_repository(name: &str) -> Result<(), NameError> {
    let ok = !name.is_empty() && name.len() <= MAX_NAME && name.split('/').all(is_component);
    if ok { Ok(()) } else { Err(NameError::Repository(excerpt(name))) }
}

fn is_component(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separators = text.split(plain).filter(|s| !s.is_empty());
    text.starts_with(plain)
        && text.ends_with(plain)
        && separators.into_iter().all(|s| matches!(s, "." | "_" | "__") || s.bytes().all(|b| b == b'-'))
}

/// Checks `HOST` or `HOST:PORT`, where the host is a name or an address, IPv6 in brackets.
///
/// # Errors
/// When it is neither.
pub(super) fn check_host(host: &str) -> Result<(), NameError> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            rest.split_once(']').map_or(("", Some("")), |(name, port)| (name, port.strip_prefix(':').or((!port.is_empty()).then_some(""))))
        }
        None => host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port))),
    };
    let named = if host.starts_with('[') {
        name.parse::<std::net::Ipv6Addr>().is_ok()
    } else {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
    };
    let port = port.is_none_or(|port| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|p| p > 0));
    if named && port && host.len() <= MAX_NAME { Ok(()) } else { Err(NameError::Host(excerpt(host))) }
}

impl FromStr for Reference {
    type Err = NameError;

    /// A digest if it has a colon, else a tag.
    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.contains(':') {
            return text.parse().map(Self::Digest).map_err(|_| NameError::Tag(excerpt(text)));
        }
        check_tag(text)?;
        Ok(Self::Tag(text.to_owned()))
    }
}

impl From<Digest> for Reference {
    fn from(digest: Digest) -> Self {
        Self::Digest(digest)
    }
}

impl Reference {
    /// The text that goes into a URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Tag(tag) => tag,
            Self::Digest(digest) => digest.as_str(),
        }
    }

    /// The digest, if it is one.
    #[must_use]
    pub const fn digest(&self) -> Option<&Digest> {
        match self {
            Self::Digest(digest) => Some(digest),
            Self::Tag(_) => None,
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repository_names_follow_the_specification() {
        for good in ["a", "a/b/c", "a.b", "a__b", "a--b", "a-b_c.d/e0"] {
            assert_eq!(check_repository(good), Ok(()), "{good}");
        }
        for bad in ["", "/", "a/", "/a", "A", "a..b", "a___b", "a._b", "-a", "a-", "../a", "a//b", "a:b", "a b", "ä", &"a".repeat(256)] {
            assert!(check_repository(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tags_and_digests_are_told_apart() {
        assert_eq!("1.2.3_build".parse(), Ok(Reference::Tag("1.2.3_build".into())));
        let digest = Digest::of(b"");
        assert_eq!(digest.as_str().parse(), Ok(Reference::Digest(digest.clone())));
        for bad in ["", ".a", "a/b", "a b", "sha256:00", &"a".repeat(129)] {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
    }

    #[test]
    fn hosts_are_names_or_addresses_with_an_optional_port() {
        for good in ["a", "a.b:5000", "127.0.0.1:80", "[::1]:5000", "[::1]", "under_score"] {
            assert_eq!(check_host(good), Ok(()), "{good}");
        }
        for bad in ["", "a/b", "a:", "a:0", "a:x", "u@a", "a b", "http://a", "a:99999", "::1"] {
            assert!(check_host(bad).is_err(), "{bad}");
        }
    }
}
