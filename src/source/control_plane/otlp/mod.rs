//! Job logs as OTLP: batches of [`Record`](crate::logs::Record)s to protobuf, and back.
//!
//! One batch is an `ExportLogsServiceRequest` (opentelemetry-proto, `collector/logs/v1`). The resource is the runner: `service.name`,
//! the attributes of its settings, `runner.id`, `runner.version`. Each record carries the attributes that the hosted plane makes columns
//! of, and two of ours that others keep or ignore: [`attribute::SEQ`], so that a batch sent twice is stored once, and
//! [`attribute::STREAM`].
//!
//! [`encode()`] is called by the client, [`decode()`] by the reference control plane with bytes nobody has looked at: what it gives is bounded
//! by its limits, whatever the bytes say.

mod decode;
mod encode;
#[cfg(test)]
mod tests;

pub use decode::{Coding, DecodeError, LogLine, decode};
pub use encode::{Runner, encode, gzip};

/// Names of record attributes.
pub mod attribute {
    /// The job.
    pub const JOB: &str = "runner_job.id";
    /// Its type.
    pub const JOB_TYPE: &str = "runner_job.type";
    /// The log stream it was sent to.
    pub const LOG_STREAM: &str = "log_stream.id";
    /// The attempt.
    pub const EXECUTION: &str = "runner_job_execution.id";
    /// The step under way.
    pub const STEP: &str = "runner_job_execution_step.name";
    /// [`crate::logs::Record::seq`].
    pub const SEQ: &str = "log.seq";
    /// [`crate::logs::Record::stream`] by its name.
    pub const STREAM: &str = "log.stream";
}
