//! `index.json`: which tags there are.
//!
//! Kept as JSON rather than as a typed index, so that what other tools wrote there survives unchanged.

use serde_json::{Value, json};

use super::LayoutProblem;
use crate::{
    digest::Digest,
    oci::{Descriptor, media_type, referrers},
};

/// The tag of an entry (image-spec 1.1, `annotations.md`).
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Largest `index.json` that is read: tens of thousands of tags.
pub(super) const MAX_INDEX: u64 = 8 << 20;

/// A read `index.json`.
#[derive(Debug, Clone)]
pub(super) struct IndexFile(Value);

impl IndexFile {
    /// An index without entries.
    pub(super) fn empty() -> Self {
        Self(json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": []}))
    }

    /// Reads it.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, LayoutProblem> {
        let mut document: Value = serde_json::from_slice(bytes).map_err(|error| LayoutProblem::Malformed(error.to_string()))?;
        if !document.is_object() {
            return Err(LayoutProblem::Malformed("not an object".to_owned()));
        }
        match &mut document["manifests"] {
            Value::Array(_) => {}
            // Go writes an empty list as null.
            missing @ Value::Null => *missing = json!([]),
            _ => return Err(LayoutProblem::Malformed("'manifests' is not a list".to_owned())),
        }
        Ok(Self(document))
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.0.to_string().into_bytes()
    }

    fn raw(&self) -> &[Value] {
        self.0["manifests"].as_array().map_or(&[], Vec::as_slice)
    }

    /// Entries that can be read; an entry some tool got wrong does not hide the others.
    pub(super) fn entries(&self) -> impl Iterator<Item = Descriptor> {
        self.raw().iter().filter_map(|entry| serde_json::from_value(entry.clone()).ok())
    }

    /// The entry of exactly that tag.
    pub(super) fn tagged(&self, tag: &str) -> Result<Option<Descriptor>, LayoutProblem> {
        self.one(tag, |name| name == tag)
    }

    /// The entry somebody means by that tag: its own, else that of a full image name with that tag (as nerdctl and buildah
    /// write it), else the only entry of a layout without names, which has nothing about it.
    pub(super) fn meant(&self, tag: &str) -> Result<Option<Descriptor>, LayoutProblem> {
        if let Some(found) = self.tagged(tag)? {
            return Ok(Some(found));
        }
        let suffix = format!(":{tag}");
        if let Some(found) = self.one(tag, |name| name.ends_with(&suffix))? {
            return Ok(Some(found));
        }
        if referrers::is_digest_tag(tag) {
            return Ok(None);
        }
        let mut entries = self.entries();
        let first = entries.next().filter(|entry| !entry.annotations.contains_key(REF_NAME));
        Ok(first.filter(|_| entries.next().is_none()))
    }

    fn one(&self, tag: &str, matches: impl Fn(&str) -> bool) -> Result<Option<Descriptor>, LayoutProblem> {
        let mut found: Vec<_> = self.entries().filter(|entry| entry.annotations.get(REF_NAME).is_some_and(|name| matches(name))).collect();
        found.dedup_by(|a, b| a.digest == b.digest);
        if found.len() > 1 {
            return Err(LayoutProblem::Ambiguous(tag.to_owned(), found.len()));
        }
        Ok(found.pop())
    }

    /// The entry of that digest, under whatever name.
    pub(super) fn by_digest(&self, digest: &Digest) -> Option<Descriptor> {
        self.entries().find(|entry| entry.digest == *digest)
    }

    /// Every tag, sorted.
    pub(super) fn tags(&self) -> Vec<String> {
        let mut tags: Vec<_> = self.entries().filter_map(|mut entry| entry.annotations.remove(REF_NAME)).collect();
        tags.sort_unstable();
        tags.dedup();
        tags
    }

    /// Points `tag` at `descriptor`: takes the place of the tag's entry, and of an entry of the same manifest without a name.
    pub(super) fn set(&mut self, tag: &str, descriptor: &Descriptor) {
        let entry = json!({
            "mediaType": descriptor.media_type,
            "digest": descriptor.digest,
            "size": descriptor.size,
            "annotations": {REF_NAME: tag},
        });
        let Some(entries) = self.0["manifests"].as_array_mut() else { return };
        let name = |entry: &Value| entry["annotations"][REF_NAME].as_str().map(str::to_owned);
        let replaced = |old: &Value| match name(old) {
            Some(name) => name == tag,
            None => old["digest"] == descriptor.digest.as_str(),
        };
        let place = entries.iter().position(replaced).unwrap_or(entries.len());
        entries.retain(|old| !replaced(old));
        entries.insert(place.min(entries.len()), entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(content: &str) -> Descriptor {
        Descriptor::of(media_type::OCI_MANIFEST, content.as_bytes())
    }

    #[test]
    fn a_tag_replaces_its_own_entry_and_no_other() {
        let foreign = json!({"mediaType": "x", "digest": Digest::of(b"f"), "size": 1, "platform": {"os": "plan9", "architecture": "amd64", "odd": [1]},
            "annotations": {REF_NAME: "theirs", "k": "v"}});
        let text = json!({"schemaVersion": 2, "vendor": true, "manifests": [foreign.clone(), "nonsense"]}).to_string();
        let mut index = IndexFile::parse(text.as_bytes()).unwrap();
        index.set("ours", &descriptor("1"));
        index.set("other", &descriptor("1"));
        index.set("ours", &descriptor("2"));
        assert_eq!(index.tags(), ["other", "ours", "theirs"]);
        assert_eq!(index.tagged("ours").unwrap().unwrap().digest, Digest::of(b"2"));
        assert_eq!(index.0["manifests"][0], foreign);
        assert_eq!(index.0["manifests"][1], "nonsense");
        assert_eq!(index.0["vendor"], true);
        assert_eq!(index.raw().len(), 4);
    }

    #[test]
    fn what_other_tools_write_is_found() {
        let entry = |name: Option<&str>, content: &str| {
            let mut entry = descriptor(content);
            if let Some(name) = name {
                entry.annotations.insert(REF_NAME.to_owned(), name.to_owned());
            }
            entry
        };
        let index = |entries: &[Descriptor]| IndexFile::parse(json!({"manifests": entries}).to_string().as_bytes()).unwrap();
        let full = index(&[entry(Some("docker.io/library/app:1"), "a"), entry(None, "b")]);
        assert_eq!(full.meant("1").unwrap().unwrap().digest, Digest::of(b"a"));
        assert!(full.tagged("1").unwrap().is_none());
        assert!(full.meant("2").unwrap().is_none());
        assert_eq!(index(&[entry(None, "b")]).meant("any").unwrap().unwrap().digest, Digest::of(b"b"));
        let signature = format!("sha256-{}.sig", Digest::of(b"b").hex());
        assert_eq!(index(&[entry(None, "b")]).meant(&signature).unwrap(), None, "an image is not its own signature");
        assert!(index(&[entry(Some("x"), "b")]).meant("any").unwrap().is_none());
        let twice = index(&[entry(Some("1"), "a"), entry(Some("1"), "b")]);
        assert!(matches!(twice.meant("1"), Err(LayoutProblem::Ambiguous(_, 2))));
        assert!(IndexFile::parse(br#"{"schemaVersion":2,"manifests":null}"#).unwrap().tags().is_empty());
        assert!(IndexFile::parse(br#"{"manifests":{}}"#).is_err());
        assert!(IndexFile::parse(b"[]").is_err());
    }
}
