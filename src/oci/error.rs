//! What can go wrong with a registry or layout, and what each error asks for: another try, or whose action.

use std::{io, path::PathBuf, time::Duration};

use super::{auth, layout::LayoutError, location::LocationError, reference::NameError};
use crate::{
    digest::Digest,
    job::{Failure, FailureKind},
    retry::Advice,
    shutdown::Cancelled,
};

/// Why something with a registry or layout did not work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The plan or command line does not say where.
    #[error(transparent)]
    Location(#[from] LocationError),
    /// Credentials could not be had, or were refused.
    #[error(transparent)]
    Credentials(#[from] auth::Error),
    /// There is no such tag, manifest or blob.
    #[error("{what} does not exist in {repository}")]
    NotFound {
        /// `tag '1.2'`, `blob sha256:…`.
        what: String,
        /// Where it was looked for.
        repository: String,
    },
    /// The registry answered with another status than success.
    #[error("{0}")]
    Response(Box<ResponseError>),
    /// There was no answer, or not a whole one.
    #[error("{host}: {reason}")]
    Connection {
        /// Registry or token server.
        host: String,
        /// The innermost cause.
        reason: String,
        /// Whether another try may help.
        transient: bool,
    },
    /// The content is not what was promised.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// A layout folder is unusable.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A file of this machine.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The work was stopped from outside.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// An answer with a status that is no success.
#[derive(Debug, thiserror::Error)]
#[error("{host} answered {status} to {request}{}", detail_suffix(detail))]
pub struct ResponseError {
    /// Registry or token server.
    pub host: String,
    /// Method and path.
    pub request: String,
    /// Status code.
    pub status: u16,
    /// Error code of the distribution specification (`MANIFEST_INVALID` …); empty when there is none.
    pub code: String,
    /// What the registry said, cut short.
    pub detail: String,
    /// When it wants to be asked again.
    pub retry_after: Option<Duration>,
}

fn detail_suffix(detail: &str) -> String {
    if detail.is_empty() { String::new() } else { format!(": {detail}") }
}

/// Content that is not what was promised.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// Other bytes.
    #[error("{what} has the digest {actual}, not {expected}")]
    Digest {
        /// `blob`, `manifest` and where it is from.
        what: String,
        /// What was asked for.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// More or fewer bytes.
    #[error("{what} has {actual} bytes, not {expected}")]
    Size {
        /// `blob`, `manifest` and where it is from.
        what: String,
        /// Bytes promised.
        expected: u64,
        /// Bytes that came.
        actual: u64,
    },
    /// More bytes than are read.
    #[error("{what} has more than the {limit} bytes that are read")]
    TooLarge {
        /// What.
        what: String,
        /// Bytes that would have been read.
        limit: u64,
    },
    /// More of something than is taken.
    #[error("more than {limit} {what}")]
    TooMany {
        /// Of what, in the plural.
        what: String,
        /// How many would have been taken.
        limit: usize,
    },
    /// The registry did not find what it was told it would.
    #[error("{host} finds that what it was sent is not {what}: the source is damaged, or the way")]
    Rejected {
        /// Registry.
        host: String,
        /// `blob sha256:…`.
        what: String,
    },
    /// Not what its media type says.
    #[error("not a valid manifest of type '{media_type}': {reason}")]
    NotAManifest {
        /// Media type it should be of.
        media_type: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Something answers, but it does not speak the registry protocol.
    #[error("{host} does not answer like a registry ({reason}): check the host and port")]
    NotARegistry {
        /// Who answered.
        host: String,
        /// What was odd.
        reason: String,
    },
}

impl From<NameError> for Error {
    fn from(error: NameError) -> Self {
        Self::Location(error.into())
    }
}

impl From<ResponseError> for Error {
    fn from(response: ResponseError) -> Self {
        Self::Response(Box::new(response))
    }
}

impl Error {
    /// Whether the thing asked for does not exist.
    #[must_use]
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Whether, and when, another try may help. Exhaustive on purpose: a new error has to decide.
    #[must_use]
    pub fn advice(&self) -> Advice {
        match self {
            Self::Response(response) => response.advice(),
            Self::Credentials(credentials) => credentials.advice(),
            // A damaged transfer: the next one may arrive whole.
            Self::Connection { transient: true, .. }
            | Self::Content(ContentError::Digest { .. } | ContentError::Size { .. } | ContentError::Rejected { .. }) => Advice::Retry,
            Self::Content(
                ContentError::TooLarge { .. }
                | ContentError::TooMany { .. }
                | ContentError::NotAManifest { .. }
                | ContentError::NotARegistry { .. },
            )
            | Self::Location(_)
            | Self::NotFound { .. }
            | Self::Connection { transient: false, .. }
            | Self::Layout(_)
            | Self::Io { .. }
            | Self::Cancelled(_) => Advice::GiveUp,
        }
    }
}

/// What a registry answers to a manifest whose blobs it does not have (distribution-spec, "Error Codes").
const BLOB_UNKNOWN: &str = "MANIFEST_BLOB_UNKNOWN";

impl ResponseError {
    /// Whether it says that blobs of a manifest are not there.
    pub(super) fn lacks_blobs(&self) -> bool {
        // It may be one of several codes, not the first.
        self.code == BLOB_UNKNOWN || self.detail.contains(BLOB_UNKNOWN)
    }

    fn advice(&self) -> Advice {
        match self.status {
            408 | 425 | 429 | 500 | 502 | 503 | 504 | 522 | 524 => self.retry_after.map_or(Advice::Retry, Advice::RetryAfter),
            // Amazon ECR answers ThrottlingException with 400 (API reference, "Common Errors").
            400 if self.detail.contains("ThrottlingException") => Advice::Retry,
            _ => Advice::GiveUp,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        let kind = match error {
            Error::Location(_) => FailureKind::InvalidPlan,
            Error::Credentials(credentials) => return credentials.into(),
            Error::NotFound { .. } => FailureKind::SourceNotFound,
            Error::Response(response) => match response.advice() {
                Advice::Retry | Advice::RetryAfter(_) => FailureKind::RegistryUnavailable,
                Advice::GiveUp => FailureKind::RegistryRefused,
            },
            Error::Connection { .. } => FailureKind::RegistryUnavailable,
            Error::Content(content) => match content {
                ContentError::Digest { .. } | ContentError::Size { .. } | ContentError::Rejected { .. } => FailureKind::DigestMismatch,
                ContentError::TooLarge { .. } | ContentError::TooMany { .. } => FailureKind::LimitExceeded,
                ContentError::NotAManifest { .. } | ContentError::NotARegistry { .. } => FailureKind::RegistryRefused,
            },
            Error::Layout(layout) => return layout.into(),
            Error::Io { path, source } => return Self::from(source).context(path.display()),
            Error::Cancelled(cancelled) => return cancelled.into(),
        };
        Self::new(kind, message)
    }
}
