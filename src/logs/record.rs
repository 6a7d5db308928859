//! One line of a job's log.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Where a line comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Standard output of a tool.
    Stdout,
    /// Standard error of a tool.
    Stderr,
    /// The runner itself.
    Runner,
    /// The runner, about something a person should notice.
    Warning,
    /// A place where lines are missing; the text says how many.
    Gap,
}

/// One line: redacted, free of control characters, of limited length.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Counts from 1, without holes: a jump means that lines were left out.
    pub seq: u64,
    /// When the line, or its last piece, arrived.
    pub time: Timestamp,
    /// Where it comes from.
    pub stream: Stream,
    /// The step under way when it arrived; empty before the first.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub step: String,
    /// The line without its end.
    pub text: String,
}

/// How much of a log is kept, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogPolicy {
    /// Bytes kept of the beginning (as stored: one JSON object per line).
    pub head: u64,
    /// Bytes kept of the end.
    pub tail: u64,
    /// Longest line in bytes; the rest of a longer one is cut off.
    pub line: usize,
    /// Bytes that may wait to be processed; what comes on top is dropped and counted.
    pub queue: usize,
    /// How long [`super::JobLog::flush`] waits for a slow sink.
    pub flush_limit: std::time::Duration,
}

impl Default for LogPolicy {
    /// 4 MiB of the beginning, 4 MiB of the end, lines of 64 KiB.
    fn default() -> Self {
        Self { head: 4 << 20, tail: 4 << 20, line: 64 << 10, queue: 4 << 20, flush_limit: std::time::Duration::from_secs(10) }
    }
}
