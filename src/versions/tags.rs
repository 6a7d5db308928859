//! Which of a repository's tags a range of versions chooses.
//!
//! A tag is a version when it is SemVer 2 to the letter: three numbers, perhaps with a `v` in front, and with `_` where SemVer has the `+`,
//! which no tag may hold (the rule of Flux, `fluxcd/pkg/version`, and of Helm). `1`, `1.27` and `latest` are names that
//! move from version to version, and dates such as `20240101` would be newer than every version: none of them is looked at.

use std::cmp::Ordering;

use super::{Constraint, Version, version::pre_releases};

/// Versions named in a message.
const SHOWN: usize = 8;

/// A tag that is a version.
#[derive(Debug, Clone)]
pub(crate) struct Tagged {
    /// As the repository has it.
    pub(crate) tag: String,
    /// What it says.
    pub(crate) version: Version,
}

impl Tagged {
    fn new(tag: &str) -> Option<Self> {
        let text = tag.strip_prefix('v').unwrap_or(tag).replacen('_', "+", 1);
        let version = text.parse().ok().filter(Version::is_strict)?;
        Some(Self { tag: tag.to_owned(), version })
    }

    /// Newest first. Tags of the same version are told apart by their build metadata, which SemVer gives no order: part by part, as
    /// pre-releases are. Then the one without `v` goes first. The order of the registry's list never matters.
    fn order(&self, other: &Self) -> Ordering {
        let metadata = pre_releases(&other.version.metadata, &self.version.metadata);
        other.version.cmp(&self.version).then(metadata).then_with(|| self.tag.cmp(&other.tag))
    }
}

/// The tags that are versions, newest first.
pub(crate) fn tagged<'a>(tags: impl IntoIterator<Item = &'a str>) -> Vec<Tagged> {
    let mut all: Vec<_> = tags.into_iter().filter_map(Tagged::new).collect();
    all.sort_by(Tagged::order);
    all
}

/// The newest in the range, of tags in the order of [`tagged`].
pub(crate) fn newest<'a>(tags: &'a [Tagged], range: &Constraint) -> Option<&'a Tagged> {
    tags.iter().find(|tagged| range.allows(&tagged.version))
}

/// Tags as a message names them: the newest few, and how many more there are.
pub(crate) fn listed(tags: &[Tagged]) -> String {
    let names: Vec<_> = tags.iter().take(SHOWN).map(|tagged| tagged.tag.as_str()).collect();
    match tags.len().saturating_sub(SHOWN) {
        0 if names.is_empty() => "none".to_owned(),
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TAGS: [&str; 16] = [
        "latest",
        "1",
        "1.27",
        "20240101",
        "01.2.3",
        "1.2.3.4",
        "1.2.0",
        "v1.3.0",
        "1.10.0",
        "2.0.0-rc.1",
        "v2.0.0-rc.2",
        "1.10.0_build.9",
        "1.10.0_build.10",
        "sha256-44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a.sig",
        "0.9.9",
        "3.0.0_a_b",
    ];

    fn chosen(range: &str) -> Option<String> {
        let range = range.parse().expect(range);
        newest(&tagged(TAGS), &range).map(|tagged| tagged.tag.clone())
    }

    #[test]
    fn the_newest_full_version_in_range_is_chosen() {
        for (range, expected) in [
            ("*", Some("1.10.0_build.10")),
            ("^1.2", Some("1.10.0_build.10")),
            ("~1.2.0", Some("1.2.0")),
            (">=1.0 <1.4", Some("v1.3.0")),
            ("1.x", Some("1.10.0_build.10")),
            ("0.9 - 1.3", Some("v1.3.0")),
            ("^5 || ~0.9", Some("0.9.9")),
            (">=2.0.0-0", Some("v2.0.0-rc.2")),
            ("2.0.0-rc.1", Some("2.0.0-rc.1")),
            (">=2", None),
            ("^3", None),
        ] {
            assert_eq!(chosen(range).as_deref(), expected, "{range}");
        }
    }

    #[test]
    fn the_same_version_twice_is_no_matter_of_luck() {
        let range = "*".parse().expect("a range");
        for tags in [["v1.0.0", "1.0.0"], ["1.0.0", "v1.0.0"]] {
            assert_eq!(newest(&tagged(tags), &range).map(|tagged| tagged.tag.as_str()), Some("1.0.0"));
        }
        assert_eq!(listed(&tagged(["a", "b"])), "none");
        assert_eq!(listed(&tagged(TAGS)), "v2.0.0-rc.2, 2.0.0-rc.1, 1.10.0_build.10, 1.10.0_build.9, 1.10.0, v1.3.0, 1.2.0, 0.9.9");
    }

    proptest! {
        #[test]
        fn any_range_and_any_tags_are_taken_apart(range in "[ v0-9.x*<>=~^|!,_a+-]{0,24}", tags in prop::collection::vec("[v0-9._a-]{0,12}", 0..8)) {
            let sorted = tagged(tags.iter().map(String::as_str));
            if let Ok(range) = range.parse::<Constraint>()
                && let Some(found) = newest(&sorted, &range)
            {
                prop_assert!(tags.contains(&found.tag) && range.allows(&found.version));
                prop_assert!(sorted.iter().all(|other| !range.allows(&other.version) || other.version <= found.version));
            }
        }

        #[test]
        fn a_version_is_in_its_own_ranges(major in 0_u64..20, minor in 0_u64..20, patch in 0_u64..20) {
            let version: Version = format!("{major}.{minor}.{patch}").parse().expect("a version");
            for range in [format!("^{version}"), format!("~{version}"), format!("={version}"), format!(">={version}, <={version}"), format!("{version} - {version}"), format!("{major}.{minor}.x")] {
                prop_assert!(range.parse::<Constraint>().expect("a range").allows(&version), "{}", range);
            }
        }
    }
}
