//! Why a cloud gave no registry credentials, in words that name what was tried and what to set.
//!
//! Answers of servers are only quoted by their error code and the first line of their message, redacted; nothing a server or file
//! holds as a secret is ever part of an error.

use std::{io, path::PathBuf, time::Duration};

use crate::{
    job::{Failure, FailureKind},
    retry::Advice,
    shutdown::Cancelled,
};

/// Why there are no registry credentials.
#[derive(Debug, thiserror::Error)]
pub enum CloudError {
    /// No source had anything.
    #[error("no {cloud} credentials found (tried {}); {remedy}", tried.join("; "))]
    NoCredentials {
        /// `AWS`, `Azure` or `Google Cloud`.
        cloud: &'static str,
        /// Each source that was looked at, with what was missing.
        tried: Vec<String>,
        /// What to set.
        remedy: &'static str,
    },
    /// The service knows who asks, or not even that, and says no.
    #[error("{service} denies the request: {detail}")]
    Denied {
        /// Service and host.
        service: String,
        /// Error code and message.
        detail: String,
    },
    /// The credentials that were given have run out.
    #[error("{service} says that the credentials have expired ({detail}); give new ones, or check this machine's clock")]
    Expired {
        /// Service and host.
        service: String,
        /// Error code and message.
        detail: String,
    },
    /// No answer, throttled, or a fault of the service: another try may help.
    #[error("{service} is not available: {reason}")]
    Unavailable {
        /// Service and host.
        service: String,
        /// What happened.
        reason: String,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// Another status than success.
    #[error("{service} answered {status}: {detail}")]
    Refused {
        /// Service and host.
        service: String,
        /// Status code.
        status: u16,
        /// Error code and message.
        detail: String,
    },
    /// Success in a shape that nobody specified.
    #[error("{service} gave an answer that cannot be used: {reason}")]
    Garbled {
        /// Service and host.
        service: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The job's registry object asks for what cannot be done.
    #[error("{0}")]
    Plan(String),
    /// The environment or a file of this machine says something that cannot be used.
    #[error("{place} {problem}")]
    Setting {
        /// The variable, or the file and place in it.
        place: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A file cannot be read.
    #[error("{purpose} {}: {source}", path.display())]
    File {
        /// What the file is for.
        purpose: &'static str,
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The work was stopped from outside.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl CloudError {
    pub(super) fn setting(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Setting { place: place.into(), problem: problem.into() }
    }

    /// Whether asking again may help.
    #[must_use]
    pub fn advice(&self) -> Advice {
        match self {
            Self::Unavailable { retry_after: Some(wait), .. } => Advice::RetryAfter(*wait),
            Self::Unavailable { retry_after: None, .. } => Advice::Retry,
            Self::NoCredentials { .. }
            | Self::Denied { .. }
            | Self::Expired { .. }
            | Self::Refused { .. }
            | Self::Garbled { .. }
            | Self::Plan(_)
            | Self::Setting { .. }
            | Self::File { .. }
            | Self::Cancelled(_) => Advice::GiveUp,
        }
    }

    /// The kind of failure it makes a job fail with.
    #[must_use]
    pub const fn kind(&self) -> FailureKind {
        match self {
            Self::NoCredentials { .. } | Self::Denied { .. } | Self::Setting { .. } | Self::File { .. } => FailureKind::AuthDenied,
            Self::Expired { .. } => FailureKind::AuthExpired,
            Self::Unavailable { .. } => FailureKind::RegistryUnavailable,
            Self::Refused { .. } | Self::Garbled { .. } => FailureKind::RegistryRefused,
            Self::Plan(_) => FailureKind::InvalidPlan,
            Self::Cancelled(_) => FailureKind::Internal,
        }
    }
}

impl From<CloudError> for Failure {
    fn from(error: CloudError) -> Self {
        match error {
            CloudError::Cancelled(cancelled) => cancelled.into(),
            error => Self::new(error.kind(), error.to_string()),
        }
    }
}
