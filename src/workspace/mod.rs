//! Private folders of executions: made, filled with source, removed.
//!
//! A [`Workspace`] is `<state>/workspaces/<execution>` (0700), held by a lock so that a later runner can tell the folder of a killed
//! one from one in use: [`sweep()`] removes the former and never touches the latter. [`admit`] refuses work that the disk has no room for.
//! [`git::checkout`] and [`archive::unpack`] fill a workspace from a repository, a folder or an archive.
//!
//! Inputs: the state folder, an execution id, a git source or an archive. Outputs: folders whose content stays inside of them.
//! Invariants: only the owner can read a workspace; it is removed in every outcome ([`Workspace::remove`], or when dropped); nothing
//! unpacked or checked out is reachable outside of the folder it was put in.
//!
//! Called by the supervisor (make, remove, sweep) and by executors (fill).

pub mod archive;
mod disk;
mod error;
mod folder;
pub mod git;
mod remove;
mod sweep;

pub use disk::{Minimum, admit};
pub use error::Error;
pub use folder::{Workspace, open_state};
pub use sweep::{Swept, sweep};

use crate::{
    logs::{JobLog, Progress},
    shutdown::Cancel,
};

/// What filling a workspace needs besides the source.
#[derive(Debug, Clone, Copy)]
pub struct Cx<'a> {
    /// Stops the work.
    pub cancel: &'a Cancel,
    /// The job's log.
    pub log: &'a JobLog,
    /// Bytes moved, for people.
    pub progress: &'a Progress,
    /// Where the private home and the temporary files of tools are.
    pub workspace: &'a Workspace,
}
