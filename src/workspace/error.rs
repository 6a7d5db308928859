//! What goes wrong with workspaces themselves.

use std::{io, path::PathBuf};

use crate::job::{Failure, FailureKind, Fault};

/// Why there is no workspace.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not enough room.
    #[error(
        "the disk of '{folder}' has {free} {unit} left and a job needs {minimum}: free some, move the state folder to a larger disk, or lower the minimum"
    )]
    NoRoom {
        /// A folder on the disk.
        folder: PathBuf,
        /// What there is.
        free: u64,
        /// What there has to be.
        minimum: u64,
        /// `MiB` or `inodes`.
        unit: &'static str,
    },
    /// Another process works on the same execution.
    #[error("the workspace '{0}' is in use by another runner: give every runner a state folder of its own, or wait for it")]
    InUse(PathBuf),
    /// The state folder belongs to somebody else.
    #[error(
        "the folder '{0}' belongs to another user: the runner keeps secrets there, so choose a state folder of its own, or in a pod let \
         securityContext.fsGroup give the volume to the runner"
    )]
    Foreign(PathBuf),
    /// Reading or writing failed; the message names the file.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let kind = match error {
            Error::NoRoom { .. } => FailureKind::DiskFull,
            Error::InUse(_) => FailureKind::Conflict,
            Error::Foreign(_) => FailureKind::Io,
            Error::Io(error) => return error.into(),
        };
        // A workspace in use is a mistake of whoever runs the runners, not of whoever wrote the plan.
        Self::new(kind, error.to_string()).blame(Fault::Agent)
    }
}
