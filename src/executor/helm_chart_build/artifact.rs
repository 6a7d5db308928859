//! The OCI artifact of a chart: what `helm push` would make of it, reproducibly.
//!
//! The manifest has helm's config and chart layer and its annotations (helm `pkg/registry/chart.go`); `created` is the commit's time or the
//! epoch, never now. Labels of the plan and the revision are annotations too. Which key wins, first to last: title and version of
//! the chart, labels of the plan, annotations of Chart.yaml, everything derived.

use std::{collections::BTreeMap, fmt::Write as _};

use super::metadata::Metadata;
use crate::executor::shared::{ANNOTATION, Stamp};

/// Annotations of the manifest.
pub(crate) fn annotations(metadata: &Metadata, stamp: &Stamp, labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut all = stamp.annotations();
    let mut add = |key: &str, value: &str| {
        if !value.trim().is_empty() {
            all.insert(format!("{ANNOTATION}{key}"), value.to_owned());
        }
    };
    add("description", &metadata.description);
    add("url", &metadata.home);
    add("source", metadata.sources.first().map_or("", String::as_str));
    add("authors", &authors(metadata));
    all.extend(metadata.annotations.clone());
    all.extend(labels.iter().filter(|(key, _)| !key.is_empty()).map(|(key, value)| (key.clone(), value.clone())));
    all.insert(format!("{ANNOTATION}title"), metadata.name.clone());
    all.insert(format!("{ANNOTATION}version"), metadata.version.clone());
    all
}

fn authors(metadata: &Metadata) -> String {
    let mut text = String::new();
    for (index, maintainer) in metadata.maintainers.iter().enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        text.push_str(&maintainer.name);
        if !maintainer.email.is_empty() {
            let _ = write!(text, " ({})", maintainer.email);
        }
    }
    text
}

/// The tag that `helm pull --version` looks for: tags may not have a `+`.
pub(crate) fn version_tag(metadata: &Metadata) -> String {
    metadata.version.replace('+', "_")
}

#[cfg(test)]
mod tests {
    use super::{super::metadata::Maintainer, *};

    #[test]
    fn annotations_are_helms_and_ours() {
        let metadata = Metadata {
            name: "web".into(),
            version: "1.0.0+a".into(),
            description: "d".into(),
            sources: vec!["https://src".into()],
            maintainers: vec![
                Maintainer { name: "A".into(), email: "a@x".into(), url: String::new() },
                Maintainer { name: "B".into(), ..Maintainer::default() },
            ],
            annotations: [
                ("k", "chart"),
                ("l", "chart"),
                ("org.opencontainers.image.title", "no"),
                ("org.opencontainers.image.description", "mine"),
            ]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into(),
            ..Metadata::default()
        };
        let stamp = Stamp { revision: Some("abc".into()), url: Some("https://git".into()), ..Stamp::default() };
        let labels = [("l".to_owned(), "plan".to_owned())].into();
        let expected = [
            ("k", "chart"),
            ("l", "plan"),
            ("org.opencontainers.image.authors", "A (a@x), B"),
            ("org.opencontainers.image.created", "1970-01-01T00:00:00Z"),
            ("org.opencontainers.image.description", "mine"),
            ("org.opencontainers.image.revision", "abc"),
            ("org.opencontainers.image.source", "https://src"),
            ("org.opencontainers.image.title", "web"),
            ("org.opencontainers.image.version", "1.0.0+a"),
        ];
        assert_eq!(annotations(&metadata, &stamp, &labels), expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
        assert_eq!(version_tag(&metadata), "1.0.0_a");
    }
}
