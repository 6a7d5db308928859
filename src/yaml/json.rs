//! JSON text to the same tree.
//!
//! Not by way of the YAML parser: JSON is not quite a subset of what YAML lets stand in a string, or of how long a key may be.

use std::collections::HashMap;

use serde_json::Number;

use super::{Entry, Error, Kind, Limits, Node, Position, Problem};

/// Syntax is judged by `serde_json`, whose messages people know; after that, a walk over what is known to be JSON finds the places.
pub(super) fn document(text: &str, limits: Limits) -> Result<Node, Error> {
    if text.len() > limits.bytes {
        return Err(Error::new(None, Problem::Limit { limit: limits.bytes, what: "bytes" }));
    }
    serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|error| syntax(&error))?;
    Walker { rest: text, line: 1, column: 1, nodes: 0, limits }.value(0)
}

fn syntax(error: &serde_json::Error) -> Error {
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    // serde_json counts columns from one and puts errors at a line's end at column 0 of the next.
    let at = Position { line: number(error.line().max(1)), column: number(error.column().max(1)) };
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    Error::new(Some(at), Problem::Syntax(format!("not JSON: {text}; check commas, quotes and brackets up to here")))
}

/// Goes over a text that is known to be JSON.
struct Walker<'t> {
    rest: &'t str,
    line: u32,
    column: u32,
    nodes: usize,
    limits: Limits,
}

impl<'t> Walker<'t> {
    /// Takes the next `length` bytes.
    fn take(&mut self, length: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at(length.min(self.rest.len()));
        for c in taken.chars() {
            if c == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        self.rest = rest;
        taken
    }

    /// The first byte of what comes next, blanks passed over.
    fn peek(&mut self) -> Option<u8> {
        self.take(self.rest.len() - self.rest.trim_start_matches([' ', '\t', '\n', '\r']).len());
        self.rest.bytes().next()
    }

    /// Takes the next byte if it is `byte`.
    fn skip(&mut self, byte: u8) -> bool {
        let is = self.peek() == Some(byte);
        if is {
            self.take(1);
        }
        is
    }

    const fn place(&self) -> Position {
        Position { line: self.line, column: self.column }
    }

    fn limit(&self, limit: usize, what: &'static str) -> Error {
        Error::new(Some(self.place()), Problem::Limit { limit, what })
    }

    fn value(&mut self, depth: usize) -> Result<Node, Error> {
        let first = self.peek();
        let at = Some(self.place());
        self.nodes += 1;
        if self.nodes > self.limits.nodes {
            return Err(self.limit(self.limits.nodes, "values"));
        }
        if depth > self.limits.depth {
            return Err(self.limit(self.limits.depth, "levels of nesting"));
        }
        let kind = match first {
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.array(depth)?,
            Some(b'"') => Kind::String(self.string()?),
            _ => self.scalar()?,
        };
        Ok(Node { kind, at })
    }

    fn object(&mut self, depth: usize) -> Result<Kind, Error> {
        self.take(1);
        let (mut entries, mut seen) = (Vec::new(), HashMap::new());
        while self.peek() == Some(b'"') {
            let at = self.place();
            let key = self.string()?;
            if let Some(first) = seen.insert(key.clone(), at.line) {
                return Err(Error::new(Some(at), Problem::DuplicateKey { key, first }));
            }
            self.skip(b':');
            let value = self.value(depth + 1)?;
            entries.push(Entry { key, key_at: Some(at), value });
            self.skip(b',');
        }
        self.skip(b'}');
        Ok(Kind::Mapping(entries))
    }

    fn array(&mut self, depth: usize) -> Result<Kind, Error> {
        self.take(1);
        let mut items = Vec::new();
        while !self.skip(b']') {
            items.push(self.value(depth + 1)?);
            self.skip(b',');
        }
        Ok(Kind::Sequence(items))
    }

    fn string(&mut self) -> Result<String, Error> {
        let at = self.place();
        let mut escaped = false;
        let end = self.rest.bytes().skip(1).position(|byte| {
            let closes = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            closes
        });
        let literal = self.take(end.map_or(self.rest.len(), |end| end + 2));
        serde_json::from_str(literal).map_err(|_| bad(at, literal, "string of Unicode text"))
    }

    fn scalar(&mut self) -> Result<Kind, Error> {
        let at = self.place();
        let end = self.rest.find([',', ']', '}', ' ', '\t', '\n', '\r']).unwrap_or(self.rest.len());
        let literal = self.take(end);
        Ok(match literal {
            "null" => Kind::Null,
            "true" => Kind::Bool(true),
            "false" => Kind::Bool(false),
            _ => {
                // serde_json's own reading of fractions may be off by one in the last place.
                let exact = literal.contains(['.', 'e', 'E']).then(|| literal.parse().ok().and_then(Number::from_f64));
                let number = exact.unwrap_or_else(|| serde_json::from_str(literal).ok());
                Kind::Number(number.ok_or_else(|| bad(at, literal, "number that fits in 64 bits"))?, literal.into())
            }
        })
    }
}

fn bad(at: Position, literal: &str, expected: &'static str) -> Error {
    Error::new(Some(at), Problem::BadScalar { text: literal.chars().take(80).collect(), expected })
}

#[cfg(test)]
mod tests {
    use super::{super::parse_json, *};

    fn problem(text: &str) -> Problem {
        parse_json(text, Limits::default()).expect_err(text).problem
    }

    #[test]
    fn json_that_yaml_finds_odd_is_still_json() {
        let long = "k".repeat(5_000);
        let texts = [
            "{\"a\"\n:\n1}",
            "\t{\t\"a\"\t:\t1\t}\t",
            "{\"a\":1,\"b\":[]}",
            r#"{"\u0000\/\uD834\uDD1E": "\b\f\n\r\t\\\""}"#,
            "{\"\u{7f}\u{85}\u{feff}\u{2028}\": \"\u{7f}\u{fffe}\"}",
            "[\"---\", \"# x\", \"a: b\", \"%\", \"\", {}, [[]], null, true, false]",
            "{\"a\":\"x\",\"<<\":1, \"?\": -0, \"!x\": 1E2}",
            &format!("{{\"{long}\": {{\"{long}\": 1}}}}"),
            "\r\n{\r\n\"a\"\r\n:\r\n[\r\n]\r\n}\r\n",
            "7",
        ];
        for text in texts {
            let expected: serde_json::Value = serde_json::from_str(text).expect(text);
            assert_eq!(parse_json(text, Limits::default()).map(|node| node.to_json()), Ok(expected), "{text}");
        }
    }

    #[test]
    fn wrong_and_hostile_texts_are_refused() {
        assert!(matches!(problem("{\"a\": 1,}"), Problem::Syntax(_)));
        assert!(matches!(problem(""), Problem::Syntax(_)));
        assert_eq!(problem("{\"a\": 1,\n\"\\u0061\": 2}"), Problem::DuplicateKey { key: "a".into(), first: 1 });
        assert!(matches!(problem("1e999"), Problem::BadScalar { .. } | Problem::Syntax(_)));
        assert!(matches!(problem("\"\\uD834\""), Problem::BadScalar { .. } | Problem::Syntax(_)));
        let deep = "[".repeat(50_000) + &"]".repeat(50_000);
        assert!(matches!(problem(&deep), Problem::Limit { what: "levels of nesting", .. } | Problem::Syntax(_)));
        let many = format!("[{}1]", "1,".repeat(500_000));
        assert_eq!(problem(&many), Problem::Limit { limit: 500_000, what: "values" });
    }
}
