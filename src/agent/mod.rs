//! The agent: one [`Supervisor`] takes an execution from its claim to its receipt, whatever the source of the job.
//!
//! In: a [`Job`] and a [`Cancel`](crate::shutdown::Cancel). Out: exactly one [`Receipt`](crate::job::Receipt). On the way the supervisor is the single writer of
//! phases; it keeps the deadline, crosses the log barrier before it calls anything over, and removes the workspace in every outcome.

pub mod delivery;
mod dispatch;
pub mod heart;
pub mod recovery;
#[cfg(test)]
mod scripted_source;
mod supervisor;
#[cfg(test)]
mod tests;
pub mod watcher;

pub use dispatch::Executors;
pub use supervisor::{Job, Options, Supervisor};
