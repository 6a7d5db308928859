//! One line of a job's log.

use std::time::Duration;

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
    /// Bytes that may wait to be processed before whoever writes is asked to wait, see [`super::Pipe::room`].
    pub queue: usize,
    /// How long [`super::JobLog::flush`] waits for a sink that gets nowhere.
    pub flush_limit: Duration,
    /// How long [`super::Pipe::room`] waits for a disk that gets nowhere.
    pub stall_limit: Duration,
}

impl Default for LogPolicy {
    /// 64 MiB of the beginning, 16 MiB of the end, lines of 64 KiB.
    fn default() -> Self {
        let (flush_limit, stall_limit) = (Duration::from_secs(10), Duration::from_secs(30));
        Self { head: 64 << 20, tail: 16 << 20, line: 64 << 10, queue: 256 << 10, flush_limit, stall_limit }
    }
}
