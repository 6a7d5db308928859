//! The last lines that a tool has printed, as evidence of a failure.

use std::collections::VecDeque;

use crate::logs::JobLog;

/// Lines that are kept, and characters of each.
pub(super) const LINES: usize = 20;
const WIDTH: usize = 500;

/// Lines, the oldest first.
#[derive(Debug, Default)]
pub(super) struct LastLines(VecDeque<String>);

impl LastLines {
    /// Adds a line; an empty one says nothing.
    pub(super) fn push(&mut self, line: &str) {
        if line.trim().is_empty() {
            return;
        }
        if self.0.len() == LINES {
            self.0.pop_front();
        }
        self.0.push_back(line.to_owned());
    }

    /// Forgets them.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// What may be shown of them.
    pub(super) fn redacted(&self, log: &JobLog) -> Vec<String> {
        self.0.iter().map(|line| log.redact(line).chars().take(WIDTH).collect()).collect()
    }
}
