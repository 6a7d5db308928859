//! Expressions: recognised, not evaluated.

use super::{SyntaxError, Value, cursor::Cursor};

/// Operators between two operands, the longer ones first. How they bind does not matter here.
const OPERATORS: &[&str] = &["==", "!=", "<=", ">=", "&&", "||", "<", ">", "+", "-", "*", "/", "%"];

impl<'a> Cursor<'a> {
    /// An expression, conditionals included.
    pub(super) fn expression(&mut self) -> Result<Value<'a>, SyntaxError> {
        let value = self.operation()?;
        self.skip()?;
        if !self.eat("?") {
            return Ok(value);
        }
        let free = self.is_free();
        self.nested(free, Cursor::expression)?;
        self.expect(":", "':' of the conditional")?;
        self.nested(free, Cursor::expression)?;
        Ok(Value::Other)
    }

    fn operation(&mut self) -> Result<Value<'a>, SyntaxError> {
        let mut value = self.operand()?;
        loop {
            self.skip()?;
            // "=>" belongs to a for expression, "%{" to nothing.
            let is_operator = matches!(
                self.text.as_bytes().get(self.at),
                Some(b'=' | b'!' | b'<' | b'>' | b'&' | b'|' | b'+' | b'-' | b'*' | b'/' | b'%')
            );
            if !is_operator || !OPERATORS.iter().any(|operator| self.eat(operator)) {
                return Ok(value);
            }
            self.operand()?;
            value = Value::Other;
        }
    }

    /// A term with what is attached to it: attributes, indexes, splats.
    fn operand(&mut self) -> Result<Value<'a>, SyntaxError> {
        self.skip()?;
        let mut signed = false;
        while self.starts_with("-") || (self.starts_with("!") && !self.starts_with("!=")) {
            self.at += 1;
            signed = true;
            self.skip()?;
        }
        let mut value = self.term()?;
        // `.*` takes everything up to the next index, another one excepted.
        let mut starred = false;
        loop {
            self.skip()?;
            if self.starts_with(".") && !self.starts_with("...") {
                self.at += 1;
                self.skip()?;
                let is_index = self.index_digits();
                let is_splat = !starred && self.eat("*");
                starred |= is_splat;
                if !is_index && !is_splat && self.name().is_none() {
                    return Err(self.expected("the name of an attribute after '.'"));
                }
                if is_index && self.at_fraction() {
                    return Err(self.expected("one index after '.'; write [0][1] for two"));
                }
            } else if self.starts_with("[") {
                self.index()?;
                starred = false;
            } else {
                return Ok(if signed { Value::Other } else { value });
            }
            value = Value::Other;
        }
    }

    /// An index of old: `list.0`, `list.0.1`.
    fn index_digits(&mut self) -> bool {
        let digits = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        self.at += digits;
        digits > 0
    }

    /// Whether a point and a digit come next.
    fn at_fraction(&self) -> bool {
        let rest = self.rest().as_bytes();
        rest.first() == Some(&b'.') && rest.get(1).is_some_and(u8::is_ascii_digit)
    }

    fn index(&mut self) -> Result<(), SyntaxError> {
        let open = self.at;
        self.at += 1;
        self.nested(true, |c| {
            c.skip()?;
            if c.starts_with("*") {
                c.at += 1;
            } else {
                c.expression()?;
            }
            c.close(open, "]", "this '['", "']'", "']'")
        })
    }

    /// Reads the closing `text`; where the file ends instead, the opening one is to blame.
    fn close(
        &mut self,
        open: usize,
        text: &str,
        what: &'static str,
        missing: &'static str,
        expected: &'static str,
    ) -> Result<(), SyntaxError> {
        self.skip()?;
        if self.eat(text) {
            Ok(())
        } else if self.is_done() {
            Err(self.unclosed(open, what, missing))
        } else {
            Err(self.expected(expected))
        }
    }

    fn term(&mut self) -> Result<Value<'a>, SyntaxError> {
        let open = self.at;
        match self.peek() {
            Some('"') => self.quoted(),
            Some('(') => {
                self.at += 1;
                let value = self.nested(true, |c| {
                    let value = c.expression()?;
                    c.close(open, ")", "this '('", "')'", "an operator or ')'").map(|()| value)
                })?;
                // Text stays what it is; a word would be a name, and not the key of an object any more.
                Ok(if matches!(value, Value::Text { .. }) { value } else { Value::Other })
            }
            Some('[') => self.tuple(),
            Some('{') => self.object(),
            Some('<') if self.starts_with("<<") => self.heredoc(),
            Some(digit) if digit.is_ascii_digit() => self.number(),
            _ => match self.name() {
                Some(name) => {
                    let word = Value::Word(name);
                    self.call().map(|called| if called { Value::Other } else { word })
                }
                None => Err(self.expected("an expression")),
            },
        }
    }

    fn number(&mut self) -> Result<Value<'a>, SyntaxError> {
        self.index_digits();
        if self.at_fraction() {
            self.at += 1;
            self.index_digits();
        }
        let rest = self.rest().as_bytes();
        if matches!(rest.first(), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(rest.get(1), Some(b'+' | b'-')));
            if rest.get(1 + sign).is_some_and(u8::is_ascii_digit) {
                self.at += 1 + sign;
                self.index_digits();
            }
        }
        if self.at_fraction() || self.peek().is_some_and(|c| c.is_alphanumeric() || c == '_') {
            return Err(self.expected("the end of the number"));
        }
        Ok(Value::Other)
    }

    /// The rest of a call, if a name is followed by one: `::name`s and arguments.
    fn call(&mut self) -> Result<bool, SyntaxError> {
        let mut namespaced = false;
        loop {
            let before = self.at;
            self.skip()?;
            if self.eat("::") {
                self.skip()?;
                if self.name().is_none() {
                    return Err(self.expected("the name of a function after '::'"));
                }
                namespaced = true;
            } else if self.starts_with("(") {
                let open = self.at;
                self.at += 1;
                self.nested(true, |c| c.call_arguments(open))?;
                return Ok(true);
            } else if namespaced {
                return Err(self.expected("'(' of the function's arguments"));
            } else {
                self.at = before;
                return Ok(false);
            }
        }
    }

    fn call_arguments(&mut self, open: usize) -> Result<(), SyntaxError> {
        loop {
            self.skip()?;
            if self.eat(")") {
                return Ok(());
            }
            if self.is_done() {
                return Err(self.unclosed(open, "this '('", "')'"));
            }
            self.expression()?;
            self.skip()?;
            if self.eat("...") {
                return self.close(open, ")", "this '('", "')'", "')' after '...'");
            }
            if !self.eat(",") {
                return self.close(open, ")", "this '('", "')'", "',' or ')'");
            }
        }
    }

    fn tuple(&mut self) -> Result<Value<'a>, SyntaxError> {
        let open = self.at;
        self.at += 1;
        self.nested(true, |c| {
            c.skip()?;
            if c.word("for") {
                return c.for_expression(open, "]");
            }
            loop {
                c.skip()?;
                if c.eat("]") {
                    return Ok(Value::Other);
                }
                if c.is_done() {
                    return Err(c.unclosed(open, "this '['", "']'"));
                }
                c.expression()?;
                c.skip()?;
                if !c.eat(",") {
                    return c.close(open, "]", "this '['", "']'", "',' or ']'").map(|()| Value::Other);
                }
            }
        })
    }

    /// What follows the word `for`.
    fn for_expression(&mut self, open: usize, close: &str) -> Result<Value<'a>, SyntaxError> {
        self.for_intro()?;
        self.expect(":", "':' of the for expression")?;
        self.expression()?;
        self.skip()?;
        if close == "}" {
            self.expect("=>", "'=>' between key and value")?;
            self.expression()?;
            self.skip()?;
            self.eat("...");
        }
        self.skip()?;
        if self.word("if") {
            self.expression()?;
        }
        if close == "]" {
            self.close(open, close, "this '['", "']'", "'if' or ']'")?;
        } else {
            self.close(open, close, "this '{'", "'}'", "'if' or '}'")?;
        }
        Ok(Value::Other)
    }

    /// `key, value in collection`
    pub(super) fn for_intro(&mut self) -> Result<(), SyntaxError> {
        for first in [true, false] {
            self.skip()?;
            if self.name().is_none() {
                return Err(self.expected("a name after 'for'"));
            }
            self.skip()?;
            if !(first && self.eat(",")) {
                break;
            }
        }
        if !self.word("in") {
            return Err(self.expected("'in' of the for expression"));
        }
        self.expression()?;
        Ok(())
    }

    fn object(&mut self) -> Result<Value<'a>, SyntaxError> {
        let open = self.at;
        self.at += 1;
        let before = self.at;
        let is_for = self.nested(true, |c| {
            c.skip()?;
            Ok(c.word("for"))
        })?;
        if is_for {
            return self.nested(true, |c| c.for_expression(open, "}"));
        }
        self.at = before;
        self.nested(false, |c| c.object_items(open))
    }

    fn object_items(&mut self, open: usize) -> Result<Value<'a>, SyntaxError> {
        let mut items = Vec::new();
        loop {
            self.skip_lines()?;
            if self.eat("}") {
                return Ok(Value::Object(items));
            }
            if self.is_done() {
                return Err(self.unclosed(open, "this '{'", "'}'"));
            }
            let key = self.expression()?;
            self.skip()?;
            if self.starts_with("==") || self.starts_with("=>") || !(self.eat("=") || self.eat(":")) {
                return Err(self.expected("'=' or ':' after the key"));
            }
            let value = self.nested(false, Cursor::expression)?;
            match key {
                Value::Word(name) => items.push((name.into(), value)),
                Value::Text { text, .. } => items.push((text, value)),
                Value::Object(_) | Value::Other => {}
            }
            self.skip()?;
            if !self.eat(",") && !self.at_newline() && !self.starts_with("}") && !self.is_done() {
                return Err(self.expected("',' or a new line before the next key"));
            }
        }
    }
}
