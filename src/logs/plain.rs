//! Taking everything out of tool output that could move a terminal's cursor, hide text or fake lines (log poisoning), before redaction: a
//! secret interrupted by an escape sequence must not come together again afterwards.

/// Longest escape sequence; what goes on longer is text again.
const LONGEST: usize = 4096;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// After ESC.
    Escape,
    /// After ESC and an intermediate byte: one more byte ends it (ECMA-35, "nF" sequences).
    Intermediate,
    /// Control sequence (ECMA-48, 5.4): until a byte from 0x40 to 0x7E.
    Control,
    /// Operating system command and other strings (ECMA-48, 5.6): until BEL or ESC \.
    Text7,
}

/// The state of one stream.
#[derive(Debug, Default)]
pub(super) struct Plain {
    state: State,
    length: usize,
}

impl Plain {
    /// Appends the plain text of `bytes` to `out`: no escape sequences, no control characters but `\n`, `\r` and `\t`.
    pub(super) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut rest = bytes;
        loop {
            if self.state == State::Text {
                // Nearly everything is text: taken in runs.
                let run = rest.iter().position(|byte| !is_text(*byte)).unwrap_or(rest.len());
                out.extend_from_slice(&rest[..run]);
                rest = &rest[run..];
            }
            let Some((&byte, after)) = rest.split_first() else { return };
            rest = after;
            self.length += 1;
            if self.length > LONGEST || (byte == b'\n' && self.state != State::Text) {
                self.state = State::Text;
            }
            self.state = match (self.state, byte) {
                (_, 0x1b) => {
                    self.length = 0;
                    State::Escape
                }
                (State::Text, byte) => {
                    self.length = 0;
                    if is_text(byte) {
                        out.push(byte);
                    }
                    State::Text
                }
                (State::Escape, b'[') => State::Control,
                (State::Escape, b']' | b'P' | b'X' | b'^' | b'_') => State::Text7,
                (State::Escape | State::Intermediate, 0x20..=0x2f) => State::Intermediate,
                (State::Escape | State::Intermediate, _) | (State::Control, 0x40..=0x7e) | (State::Text7, 0x07) => State::Text,
                (state, _) => state,
            };
        }
    }
}

fn is_text(byte: u8) -> bool {
    byte >= 0x20 && byte != 0x7f || matches!(byte, b'\n' | b'\r' | b'\t')
}

/// `bytes` as text: invalid UTF-8, C1 controls and characters that reorder or hide text become U+FFFD.
#[must_use]
pub fn visible(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    if text.chars().any(deceives) { text.chars().map(|c| if deceives(c) { '\u{fffd}' } else { c }).collect() } else { text.into_owned() }
}

/// Controls that are no bytes below 0x20, line separators, and bidirectional overrides (Unicode TR 36, "Trojan source").
fn deceives(c: char) -> bool {
    matches!(c, '\u{80}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || (c.is_control() && c != '\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(pieces: &[&str]) -> String {
        let (mut plain, mut out) = (Plain::default(), Vec::new());
        for piece in pieces {
            plain.push(piece.as_bytes(), &mut out);
        }
        visible(&out.split(|byte| *byte == b'\n').collect::<Vec<_>>().join(&b'|'))
    }

    #[test]
    fn escape_sequences_go_and_text_stays() {
        for (text, expected) in [
            ("\x1b[1;31merror\x1b[0m: no", "error: no"),
            ("\x1b]0;title\x07text", "text"),
            ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
            ("a\x1b(Bb\x1bMc", "abc"),
            ("a\x08\x08b\0c\x7f\ttab", "abc\ttab"),
            ("\x1b]unterminated\nnext", "|next"),
            ("\x1b[2J\x1b[H", ""),
            ("é\u{9b}31mx\u{202e}y", "é\u{fffd}31mx\u{fffd}y"),
        ] {
            assert_eq!(plain(&[text]), expected, "{text:?}");
            let mut middle = text.len() / 2;
            while !text.is_char_boundary(middle) {
                middle += 1;
            }
            assert_eq!(plain(&[&text[..middle], &text[middle..]]), expected, "{text:?} in two");
        }
    }

    #[test]
    fn an_endless_sequence_swallows_only_so_much() {
        let text = format!("\x1b]{}end", "x".repeat(2 * LONGEST));
        assert!(plain(&[&text]).ends_with("xend"));
    }
}
