//! Why a source cannot be had.

use std::io;

use crate::{
    job::{Failure, FailureKind},
    process,
};

/// Why there is no checkout. URLs in it carry no credentials.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The plan's `git_source` is not usable as it is written.
    #[error("git_source.{field}: {why}")]
    Plan {
        /// `url`, `ref` or `path`.
        field: &'static str,
        /// What is wrong, and what would be right.
        why: String,
    },
    /// Repository, ref or folder does not exist.
    #[error("{what} was not found in '{url}': check git_source.{field}")]
    NotFound {
        /// What was looked for.
        what: String,
        /// Where.
        url: String,
        /// The field that named it.
        field: &'static str,
    },
    /// No credentials, wrong ones, or not enough rights.
    #[error("'{url}' refused access ({why}): put credentials that may read it into git_source.url or the runner's configuration")]
    Denied {
        /// Where.
        url: String,
        /// What git said.
        why: String,
    },
    /// The network or the server is in trouble.
    #[error("'{url}' cannot be reached just now ({why})")]
    Unavailable {
        /// Where.
        url: String,
        /// What git said.
        why: String,
    },
    /// The source holds something that cannot be built from.
    #[error("'{entry}' in the source {why}")]
    Content {
        /// The offending file, relative to the source.
        entry: String,
        /// What is wrong with it.
        why: String,
    },
    /// The source is too large.
    #[error("the folder '{folder}' has more than {limit}: name a smaller folder, or let .gitignore leave out what the build does not need")]
    TooLarge {
        /// The folder.
        folder: String,
        /// The limit that was hit, with its unit.
        limit: String,
    },
    /// git itself failed, is missing, or was stopped.
    #[error(transparent)]
    Git(#[from] process::Error),
    /// Reading or writing here failed; the message names the file.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<crate::workspace::Error> for Error {
    fn from(error: crate::workspace::Error) -> Self {
        match error {
            crate::workspace::Error::Io(error) => Self::Io(error),
            other => Self::Io(io::Error::other(other)),
        }
    }
}

impl From<crate::shutdown::Cancelled> for Error {
    fn from(cancelled: crate::shutdown::Cancelled) -> Self {
        Self::Git(cancelled.into())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let kind = match error {
            Error::Plan { .. } => FailureKind::InvalidPlan,
            Error::NotFound { .. } => FailureKind::SourceNotFound,
            Error::Denied { .. } => FailureKind::AuthDenied,
            Error::Unavailable { .. } => FailureKind::SourceUnavailable,
            Error::Content { .. } => FailureKind::InvalidSource,
            Error::TooLarge { .. } => FailureKind::LimitExceeded,
            Error::Git(error) => return error.into(),
            Error::Io(error) => return error.into(),
        };
        Self::new(kind, error.to_string())
    }
}
