//! Numbers as Go's `strconv.FormatFloat(value, 'g', -1, bits)` writes them, and strings as goyaml v2 quotes them.

use std::fmt::LowerExp;

use super::{Dialect, Kind, Node, scalar};

impl Node {
    /// The scalar as `sigs.k8s.io/yaml` hands it to a field of type string: `version: 1.10` reads as "1.1", `yes` as "true".
    /// `None` for null, lists and mappings.
    #[must_use]
    pub fn as_go_string(&self) -> Option<String> {
        match &self.kind {
            Kind::String(text) => Some(text.clone()),
            Kind::Bool(value) => Some(value.to_string()),
            Kind::Number(number, _) if !number.is_f64() => Some(number.to_string()),
            // `yaml.go` of sigs.k8s.io/yaml formats with 32 bits, so a long version number loses digits.
            Kind::Number(number, _) => number.as_f64().map(|value| format_float(narrow(value))),
            Kind::Null | Kind::Sequence(_) | Kind::Mapping(_) => None,
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the loss is what the Go library does")]
const fn narrow(value: f64) -> f32 {
    value as f32
}

/// Go's shortest `g` form: exponents below -4 and from 6 on are written out (`strconv/ftoa.go`, case 'g').
pub(super) fn format_float(value: impl LowerExp + std::fmt::Display) -> String {
    // Rust's shortest scientific form has the same digits: `-1.2345e-7`.
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..6).contains(&exponent) => {
            format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.unsigned_abs())
        }
        _ => value.to_string(),
    }
}

/// Whether goyaml reads a plain `text` back as that string (`resolve` and `isBase60Float`).
pub(super) fn plain_is_text(text: &str) -> bool {
    text == "<<" || (matches!(scalar::plain(text, Dialect::Go), Ok(Kind::String(_))) && !is_timestamp(text) && !is_base_60(text))
}

/// `yyyy-m-d`, alone or with a time behind `T`, `t` or a space.
fn is_timestamp(text: &str) -> bool {
    let (date, time) = match text.find(['T', 't', ' ']) {
        Some(end) => (&text[..end], Some(&text[end + 1..])),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let mut number = |longest: std::ops::RangeInclusive<usize>, most: u32| {
        parts.next().is_some_and(|part| {
            longest.contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit()) && part.parse().is_ok_and(|n: u32| n <= most)
        })
    };
    number(4..=4, 9999)
        && number(1..=2, 12)
        && number(1..=2, 31)
        && parts.next().is_none()
        && time.is_none_or(|time| time.split(':').count() >= 3 && time.starts_with(|c: char| c.is_ascii_digit()))
}

/// `^[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?$`
fn is_base_60(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = whole.split(':');
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let first = parts.next().is_some_and(|part| part.starts_with(|c: char| c.is_ascii_digit()) && digits(part));
    let mut rest = parts.peekable();
    first
        && digits(fraction)
        && rest.peek().is_some()
        && rest.all(|part| matches!(part.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_the_strings_that_helm_sees() {
        // Taken from what `helm package` 4.3 writes for these.
        for (yaml, text) in [
            ("1.10", "1.1"),
            ("1e6", "1e+06"),
            ("1234567.5", "1.2345675e+06"),
            ("0.00001", "1e-05"),
            ("123456789012345678901234567890", "1.2345679e+29"),
            ("12345678.0", "1.2345678e+07"),
            ("yes", "true"),
            ("0755", "493"),
            ("'1.10'", "1.10"),
            ("2020-01-01", "2020-01-01"),
        ] {
            let node = super::super::parse_one(yaml, Dialect::Go, super::super::Limits::default()).expect("parses");
            assert_eq!(node.as_go_string().as_deref(), Some(text), "{yaml}");
        }
    }

    #[test]
    fn strings_that_would_read_as_something_else_are_quoted() {
        for text in ["", "1", "1.0", "yes", "n", "null", "~", "2020-01-01", "2020-1-2 3:4:5", "1:30", "0x1", ".inf", "1_000"] {
            assert!(!plain_is_text(text), "{text}");
        }
        for text in ["1.2.3", "yes2", "2020-13-01", "v1", "1:xx", "<<", "2020-01"] {
            assert!(plain_is_text(text), "{text}");
        }
    }
}
