//! Child processes: the only place that starts any.
//!
//! A [`Command`] runs in a session and process group of its own with a cleared environment ([`Environment`]). Its output is
//! pumped into the job's log or captured within a limit; when the work is cancelled the whole group gets TERM, a grace period,
//! then KILL, and whoever escaped from the group (double fork, `setsid`) is found by the marker in its environment. A tool that
//! exited while somebody still holds its pipes is waited for with a limit, and the leak is named in the log.
//!
//! Inputs: a program, arguments, an environment, a [`crate::shutdown::Cancel`], a [`crate::logs::JobLog`].
//! Outputs: [`Finished`] (exit, captured output, last lines) or [`Error`], which knows its [`crate::job::FailureKind`].
//! Invariants: nothing started here outlives [`Command::run`], not even when its future is dropped; no variable of the runner's
//! environment reaches a child unless it is on the allow-list; captured text never exceeds its limit.
//!
//! Called by `workspace`, executors, `doctor`.

mod code;
mod command;
mod detach;
mod environment;
mod error;
mod group;
mod leftovers;
mod memory;
mod orphans;
mod pump;
mod run;
mod spawn;
mod tail;
mod tap;

pub use code::give_back_code;
pub use command::{Command, Output};
pub use environment::Environment;
pub use error::{Error, Exit};
pub use leftovers::{Leftover, stop_execution};
pub use orphans::{adopt_orphans, is_childless};
pub use run::Finished;
pub use tap::Tap;
