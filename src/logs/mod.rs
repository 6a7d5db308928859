//! Logs of a job: lines ► redact ► spool ► sink.
//!
//! ```text
//!  tools, runner ── bytes ──► [one thread per execution]                                   [one thread per sink that reads]
//!                             plain text ► redact ► lines ► records ──► head + tail on disk ──► Sink, at its own pace
//!                                                                              └──── Bell ────► Follower, on whose thread ever
//! ```
//!
//! Inputs: [`JobLog`] handles, which never block and never fail. Outputs: records in a [`Sink`], and segments on disk that a
//! [`Follower`] reads while they grow, or [`replay`] later; [`JobLog::open`] goes on with those of a runner that died. Invariants: no known secret, in any usual encoding and however it is cut into pieces, gets past the
//! redactor; nothing that could move a terminal's cursor gets past it either; everything is bounded (line, queue, disk) and whatever is left out
//! is told by a record of its own; while the disk works nothing is left out but what head and tail do not hold: tools wait; after [`JobLog::flush`] everything logged before is with the sink.
//!
//! Called by everybody who works on a job; opened by the supervisor.

mod bell;
mod encodings;
mod filter;
mod follower;
mod found;
mod job_log;
mod lines;
mod pipeline;
mod plain;
mod progress;
mod record;
mod redact;
mod secrets;
mod segment;
mod sink;
mod spool;

pub use bell::Bell;
pub use filter::Filter;
pub use follower::{Follower, replay};
pub use job_log::{JobLog, Pipe};
pub use plain::visible;
pub use progress::{Meter, Progress, Snapshot};
pub use record::{LogPolicy, Record, Stream};
pub use redact::MASK;
pub use secrets::{Added, Secrets};
pub use sink::{Capture, Sink};
