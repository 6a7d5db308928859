//! Descriptors: media type, digest and size of one piece of content (image-spec 1.1, `descriptor.md`).
//!
//! They are read out of manifests and written into manifests made here. Manifests that were fetched are never written again from
//! these types: their bytes travel as they came.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};

use super::media_type;
use crate::{digest::Digest, job::Platform};

/// One piece of content. Field order is the order in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the content is.
    #[serde(default)]
    pub media_type: String,
    /// Type of the artifact, when the content is a manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Digest of the raw bytes.
    pub digest: Digest,
    /// Number of bytes.
    pub size: u64,
    /// Where else the content can be downloaded.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// Annotations.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The content itself, base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// For an entry of an index: what it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

/// Go writes empty lists and maps as `null`.
fn null_is_empty<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

impl Descriptor {
    /// Descriptor of `size` bytes that have `digest`.
    #[must_use]
    pub fn new(media_type: impl Into<String>, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.into(),
            artifact_type: None,
            digest,
            size,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            data: None,
            platform: None,
        }
    }

    /// Descriptor of `content`.
    #[must_use]
    pub fn of(media_type: impl Into<String>, content: &[u8]) -> Self {
        Self::new(media_type, Digest::of(content), content.len() as u64)
    }

    /// The empty descriptor, with its content inline (image-spec 1.1, `manifest.md`, "Guidance for an Empty Descriptor").
    #[must_use]
    pub fn empty() -> Self {
        Self { data: Some(STANDARD.encode(media_type::EMPTY_JSON)), ..Self::of(media_type::EMPTY, media_type::EMPTY_JSON) }
    }

    /// Adds an annotation.
    #[must_use]
    pub fn annotate(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.annotations.insert(key.into(), value.into());
        self
    }

    /// The content, when it stands in the descriptor and really is what the descriptor says.
    #[must_use]
    pub fn inline(&self) -> Option<Bytes> {
        let content = STANDARD.decode(self.data.as_ref()?).ok()?;
        (content.len() as u64 == self.size && self.digest.matches(&content)).then(|| content.into())
    }

    /// Whether it says that the content is a manifest or index.
    #[must_use]
    pub fn is_manifest(&self) -> bool {
        media_type::is_manifest(&self.media_type)
    }

    /// Whether the content may lawfully be absent from a registry and be had from `urls` alone.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        media_type::is_nondistributable(&self.media_type) && !self.urls.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_go_nulls_and_unknown_keys() {
        let text = format!(r#"{{"mediaType":"x","digest":"{}","size":2,"urls":null,"annotations":null,"new":1}}"#, Digest::of(b"{}"));
        let descriptor: Descriptor = serde_json::from_str(&text).expect("valid");
        assert_eq!(descriptor, Descriptor::of("x", b"{}"));
    }

    #[test]
    fn inline_content_counts_only_when_it_is_true() {
        assert_eq!(Descriptor::empty().inline().as_deref(), Some(b"{}".as_slice()));
        let wrong = Descriptor { data: Some("e30K".into()), ..Descriptor::empty() };
        assert_eq!(wrong.inline(), None);
    }
}
