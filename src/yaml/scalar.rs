//! Which type a plain scalar has.
//!
//! [`Dialect::Core`]: YAML 1.2.2 §10.3.2. [`Dialect::Go`]: `resolve.go` of goyaml v2 as `sigs.k8s.io/yaml` carries it, which is what
//! Helm and kubectl read files with (YAML 1.1 booleans, underscores and leading-zero octals in numbers).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Number;

use super::{Kind, Problem};

/// How plain scalars are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// YAML 1.2, core schema. A tag of another schema is an error.
    Core,
    /// As `sigs.k8s.io/yaml` reads. Tags of other schemas are ignored.
    Go,
    /// The same, for text that has to mean one thing: what the libraries of Go read differently from one another – tags of other schemas,
    /// a key beside a `<<` that has it too, a second `<<` – is an error.
    GoExact,
}

/// The value of a plain scalar.
pub(super) fn plain(text: &str, dialect: Dialect) -> Result<Kind, Problem> {
    if matches!(text, "" | "~" | "null" | "Null" | "NULL") {
        return Ok(Kind::Null);
    }
    if let Some(value) = boolean(text, dialect) {
        return Ok(Kind::Bool(value));
    }
    if not_finite(text) {
        return Err(Problem::BadScalar { text: text.to_owned(), expected: "number that JSON has; quote it" });
    }
    Ok(number(text, dialect).map_or_else(|| Kind::String(text.to_owned()), |number| Kind::Number(number, text.into())))
}

/// The value of a scalar with a `tag:yaml.org,2002:` tag; `None` for a suffix that is not of the core schema.
pub(super) fn tagged(text: &str, suffix: &str, dialect: Dialect) -> Option<Result<Kind, Problem>> {
    let expected = match suffix {
        "str" => return Some(Ok(Kind::String(text.to_owned()))),
        "null" => "null",
        "bool" => "boolean",
        "int" => "whole number",
        "float" => "number",
        _ => return None,
    };
    let fits = plain(text, dialect).ok().filter(|kind| match (suffix, kind) {
        ("null", Kind::Null) | ("bool", Kind::Bool(_)) | ("float", Kind::Number(..)) => true,
        ("int", Kind::Number(number, _)) => number.is_i64() || number.is_u64(),
        _ => false,
    });
    Some(fits.ok_or_else(|| Problem::BadScalar { text: text.to_owned(), expected }))
}

/// Bytes as the text they are; what is no text becomes U+FFFD, as in Go's JSON.
pub(super) fn binary(text: &str) -> Result<Kind, Problem> {
    let packed = text.replace(['\r', '\n'], "");
    let bytes = STANDARD.decode(packed).map_err(|_| Problem::BadScalar { text: text.to_owned(), expected: "base64 text" })?;
    Ok(Kind::String(String::from_utf8_lossy(&bytes).into_owned()))
}

fn boolean(text: &str, dialect: Dialect) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ if dialect == Dialect::Core => None,
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

fn not_finite(text: &str) -> bool {
    matches!(text.strip_prefix(['+', '-']).unwrap_or(text), ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN")
}

fn number(text: &str, dialect: Dialect) -> Option<Number> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return None;
    }
    match dialect {
        Dialect::Core => integer(text, "0o", false).or_else(|| float(text)),
        Dialect::Go | Dialect::GoExact => {
            let text = text.replace('_', "");
            integer(&text, "0", true).or_else(|| integer(&text, "0o", true)).or_else(|| float(&text))
        }
    }
}

/// `signs` lets radix prefixes follow a sign, and `0b` in, as Go does.
fn integer(text: &str, octal: &str, signs: bool) -> Option<Number> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let signed = digits.len() != text.len();
    let prefixed = |prefix: &str| digits.strip_prefix(prefix).filter(|rest| !rest.is_empty() && (signs || !signed));
    let (digits, radix) = if let Some(rest) = prefixed("0x") {
        (rest, 16)
    } else if let Some(rest) = prefixed("0b").filter(|_| signs) {
        (rest, 2)
    } else if let Some(rest) = prefixed(octal) {
        (rest, 8)
    } else {
        (digits, 10)
    };
    // `from_str_radix` takes a sign of its own.
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if negative { 0_i64.checked_sub_unsigned(magnitude).map(Number::from) } else { Some(Number::from(magnitude)) }
}

/// `[-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
fn float(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let well_formed = digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent));
    if !well_formed {
        return None;
    }
    text.parse().ok().and_then(Number::from_f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn core(text: &str) -> Kind {
        plain(text, Dialect::Core).expect("resolves")
    }

    fn go(text: &str) -> Kind {
        plain(text, Dialect::Go).expect("resolves")
    }

    fn int(value: i64, text: &str) -> Kind {
        Kind::Number(value.into(), text.into())
    }

    #[test]
    fn core_schema_examples_of_the_specification() {
        for text in ["", "~", "null", "Null", "NULL"] {
            assert_eq!(core(text), Kind::Null);
        }
        for (text, value) in
            [("0", 0), ("-19", -19), ("+12", 12), ("0o7", 7), ("0x3A", 0x3A), ("0755", 755), ("-9223372036854775808", i64::MIN)]
        {
            assert_eq!(core(text), int(value, text), "{text}");
        }
        for text in ["0.", "-0.0", ".5", "+12e03", "-2E+05", "1.10", "123456789012345678901234567890"] {
            assert!(matches!(core(text), Kind::Number(number, literal) if number.is_f64() && &*literal == text), "{text}");
        }
        for text in ["yes", "no", "on", "off", "y", "1_000", "1.2.3", "1e", ".", "-", "+", "0o8", "-0x1", "0b1", "12e", "e3", "١"] {
            assert_eq!(core(text), Kind::String(text.into()), "{text}");
        }
        assert!(plain(".inf", Dialect::Core).is_err() && plain("-.Inf", Dialect::Core).is_err() && plain(".nan", Dialect::Core).is_err());
        assert!(plain("1e999", Dialect::Core).is_ok_and(|kind| matches!(kind, Kind::String(_))), "JSON has no such number");
    }

    #[test]
    fn go_reads_yaml_1_1() {
        assert_eq!((go("yes"), go("OFF"), go("y")), (Kind::Bool(true), Kind::Bool(false), Kind::Bool(true)));
        assert_eq!(go("0755"), int(0o755, "0755"));
        assert_eq!(go("0o17"), int(15, "0o17"));
        assert_eq!(go("-0b11"), int(-3, "-0b11"));
        assert_eq!(go("1_000"), int(1000, "1_000"));
        assert_eq!(go("yEs"), Kind::String("yEs".into()));
    }
}
