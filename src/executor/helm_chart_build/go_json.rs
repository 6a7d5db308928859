//! JSON text byte for byte as Go's `encoding/json` writes it: compact, and with `<`, `>`, `&`, U+2028 and U+2029 escaped.
//!
//! The config blob of a chart and the digest in a Chart.lock are hashes over such text, so an escape more or less is another digest.

use std::fmt::Write as _;

use serde_json::Value;

/// `value` in Go's spelling; maps are written in the order they are in.
pub(crate) fn to_string(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value);
    out
}

fn write(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&number.as_f64().filter(|_| number.is_f64()).map_or_else(|| number.to_string(), float)),
        Value::String(text) => string(out, text),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(out, item);
            }
            out.push(']');
        }
        Value::Object(map) => {
            out.push('{');
            for (index, (key, item)) in map.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                string(out, key);
                out.push(':');
                write(out, item);
            }
            out.push('}');
        }
    }
}

/// Whole numbers lose their `.0`; very large and very small ones get an exponent.
fn float(number: f64) -> String {
    let size = number.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{number:e}");
        return match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
            _ => text,
        };
    }
    format!("{number}")
}

fn string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\u{0}'..='\u{1f}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn escapes_like_go() {
        let value = json!({"b": ">=1 <2 & \"q\" \\ \n\t\u{1}\u{2028}ä", "a": [1, 2.0, 1.5, 1e21, null, true]});
        assert_eq!(
            to_string(&value),
            "{\"b\":\"\\u003e=1 \\u003c2 \\u0026 \\\"q\\\" \\\\ \\n\\t\\u0001\\u2028ä\",\"a\":[1,2,1.5,1e+21,null,true]}"
        );
    }
}
