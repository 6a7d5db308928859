//! Quantities as Kubernetes writes them: `500m`, `1.5`, `2Gi`, `1e3`.

use std::{fmt, str::FromStr};

use crate::yaml::{Kind, Node};

use super::{
    Defect,
    reader::Reader,
    syntax::{SyntaxError, shown},
    values::Decode,
};

/// Suffixes and their worth in billionths (`apimachinery/pkg/api/resource/quantity.go`, "Quantity format").
const SUFFIXES: [(&str, u128); 16] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("Pi", 1 << 50),
    ("Ei", 1 << 60),
    ("n", 0),
    ("u", 0),
    ("m", 0),
    ("", 1),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("P", 1_000_000_000_000_000),
    ("E", 1_000_000_000_000_000_000),
];
const NANO: u128 = 1_000_000_000;

/// An amount of a resource, not below zero; as it was written, and exactly.
#[derive(Debug, Clone)]
pub struct Quantity {
    text: String,
    nanos: u128,
}

/// Text that is not a quantity.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("'{0}' is not a quantity; write a number with an optional suffix, such as 500m, 2 or 1Gi")]
pub struct QuantityError(String);

impl Quantity {
    /// The amount in whole units, rounded up, as Kubernetes rounds (bytes, of memory).
    #[must_use]
    pub const fn ceil(&self) -> u128 {
        self.nanos.div_ceil(NANO)
    }

    /// The amount in thousandths, rounded up (millicores, of CPU).
    #[must_use]
    pub const fn millis(&self) -> u128 {
        self.nanos.div_ceil(NANO / 1_000)
    }
}

impl PartialEq for Quantity {
    /// Equal amounts are equal, however they are written.
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        parse(text).map(|nanos| Self { text: text.to_owned(), nanos }).ok_or_else(|| QuantityError(shown(text)))
    }
}

fn parse(text: &str) -> Option<u128> {
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || number.len() > 40 {
        return None;
    }
    let worth = match suffix {
        "n" => 1,
        "u" => 1_000,
        "m" => 1_000_000,
        _ => match SUFFIXES.iter().find(|(name, _)| *name == suffix) {
            Some((_, worth)) => worth.checked_mul(NANO)?,
            None => exponent(suffix)?,
        },
    };
    let digits = format!("{whole}{fraction}").parse::<u128>().ok()?;
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    // Billionths are the finest step; smaller ones round up.
    Some(digits.checked_mul(worth)?.div_ceil(scale))
}

/// `e3`, `E-2`.
fn exponent(suffix: &str) -> Option<u128> {
    let power: i32 = suffix.strip_prefix(['e', 'E']).filter(|text| !text.starts_with('+') || text.len() > 1)?.parse().ok()?;
    10_u128.checked_pow(u32::try_from(power.checked_add(9)?).ok()?)
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Decode for Quantity {
    const WHAT: &'static str = "a quantity";

    fn decode(node: &Node, r: &mut Reader<'_>) -> Option<Self> {
        let text: &str = match &node.kind {
            Kind::String(text) => text,
            Kind::Number(_, literal) => literal,
            _ => {
                r.wrong_type(node, Self::WHAT);
                return None;
            }
        };
        let quantity = text.parse().ok();
        if quantity.is_none() {
            let rule = "write a number with an optional suffix, such as 500m, 2 or 1Gi";
            r.report(node.at, Defect::Syntax(SyntaxError::Name { value: shown(text), what: "a quantity", rule }));
        }
        quantity
    }
}

impl schemars::JsonSchema for Quantity {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Quantity".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "An amount as Kubernetes writes it: 500m, 2, 1Gi.",
            "anyOf": [
                { "type": "string", "pattern": "^\\+?([0-9]+(\\.[0-9]*)?|\\.[0-9]+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?$" },
                { "type": "number", "minimum": 0 },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quantity(text: &str) -> Quantity {
        text.parse().expect(text)
    }

    #[test]
    fn amounts_are_exact() {
        assert_eq!(quantity("2Gi").ceil(), 2 << 30);
        assert_eq!(quantity("1.5Ki").ceil(), 1536);
        assert_eq!(quantity("500m").millis(), 500);
        assert_eq!((quantity("0.1").millis(), quantity("100m")), (100, quantity("1e-1")));
        assert_eq!(quantity("1E").ceil(), 1_000_000_000_000_000_000);
        assert_eq!(quantity("1E3"), quantity("1k"));
        assert_eq!(quantity("1n").millis(), 1, "rounded up");
        for bad in ["", "x", "-1", "1 Gi", "1gi", "1..2", "e3", "1e", "1e99", "1KiB", "."] {
            assert!(bad.parse::<Quantity>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(number in 0..1_000_000_u32, fraction in 0..1000_u32, suffix in 0..SUFFIXES.len()) {
            let text = format!("{number}.{fraction:03}{}", SUFFIXES[suffix].0);
            let quantity = quantity(&text);
            prop_assert_eq!(&quantity.to_string(), &text);
            prop_assert_eq!(quantity.to_string().parse(), Ok(quantity));
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = text.parse::<Quantity>();
        }
    }
}
