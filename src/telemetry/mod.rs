//! What the runner tells about itself: messages, status and metrics.
//!
//! [`init`] sends the runner's own messages (`tracing`) to standard error, as text or JSON lines; messages about a job's content belong
//! into the job's log. [`Status`] and [`Metrics`] are filled by the agent and shown by the [`Admin`] port.

mod admin;
mod messages;
mod metrics;
mod status;

pub use admin::{Admin, AdminError};
pub use messages::{LogFormat, init};
pub use metrics::{ClaimEnd, Metrics};
pub use status::{Gate, READY, RunnerPhase, Running, Slots, Snapshot, Status};
