//! From bytes to lines of limited length.

use std::fmt::Write as _;

use super::plain::visible;

/// The unfinished line of one stream.
#[derive(Debug, Default)]
pub(super) struct Lines {
    line: Vec<u8>,
    /// Bytes of it that were cut off.
    cut: u64,
    /// A `\r` was the last byte: the line ends if `\n` follows, and is written over if anything else does.
    returned: bool,
}

impl Lines {
    /// Takes bytes and hands every line that is complete to `emit`. Of a line that is written over with `\r` (a progress display) only the last
    /// state counts.
    pub(super) fn push(&mut self, bytes: &[u8], longest: usize, mut emit: impl FnMut(String)) {
        for piece in bytes.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            let (text, end) = match piece.split_last() {
                Some((end @ (b'\n' | b'\r'), text)) => (text, Some(*end)),
                _ => (piece, None),
            };
            if self.returned && !text.is_empty() {
                self.line.clear();
                self.cut = 0;
                self.returned = false;
            }
            let taken = text.len().min(longest.saturating_sub(self.line.len()));
            self.line.extend_from_slice(&text[..taken]);
            self.cut += (text.len() - taken) as u64;
            match end {
                Some(b'\n') => emit(self.take()),
                Some(_) => self.returned = true,
                None => {}
            }
        }
    }

    /// The line begun and not ended, if any.
    pub(super) fn finish(&mut self, emit: impl FnOnce(String)) {
        if !self.line.is_empty() {
            emit(self.take());
        }
    }

    fn take(&mut self) -> String {
        let mut text = visible(&self.line);
        if self.cut > 0 {
            let _ = write!(text, " … [line cut: {} bytes left out]", self.cut);
        }
        *self = Self { line: std::mem::take(&mut self.line), ..Self::default() };
        self.line.clear();
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&str], longest: usize) -> Vec<String> {
        let (mut lines, mut out) = (Lines::default(), Vec::new());
        for piece in pieces {
            lines.push(piece.as_bytes(), longest, |line| out.push(line));
        }
        lines.finish(|line| out.push(line));
        out
    }

    #[test]
    fn lines_end_and_are_written_over_as_on_a_terminal() {
        assert_eq!(lines(&["one\ntwo\r\n\nthr", "ee"], 100), ["one", "two", "", "three"]);
        assert_eq!(lines(&["10%\r", "50%\r100%, done.\n", "next\r", "\n"], 100), ["100%, done.", "next"]);
        assert_eq!(lines(&["kept\r"], 100), ["kept"]);
    }

    #[test]
    fn a_long_line_is_cut_with_a_mark() {
        assert_eq!(lines(&["abcdefgh", "ij\nk\n"], 4), ["abcd … [line cut: 6 bytes left out]", "k"]);
    }
}
