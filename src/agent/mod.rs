//! The agent: takes jobs from a source and brings each from its claim to its delivered outcome.
//!
//! ```text
//!  poller ─ offer ─► claim ─ Claimed ─► execution ─ Job ─► supervisor ─ Receipt ─► delivery
//!    ▲ slots            │ journal           │ plan            │ handle, phases        │ log, report
//!    └──── free ────────┴───────────────────┴─────────────────┘                       ▼ closed
//!  beside them: heart (a thread of its own) · watcher (one question for all that runs) · background (settings, what is owed)
//! ```
//!
//! [`Agent::run`] polls a [`Source`](crate::source::Source) until its [`Drain`] begins. A job file needs none of that: its jobs go to a
//! [`Supervisor`] as they are. Either way one [`Supervisor`] takes an execution to exactly one [`Receipt`](crate::job::Receipt): it is the
//! single writer of phases, keeps the deadline, crosses the log barrier before it calls anything over, and removes the workspace in every outcome.
//!
//! Called by `cli` alone.

#[expect(clippy::module_inception, reason = "the agent of the agent's module: the one value that the rest of it is parts of")]
mod agent;
mod background;
mod claim;
mod claimed;
pub mod delivery;
mod dispatch;
mod drain;
mod execution;
pub mod heart;
mod ledger;
mod poller;
pub mod recovery;
mod roots;
mod running;
#[cfg(test)]
mod scripted_source;
mod slots;
mod supervisor;
#[cfg(test)]
mod tests;
pub mod watcher;

pub use agent::{Agent, AgentOptions, Ending};
pub use claimed::Claimed;
pub use dispatch::Executors;
pub use drain::{Drain, Stage};
pub use ledger::{Ledger, Unkept};
pub use roots::LocalRoots;
pub use supervisor::{Attempt, Job, Logging, Options, Supervisor};
