//! Showing the lines of a tool's output to somebody who reads progress out of them, while they go wherever else they go.

use std::{fmt, sync::Arc};

use crate::logs::Stream;

/// Most bytes of a line that are shown; the rest of a longer one is left out.
const LONGEST: usize = 1 << 20;

/// Is called with every line as it arrives, from the task that reads it: it must not block. Lines are as the tool wrote them, secrets
/// included, without their ends.
#[derive(Clone)]
pub struct Tap(Arc<See>);

type See = dyn Fn(Stream, &str) + Send + Sync;

impl Tap {
    /// A tap that calls `see`.
    pub fn new(see: impl Fn(Stream, &str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(see))
    }
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tap")
    }
}

/// Cuts one stream into lines for a tap.
#[derive(Debug)]
pub(super) struct Tapped {
    tap: Tap,
    stream: Stream,
    line: Vec<u8>,
}

impl Tapped {
    pub(super) const fn new(tap: Tap, stream: Stream) -> Self {
        Self { tap, stream, line: Vec::new() }
    }

    /// Takes bytes as they arrive.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LONGEST.saturating_sub(self.line.len());
            self.line.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                self.show();
            }
        }
    }

    fn show(&mut self) {
        let text = String::from_utf8_lossy(&self.line);
        (self.tap.0)(self.stream, text.trim_end_matches(['\n', '\r']));
        self.line.clear();
    }
}

impl Drop for Tapped {
    /// The last line need not have an end.
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.show();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn lines_arrive_whole_however_they_were_cut() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&seen);
        let tap = Tap::new(move |_, line| into.lock().expect("nobody panics").push(line.to_owned()));
        let mut tapped = Tapped::new(tap, Stream::Stdout);
        for piece in ["ST", "EP 1\r\nST", "EP 2\n\n", "last"] {
            tapped.push(piece.as_bytes());
        }
        tapped.push(&vec![b'x'; 2 * LONGEST]);
        drop(tapped);
        let seen = seen.lock().expect("nobody panics");
        assert_eq!(seen[..3], ["STEP 1", "STEP 2", ""]);
        assert_eq!((seen.len(), seen[3].len()), (4, LONGEST));
    }
}
