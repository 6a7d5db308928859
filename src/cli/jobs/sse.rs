//! Server-sent events, taken apart (HTML standard, section 9.2.6). Pure.
//!
//! In: bytes in any pieces. Out: events. Invariant: an event is bounded, whatever the server sends.

/// Longest event: a log line is at most a quarter of that.
const MAX_EVENT: usize = 4 << 20;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Event {
    /// Its name; `message` when the server gave none.
    pub(super) name: String,
    /// Its lines, joined.
    pub(super) data: String,
    /// What to ask for to go on behind it.
    pub(super) id: Option<String>,
}

/// Puts events together.
#[derive(Debug, Default)]
pub(super) struct Parser {
    pending: Vec<u8>,
    event: Event,
    has_data: bool,
}

/// An event was longer than there is room for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Parser {
    /// Takes the next bytes and gives the events that are whole now.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, TooLong> {
        let mut events = Vec::new();
        for &byte in bytes {
            // CR LF is taken as LF: servers of ours end lines with LF, and a lone CR is long gone from the world.
            if byte != b'\n' {
                self.pending.push(byte);
                continue;
            }
            let line = std::mem::take(&mut self.pending);
            let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(&line)).into_owned();
            events.extend(self.line(&line));
        }
        if self.pending.len() + self.event.data.len() > MAX_EVENT { Err(TooLong) } else { Ok(events) }
    }

    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return std::mem::take(&mut self.has_data).then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.name),
            "id" => self.event.id = Some(value.to_owned()),
            "data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
                self.has_data = true;
            }
            // A comment (no field name), or something newer than this.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_out_however_they_are_cut() {
        let text =
            ": keep-alive\n\nevent: record\nid: 7\ndata: {\"a\":\ndata: 1}\n\nevent: end\r\ndata:x\r\n\r\nevent: nothing\n\ndata: cut off";
        let expected = [
            Event { name: "record".into(), data: "{\"a\":\n1}".into(), id: Some("7".into()) },
            Event { name: "end".into(), data: "x".into(), id: None },
        ];
        for size in [1, 2, 7, text.len()] {
            let mut parser = Parser::default();
            let events: Vec<_> = text.as_bytes().chunks(size).flat_map(|piece| parser.push(piece).expect("short")).collect();
            assert_eq!(events, expected, "{size}");
        }
    }

    #[test]
    fn an_endless_event_is_given_up() {
        let mut parser = Parser::default();
        let piece = vec![b'x'; 1 << 20];
        assert!((0..5).any(|_| parser.push(&piece) == Err(TooLong)));
    }
}
