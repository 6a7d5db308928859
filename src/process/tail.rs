//! The last lines of a tool's output, kept as evidence within a fixed amount of memory.

use std::collections::VecDeque;

use crate::logs::{Filter, visible};

/// Bytes shown of one stream.
const SHOWN: usize = 16 * 1024;
/// Bytes kept in front of these, so that a secret cut by the beginning of what is kept is still recognised in what is shown.
const CONTEXT: usize = 16 * 1024;
/// Lines handed out.
const LINES: usize = 20;
/// Characters of one line.
const WIDTH: usize = 500;

/// A ring of the last bytes of one stream.
#[derive(Debug, Default)]
pub(super) struct Tail(VecDeque<u8>);

impl Tail {
    /// Adds bytes as they arrive.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(CONTEXT + SHOWN)..];
        let surplus = (self.0.len() + bytes.len()).saturating_sub(CONTEXT + SHOWN);
        self.0.drain(..surplus);
        self.0.extend(bytes);
    }

    /// The last lines, passed through `filter`.
    pub(super) fn lines(mut self, mut filter: Filter) -> Vec<String> {
        let bytes = self.0.make_contiguous();
        let mut text = Vec::new();
        filter.push(&bytes[..bytes.len().saturating_sub(SHOWN)], &mut text);
        text.clear();
        filter.push(&bytes[bytes.len().saturating_sub(SHOWN)..], &mut text);
        filter.finish(&mut text);
        let mut lines: Vec<String> = text
            .split(|byte| matches!(byte, b'\n' | b'\r'))
            .rev()
            .map(|line| visible(line).chars().take(WIDTH).collect::<String>())
            .filter(|line| !line.trim().is_empty())
            .take(LINES)
            .collect();
        lines.reverse();
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::JobLog;

    #[test]
    fn keeps_the_end_and_drops_the_rest() {
        let mut tail = Tail::default();
        for number in 0..100_000 {
            tail.push(format!("line {number}\r\n").as_bytes());
        }
        tail.push(&vec![b'x'; 3 * SHOWN]);
        tail.push(b"\n\nlast\x1b[0m one");
        assert!(tail.0.len() <= CONTEXT + SHOWN);
        let lines = tail.lines(JobLog::discard().filter());
        assert_eq!(lines.last().map(String::as_str), Some("last one"));
        assert!(lines.iter().all(|line| line.len() <= WIDTH) && lines.len() <= LINES);
    }

    #[test]
    fn a_secret_is_hidden_wherever_the_ring_begins() {
        let log = JobLog::discard();
        log.add_secret("hunter2-hunter2-hunter2");
        for shift in 0..40 {
            let mut tail = Tail::default();
            tail.push("hunter2-hunter2-hunter2 ".repeat(4000).as_bytes());
            tail.push(&vec![b'.'; shift]);
            let lines = tail.lines(log.filter());
            // The ring may begin inside of one, but what is shown does not.
            assert!(!lines.join("").contains("hunter2"), "{shift}: {}", &lines[0][..100]);
        }
    }
}
