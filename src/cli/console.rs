//! Standard output and standard error. A reader that went away (`| head`) is not an error.

use std::{fmt, io::Write as _};

use serde::Serialize;

/// Where commands print.
#[derive(Debug, Clone, Copy, Default)]
pub struct Console;

impl Console {
    /// A line on standard output.
    pub fn line(self, text: impl fmt::Display) {
        let _ = writeln!(std::io::stdout().lock(), "{text}");
    }

    /// A line on standard output with control characters neutralised: for text that comes from elsewhere.
    pub fn shown(self, text: impl fmt::Display) {
        self.line(printable(&text.to_string()));
    }

    /// One JSON value on one line of standard output.
    pub fn json(self, value: &impl Serialize) {
        if let Ok(text) = serde_json::to_string(value) {
            self.line(text);
        }
    }

    /// Bytes on standard output.
    pub fn bytes(self, bytes: &[u8]) {
        let _ = std::io::stdout().lock().write_all(bytes);
    }

    /// A line on standard error. Control characters are neutralised: what is told there may come from a job.
    pub fn note(self, text: impl fmt::Display) {
        let _ = writeln!(std::io::stderr().lock(), "{}", printable(&text.to_string()));
    }

    /// `error: …` on standard error.
    pub fn error(self, text: impl fmt::Display) {
        self.note(format_args!("error: {text}"));
    }
}

/// `text` with control characters replaced, so that nothing a job prints can move the cursor or colour the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_cannot_reach_the_terminal() {
        assert_eq!(printable("a\u{1b}[31mb\tc\r"), "a\u{fffd}[31mb\tc\u{fffd}");
    }
}
