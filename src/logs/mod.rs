//! Logs of a job: lines ► redact ► spool ► sink. Placeholder implementation, replaced by the real pipeline.

mod progress;

pub use progress::{Meter, Progress, Snapshot};

/// Which pipe of a process a piece of output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Handle of one execution's log. Cheap to clone, never blocks, never fails.
#[derive(Debug, Clone, Default)]
pub struct JobLog;

impl JobLog {
    /// A log that nobody reads.
    #[must_use]
    pub fn discard() -> Self {
        Self
    }

    /// A line of the runner itself.
    pub fn info(&self, _text: impl std::fmt::Display) {}
    /// A line of the runner itself that a person should notice.
    pub fn warn(&self, _text: impl std::fmt::Display) {}
    /// Output of a tool, in whatever pieces it arrives.
    pub fn output(&self, _stream: Stream, _bytes: &[u8]) {}
    /// From now on this text, and its usual encodings, never leave the process.
    pub fn add_secret(&self, _secret: &str) {}
    /// `text` without any known secret.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        text.to_owned()
    }
}
