//! What can go wrong between an operator and a control plane.

use crate::{cli::Exit, retry::Advice};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The command line, or a file it names.
    #[error("{0}")]
    Usage(String),
    /// Nobody answers there.
    #[error(
        "{server} cannot be reached: {reason}; is the control plane running there (`build-runner control-plane`), and is --server right?"
    )]
    Unreachable {
        /// Scheme, host and port.
        server: String,
        /// The deepest cause.
        reason: String,
    },
    /// It answered, and said no.
    #[error("{message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// What it said.
        message: String,
    },
    /// It answered, and the answer is of no use.
    #[error("{0}")]
    Broken(String),
}

impl Error {
    /// The exit code: what whoever asked can mend is wrong input.
    pub(super) const fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) | Self::Refused { status: 400..=499, .. } => Exit::WrongInput,
            Self::Unreachable { .. } | Self::Refused { .. } | Self::Broken(_) => Exit::RunnerFailed,
        }
    }

    /// Whether the same request is worth another try.
    pub(super) const fn advice(&self) -> Advice {
        match self {
            Self::Unreachable { .. } | Self::Refused { status: 408 | 429 | 500.., .. } | Self::Broken(_) => Advice::Retry,
            Self::Usage(_) | Self::Refused { .. } => Advice::GiveUp,
        }
    }
}
