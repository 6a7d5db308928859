//! The last lines of a tool's output, kept as evidence within a fixed amount of memory.

use std::collections::VecDeque;

/// Bytes kept of one stream.
const BYTES: usize = 16 * 1024;
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
        let bytes = &bytes[bytes.len().saturating_sub(BYTES)..];
        let surplus = (self.0.len() + bytes.len()).saturating_sub(BYTES);
        self.0.drain(..surplus);
        self.0.extend(bytes);
    }

    /// The last lines, passed through `redact` as one text so that secrets of several lines are found, and free of control
    /// characters.
    pub(super) fn lines(&self, redact: impl FnOnce(&str) -> String) -> Vec<String> {
        let (front, back) = self.0.as_slices();
        let text = redact(&String::from_utf8_lossy(&[front, back].concat()));
        let mut lines: Vec<String> = text
            .split(['\n', '\r'])
            .rev()
            .map(|line| line.chars().filter(|c| !c.is_control() || *c == '\t').take(WIDTH).collect::<String>())
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

    #[test]
    fn keeps_the_end_and_drops_the_rest() {
        let mut tail = Tail::default();
        for number in 0..100_000 {
            tail.push(format!("line {number}\r\n").as_bytes());
        }
        tail.push(&vec![b'x'; 3 * BYTES]);
        tail.push(b"\n\nlast\x1b[0m one");
        assert!(tail.0.len() <= BYTES);
        let lines = tail.lines(str::to_owned);
        assert_eq!(lines.last().map(String::as_str), Some("last[0m one"));
        assert!(lines.iter().all(|line| line.len() <= WIDTH) && lines.len() <= LINES);
    }
}
