//! One repository of one registry.

use std::sync::Arc;

use bytes::Bytes;

use super::{BlobSource, ByteStream, Cx, Descriptor, Error, Reference, Stored, auth::Credentials, transport::Transport};
use crate::digest::Digest;

/// An open repository of a registry. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Registry {}

/// How a manifest is called in messages.
pub(super) fn name_manifest(reference: &str) -> String {
    if reference.contains(':') { format!("manifest {reference}") } else { format!("tag '{reference}'") }
}

#[expect(clippy::todo, clippy::unused_async, missing_docs, unused_variables, reason = "signatures; the implementation follows")]
impl Registry {
    pub(super) fn new(transport: Arc<Transport>, host: &str, repository: &str, plain_http: bool, auth: Credentials) -> Self {
        todo!()
    }
    pub fn display(&self) -> String {
        todo!()
    }
    pub async fn find(&self, cx: Cx<'_>, reference: &Reference) -> Result<Option<Descriptor>, Error> {
        todo!()
    }
    pub async fn manifest(&self, cx: Cx<'_>, reference: &Reference) -> Result<(Descriptor, Bytes), Error> {
        todo!()
    }
    pub async fn put_manifest(&self, cx: Cx<'_>, reference: &Reference, descriptor: &Descriptor, bytes: Bytes) -> Result<bool, Error> {
        todo!()
    }
    pub async fn has_blob(&self, cx: Cx<'_>, blob: &Descriptor) -> Result<bool, Error> {
        todo!()
    }
    pub async fn open_blob(&self, cx: Cx<'_>, blob: &Descriptor, offset: u64) -> Result<ByteStream, Error> {
        todo!()
    }
    pub async fn put_blob(&self, cx: Cx<'_>, blob: &Descriptor, source: &dyn BlobSource, mount: Option<&Self>) -> Result<Stored, Error> {
        todo!()
    }
    pub async fn tags(&self, cx: Cx<'_>) -> Result<Vec<String>, Error> {
        todo!()
    }
    pub async fn referrers(&self, cx: Cx<'_>, subject: &Digest) -> Result<Option<Vec<Descriptor>>, Error> {
        todo!()
    }
    /// `HOST` or `HOST:PORT`: what limits and back-off are counted by.
    #[must_use]
    pub fn host(&self) -> &str {
        todo!()
    }
    /// Whether blobs can be mounted from `other`.
    #[must_use]
    pub fn same_registry(&self, other: &Self) -> bool {
        todo!()
    }
}
