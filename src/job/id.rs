//! Identifiers of jobs, executions, runners and tokens.
//!
//! The hosted control plane's ids are 26 characters with a three-letter prefix (`job…`, `run…`). Ids are used as names of
//! folders and labels, so the accepted alphabet is the one that is safe in both.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Longest accepted id, in bytes: it has to fit a Kubernetes label value.
const MAX_LEN: usize = 63;

/// An id that cannot be used as a folder name or label.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("'{0}' is not an id: use 1 to 63 letters, digits, '-', '_' or '.', beginning with a letter or digit")]
pub struct IdError(String);

fn check(text: &str) -> Result<(), IdError> {
    let ok = !text.is_empty()
        && text.len() <= MAX_LEN
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if ok { Ok(()) } else { Err(IdError(text.chars().take(80).collect())) }
}

/// 23 characters of Crockford-like base 32, the first nine from the clock so that ids sort by age.
fn generate(prefix: &str) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let millis = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0);
    let mut text = String::with_capacity(26);
    text.push_str(prefix);
    for shift in (0..9).rev() {
        text.push(char::from(ALPHABET[usize::try_from((millis >> (shift * 5)) & 31).unwrap_or(0)]));
    }
    let mut random = [0_u8; 14];
    // The system's randomness, not aws-lc's: that one measures the processor's jitter for 60 ms before its first byte, which is most of
    // what a short command takes. A machine without any cannot do TLS either; the clock and the process id still tell ids apart.
    if getrandom::fill(&mut random).is_err() {
        random[..4].copy_from_slice(&std::process::id().to_le_bytes());
    }
    text.extend(random.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)])));
    text
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String")]
        pub struct $name(String);

        impl $name {
            /// A fresh id that sorts after those made earlier.
            #[must_use]
            pub fn generate() -> Self {
                Self(generate($prefix))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                check(text).map(|()| Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                check(&text).map(|()| Self(text))
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// Names a job for as long as anybody remembers it.
    JobId,
    "job"
);
id!(
    /// Names one attempt at a job; every write about the attempt carries it, which fences off stale attempts.
    ExecutionId,
    "run"
);
id!(
    /// Names a runner towards its control plane.
    RunnerId,
    "rnr"
);
id!(
    /// Names an access token; not the token itself.
    TokenId,
    "tok"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_ids_have_the_hosted_shape_and_sort_by_age() {
        let first = JobId::generate();
        assert_eq!(first.as_str().len(), 26);
        assert!(first.as_str().starts_with("job"));
        assert_ne!(first, JobId::generate());
        assert_eq!(first.as_str().parse::<JobId>(), Ok(first.clone()));
    }

    #[test]
    fn ids_that_could_leave_a_folder_are_refused() {
        for bad in ["", ".", "..", "../x", "a/b", "a b", "-x", &"a".repeat(64)] {
            assert!(bad.parse::<JobId>().is_err(), "{bad:?}");
        }
    }
}
