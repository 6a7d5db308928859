//! Pushing one artifact that was made here.

use std::{collections::BTreeMap, path::PathBuf};

use bytes::Bytes;

use super::{BlobSource, Cx, Descriptor, Error, Repository};
use crate::job::Artifact;

/// Content of one blob.
#[derive(Debug, Clone)]
pub enum Content {
    /// In memory.
    Bytes(Bytes),
    /// In a file.
    File(PathBuf),
}

/// One blob of a package.
#[derive(Debug, Clone)]
pub struct Blob {
    /// Media type, digest, size, annotations.
    pub descriptor: Descriptor,
    /// Its bytes.
    pub content: Content,
}

/// An artifact to push: a manifest in the making.
#[derive(Debug, Clone)]
pub struct Package {
    /// `artifactType` of the manifest; required when the config is empty (image-spec 1.1).
    pub artifact_type: Option<String>,
    /// Configuration; [`Blob::empty`] if there is none.
    pub config: Blob,
    /// Layers in order.
    pub layers: Vec<Blob>,
    /// Annotations of the manifest.
    pub annotations: BTreeMap<String, String>,
    /// The manifest this one is about.
    pub subject: Option<Descriptor>,
}

impl Blob {
    /// A blob in memory.
    #[must_use]
    pub fn new(media_type: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { descriptor: Descriptor::of(media_type, &bytes), content: Content::Bytes(bytes) }
    }

    /// A blob in a file that is described already.
    #[must_use]
    pub const fn file(descriptor: Descriptor, path: PathBuf) -> Self {
        Self { descriptor, content: Content::File(path) }
    }

    /// The empty descriptor and its two bytes.
    #[must_use]
    pub fn empty() -> Self {
        Self { descriptor: Descriptor::empty(), content: Content::Bytes(Bytes::from_static(super::media_type::EMPTY_JSON)) }
    }

    /// Adds an annotation.
    #[must_use]
    pub fn annotate(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.descriptor = self.descriptor.annotate(key, value);
        self
    }

    /// Where its bytes come from when it is uploaded.
    #[must_use]
    pub fn source(&self) -> Box<dyn BlobSource> {
        match &self.content {
            Content::Bytes(bytes) => Box::new(bytes.clone()),
            Content::File(path) => Box::new(super::FileSource { path: path.clone(), size: self.descriptor.size }),
        }
    }
}

/// Pushes `package` under `tag`: blobs first, the manifest last and by tag, so that no tag ever names half an artifact; then reads
/// back what the tag names.
///
/// # Errors
/// When the repository refuses any of it, or names something else afterwards.
#[expect(clippy::todo, clippy::unused_async, unused_variables, reason = "signatures; the implementation follows")]
pub async fn push(cx: Cx<'_>, repository: &Repository, tag: &str, package: Package) -> Result<Artifact, Error> {
    todo!()
}
