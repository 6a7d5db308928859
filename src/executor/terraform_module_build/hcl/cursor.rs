//! A place in the text: what comes next, comments and spaces skipped, newlines skipped only where they mean nothing.

use std::ops::Range;

use super::{Problem, SyntaxError, Upward};

/// Deepest nesting of expressions and blocks.
const MAX_DEPTH: u32 = 100;

/// Reads a text from its beginning to its end.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
    /// Whether newlines mean nothing here: inside parentheses, brackets, interpolations.
    free: bool,
    depth: u32,
    pub(super) upward: Vec<Upward>,
    /// Comments that were skipped, in their order.
    pub(super) comments: Vec<Range<usize>>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Self { text, at, free: false, depth: 0, upward: Vec::new(), comments: Vec::new() }
    }

    /// Everything that is not read yet.
    pub(super) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    pub(super) fn starts_with(&self, text: &str) -> bool {
        self.rest().starts_with(text)
    }

    /// Reads `text` if it comes next.
    pub(super) fn eat(&mut self, text: &str) -> bool {
        let found = self.starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    pub(super) fn is_done(&self) -> bool {
        self.at == self.text.len()
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    pub(super) fn at_newline(&self) -> bool {
        self.starts_with("\n") || self.starts_with("\r\n")
    }

    /// Reads one line end.
    pub(super) fn eat_newline(&mut self) -> bool {
        self.eat("\n") || self.eat("\r\n")
    }

    /// Skips spaces and comments, and newlines where they mean nothing.
    pub(super) fn skip(&mut self) -> Result<(), SyntaxError> {
        loop {
            let begin = self.at;
            match self.text.as_bytes().get(self.at) {
                Some(b' ' | b'\t') => self.at += 1,
                Some(b'\n' | b'\r') if self.free => {
                    if !self.eat_newline() {
                        return Ok(());
                    }
                }
                Some(b'#') => {
                    self.skip_line();
                    self.comment(begin);
                }
                Some(b'/') if self.starts_with("//") => {
                    self.skip_line();
                    self.comment(begin);
                }
                Some(b'/') if self.starts_with("/*") => {
                    let Some(end) = self.rest()[2..].find("*/") else {
                        return Err(self.unclosed(self.at, "the comment that begins with /*", "*/"));
                    };
                    self.at += end + 4;
                    self.comment(begin);
                }
                _ => return Ok(()),
            }
        }
    }

    /// Notes the comment that ends here, unless it was read before.
    fn comment(&mut self, begin: usize) {
        if self.comments.last().is_none_or(|last| last.end <= begin) {
            self.comments.push(begin..self.at);
        }
    }

    /// Skips to the line's end, which stays: it ends an argument.
    fn skip_line(&mut self) {
        let rest = self.rest();
        let end = rest.find('\n').unwrap_or(rest.len());
        self.at += rest[..end].trim_end_matches('\r').len();
    }

    /// Skips spaces, comments and newlines.
    pub(super) fn skip_lines(&mut self) -> Result<(), SyntaxError> {
        loop {
            self.skip()?;
            if !self.eat_newline() {
                return Ok(());
            }
        }
    }

    /// Runs `inner` one level deeper, where newlines mean nothing (`free`) or end something.
    pub(super) fn nested<T>(&mut self, free: bool, inner: impl FnOnce(&mut Self) -> Result<T, SyntaxError>) -> Result<T, SyntaxError> {
        if self.depth == MAX_DEPTH {
            return Err(SyntaxError { at: self.at, problem: Problem::TooDeep(MAX_DEPTH) });
        }
        let before = std::mem::replace(&mut self.free, free);
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        self.free = before;
        result
    }

    /// Whether newlines mean nothing here.
    pub(super) const fn is_free(&self) -> bool {
        self.free
    }

    /// Reads a name: a letter or `_`, then letters, digits, `_` and `-`; marks that go on letters are part of it (UAX #31).
    pub(super) fn name(&mut self) -> Option<&'a str> {
        let rest = self.rest();
        let first = rest.chars().next()?;
        if !(unicode_ident::is_xid_start(first) || first == '_') {
            return None;
        }
        let is_ascii = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let mut end = rest.bytes().position(|byte| !is_ascii(byte)).unwrap_or(rest.len());
        if rest[end..].bytes().next().is_some_and(|byte| !byte.is_ascii()) {
            end = rest.find(|c: char| !(unicode_ident::is_xid_continue(c) || c == '-')).unwrap_or(rest.len());
        }
        self.at += end;
        Some(&rest[..end])
    }

    /// Reads that very word.
    pub(super) fn word(&mut self, word: &str) -> bool {
        let begin = self.at;
        let found = self.name() == Some(word);
        if !found {
            self.at = begin;
        }
        found
    }

    /// Skips what may be skipped and reads `text`, which has to be there.
    pub(super) fn expect(&mut self, text: &str, what: &'static str) -> Result<(), SyntaxError> {
        self.skip()?;
        if self.eat(text) { Ok(()) } else { Err(self.expected(what)) }
    }

    pub(super) fn expected(&self, what: &'static str) -> SyntaxError {
        let found = match self.peek() {
            None => "the end of the file".to_owned(),
            Some('\n' | '\r') => "the end of the line".to_owned(),
            Some('"') => "a quoted string".to_owned(),
            Some(_) => {
                let mut ahead = Cursor { at: self.at, ..Cursor::new(self.text) };
                let word =
                    ahead.name().map_or_else(|| self.rest().chars().take(1).collect(), |name| name.chars().take(40).collect::<String>());
                format!("'{}'", word.escape_debug())
            }
        };
        SyntaxError { at: self.at, problem: Problem::Expected { what, found } }
    }

    #[expect(clippy::unused_self, reason = "reads as the other errors do")]
    pub(super) const fn unclosed(&self, at: usize, what: &'static str, close: &'static str) -> SyntaxError {
        SyntaxError { at, problem: Problem::Unclosed { what, close } }
    }
}
