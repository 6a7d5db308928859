//! Durations as Go writes them (`10m0s`), as Go sends them (whole nanoseconds), and ages with days and weeks (`7d`).

use std::{fmt, str::FromStr, time::Duration};

use crate::yaml::{Kind, Node};

use super::{
    Defect,
    reader::Reader,
    syntax::{SyntaxError, shown},
    values::Decode,
};

const NANOS: [(&str, u64); 8] = [
    // Longer units first where one is the beginning of another.
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];
const DAYS: [(&str, u64); 2] = [("d", 86_400_000_000_000), ("w", 604_800_000_000_000)];

/// A length of time above zero, read by the rules of Go's `time.ParseDuration`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GoDuration(Duration);

/// Text that is not a duration.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("'{0}' is not a duration above zero; write numbers with units, such as 90s, 10m or 1h30m")]
pub struct DurationError(String);

impl GoDuration {
    /// The length; `None` for zero.
    #[must_use]
    pub fn new(duration: Duration) -> Option<Self> {
        (!duration.is_zero()).then_some(Self(duration))
    }

    /// The length.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }
}

/// Sum of `<decimal><unit>` pairs in nanoseconds.
fn parse(text: &str, units: &[&[(&str, u64)]]) -> Option<u64> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut total = 0_u64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(end);
        let (name, unit) = units.iter().copied().flatten().find(|(name, _)| {
            tail.strip_prefix(name).is_some_and(|next| next.is_empty() || next.starts_with(|c: char| c.is_ascii_digit() || c == '.'))
        })?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return None;
        }
        let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()? };
        total = total.checked_add(whole.checked_mul(*unit)?)?;
        // Each digit is worth a tenth of the one before; what is below a nanosecond is dropped, as Go does.
        let mut worth = *unit;
        for digit in fraction.chars() {
            worth /= 10;
            total = total.checked_add(u64::from(digit.to_digit(10)?).checked_mul(worth)?)?;
        }
        rest = &tail[name.len()..];
    }
    Some(total)
}

impl FromStr for GoDuration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        parse(text, &[&NANOS]).and_then(|nanos| Self::new(Duration::from_nanos(nanos))).ok_or_else(|| DurationError(shown(text)))
    }
}

impl fmt::Display for GoDuration {
    /// As Go's `Duration.String`: `1h0m0s`, `1.5s`, `20ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        let decimal = |value: u128, unit: u128| {
            let text = format!("{}.{:0width$}", value / unit, value % unit, width = unit.ilog10() as usize);
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        };
        match nanos {
            0..1_000 => write!(f, "{nanos}ns"),
            1_000..1_000_000 => write!(f, "{}µs", decimal(nanos, 1_000)),
            1_000_000..1_000_000_000 => write!(f, "{}ms", decimal(nanos, 1_000_000)),
            _ => {
                let minutes = nanos / 60_000_000_000;
                if minutes >= 60 {
                    write!(f, "{}h", minutes / 60)?;
                }
                if minutes > 0 {
                    write!(f, "{}m", minutes % 60)?;
                }
                write!(f, "{}s", decimal(nanos % 60_000_000_000, 1_000_000_000))
            }
        }
    }
}

impl Decode for GoDuration {
    const WHAT: &'static str = "a duration";

    fn decode(node: &Node, r: &mut Reader<'_>) -> Option<Self> {
        decode(node, r, |text| text.parse().ok()).map(Self)
    }

    fn is_blank(node: &Node) -> bool {
        // Go sends a duration that was never set as zero.
        String::is_blank(node) || matches!(&node.kind, Kind::Number(number, _) if number.as_i64() == Some(0))
    }
}

fn decode(node: &Node, r: &mut Reader<'_>, read: impl Fn(&str) -> Option<GoDuration>) -> Option<Duration> {
    let value = match &node.kind {
        Kind::String(text) => read(text).map(GoDuration::get),
        Kind::Number(number, _) => number.as_u64().filter(|&nanos| nanos > 0).map(Duration::from_nanos),
        _ => {
            r.wrong_type(node, "a duration");
            return None;
        }
    };
    if value.is_none() {
        let value = match &node.kind {
            Kind::Number(_, literal) => shown(literal),
            _ => shown(node.as_str().unwrap_or_default()),
        };
        let rule = "write numbers with units, such as 90s, 10m or 1h30m; a bare number is nanoseconds";
        r.report(node.at, Defect::Syntax(SyntaxError::Name { value, what: "a duration above zero", rule }));
    }
    value
}

impl schemars::JsonSchema for GoDuration {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A length of time as Go writes it (90s, 10m, 1h30m), or whole nanoseconds.",
            "anyOf": [
                { "type": "string", "pattern": "^\\+?([0-9]+(\\.[0-9]*)?(ns|us|µs|μs|ms|s|m|h))+$" },
                { "type": "integer", "minimum": 0 },
            ],
        })
    }
}

/// How long something is kept: a duration that may also be given in days and weeks (`7d`, `2w`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Age(Duration);

impl Age {
    /// The length.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl Decode for Age {
    const WHAT: &'static str = "a duration";

    fn decode(node: &Node, r: &mut Reader<'_>) -> Option<Self> {
        decode(node, r, |text| parse(text, &[&NANOS, &DAYS]).and_then(|nanos| GoDuration::new(Duration::from_nanos(nanos)))).map(Self)
    }
}

impl schemars::JsonSchema for Age {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Age".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "How long something is kept: a duration, days and weeks allowed (7d, 2w, 36h).",
            "anyOf": [
                { "type": "string", "pattern": "^\\+?([0-9]+(\\.[0-9]*)?(ns|us|µs|μs|ms|s|m|h|d|w))+$" },
                { "type": "integer", "minimum": 0 },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_and_writes_as_go_does() {
        for (text, nanos, back) in [
            ("10m", 600_000_000_000_u64, "10m0s"),
            ("1h30m", 5_400_000_000_000, "1h30m0s"),
            ("1.5s", 1_500_000_000, "1.5s"),
            ("20ms", 20_000_000, "20ms"),
            ("1us", 1_000, "1µs"),
            ("7ns", 7, "7ns"),
            (".5h", 1_800_000_000_000, "30m0s"),
        ] {
            let duration: GoDuration = text.parse().expect(text);
            assert_eq!(duration.get(), Duration::from_nanos(nanos), "{text}");
            assert_eq!(duration.to_string(), back);
        }
        for bad in ["", "0s", "10", "-5m", "5 m", "1d", "m", "1..2s", "99999999999999h", "1h-1m", ".s"] {
            assert!(bad.parse::<GoDuration>().is_err(), "{bad}");
        }
        assert_eq!(parse("2w1d", &[&NANOS, &DAYS]), Some(15 * 86_400_000_000_000));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(nanos in 1..i64::MAX.unsigned_abs()) {
            let duration = GoDuration(Duration::from_nanos(nanos));
            prop_assert_eq!(duration.to_string().parse(), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = text.parse::<GoDuration>();
        }
    }
}
