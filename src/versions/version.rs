//! Versions as helm reads them: SemVer 2, but `v1`, `1` and `1.2` are versions as well (Masterminds semver 3, `NewVersion`).

use std::{cmp::Ordering, fmt, str::FromStr};

/// Text that is no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a version; write it as SemVer, like 1.2.3, 1.2.3-rc.1 or 1.2.3+build")]
pub(crate) struct NotAVersion(pub(crate) String);

/// A version. Equality and order leave the build metadata out, as SemVer wants.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    pub(crate) major: u64,
    pub(crate) minor: u64,
    pub(crate) patch: u64,
    /// After the `-`; empty for a release.
    pub(crate) pre: String,
    /// After the `+`; empty when there is none.
    pub(crate) metadata: String,
    original: String,
}

impl Version {
    /// A version made of numbers.
    pub(crate) fn of(major: u64, minor: u64, patch: u64, pre: &str) -> Self {
        let original = format!("{major}.{minor}.{patch}");
        Self { major, minor, patch, pre: pre.to_owned(), metadata: String::new(), original }
    }

    /// The text it was read from.
    pub(crate) fn as_str(&self) -> &str {
        &self.original
    }

    /// Whether the text is SemVer 2 to the letter: three numbers without leading zeros and without `v`.
    pub(crate) fn is_strict(&self) -> bool {
        let core = self.original.split(['-', '+']).next().unwrap_or_default();
        core.split('.').count() == 3 && core.split('.').all(|n| (n == "0" || !n.starts_with('0')) && n.bytes().all(|b| b.is_ascii_digit()))
    }
}

/// `n[.n[.n]]` in front of `-` or `+`, the pre-release and whether the metadata is well-formed: the shared part of versions and ranges.
pub(super) fn split(text: &str) -> (&str, &str, Option<&str>) {
    let (text, metadata) = text.split_once('+').map_or((text, None), |(text, metadata)| (text, Some(metadata)));
    let (core, pre) = text.split_once('-').unwrap_or((text, ""));
    (core, pre, metadata)
}

pub(super) fn valid_identifiers(text: &str) -> bool {
    text.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
}

impl FromStr for Version {
    type Err = NotAVersion;

    fn from_str(original: &str) -> Result<Self, NotAVersion> {
        let wrong = || NotAVersion(original.chars().take(80).collect());
        let text = original.strip_prefix('v').unwrap_or(original);
        let (core, pre, metadata) = split(text);
        let mut numbers = [0; 3];
        for (count, part) in core.split('.').enumerate() {
            let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            *numbers.get_mut(count).ok_or_else(wrong)? = part.parse().ok().filter(|_| digits).ok_or_else(wrong)?;
        }
        let leading_zero = |part: &str| part.len() > 1 && part.starts_with('0') && part.bytes().all(|b| b.is_ascii_digit());
        let has_pre = text.split('+').next().is_some_and(|text| text.contains('-'));
        if (has_pre && (!valid_identifiers(pre) || pre.split('.').any(leading_zero)))
            || metadata.is_some_and(|text| !valid_identifiers(text))
        {
            return Err(wrong());
        }
        let [major, minor, patch] = numbers;
        let metadata = metadata.unwrap_or_default().to_owned();
        Ok(Self { major, minor, patch, pre: pre.to_owned(), metadata, original: original.to_owned() })
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.major, self.minor, self.patch).cmp(&(other.major, other.minor, other.patch)).then_with(|| {
            match (self.pre.is_empty(), other.pre.is_empty()) {
                (true, true) => Ordering::Equal,
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
                (false, false) => pre_releases(&self.pre, &other.pre),
            }
        })
    }
}

/// Part by part: numbers by value and before words, fewer parts before more.
pub(super) fn pre_releases(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left.split('.'), right.split('.'));
    loop {
        let order = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(l), Some(r)) => match (l.parse::<u64>(), r.parse::<u64>()) {
                (Ok(l), Ok(r)) => l.cmp(&r),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => l.cmp(r),
            },
        };
        if order.is_ne() {
            return order;
        }
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Version {}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.original)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn version(text: &str) -> Version {
        text.parse().expect(text)
    }

    #[test]
    fn reads_what_helm_reads() {
        for good in ["1", "v1.2", "1.2.3", "1.2.3-beta.1", "1.2.3+build.5", "v1.2.3-rc.1+a-b", "01.2.3", "1.2-5", "1.2.3--"] {
            assert!(good.parse::<Version>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "v",
            "1.2.3.4",
            "a.b.c",
            "1..2",
            "1.2.3-",
            "1.2.3+",
            "1.2.3-beta_1",
            "1.2.3-01",
            "1.2.3-a..b",
            "99999999999999999999",
            "1.2.3 ",
        ] {
            assert!(bad.parse::<Version>().is_err(), "{bad}");
        }
        assert!(version("1.2.3-rc.1").is_strict() && !version("v1.2.3").is_strict() && !version("1.2").is_strict());
    }

    #[test]
    fn sorts_as_semver_2_section_11() {
        let order = [
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.1",
            "2",
        ];
        for pair in order.windows(2) {
            assert!(version(pair[0]) < version(pair[1]), "{pair:?}");
        }
        assert_eq!(version("1.0.0+a"), version("v1+b"));
    }

    proptest! {
        #[test]
        fn strict_versions_sort_as_the_semver_crate_sorts_them(left in "[0-3]\\.[0-3]\\.[0-3](-[a-b1-3]{1,2}(\\.[a-b1-3]{1,2})?)?", right in "[0-3]\\.[0-3]\\.[0-3](-[a-b1-3]{1,2}(\\.[a-b1-3]{1,2})?)?") {
            if let (Ok(a), Ok(b)) = (semver::Version::parse(&left), semver::Version::parse(&right)) {
                prop_assert_eq!(version(&left).cmp(&version(&right)), a.cmp(&b));
            }
        }
    }
}
