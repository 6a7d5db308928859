//! Credentials of registries and the tokens they buy.

use secrecy::SecretString;

use crate::{job::Failure, retry::Advice, shutdown::Cancelled};

/// Credentials of one location. `Debug` shows no secret.
#[derive(Debug, Clone, Default)]
pub enum Credentials {
    /// None.
    Anonymous,
    /// A name and password.
    Static {
        /// Name.
        username: String,
        /// Password or token.
        password: SecretString,
        /// Where they are from, for messages.
        origin: String,
    },
    /// Those that the machine has for the registry (Docker or podman configuration, credential helpers); anonymous if it has none.
    #[default]
    Configured,
}

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The work was stopped from outside.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl Error {
    /// See [`crate::oci::Error::advice`].
    #[must_use]
    pub const fn advice(&self) -> Advice {
        match self {
            Self::Cancelled(_) => Advice::GiveUp,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Cancelled(cancelled) => cancelled.into(),
        }
    }
}
