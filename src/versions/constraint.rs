//! Version ranges as helm reads them (Masterminds semver 3, `NewConstraint`): `^1.2`, `~1.2.3`, `>=1 <2 || 3.x`, `1.2 - 1.4`.
//!
//! A pre-release satisfies a group of conditions only if one condition of that group names a pre-release itself.

use std::str::FromStr;

use super::version::{Version, split, valid_identifiers};

/// Text that is no range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a version range; write it like 1.2.3, ^1.2.0, ~1.2, \">=1.2 <2.0\" or 1.x")]
pub(crate) struct NotARange(pub(crate) String);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    /// Nothing or `=`: equal, or `~` when a part is left open.
    Equal,
    NotEqual,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
    Tilde,
    Caret,
}

/// Longest first.
const OPERATORS: [(&str, Operator); 11] = [
    ("!=", Operator::NotEqual),
    (">=", Operator::GreaterEqual),
    ("=>", Operator::GreaterEqual),
    ("<=", Operator::LessEqual),
    ("=<", Operator::LessEqual),
    ("~>", Operator::Tilde),
    ("=", Operator::Equal),
    (">", Operator::Greater),
    ("<", Operator::Less),
    ("~", Operator::Tilde),
    ("^", Operator::Caret),
];

#[derive(Debug, Clone)]
struct Condition {
    operator: Operator,
    base: Version,
    /// No major given (`*`), no minor given (`1`, `1.x`) or no patch given (`1.2`, `1.2.x`).
    major_open: bool,
    minor_open: bool,
    patch_open: bool,
}

/// Any of several groups, each of which is fulfilled when all of its conditions are.
#[derive(Debug, Clone)]
pub(crate) struct Constraint(Vec<Vec<Condition>>);

impl Constraint {
    /// Whether `version` is in the range.
    pub(crate) fn allows(&self, version: &Version) -> bool {
        self.0.iter().any(|group| {
            let with_pre = group.iter().any(|condition| !condition.base.pre.is_empty());
            (version.pre.is_empty() || with_pre) && group.iter().all(|condition| condition.allows(version))
        })
    }
}

impl Condition {
    const fn open(&self) -> bool {
        self.major_open || self.minor_open || self.patch_open
    }

    fn allows(&self, v: &Version) -> bool {
        let base = &self.base;
        match self.operator {
            Operator::Equal if self.open() => self.tilde(v),
            Operator::Equal => v == base,
            Operator::NotEqual => self.differs(v),
            Operator::Greater if self.major_open => false,
            Operator::Greater if self.minor_open => v.major > base.major,
            Operator::Greater if self.patch_open => (v.major, v.minor) > (base.major, base.minor),
            Operator::Greater => v > base,
            Operator::GreaterEqual => v >= base,
            Operator::Less => v < base,
            Operator::LessEqual if self.major_open => v.major == 0,
            Operator::LessEqual if self.minor_open => v.major <= base.major,
            Operator::LessEqual if self.patch_open => (v.major, v.minor) <= (base.major, base.minor),
            Operator::LessEqual => v <= base,
            Operator::Tilde => self.tilde(v),
            Operator::Caret => self.caret(v),
        }
    }

    fn differs(&self, v: &Version) -> bool {
        if self.major_open || self.minor_open {
            v.major != self.base.major
        } else if self.patch_open {
            (v.major, v.minor) != (self.base.major, self.base.minor) || v.pre != self.base.pre
        } else {
            *v != self.base
        }
    }

    fn tilde(&self, v: &Version) -> bool {
        let base = &self.base;
        let anything = self.major_open || (base.major == 0 && base.minor == 0 && base.patch == 0 && !self.minor_open && !self.patch_open);
        v >= base && (anything || (v.major == base.major && (self.minor_open || v.minor == base.minor)))
    }

    fn caret(&self, v: &Version) -> bool {
        let base = &self.base;
        if v < base {
            return false;
        }
        if self.major_open {
            return true;
        }
        if base.major > 0 || self.minor_open {
            return v.major == base.major;
        }
        if v.major > 0 {
            return false;
        }
        if base.minor > 0 || self.patch_open { v.minor == base.minor } else { v.minor == 0 && v.patch == base.patch }
    }
}

impl FromStr for Constraint {
    type Err = NotARange;

    fn from_str(text: &str) -> Result<Self, NotARange> {
        let wrong = || NotARange(text.chars().take(120).collect());
        text.split("||").map(group).collect::<Option<Vec<_>>>().map(Self).ok_or_else(wrong)
    }
}

/// Conditions separated by spaces or commas; `a - b` stands for `>=a <=b`.
fn group(text: &str) -> Option<Vec<Condition>> {
    let mut rest = text.trim();
    let mut conditions = Vec::new();
    while !rest.is_empty() {
        let (operator, after) = OPERATORS
            .iter()
            .find_map(|(sign, operator)| rest.strip_prefix(sign).map(|after| (Some(*operator), after.trim_start())))
            .unwrap_or((None, rest));
        let end = after.find(|c: char| c.is_whitespace() || c == ',').unwrap_or(after.len());
        let (version, after) = after.split_at(end);
        let next = after.trim_start();
        if let (None, Some(upper)) = (operator, next.strip_prefix("- ")) {
            let upper = upper.trim_start();
            let (upper, after) = upper.split_at(upper.find(|c: char| c.is_whitespace() || c == ',').unwrap_or(upper.len()));
            conditions.push(condition(Operator::GreaterEqual, version)?);
            conditions.push(condition(Operator::LessEqual, upper)?);
            rest = separator(after)?;
        } else {
            conditions.push(condition(operator.unwrap_or(Operator::Equal), version)?);
            rest = separator(after)?;
        }
    }
    (!conditions.is_empty()).then_some(conditions)
}

/// What follows a condition, after the one comma that may stand there; a comma needs a condition after it.
fn separator(text: &str) -> Option<&str> {
    let text = text.trim_start();
    match text.strip_prefix(',') {
        Some(after) => Some(after.trim_start()).filter(|after| !after.is_empty()),
        None => Some(text),
    }
}

fn condition(operator: Operator, text: &str) -> Option<Condition> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let (core, pre, metadata) = split(text);
    if (!pre.is_empty() && !valid_identifiers(pre)) || metadata.is_some_and(|text| !valid_identifiers(text)) {
        return None;
    }
    let mut numbers = [None; 3];
    let mut open = false;
    for (index, part) in core.split('.').enumerate() {
        let slot = numbers.get_mut(index)?;
        match part {
            "x" | "X" | "*" => open = true,
            digits if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => *slot = digits.parse().ok().filter(|_| !open),
            _ => return None,
        }
        if slot.is_none() && !open {
            return None;
        }
    }
    let [major, minor, patch]: [Option<u64>; 3] = numbers;
    let base = Version::of(major.unwrap_or(0), minor.unwrap_or(0), patch.unwrap_or(0), pre);
    Some(Condition { operator, base, major_open: major.is_none(), minor_open: minor.is_none(), patch_open: patch.is_none() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cases in the manner of Masterminds' `constraints_test.go`.
    #[test]
    fn allows_what_masterminds_allows() {
        for (range, version, expected) in [
            ("*", "1.2.3", true),
            ("*", "4.5.6-alpha", false),
            ("x", "1.2.3", true),
            ("1.2.3", "1.2.3", true),
            ("1.2.3", "v1.2.3", true),
            ("=1.2.3", "1.2.4", false),
            ("1", "1.9.9", true),
            ("1.x", "2.0.0", false),
            ("1.2", "1.2.9", true),
            ("1.2", "1.3.0", false),
            ("^1.2", "1.9.0", true),
            ("^1.2", "2.0.0", false),
            ("^0.2.3", "0.2.9", true),
            ("^0.2.3", "0.3.0", false),
            ("^0.0.3", "0.0.4", false),
            ("^0.0", "0.0.9", true),
            ("^0", "0.9.0", true),
            ("^0", "1.0.0", false),
            ("^*", "9.0.0", true),
            ("^1.2.3-beta.2", "1.2.3-beta.4", true),
            ("^1.2.3", "1.3.0-beta", false),
            ("~1.2.3", "1.2.9", true),
            ("~1.2.3", "1.3.0", false),
            ("~1", "1.9.0", true),
            ("~>2.0", "2.1.0", false),
            ("~0.0.0", "1.5.0", true),
            (">1", "1.5.0", false),
            (">1", "2.0.0", true),
            (">11.1", "11.1.1", false),
            (">11.1", "11.2.1", true),
            ("<2.0.0", "1.9.9", true),
            ("<=1.x", "1.9.9", true),
            ("<=1.1", "1.1.9", true),
            ("<=1.1", "1.2.0", false),
            ("=>1.2", "1.2.0", true),
            ("!=1.2.x", "1.2.3", false),
            ("!=1.2.x", "1.3.0", true),
            (">=1.2, <1.5", "1.4.9", true),
            (">=1.2 <1.5", "1.5.0", false),
            ("1.2 - 1.4", "1.4.9", true),
            ("1.2 - 1.4", "1.5.0", false),
            ("<1 || >=3.0.0", "3.1.0", true),
            ("<1 || >=3.0.0", "2.0.0", false),
            (">= 1.0.0-0", "1.5.0-rc.1", true),
        ] {
            let constraint: Constraint = range.parse().expect(range);
            assert_eq!(constraint.allows(&version.parse().expect(version)), expected, "{range} on {version}");
        }
    }

    #[test]
    fn refuses_what_is_no_range() {
        for bad in ["", "foo", ">=", ">>1", "1.2.3.4", "1.2 ||", ">=1,", "1.2.beta"] {
            assert!(bad.parse::<Constraint>().is_err(), "{bad}");
        }
    }
}
