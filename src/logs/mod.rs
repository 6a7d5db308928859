//! Logs of a job: lines ► redact ► spool ► sink.
//!
//! ```text
//!  tools, runner ── bytes ──► [one thread per execution]                                   [one thread per sink]
//!                             plain text ► redact ► lines ► records ──► head + tail on disk ──► Sink, at its own pace
//! ```
//!
//! Inputs: [`JobLog`] handles, which never block and never fail. Outputs: records in a [`Sink`], and segments on disk that
//! [`replay`] reads later. Invariants: no known secret, in any usual encoding and however it is cut into pieces, gets past the
//! redactor; nothing that could move a terminal's cursor gets past it either; everything is bounded (line, queue, disk) and whatever is left out
//! is told by a record of its own; after [`JobLog::flush`] everything logged before is with the sink.
//!
//! Called by everybody who works on a job; opened by the supervisor.

mod encodings;
mod filter;
mod job_log;
mod lines;
mod pipeline;
mod plain;
mod progress;
mod reader;
mod record;
mod redact;
mod secrets;
mod segment;
mod sink;
mod spool;

pub use filter::Filter;
pub use job_log::{JobLog, Pipe};
pub use plain::visible;
pub use progress::{Meter, Progress, Snapshot};
pub use reader::replay;
pub use record::{LogPolicy, Record, Stream};
pub use redact::MASK;
pub use secrets::{Added, Secrets};
pub use sink::{Capture, Sink};
