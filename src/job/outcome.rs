//! The phases an execution goes through and the one outcome it ends with.

use serde::{Deserialize, Serialize};

use super::{Failure, Outputs};

/// Where an execution is. Ordered; written by the supervisor alone, never backwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The job is ours; nothing was done yet.
    Claimed,
    /// Workspace and source.
    Preparing,
    /// The work itself.
    Running,
    /// Digests are what the destination says it has stored.
    Collecting,
    /// Everything that was made on the way is removed.
    CleaningUp,
    /// The outcome is known to whoever asked for it.
    Reported,
}

/// What stopped an execution from outside. The first cause wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CancelCause {
    /// Whoever submitted the job asked for it (control plane, or Ctrl-C of a local run).
    Requested,
    /// The execution's deadline passed; becomes [`Outcome::TimedOut`].
    Deadline,
    /// Somebody else owns the job; stops the work and reports nothing.
    LeaseLost,
    /// The runner is being stopped and could not wait.
    Shutdown,
}

/// The one true end of an execution.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Everything was made and pushed.
    Succeeded(Box<Outputs>),
    /// Something said no.
    Failed(Box<Failure>),
    /// Stopped from outside.
    Cancelled(CancelCause),
    /// Stopped by its deadline; the failure says in which step.
    TimedOut(Box<Failure>),
    /// Never begun: the failure says why.
    NotAttempted(Box<Failure>),
}
