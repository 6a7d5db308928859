//! Image layouts on disk.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{BlobSource, ByteStream, Cx, Descriptor, Error, Reference, Stored};
use crate::{
    digest::Digest,
    job::{Failure, FailureKind},
};

/// An unusable layout folder.
#[derive(Debug, thiserror::Error)]
#[error("{path}: not an OCI layout", path = path.display())]
pub struct LayoutError {
    path: PathBuf,
}

impl LayoutError {
    /// See [`Error::advice`].
    #[must_use]
    pub fn not_a_layout(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }
}

impl From<LayoutError> for Failure {
    fn from(error: LayoutError) -> Self {
        Self::new(FailureKind::InvalidPlan, error.to_string())
    }
}

/// A layout folder.
#[derive(Debug, Clone)]
pub struct Layout {
    path: PathBuf,
}

#[expect(clippy::todo, clippy::unused_async, missing_docs, unused_variables, reason = "signatures; the implementation follows")]
impl Layout {
    pub fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self { path: path.to_owned() })
    }
    pub fn display(&self) -> String {
        self.path.display().to_string()
    }
    pub async fn find(&self, cx: Cx<'_>, reference: &Reference) -> Result<Option<Descriptor>, Error> {
        todo!()
    }
    pub async fn manifest(&self, cx: Cx<'_>, reference: &Reference) -> Result<(Descriptor, Bytes), Error> {
        todo!()
    }
    pub async fn put_manifest(&self, cx: Cx<'_>, reference: &Reference, descriptor: &Descriptor, bytes: Bytes) -> Result<(), Error> {
        todo!()
    }
    pub async fn has_blob(&self, cx: Cx<'_>, blob: &Descriptor) -> Result<bool, Error> {
        todo!()
    }
    pub async fn open_blob(&self, cx: Cx<'_>, blob: &Descriptor, offset: u64) -> Result<ByteStream, Error> {
        todo!()
    }
    pub async fn put_blob(&self, cx: Cx<'_>, blob: &Descriptor, source: &dyn BlobSource) -> Result<Stored, Error> {
        todo!()
    }
    pub async fn tags(&self, cx: Cx<'_>) -> Result<Vec<String>, Error> {
        todo!()
    }
    pub async fn referrers(&self, cx: Cx<'_>, subject: &Digest) -> Result<Option<Vec<Descriptor>>, Error> {
        todo!()
    }
}
