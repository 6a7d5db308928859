//! Everything a manifest refers to, directly or through others.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use futures_util::FutureExt as _;

use super::{engine::Engine, side_by_side};
use crate::{
    digest::Digest,
    oci::{Descriptor, Error, Manifest, error::ContentError, media_type},
};

/// Most manifests of one artifact.
const MAX_MANIFESTS: usize = 2000;
/// Deepest nesting of indexes.
const MAX_DEPTH: usize = 8;
/// Manifests fetched at the same time.
const FETCHES: usize = 8;
/// Docker schema 1 without signatures; the signed one is [`media_type::DOCKER_SCHEMA1`].
const SCHEMA1_PLAIN: &str = "application/vnd.docker.distribution.manifest.v1+json";

/// One manifest.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) descriptor: Descriptor,
    pub(super) bytes: Bytes,
    pub(super) manifest: Manifest,
    /// How far it is from the root at most: children have higher levels than everything that refers to them.
    pub(super) level: usize,
}

/// A root and all manifests below it, each once, the root first.
#[derive(Debug)]
pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
}

impl Node {
    /// Reads the references of fetched bytes.
    pub(super) fn new(descriptor: Descriptor, bytes: Bytes, level: usize) -> Result<Self, Error> {
        if matches!(descriptor.media_type.as_str(), media_type::DOCKER_SCHEMA1 | SCHEMA1_PLAIN) {
            let reason = "Docker schema 1 was withdrawn and cannot be copied; pull and push the image with a current Docker first";
            return Err(ContentError::NotAManifest { media_type: descriptor.media_type, reason: reason.to_owned() }.into());
        }
        let manifest = Manifest::parse(&descriptor.media_type, &bytes)?;
        if manifest == Manifest::Unknown && media_type::is_general(&descriptor.media_type) {
            // What a gateway answers to everything is no image of a type yet to be invented.
            let reason = "neither the registry nor the document itself says what kind of manifest it is".to_owned();
            return Err(ContentError::NotAManifest { media_type: descriptor.media_type, reason }.into());
        }
        Ok(Self { descriptor, bytes, manifest, level })
    }

    /// Blobs it refers to, entries of an index that are no manifests among them.
    pub(super) fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        self.manifest.blobs().chain(self.manifest.manifests().iter().filter(|entry| !entry.is_manifest()))
    }
}

/// The error for an entry of an index: one that is missing was not asked for by anybody who would know its digest.
fn lost(error: Error, entry: &Descriptor) -> Error {
    let Error::NotFound { repository, .. } = error else { return error };
    let platform = entry.platform.as_ref().map_or_else(String::new, |platform| format!(" for {platform}"));
    Error::NotFound { what: format!("manifest {}{platform}, which an index lists,", entry.digest), repository }
}

impl Graph {
    /// Fetches everything below `root`. `only` limits the root's entries to those digests.
    pub(super) async fn load(engine: &Engine, root: Node, only: Option<&HashSet<Digest>>) -> Result<Self, Error> {
        let mut nodes = vec![root];
        let mut places: HashMap<Digest, usize> = HashMap::from([(nodes[0].descriptor.digest.clone(), 0)]);
        let mut level_begin = 0;
        for level in 1.. {
            let mut wanted: Vec<Descriptor> = Vec::new();
            for (at, node) in nodes.iter().enumerate().skip(level_begin) {
                for entry in node.manifest.manifests().iter().filter(|entry| entry.is_manifest()) {
                    let left_out = at == 0 && only.is_some_and(|only| !only.contains(&entry.digest));
                    if !left_out && !places.contains_key(&entry.digest) && wanted.iter().all(|other| other.digest != entry.digest) {
                        wanted.push(entry.clone());
                    }
                }
            }
            if wanted.is_empty() {
                break;
            }
            if level > MAX_DEPTH {
                return Err(ContentError::TooMany { what: "levels of indexes inside one another".to_owned(), limit: MAX_DEPTH }.into());
            }
            if nodes.len() + wanted.len() > MAX_MANIFESTS {
                return Err(ContentError::TooMany { what: "manifests in one artifact".to_owned(), limit: MAX_MANIFESTS }.into());
            }
            level_begin = nodes.len();
            let fetch = async |entry: &Descriptor| engine.fetch_child(entry, level).await.map_err(|error| lost(error, entry));
            let calls = wanted.iter().map(|entry| fetch(entry).boxed()).collect();
            let fetched = side_by_side(FETCHES, calls).await?;
            for node in fetched {
                places.insert(node.descriptor.digest.clone(), nodes.len());
                nodes.push(node);
            }
        }
        let mut graph = Self { nodes };
        graph.settle(&places);
        Ok(graph)
    }

    /// A manifest that is referred to from several levels belongs below the lowest of them. Digests cannot form a circle.
    fn settle(&mut self, places: &HashMap<Digest, usize>) {
        for _ in 0..MAX_DEPTH {
            let mut moved = false;
            for at in 0..self.nodes.len() {
                let below = self.nodes[at].level + 1;
                let children: Vec<_> =
                    self.nodes[at].manifest.manifests().iter().filter_map(|entry| places.get(&entry.digest).copied()).collect();
                for child in children {
                    if child != 0 && self.nodes[child].level < below {
                        self.nodes[child].level = below;
                        moved = true;
                    }
                }
            }
            if !moved {
                break;
            }
        }
    }

    pub(super) fn root(&self) -> &Node {
        &self.nodes[0]
    }

    pub(super) fn digests(&self) -> impl Iterator<Item = &Digest> {
        self.nodes.iter().map(|node| &node.descriptor.digest)
    }

    /// Every blob once.
    pub(super) fn blobs(&self) -> Result<BTreeMap<Digest, Descriptor>, Error> {
        let mut blobs = BTreeMap::new();
        for blob in self.nodes.iter().flat_map(Node::blobs) {
            let known = blobs.entry(blob.digest.clone()).or_insert_with(|| blob.clone());
            if known.size != blob.size {
                let what = format!("blob {} as one manifest describes it", blob.digest);
                return Err(ContentError::Size { what, expected: known.size, actual: blob.size }.into());
            }
        }
        Ok(blobs)
    }

    /// Bytes of all manifests and blobs, each counted once.
    pub(super) fn size(&self) -> Result<u64, Error> {
        let manifests: u64 = self.nodes.iter().map(|node| node.descriptor.size).sum();
        Ok(self.blobs()?.values().fold(manifests, |sum, blob| sum.saturating_add(blob.size)))
    }
}
