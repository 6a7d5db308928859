//! Why there is no header to send.

use std::{path::PathBuf, time::Duration};

use super::cloud::CloudError;
use crate::{
    job::{Failure, FailureKind},
    retry::Advice,
    shutdown::Cancelled,
};

/// Credentials could not be had, or were refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A credentials file cannot be used.
    #[error("credentials file {path}: {reason}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; never its content.
        reason: String,
    },
    /// A credential helper did not deliver.
    #[error("credential helper {program} for {host}: {reason}")]
    Helper {
        /// `docker-credential-…`.
        program: String,
        /// Registry it was asked about.
        host: String,
        /// What happened.
        reason: String,
    },
    /// The registry or its token server said no.
    #[error("{host} denies {action} on '{repository}' {with}{}", suffix(detail))]
    Denied {
        /// Registry or token server.
        host: String,
        /// Repository name.
        repository: String,
        /// `pull` or `push`.
        action: &'static str,
        /// With which credentials, in words.
        with: String,
        /// What the server said.
        detail: String,
        /// They were good before and have run out.
        expired: bool,
    },
    /// The registry asks for something that cannot be given.
    #[error("{host} asks for a login that cannot be given: {reason}")]
    Challenge {
        /// Registry.
        host: String,
        /// What it asks for.
        reason: String,
    },
    /// The token server cannot be asked, or talks nonsense.
    #[error("token server {host}: {reason}")]
    TokenServer {
        /// Its host.
        host: String,
        /// What happened.
        reason: String,
        /// Whether another try may help.
        transient: bool,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// The cloud does not hand out credentials; its calls were tried several times already.
    #[error(transparent)]
    Cloud(#[from] CloudError),
    /// The work was stopped from outside.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

fn suffix(detail: &str) -> String {
    if detail.is_empty() { String::new() } else { format!(": {detail}") }
}

impl Error {
    /// Whether, and when, another try may help.
    #[must_use]
    pub fn advice(&self) -> Advice {
        match self {
            Self::TokenServer { transient: true, retry_after, .. } => retry_after.map_or(Advice::Retry, Advice::RetryAfter),
            Self::File { .. }
            | Self::Helper { .. }
            | Self::Denied { .. }
            | Self::Challenge { .. }
            | Self::TokenServer { transient: false, .. }
            | Self::Cloud(_)
            | Self::Cancelled(_) => Advice::GiveUp,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        let kind = match error {
            Error::Denied { expired: true, .. } => FailureKind::AuthExpired,
            Error::Denied { .. } | Error::File { .. } | Error::Helper { .. } => FailureKind::AuthDenied,
            Error::Challenge { .. } => FailureKind::RegistryRefused,
            Error::TokenServer { .. } => FailureKind::RegistryUnavailable,
            Error::Cloud(error) => return error.into(),
            Error::Cancelled(cancelled) => return cancelled.into(),
        };
        Self::new(kind, message)
    }
}
