//! Manifests and indexes: what they refer to (image-spec 1.1, `manifest.md` and `image-index.md`).
//!
//! [`Manifest::parse`] reads fetched bytes for their references only; the bytes themselves travel unchanged. [`ImageManifest`] is
//! also what manifests made here are written from: keys in a fixed order, so the same content gives the same digest.
//!
//! Called by `registry`, `layout`, `transfer`, `push` and the executors that read artifacts.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};

use super::{Descriptor, error::ContentError, media_type};

/// Largest manifest that is pushed: what the distribution specification lets a client expect of every registry.
pub const MAX_PUSHED: u64 = 4 << 20;
/// Largest manifest that is read; some registries take more than they have to.
pub const MAX_READ: u64 = 8 << 20;
/// Most references one manifest may hold. A real index has dozens, an image at most a few hundred layers.
pub const MAX_CHILDREN: usize = 20_000;

/// An image manifest or artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageManifest {
    /// Always 2.
    pub schema_version: u32,
    /// Its own media type.
    #[serde(default)]
    pub media_type: String,
    /// Type of the artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Configuration blob.
    pub config: Descriptor,
    /// Layers in order.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub layers: Vec<Descriptor>,
    /// The manifest this one is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Annotations.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// An image index or manifest list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// Its own media type.
    #[serde(default)]
    pub media_type: String,
    /// Type of the artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Entries in order.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub manifests: Vec<Descriptor>,
    /// The manifest this one is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Annotations.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// The withdrawn artifact manifest: blobs without a config.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactManifest {
    /// Type of the artifact.
    #[serde(default)]
    pub artifact_type: Option<String>,
    /// Blobs in order.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub blobs: Vec<Descriptor>,
    /// The manifest this one is about.
    #[serde(default)]
    pub subject: Option<Descriptor>,
    /// Annotations.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A parsed manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "one at a time, and never in a collection")]
pub enum Manifest {
    /// One image or artifact.
    Image(ImageManifest),
    /// Several.
    Index(Index),
    /// The withdrawn form of an artifact.
    Artifact(ArtifactManifest),
    /// Something this project does not understand (Docker schema 1, a type yet to be invented): a leaf, copied as it is
    /// (image-spec 1.1: implementations must not fail on unknown media types).
    Unknown,
}

fn null_is_empty<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Media type the document itself claims, and enough of its shape to guess when it claims none.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    manifests: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    config: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    schema_version: Option<serde_json::Value>,
}

impl Manifest {
    /// Reads the references of `bytes`, which are of `media_type` according to whoever sent them.
    ///
    /// # Errors
    /// When it is not JSON of that shape, or refers to more than [`MAX_CHILDREN`] pieces of content.
    pub fn parse(media_type: &str, bytes: &[u8]) -> Result<Self, ContentError> {
        let bad = |source: serde_json::Error| ContentError::NotAManifest { media_type: media_type.to_owned(), reason: source.to_string() };
        let manifest = match media_type {
            media_type::OCI_MANIFEST | media_type::DOCKER_MANIFEST => Self::Image(serde_json::from_slice(bytes).map_err(bad)?),
            media_type::OCI_INDEX | media_type::DOCKER_LIST => Self::Index(serde_json::from_slice(bytes).map_err(bad)?),
            media_type::OCI_ARTIFACT => Self::Artifact(serde_json::from_slice(bytes).map_err(bad)?),
            _ => Self::Unknown,
        };
        let count = manifest.blobs().count() + manifest.manifests().len();
        if count > MAX_CHILDREN {
            return Err(ContentError::TooMany { what: "references in one manifest".to_owned(), limit: MAX_CHILDREN });
        }
        Ok(manifest)
    }

    /// Blobs it refers to: the config first, then the layers in order.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        let (config, layers) = match self {
            Self::Image(image) => (Some(&image.config), image.layers.as_slice()),
            Self::Artifact(artifact) => (None, artifact.blobs.as_slice()),
            Self::Index(_) | Self::Unknown => (None, [].as_slice()),
        };
        config.into_iter().chain(layers)
    }

    /// Entries of an index; empty for anything else. An entry is not always a manifest: ask its media type.
    #[must_use]
    pub fn manifests(&self) -> &[Descriptor] {
        match self {
            Self::Index(index) => &index.manifests,
            Self::Image(_) | Self::Artifact(_) | Self::Unknown => &[],
        }
    }

    /// The manifest it is about.
    #[must_use]
    pub fn subject(&self) -> Option<&Descriptor> {
        match self {
            Self::Image(image) => image.subject.as_ref(),
            Self::Index(index) => index.subject.as_ref(),
            Self::Artifact(artifact) => artifact.subject.as_ref(),
            Self::Unknown => None,
        }
    }

    /// Its annotations.
    #[must_use]
    pub fn annotations(&self) -> Option<&BTreeMap<String, String>> {
        match self {
            Self::Image(image) => Some(&image.annotations),
            Self::Index(index) => Some(&index.annotations),
            Self::Artifact(artifact) => Some(&artifact.annotations),
            Self::Unknown => None,
        }
    }

    /// Type of the artifact; a reader falls back to the config's media type (image-spec 1.1, `manifest.md`).
    #[must_use]
    pub fn artifact_type(&self) -> Option<&str> {
        match self {
            Self::Image(image) => Some(image.artifact_type.as_deref().unwrap_or(&image.config.media_type)),
            Self::Index(index) => index.artifact_type.as_deref(),
            Self::Artifact(artifact) => artifact.artifact_type.as_deref(),
            Self::Unknown => None,
        }
    }
}

impl ImageManifest {
    /// The bytes to push.
    ///
    /// # Errors
    /// When they are more than [`MAX_PUSHED`].
    pub fn to_bytes(&self) -> Result<Bytes, ContentError> {
        to_bytes(self)
    }
}

impl Index {
    /// The bytes to push.
    ///
    /// # Errors
    /// When they are more than [`MAX_PUSHED`].
    pub fn to_bytes(&self) -> Result<Bytes, ContentError> {
        to_bytes(self)
    }
}

fn to_bytes(value: &impl Serialize) -> Result<Bytes, ContentError> {
    let bytes = serde_json::to_vec(value).map_err(|e| ContentError::NotAManifest { media_type: String::new(), reason: e.to_string() })?;
    if bytes.len() as u64 > MAX_PUSHED {
        return Err(ContentError::TooLarge { what: "the manifest".to_owned(), limit: MAX_PUSHED });
    }
    Ok(bytes.into())
}

/// Media type of a manifest whose sender did not say, or said something general: what the document itself claims, else what it
/// looks like.
#[must_use]
pub fn effective_media_type(sent: Option<&str>, bytes: &[u8]) -> String {
    let sent = sent.map_or("", |text| text.split(';').next().unwrap_or("").trim());
    if media_type::is_manifest(sent) {
        return sent.to_owned();
    }
    let Ok(probe) = serde_json::from_slice::<Probe>(bytes) else { return sent.to_owned() };
    match probe {
        Probe { media_type: Some(claimed), .. } if !claimed.is_empty() => claimed,
        Probe { schema_version: Some(version), .. } if version == 1 => media_type::DOCKER_SCHEMA1.to_owned(),
        Probe { manifests: Some(_), .. } => media_type::OCI_INDEX.to_owned(),
        Probe { config: Some(_), .. } => media_type::OCI_MANIFEST.to_owned(),
        _ => sent.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> ImageManifest {
        ImageManifest {
            schema_version: 2,
            media_type: media_type::OCI_MANIFEST.to_owned(),
            artifact_type: Some("a/b".to_owned()),
            config: Descriptor::empty(),
            layers: vec![Descriptor::of(media_type::ZIP, b"zip").annotate("k", "v")],
            subject: None,
            annotations: BTreeMap::new(),
        }
    }

    #[test]
    fn a_made_manifest_is_the_same_bytes_every_time() {
        let bytes = image().to_bytes().expect("small");
        assert_eq!(
            std::str::from_utf8(&bytes).expect("text"),
            concat!(
                r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"a/b","#,
                r#""config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2,"data":"e30="},"#,
                r#""layers":[{"mediaType":"archive/zip","digest":"sha256:a0bb1641c08c2f2ef6a2e88a19c86f95a2cc5dd02b63a68cbbeecc2d5f1d4ca3","size":3,"annotations":{"k":"v"}}]}"#
            )
            .replace("a0bb1641c08c2f2ef6a2e88a19c86f95a2cc5dd02b63a68cbbeecc2d5f1d4ca3", crate::digest::Digest::of(b"zip").hex())
        );
        let parsed = Manifest::parse(media_type::OCI_MANIFEST, &bytes).expect("valid");
        assert_eq!(parsed, Manifest::Image(image()));
        assert_eq!(parsed.blobs().count(), 2);
    }

    #[test]
    fn unknown_types_are_leaves_and_broken_ones_errors() {
        assert_eq!(Manifest::parse("application/x", b"<html>").expect("leaf"), Manifest::Unknown);
        assert!(Manifest::parse(media_type::OCI_INDEX, b"<html>").is_err());
        assert!(Manifest::parse(media_type::OCI_MANIFEST, br#"{"schemaVersion":2,"config":{"digest":"sha256:../x","size":1}}"#).is_err());
    }

    #[test]
    fn the_type_is_guessed_only_when_nobody_says() {
        assert_eq!(effective_media_type(Some("application/vnd.oci.image.index.v1+json; charset=utf-8"), b"{}"), media_type::OCI_INDEX);
        assert_eq!(effective_media_type(Some("application/json"), br#"{"schemaVersion":2,"manifests":[]}"#), media_type::OCI_INDEX);
        assert_eq!(effective_media_type(None, br#"{"schemaVersion":2,"config":{},"layers":[]}"#), media_type::OCI_MANIFEST);
        assert_eq!(effective_media_type(Some("text/plain"), br#"{"schemaVersion":1}"#), media_type::DOCKER_SCHEMA1);
    }
}
