//! Why the store refused or could not do something. Messages never hold plans, tokens or log text.

use std::path::PathBuf;

use super::{ExecutionStatus, JobStatus};
use crate::job::{ExecutionId, JobId};

/// Why an execution may not write (any more). All of them are 409 for the runner: stop, somebody else decides about the job now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fence {
    /// There is no such execution, or it belongs to another job.
    #[error("the job has no such execution")]
    Unknown,
    /// A later execution has the job, or it was put back for one.
    #[error("the job has gone on without it")]
    Superseded,
    /// Its lease or a time limit ran out.
    #[error("its lease or time limit has run out")]
    Expired,
    /// It has reported another outcome before.
    #[error("it has already ended as '{0}'")]
    Ended(ExecutionStatus),
}

/// What is wrong with a request, or with the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No job of this id.
    #[error("there is no job '{0}'")]
    UnknownJob(JobId),
    /// A new job asked for an id that is in use.
    #[error("there is a job '{0}' already; leave `id` out to be given a new one")]
    JobExists(JobId),
    /// The execution is fenced off.
    #[error("execution '{execution}' may not write: {fence}")]
    Stale {
        /// The execution.
        execution: ExecutionId,
        /// Why.
        fence: Fence,
    },
    /// A result or outputs other than those handed in before.
    #[error("execution '{execution}' has handed in another {what} before; the first one stays")]
    Conflict {
        /// The execution.
        execution: ExecutionId,
        /// `result` or `outputs`.
        what: &'static str,
    },
    /// The job is not in a state for this.
    #[error("job '{job}' is '{status}': {remedy}")]
    State {
        /// The job.
        job: JobId,
        /// Where it stands.
        status: JobStatus,
        /// What would have to be so first.
        remedy: &'static str,
    },
    /// The execution's log is as long as a log may be.
    #[error("the log of execution '{execution}' has reached its limit of {limit} bytes")]
    LogLimit {
        /// The execution.
        execution: ExecutionId,
        /// The limit, in bytes of text.
        limit: u64,
    },
    /// The disk is full. Nothing was changed; the same request may succeed later.
    #[error("the disk of the data folder is full: free some space, nothing was lost")]
    Full,
    /// The database did not answer, or not in time. Nothing is known to be changed; repeating the request is safe.
    #[error("the database cannot be used at the moment")]
    Unavailable(#[source] sqlx::Error),
    /// A row that this program cannot have written, or a plan that its key does not open.
    #[error("the stored {0} cannot be read: restore the data folder from a backup, with its plan.key")]
    Damaged(&'static str),
    /// The store is being closed.
    #[error("the control plane is shutting down")]
    Closed,
}

/// Why a data folder could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Somebody else has it.
    #[error("the data folder '{}' is in use by another control plane: stop that one, or give this one its own --data-dir", .0.display())]
    InUse(PathBuf),
    /// Written by a later release.
    #[error(
        "the database '{}' has schema {found}, this program knows up to {known}: use the release that wrote it, or a later one", .file.display()
    )]
    Newer {
        /// The database.
        file: PathBuf,
        /// Its schema version.
        found: i64,
        /// The last one known here.
        known: i64,
    },
    /// The folder or a file in it cannot be made, read or closed to others. The text names it.
    #[error("the data folder cannot be prepared")]
    Folder(#[from] std::io::Error),
    /// The key file does not hold a key, or another one.
    #[error("'{}' is not the key that the plans in the database were sealed with: restore it from a backup", .0.display())]
    Key(PathBuf),
    /// The key file is gone, but there are plans sealed with it.
    #[error("'{}' is missing, and the database holds plans sealed with it: restore it from a backup", .0.display())]
    KeyMissing(PathBuf),
    /// The database cannot be opened or brought up to date.
    #[error("the database '{}' cannot be opened", .file.display())]
    Database {
        /// The database.
        file: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
}
