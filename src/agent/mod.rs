//! The agent: one [`Supervisor`] takes an execution from its claim to its receipt, whatever the source of the job.
//!
//! In: a [`Job`] and a [`Cancel`](crate::shutdown::Cancel). Out: exactly one [`Receipt`](crate::job::Receipt). On the way the supervisor is the single writer of
//! phases; it keeps the deadline, crosses the log barrier before it calls anything over, and removes the workspace in every outcome.

mod claimed;
pub mod delivery;
mod dispatch;
pub mod heart;
mod ledger;
pub mod recovery;
mod roots;
#[cfg(test)]
mod scripted_source;
mod supervisor;
#[cfg(test)]
mod tests;
pub mod watcher;

pub use claimed::Claimed;
pub use dispatch::Executors;
pub use ledger::{Ledger, Unkept};
pub use roots::LocalRoots;
pub use supervisor::{Attempt, Job, Logging, Options, Supervisor};
