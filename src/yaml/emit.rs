//! A JSON value as YAML text, byte for byte as `sigs.k8s.io/yaml` writes it: keys sorted, two spaces, lists not indented, lines folded at
//! 80 columns. Helm writes `Chart.yaml` and `Chart.lock` this way, so packages come out as Helm's own.
//!
//! The rules are those of goyaml v2: `encode.go` (which style), `sorter.go` (order of keys), `emitterc.go` (what a style may hold).

use std::cmp::Ordering;

use serde_json::{Number, Value};

use super::go::{format_float, plain_is_text};

/// Column behind which text is folded at the next space (`best_width` of goyaml v2).
const WIDTH: usize = 80;

/// `value` as YAML, with a newline at the end.
#[must_use]
pub fn to_string(value: &Value) -> String {
    let mut emitter = Emitter { out: String::new(), column: 0 };
    // A scalar's further lines are indented even where it is the whole document.
    emitter.node(value, if value.is_string() { 2 } else { 0 }, false);
    emitter.out.push('\n');
    emitter.out
}

struct Emitter {
    out: String,
    /// Characters since the last line break.
    column: usize,
}

impl Emitter {
    fn put(&mut self, text: &str) {
        self.out.push_str(text);
        self.column += text.chars().count();
    }

    fn line(&mut self, indent: usize) {
        self.out.push('\n');
        self.column = 0;
        self.put(&" ".repeat(indent));
    }

    /// Writes a value of which the first line stands at the current place; `indent` is that of the block it belongs to.
    fn node(&mut self, value: &Value, indent: usize, in_mapping: bool) {
        match value {
            Value::Null => self.put("null"),
            Value::Bool(value) => self.put(if *value { "true" } else { "false" }),
            Value::Number(number) => self.put(&format_number(number)),
            Value::String(text) => self.string(text, indent, false),
            Value::Array(items) if items.is_empty() => self.put("[]"),
            Value::Object(entries) if entries.is_empty() => self.put("{}"),
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    if index > 0 || in_mapping {
                        self.line(indent);
                    }
                    self.put("- ");
                    self.node(item, indent + 2, false);
                }
            }
            Value::Object(entries) => {
                let mut entries: Vec<_> = entries.iter().collect();
                entries.sort_by(|(a, _), (b, _)| natural(a, b));
                for (index, (key, value)) in entries.into_iter().enumerate() {
                    if index > 0 || in_mapping {
                        self.line(indent);
                    }
                    self.string(key, indent, true);
                    self.put(":");
                    self.pair_value(value, indent);
                }
            }
        }
    }

    fn pair_value(&mut self, value: &Value, indent: usize) {
        match value {
            Value::Array(items) if !items.is_empty() => self.node(value, indent, true),
            Value::Object(entries) if !entries.is_empty() => self.node(value, indent + 2, true),
            Value::String(text) => {
                self.put(" ");
                self.string(text, indent + 2, false);
            }
            _ => {
                self.put(" ");
                self.node(value, indent, false);
            }
        }
    }

    /// `indent` is that of lines the text is folded or broken to.
    fn string(&mut self, text: &str, indent: usize, key: bool) {
        let fits = Analysis::of(text);
        if text.contains('\n') && fits.block && !key {
            self.literal(text, indent);
        } else if !text.contains('\n') && plain_is_text(text) {
            if fits.plain {
                self.folded(text, indent, key);
            } else if fits.single {
                self.put("'");
                self.folded(&text.replace('\'', "''"), indent, key);
                self.put("'");
            } else {
                self.double(text, indent, key);
            }
        } else {
            self.double(text, indent, key);
        }
    }

    /// Words with single spaces; a space behind [`WIDTH`] becomes a line break.
    fn folded(&mut self, text: &str, indent: usize, key: bool) {
        let characters: Vec<char> = text.chars().collect();
        let mut spaces = false;
        for (index, &c) in characters.iter().enumerate() {
            let inner = index > 0 && characters.get(index + 1).is_some_and(|&next| next != ' ');
            if c == ' ' && !key && !spaces && self.column > WIDTH && inner {
                self.line(indent);
            } else {
                self.put(c.encode_utf8(&mut [0; 4]));
            }
            spaces = c == ' ';
        }
    }

    fn literal(&mut self, text: &str, indent: usize) {
        self.put("|");
        if text.starts_with([' ', '\n']) {
            self.put("2");
        }
        let body = text.strip_suffix('\n');
        match body {
            None => self.put("-"),
            Some(body) if body.is_empty() || body.ends_with('\n') => self.put("+"),
            Some(_) => {}
        }
        for line in body.unwrap_or(text).split('\n') {
            self.line(if line.is_empty() { 0 } else { indent });
            self.put(line);
        }
    }

    fn double(&mut self, text: &str, indent: usize, key: bool) {
        self.put("\"");
        let characters: Vec<char> = text.chars().collect();
        let mut spaces = false;
        for (index, &c) in characters.iter().enumerate() {
            if !is_printable(c) || matches!(c, '"' | '\\' | '\n' | '\u{feff}') {
                self.put(&escape(c));
                spaces = false;
            } else if c == ' ' && !key && !spaces && self.column > WIDTH && index > 0 && index + 1 < characters.len() {
                self.line(indent);
                if characters.get(index + 1) == Some(&' ') {
                    self.put("\\");
                }
                spaces = true;
            } else {
                self.put(c.encode_utf8(&mut [0; 4]));
                spaces = c == ' ';
            }
        }
        self.put("\"");
    }
}

fn escape(c: char) -> String {
    let code = u32::from(c);
    match c {
        '\0' => "\\0".into(),
        '\u{7}' => "\\a".into(),
        '\u{8}' => "\\b".into(),
        '\t' => "\\t".into(),
        '\n' => "\\n".into(),
        '\u{b}' => "\\v".into(),
        '\u{c}' => "\\f".into(),
        '\r' => "\\r".into(),
        '\u{1b}' => "\\e".into(),
        '"' => "\\\"".into(),
        '\\' => "\\\\".into(),
        '\u{85}' => "\\N".into(),
        '\u{a0}' => "\\_".into(),
        '\u{2028}' => "\\L".into(),
        '\u{2029}' => "\\P".into(),
        _ if code <= 0xff => format!("\\x{code:02X}"),
        _ if code <= 0xffff => format!("\\u{code:04X}"),
        _ => format!("\\U{code:08X}"),
    }
}

/// `is_printable` of goyaml v2; a tab is not, nor is anything beyond the basic plane.
const fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
}

/// What a text can be written as (`yaml_emitter_analyze_scalar`).
struct Analysis {
    plain: bool,
    single: bool,
    block: bool,
}

impl Analysis {
    fn of(text: &str) -> Self {
        if text.is_empty() {
            return Self { plain: false, single: true, block: false };
        }
        let characters: Vec<char> = text.chars().collect();
        let is_break = |c: char| matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}');
        let blank = |c: char| c == ' ' || c == '\t';
        let blank_or_end = |index: usize| characters.get(index).is_none_or(|&c| blank(c) || is_break(c));
        let mut indicators = text.starts_with("---") || text.starts_with("...");
        let (mut special, mut breaks, mut break_space, mut space_break) = (false, false, false, false);
        let (mut previous_space, mut previous_break, mut after_blank) = (false, false, true);
        for (index, &c) in characters.iter().enumerate() {
            let blank_follows = blank_or_end(index + 1);
            indicators |= match c {
                '#' => index == 0 || after_blank,
                ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' => index == 0,
                '?' | '-' => index == 0 && blank_follows,
                ':' => blank_follows,
                _ => false,
            };
            special |= !is_printable(c) && !is_break(c);
            breaks |= is_break(c);
            break_space |= c == ' ' && previous_break;
            space_break |= is_break(c) && previous_space;
            previous_space = c == ' ';
            previous_break = is_break(c);
            after_blank = blank(c) || is_break(c);
        }
        let edge = |c: Option<&char>| c.is_some_and(|&c| c == ' ' || is_break(c));
        let padded = edge(characters.first()) || edge(characters.last());
        let unquotable = space_break || special;
        Self {
            plain: !(padded || break_space || unquotable || breaks || indicators),
            single: !(break_space || unquotable),
            block: !unquotable && characters.last() != Some(&' '),
        }
    }
}

/// Digits in keys compare as numbers, letters come behind everything else (`sorter.go`).
fn natural(one: &str, other: &str) -> Ordering {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let Some(at) = one.iter().zip(&other).position(|(left, right)| left != right) else { return one.len().cmp(&other.len()) };
    let (left, right) = (one[at], other[at]);
    match (left.is_alphabetic(), right.is_alphabetic()) {
        (true, true) => return left.cmp(&right),
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    // A zero inside a number that has begun already is a digit of it, not padding.
    let inside = (left == '0' || right == '0') && one[..at].iter().rev().take_while(|c| c.is_ascii_digit()).any(|&c| c != '0');
    let number = |text: &[char]| {
        let digits = text[at..].iter().take_while(|c| c.is_ascii_digit());
        digits.fold((u64::from(inside), 0_usize), |(value, length), &c| {
            (value.wrapping_mul(10).wrapping_add(u64::from(c.to_digit(10).unwrap_or(0))), length + 1)
        })
    };
    number(&one).cmp(&number(&other)).then(left.cmp(&right))
}

/// As `encoding/json` and then goyaml write it: whole floats lose their fraction.
fn format_number(number: &Number) -> String {
    match number.as_f64().filter(|_| number.is_f64()) {
        Some(value) if value.fract() == 0.0 && value.abs() < 1e15 => format!("{value:.0}"),
        Some(value) => format_float(value),
        None => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::*, *};

    /// What `helm package` 4.3 wrote for a chart with these values.
    const HELM: &str = include_str!("emit_helm.yaml");

    #[test]
    fn writes_what_helm_writes() {
        let value = parse_value(HELM, Dialect::Go).expect("helm's output parses");
        assert_eq!(to_string(&value), HELM);
    }

    #[test]
    fn nested_empty_and_scalar_values() {
        let value = serde_json::json!({"b": [], "a": {}, "c": [[1, 2], {"x": null, "y": [true]}], "d": {"e": {"f": 1.5}}, "g": 2.0});
        assert_eq!(to_string(&value), "a: {}\nb: []\nc:\n- - 1\n  - 2\n- x: null\n  \"y\":\n  - true\nd:\n  e:\n    f: 1.5\ng: 2\n");
    }
}
