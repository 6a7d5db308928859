//! Templates: quoted strings and heredocs, with what is evaluated in them.

use std::borrow::Cow;

use super::{Problem, SyntaxError, Upward, Value, cursor::Cursor};

/// What the end of a template looks like.
#[derive(Debug, Clone, Copy)]
enum End<'a> {
    Quote,
    Marker(&'a str),
}

/// A control structure that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    If,
    Else,
    For,
}

/// What a template is made of so far.
#[derive(Debug, Default)]
struct Parts {
    /// Whether something in it is evaluated.
    is_computed: bool,
    /// The text, once it is something else than what is written.
    text: Option<String>,
    /// Place of an interpolation of nothing but the module's folder, until it is clear what follows it.
    folder: Option<usize>,
    /// Text since that interpolation.
    since: String,
    open: Vec<Open>,
}

impl Parts {
    fn push(&mut self, text: &str) {
        if let Some(all) = &mut self.text {
            all.push_str(text);
        }
        if self.folder.is_some() {
            self.since.push_str(text);
        }
    }

    /// Text that stands for something else that is written; `before` is what was written before it.
    fn push_instead(&mut self, before: &str, text: &str) {
        if self.text.is_none() && !self.is_computed {
            self.text = Some(before.to_owned());
        }
        self.push(text);
    }

    /// Something else comes now, or the end.
    fn settle(&mut self, upward: &mut Vec<Upward>, whole: bool) {
        let rest = std::mem::take(&mut self.since);
        if let Some(at) = self.folder.take().filter(|_| rest == "/.." || rest.starts_with("/../")) {
            upward.push(Upward { at, rest, whole });
        }
    }
}

impl<'a> Cursor<'a> {
    /// A quoted string.
    pub(super) fn quoted(&mut self) -> Result<Value<'a>, SyntaxError> {
        let open = self.at;
        self.at += 1;
        let parts = self.nested(true, |c| c.template(open, End::Quote))?;
        let inside = open + 1..self.at - 1;
        if parts.is_computed {
            return Ok(Value::Other);
        }
        let text = parts.text.map_or_else(|| Cow::Borrowed(&self.text[inside.clone()]), Cow::Owned);
        Ok(Value::Text { text, inside })
    }

    /// `<<EOT` or `<<-EOT`, up to the line that is nothing but its marker.
    pub(super) fn heredoc(&mut self) -> Result<Value<'a>, SyntaxError> {
        let open = self.at;
        self.at += 2;
        self.eat("-");
        let Some(marker) = self.name() else { return Err(self.expected("the marker of a heredoc, as in <<EOT")) };
        if !self.eat_newline() {
            return Err(self.expected("the end of the line after the marker of the heredoc"));
        }
        self.nested(true, |c| c.template(open, End::Marker(marker)))?;
        Ok(Value::Other)
    }

    fn template(&mut self, open: usize, end: End<'_>) -> Result<Parts, SyntaxError> {
        let mut parts = Parts::default();
        let begin = self.at;
        let mut line_start = matches!(end, End::Marker(_));
        loop {
            let at = self.at;
            if let (true, End::Marker(marker)) = (line_start, end) {
                // The line of the marker has an end, too: without one OpenTofu does not take it for the marker.
                let line = self.rest().split_inclusive('\n').next().unwrap_or_default();
                if line.ends_with('\n') && line.trim() == marker {
                    // The line's end stays: it ends the argument.
                    self.at += line.trim_end().len();
                    break;
                }
            }
            line_start = false;
            let special: &[u8] = if matches!(end, End::Quote) { b"$%\"\\\r\n" } else { b"$%\n" };
            let plain = self.rest().bytes().position(|byte| special.contains(&byte)).unwrap_or(self.rest().len());
            if plain > 0 {
                self.at += plain;
                parts.push(&self.text[at..self.at]);
                continue;
            }
            if self.eat("$${") || self.eat("%%{") {
                parts.push_instead(&self.text[begin..at], &self.text[at + 1..self.at]);
                continue;
            }
            if self.starts_with("${") || self.starts_with("%{") {
                parts.is_computed = true;
                parts.settle(&mut self.upward, false);
                self.evaluated(open, &mut parts)?;
                continue;
            }
            match (self.next(), end) {
                (Some('"'), End::Quote) => break,
                (Some('\n' | '\r'), End::Quote) => return Err(SyntaxError { at: open, problem: Problem::LineBreak }),
                (Some('\\'), End::Quote) => {
                    let c = self.escape(at)?;
                    parts.push_instead(&self.text[begin..at], c.encode_utf8(&mut [0; 4]));
                }
                (Some(c), _) => {
                    parts.push(&self.text[at..self.at]);
                    line_start = c == '\n';
                }
                (None, End::Quote) => return Err(self.unclosed(open, "this string", "'\"'")),
                (None, End::Marker(_)) => return Err(self.unclosed(open, "this heredoc", "line with its marker alone")),
            }
        }
        parts.settle(&mut self.upward, true);
        if let Some(open_control) = parts.open.last() {
            let word = if *open_control == Open::For { "for" } else { "if" };
            return Err(SyntaxError { at: open, problem: Problem::Directive(format!("{word} without end{word}")) });
        }
        Ok(parts)
    }

    fn escape(&mut self, at: usize) -> Result<char, SyntaxError> {
        let letter = self.next();
        let digits = match letter {
            Some('n') => return Ok('\n'),
            Some('r') => return Ok('\r'),
            Some('t') => return Ok('\t'),
            Some(c @ ('"' | '\\')) => return Ok(c),
            Some('u') => 4,
            Some('U') => 8,
            Some('\n' | '\r') => return Err(SyntaxError { at, problem: Problem::LineBreak }),
            Some(other) => return Err(SyntaxError { at, problem: Problem::Escape(other) }),
            None => return Err(self.unclosed(at, "this string", "'\"'")),
        };
        let hex = self.rest().get(..digits).filter(|hex| hex.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let Some(c) = hex.and_then(|hex| u32::from_str_radix(hex, 16).ok()).and_then(char::from_u32) else {
            return Err(SyntaxError { at, problem: Problem::Escape(if digits == 4 { 'u' } else { 'U' }) });
        };
        self.at += digits;
        Ok(c)
    }

    /// `${ … }` or `%{ … }`
    fn evaluated(&mut self, template: usize, parts: &mut Parts) -> Result<(), SyntaxError> {
        let open = self.at;
        let is_directive = self.starts_with("%{");
        self.at += 2;
        self.eat("~");
        let begin = self.at;
        let end = self.nested(true, |c| {
            c.skip()?;
            if is_directive {
                c.directive(&mut parts.open)?;
            } else {
                c.expression()?;
            }
            c.skip()?;
            let end = c.at;
            c.eat("~");
            if c.eat("}") {
                Ok(end)
            } else if c.is_done() {
                Err(c.unclosed(open, "this template", "'}'"))
            } else {
                Err(c.expected("'}' at the end of the template's expression"))
            }
        })?;
        // A template may also begin with text that ends in a slash; what goes up from the folder is all that matters.
        if !is_directive && matches!(self.text[begin..end].trim(), "path.module" | "path.root") {
            parts.folder = Some(template);
        }
        Ok(())
    }

    fn directive(&mut self, open: &mut Vec<Open>) -> Result<(), SyntaxError> {
        let at = self.at;
        let Some(word) = self.name() else { return Err(self.expected("if, else, endif, for or endfor after %{")) };
        let fits = match word {
            "if" => {
                self.expression()?;
                open.push(Open::If);
                true
            }
            "for" => {
                self.for_intro()?;
                open.push(Open::For);
                true
            }
            "else" => {
                open.pop() == Some(Open::If) && {
                    open.push(Open::Else);
                    true
                }
            }
            "endif" => matches!(open.pop(), Some(Open::If | Open::Else)),
            "endfor" => open.pop() == Some(Open::For),
            _ => {
                self.at = at;
                return Err(self.expected("if, else, endif, for or endfor after %{"));
            }
        };
        if fits { Ok(()) } else { Err(SyntaxError { at, problem: Problem::Directive(word.to_owned()) }) }
    }
}
