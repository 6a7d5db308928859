//! Copying one artifact, and everything about it, from one repository to another without changing a byte.
//!
//! ```text
//! source tag ─► manifest ─► graph of manifests (nested indexes, each once) ─┬─► blobs, each once, small ones first ─┐
//! destination tag ─► same digest? done                                      └─► referrers and digest tags ──────────┤
//!                                              children, referrers, and the root by tag last ◄──────────────────────┘
//! ```
//!
//! Invariants: manifests travel byte for byte; a manifest is pushed only after everything it refers to; the destination's tag
//! moves last, so it never names half an artifact; blobs pass through memory piece by piece and touch no disk. How single requests
//! are retried, resumed and authenticated is the registry client's business ([`super::Repository`]).
//!
//! Requests to a destination registry for a fresh image of *n* blobs: HEAD tag, HEAD digest, *n* × (POST, PUT), PUT tag, HEAD tag. The POST asks
//! for the blob to be mounted from the source or from the destination itself, so a blob that is there already costs that one
//! request. An unchanged tag costs one HEAD.
//!
//! Called by the executors that copy, through [`copy`].

mod attached;
mod engine;
mod graph;
mod job;
mod platform;
mod pool;

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, TryStreamExt as _, future::BoxFuture};

use super::{Cx, Descriptor, Error, Repository};
use crate::{
    digest::Digest,
    job::{Artifact, Platform},
};
use engine::Engine;

/// What becomes of an index of which only some platforms are copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PartialIndex {
    /// A new index of the platforms copied: complete, and of another digest than the source's.
    #[default]
    Rebuilt,
    /// The source's own index, digest kept, naming manifests that are not there; many registries refuse that.
    Sparse,
}

/// Whose word is taken for the digests of blobs. Sizes, and digests of manifests, are always checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Verify {
    /// The destination's, if it is known to check what it stores: layouts do, registries are taken to do so when they name the digest of an
    /// upload (`Docker-Content-Digest`). Until the first upload has told, and where it does not, every byte is hashed here. A
    /// registry's complaint makes the blob be sent again and hashed on its way, which tells whether the source is to blame.
    #[default]
    Destination,
    /// As [`Verify::Destination`], also for a layout: it was written a moment ago by the execution that copies it, so it had no time to rot.
    Fresh,
    /// Ours as well: every byte is hashed here.
    Always,
}

/// How to copy.
#[derive(Debug, Clone)]
pub struct CopyOptions {
    /// Whether signatures, SBOMs and other artifacts about the manifests come along (referrers, and cosign's digest tags).
    pub referrers: bool,
    /// Platforms to copy out of an index; all of them when empty. BuildKit's attestations follow their image.
    pub platforms: Vec<Platform>,
    /// What becomes of the index then.
    pub partial_index: PartialIndex,
    /// Whose word is taken for digests.
    pub verify: Verify,
    /// Looks at every manifest and blob even where the destination has the same root, for destinations that were filled only in part
    /// (interrupted mirrors, pull-through caches).
    pub deep: bool,
    /// Whether layers that are not to be distributed come along.
    pub foreign_layers: bool,
}

impl Default for CopyOptions {
    fn default() -> Self {
        Self {
            referrers: true,
            platforms: Vec::new(),
            partial_index: PartialIndex::default(),
            verify: Verify::default(),
            deep: false,
            foreign_layers: false,
        }
    }
}

/// How the blobs got there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Blobs whose bytes were sent.
    pub uploaded: usize,
    /// Blobs the registry took from the source repository.
    pub mounted: usize,
    /// Blobs that were there.
    pub present: usize,
    /// Bytes sent.
    pub bytes: u64,
}

/// An artifact about the one that was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopiedReferrer {
    /// The manifest it is about.
    pub subject: Digest,
    /// Itself, with artifact type and annotations.
    pub descriptor: Descriptor,
    /// Its tag, for cosign's digest tags.
    pub tag: Option<String>,
    /// Whether the destination had it.
    pub present: bool,
}

/// What was copied.
#[derive(Debug, Clone)]
pub struct CopyReport {
    /// What the destination's tag names now. Of an image that was there already the platform is not found out.
    pub artifact: Artifact,
    /// The same as descriptor: its size is that of the manifest alone.
    pub root: Descriptor,
    /// Annotations of the manifest or index.
    pub annotations: BTreeMap<String, String>,
    /// Whether the destination had all of it.
    pub no_op: bool,
    /// Blobs.
    pub blobs: Tally,
    /// What came along.
    pub referrers: Vec<CopiedReferrer>,
}

/// Copies what `reference` (a tag or digest) names in `source` to `tag` in `destination`.
///
/// Where the tag names that digest already, nothing is asked about what it refers to unless `options.deep`; artifacts about the root
/// that are missing are copied even then.
///
/// # Errors
/// When the source does not have it, or has something else than it promised; when the destination refuses it. The tag has
/// not been moved then.
pub async fn copy(
    cx: Cx<'_>,
    source: &Repository,
    reference: &str,
    destination: &Repository,
    tag: &str,
    options: &CopyOptions,
) -> Result<CopyReport, Error> {
    let engine = Engine::new(cx, source, destination, options);
    // Large for a future, and called once per job.
    Box::pin(engine.run(reference, tag)).await
}

/// Runs calls side by side, at most `limit` at a time; results in the order of the calls. The first error stops the others.
async fn side_by_side<T>(limit: usize, calls: Vec<BoxFuture<'_, Result<T, Error>>>) -> Result<Vec<T>, Error> {
    futures_util::stream::iter(calls).buffered(limit).try_collect().await
}
