//! Why an archive is not unpacked.

use std::io;

use crate::{
    job::{Failure, FailureKind},
    shutdown::Cancelled,
};

/// Why an archive is not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An entry would do harm.
    #[error("'{entry}' in the archive {why}: the archive is refused")]
    Entry {
        /// Its name, as far as it can be shown.
        entry: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The archive holds too much.
    #[error("the archive has more than {limit} {what}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// How much is allowed.
        limit: u64,
    },
    /// It is no tar archive, or it is cut off.
    #[error("the archive cannot be read: {0}")]
    Malformed(io::Error),
    /// The disk refuses.
    #[error("unpacking failed: {0}")]
    Write(io::Error),
    /// The work was stopped.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let kind = match error {
            Error::Entry { .. } | Error::Malformed(_) => FailureKind::InvalidSource,
            Error::Limit { .. } => FailureKind::LimitExceeded,
            Error::Write(error) => return Self::from(error).context("unpacking failed"),
            Error::Cancelled(cancelled) => return cancelled.into(),
        };
        Self::new(kind, error.to_string())
    }
}
