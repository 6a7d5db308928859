//! `index.yaml` of an HTTP chart repository: which versions of a chart there are, where, and with which digest.

use crate::{
    digest::Digest,
    job::{Failure, FailureKind},
    versions::{Constraint, NotARange, Version},
    yaml::{self, Dialect, Limits, Node},
};

/// Longest index; the largest public ones have about 20 MiB.
pub(crate) const MAX_INDEX: u64 = 64 << 20;
/// Versions named in a message.
const SHOWN: usize = 8;

/// A version of a chart.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) version: Version,
    /// As written; relative ones are relative to the repository.
    pub(crate) url: String,
    /// SHA-256 of the archive, if the index has it.
    pub(crate) digest: Option<Digest>,
}

/// An index that is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IndexError {
    #[error("{url} is a web page, not the index of a chart repository; check the repository URL")]
    WebPage { url: String },
    #[error("{url} is not the index of a chart repository: {why}")]
    NotAnIndex { url: String, why: String },
    #[error("chart '{chart}' is not in {url}{}", suggestion(near.as_deref()))]
    NoChart { chart: String, url: String, near: Option<String> },
    #[error("{url} has no version of chart '{chart}' that fits '{wanted}'; it has {available}")]
    NoVersion { chart: String, url: String, wanted: String, available: String },
    #[error("version {source}")]
    Range {
        #[from]
        source: NotARange,
    },
}

fn suggestion(near: Option<&str>) -> String {
    near.map_or_else(String::new, |near| format!("; is '{near}' meant?"))
}

impl From<IndexError> for Failure {
    fn from(error: IndexError) -> Self {
        let kind = match &error {
            IndexError::WebPage { .. } | IndexError::NotAnIndex { .. } => FailureKind::InvalidSource,
            IndexError::NoChart { .. } | IndexError::NoVersion { .. } => FailureKind::SourceNotFound,
            IndexError::Range { .. } => FailureKind::InvalidPlan,
        };
        Self::new(kind, error.to_string())
    }
}

/// A parsed index.
#[derive(Debug)]
pub(crate) struct Index {
    url: String,
    entries: Node,
}

impl Index {
    /// Reads the index that `url` (for people) has.
    pub(crate) fn parse(url: &str, body: &[u8]) -> Result<Self, IndexError> {
        if body.trim_ascii_start().starts_with(b"<") {
            return Err(IndexError::WebPage { url: url.to_owned() });
        }
        let broken = |why: String| IndexError::NotAnIndex { url: url.to_owned(), why };
        let text = std::str::from_utf8(body).map_err(|_| broken("it is not UTF-8 text".to_owned()))?;
        let limits = Limits { bytes: usize::try_from(MAX_INDEX).unwrap_or(usize::MAX), nodes: 2_000_000, depth: 64, documents: 1 };
        let document = yaml::parse_one(text, Dialect::Go, limits).map_err(|error| broken(error.to_string()))?;
        if document.get("apiVersion").is_none_or(Node::is_null) {
            return Err(broken("apiVersion is missing".to_owned()));
        }
        let entries = document.get("entries").filter(|node| node.entries().is_some()).cloned();
        Ok(Self { url: url.to_owned(), entries: entries.ok_or_else(|| broken("entries is missing".to_owned()))? })
    }

    /// The newest version of `chart` in the range `wanted`; the newest release when that is empty. A version written exactly so wins.
    pub(crate) fn find(&self, chart: &str, wanted: &str) -> Result<Entry, IndexError> {
        let mut all = self.versions(chart)?;
        all.sort_by(|a, b| b.version.cmp(&a.version));
        if let Some(exact) = all.iter().find(|entry| entry.version.as_str() == wanted) {
            return Ok(exact.clone());
        }
        let range: Constraint = if wanted.is_empty() { "*" } else { wanted }.parse()?;
        all.iter().find(|entry| range.allows(&entry.version)).cloned().ok_or_else(|| IndexError::NoVersion {
            chart: chart.to_owned(),
            url: self.url.clone(),
            wanted: if wanted.is_empty() { "any release".to_owned() } else { wanted.to_owned() },
            available: listed(all.iter().map(|entry| entry.version.as_str())),
        })
    }

    fn versions(&self, chart: &str) -> Result<Vec<Entry>, IndexError> {
        let Some(items) = self.entries.get(chart).and_then(Node::items) else {
            let names = self.entries.entries().unwrap_or_default().iter().map(|entry| entry.key.as_str());
            let near = names.map(|name| (strsim::levenshtein(name, chart), name)).min().filter(|(distance, _)| *distance <= 2);
            return Err(IndexError::NoChart {
                chart: chart.to_owned(),
                url: self.url.clone(),
                near: near.map(|(_, name)| name.to_owned()),
            });
        };
        // Entries helm would pass over are passed over.
        Ok(items.iter().filter_map(entry).collect())
    }
}

fn entry(node: &Node) -> Option<Entry> {
    let version = node.get("version")?.as_go_string()?.parse().ok()?;
    let url = node.get("urls")?.items()?.first()?.as_str()?.to_owned();
    let digest = node.get("digest").and_then(Node::as_str).and_then(|text| {
        let text = text.trim().to_ascii_lowercase();
        if text.contains(':') { text } else { format!("sha256:{text}") }.parse().ok()
    });
    Some(Entry { version, url, digest })
}

/// The first few of `versions`, in words.
pub(crate) fn listed<'a>(versions: impl Iterator<Item = &'a str>) -> String {
    let all: Vec<_> = versions.collect();
    match all.len() {
        0 => "none".to_owned(),
        count if count > SHOWN => format!("{} and {} more", all[..SHOWN].join(", "), count - SHOWN),
        _ => all.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "apiVersion: v1\nentries:\n  web:\n  - {version: 1.2.0, urls: [web-1.2.0.tgz]}\n  - {version: 1.10.0, urls: [web-1.10.0.tgz], digest: 44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a}\n  - {version: 2.0.0-rc.1, urls: [web-2.tgz]}\n  - {version: 3.0.0, urls: []}\n  - null\n";

    fn find(chart: &str, wanted: &str) -> Result<String, String> {
        let index = Index::parse("https://c.example/index.yaml", INDEX.as_bytes()).map_err(|error| error.to_string())?;
        index.find(chart, wanted).map(|entry| entry.version.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_newest_release_in_range() {
        for (wanted, expected) in
            [("", "1.10.0"), ("1.2.0", "1.2.0"), ("~1.2", "1.2.0"), ("^1", "1.10.0"), (">=2.0.0-0", "2.0.0-rc.1"), ("v1.2.0", "1.2.0")]
        {
            assert_eq!(find("web", wanted), Ok(expected.to_owned()), "{wanted}");
        }
        assert_eq!(
            find("web", "^4"),
            Err("https://c.example/index.yaml has no version of chart 'web' that fits '^4'; it has 2.0.0-rc.1, 1.10.0, 1.2.0".to_owned())
        );
        assert_eq!(find("wep", ""), Err("chart 'wep' is not in https://c.example/index.yaml; is 'web' meant?".to_owned()));
        assert!(find("web", ">>1").is_err_and(|error| error.starts_with("version '>>1' is not a version range")));
    }

    #[test]
    fn what_is_no_index_says_so() {
        let parse = |text: &str| Index::parse("https://c.example/index.yaml", text.as_bytes()).expect_err(text).to_string();
        assert_eq!(
            parse("\n<!DOCTYPE html>"),
            "https://c.example/index.yaml is a web page, not the index of a chart repository; check the repository URL"
        );
        assert_eq!(parse("a: b"), "https://c.example/index.yaml is not the index of a chart repository: apiVersion is missing");
        assert_eq!(parse("apiVersion: v1"), "https://c.example/index.yaml is not the index of a chart repository: entries is missing");
    }

    #[test]
    fn digests_come_with_and_without_their_algorithm() {
        let index = Index::parse("u", INDEX.as_bytes()).expect("an index");
        assert_eq!(index.find("web", "1.10.0").expect("there").digest, Some(Digest::of(b"{}")));
    }
}
