//! Artifacts about other artifacts: finding them in the source, listing them in the destination.

use std::{
    collections::{BTreeMap, HashSet},
    sync::atomic::{AtomicBool, Ordering},
};

use futures_util::FutureExt as _;

use super::{
    CopiedReferrer,
    engine::Engine,
    graph::{Graph, Node},
    side_by_side,
};
use crate::{
    digest::Digest,
    oci::{Descriptor, Error, error::ContentError, referrers},
};

/// Most artifacts about one copied artifact, its children included.
const MAX_ATTACHED: usize = 1000;
/// Signatures may be signed; this deep it is a loop or a joke.
const MAX_DEPTH: usize = 4;
/// Manifests asked about at the same time.
const ASKS: usize = 8;
/// From how many manifests on one list of all tags is cheaper than asking for each digest tag.
const LIST_TAGS_FROM: usize = 5;

/// An artifact about another.
pub(super) struct Attached {
    pub(super) subject: Digest,
    /// Its tag, for cosign's digest tags; the others are found by their `subject`.
    pub(super) tag: Option<String>,
    pub(super) graph: Graph,
}

impl Attached {
    pub(super) fn report(&self, present: bool) -> CopiedReferrer {
        CopiedReferrer { subject: self.subject.clone(), descriptor: self.descriptor(), tag: self.tag.clone(), present }
    }

    /// What it is pushed and looked for as.
    pub(super) fn name(&self) -> &str {
        self.tag.as_deref().unwrap_or(self.graph.root().descriptor.digest.as_str())
    }

    fn descriptor(&self) -> Descriptor {
        let root = self.graph.root();
        referrers::describe(root.descriptor.clone(), &root.manifest)
    }
}

/// How the source is asked.
struct Finder<'a> {
    engine: &'a Engine,
    /// The source has no referrers API: once is enough to learn that.
    no_api: AtomicBool,
    /// It has one.
    api: AtomicBool,
    /// Every tag of the source, when it was cheaper to ask for all of them.
    tags: Option<HashSet<String>>,
}

/// Everything in the source that is about `subjects`, or about something that is.
pub(super) async fn discover(engine: &Engine, subjects: Vec<Digest>) -> Result<Vec<Attached>, Error> {
    let mut seen: HashSet<Digest> = subjects.iter().cloned().collect();
    let mut finder = Finder { engine, no_api: AtomicBool::new(false), api: AtomicBool::new(false), tags: None };
    if subjects.len() >= LIST_TAGS_FROM {
        finder.tags = match engine.source.tags(engine.cx()).await {
            Ok(tags) => Some(tags.into_iter().collect()),
            // Not everybody who may pull may list.
            Err(Error::Cancelled(stopped)) => return Err(stopped.into()),
            Err(_) => None,
        };
    }
    let mut found: Vec<Attached> = Vec::new();
    let mut wave = subjects;
    for _ in 0..MAX_DEPTH {
        let about = side_by_side(ASKS, wave.iter().map(|subject| finder.about(subject).boxed()).collect()).await?;
        wave.clear();
        for one in about.into_iter().flatten() {
            // A digest tag is copied as a tag even when its manifest is known for something else.
            let new = seen.insert(one.graph.root().descriptor.digest.clone());
            if !new && one.tag.is_none() {
                continue;
            }
            if new {
                wave.extend(one.graph.digests().cloned());
                seen.extend(one.graph.digests().cloned());
            }
            found.push(one);
            if found.len() > MAX_ATTACHED {
                return Err(ContentError::TooMany { what: "referrers of one artifact".to_owned(), limit: MAX_ATTACHED }.into());
            }
        }
        if wave.is_empty() {
            break;
        }
    }
    Ok(found)
}

impl Finder<'_> {
    async fn about(&self, subject: &Digest) -> Result<Vec<Attached>, Error> {
        let tagged = async {
            let names = referrers::DIGEST_TAGS.map(|end| format!("{}.{end}", referrers::fallback_tag(subject)));
            let wanted = names.into_iter().filter(|name| self.tags.as_ref().is_none_or(|tags| tags.contains(name)));
            side_by_side(referrers::DIGEST_TAGS.len(), wanted.map(|name| self.tagged(subject, name).boxed()).collect()).await
        };
        let (referring, tagged) = futures_util::try_join!(self.referring(subject), tagged)?;
        Ok(referring.into_iter().chain(tagged.into_iter().flatten()).collect())
    }

    /// Artifacts whose `subject` it is.
    async fn referring(&self, subject: &Digest) -> Result<Vec<Attached>, Error> {
        let (cx, source) = (self.engine.cx(), &self.engine.source);
        let schema = referrers::fallback_tag(subject);
        let from_api = async {
            let listed = if self.no_api.load(Ordering::Relaxed) { None } else { source.referrers(cx, subject).await? };
            self.no_api.store(listed.is_none(), Ordering::Relaxed);
            self.api.store(listed.is_some(), Ordering::Relaxed);
            Ok::<_, Error>(listed)
        };
        // Until the first answer has told which of the two it is, both are asked at once: a round trip is worth a request.
        let from_tag = async {
            let absent = self.tags.as_ref().is_some_and(|tags| !tags.contains(&schema));
            if absent || self.api.load(Ordering::Relaxed) {
                return Ok(Vec::new());
            }
            Ok(referrers::read_tag(cx, source, subject).await?.manifests().to_vec())
        };
        let listed = match futures_util::try_join!(from_api, from_tag) {
            Ok((from_api, from_tag)) => from_api.unwrap_or(from_tag),
            Err(error) if is_junk(&error) => {
                self.engine.cx().log.warn(format_args!("{}: the list of what is about {subject} is left out: {error}", source.display()));
                return Ok(Vec::new());
            }
            Err(error) => return Err(error),
        };
        if listed.len() > MAX_ATTACHED {
            return Err(ContentError::TooMany { what: format!("referrers of {subject}"), limit: MAX_ATTACHED }.into());
        }
        let calls = listed.iter().map(|entry| self.referrer(subject, entry).boxed()).collect();
        let fetched = side_by_side(ASKS, calls).await?;
        Ok(fetched.into_iter().flatten().collect())
    }

    /// One listed referrer; `None` when the list is wrong about it, or it is junk.
    async fn referrer(&self, subject: &Digest, entry: &Descriptor) -> Result<Option<Attached>, Error> {
        let engine = self.engine;
        let load = async {
            let node = engine.fetch_child(entry, 0).await?;
            if node.manifest.subject().is_none_or(|about| about.digest != *subject) {
                engine.cx().log.warn(format_args!("{} lists {}, which is not about {subject}", engine.source.display(), entry.digest));
                return Ok(None);
            }
            self.whole(node).await.map(Some)
        };
        let graph = self.unless_junk(&format!("referrer {}", entry.digest), load.await)?;
        Ok(graph.map(|graph| Attached { subject: subject.clone(), tag: None, graph }))
    }

    /// What a digest tag names, if there is one.
    async fn tagged(&self, subject: &Digest, tag: String) -> Result<Option<Attached>, Error> {
        let engine = self.engine;
        let (descriptor, bytes) = match engine.source.manifest(engine.cx(), &tag).await {
            Ok(found) => found,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return self.unless_junk(&format!("tag '{tag}'"), Err(error)),
        };
        let load = async { self.whole(Node::new(descriptor, bytes, 0)?).await.map(Some) };
        let graph = self.unless_junk(&format!("tag '{tag}'"), load.await)?;
        Ok(graph.map(|graph| Attached { subject: subject.clone(), tag: Some(tag), graph }))
    }

    /// Everything below `node`, which can be pushed as far as its descriptors tell.
    async fn whole(&self, node: Node) -> Result<Graph, Error> {
        let graph = Graph::load(self.engine, node, None).await?;
        graph.blobs()?;
        Ok(graph)
    }

    /// Leaves junk out, and says so.
    fn unless_junk<T>(&self, what: &str, loaded: Result<Option<T>, Error>) -> Result<Option<T>, Error> {
        match loaded {
            Err(error) if is_junk(&error) => {
                self.engine.cx().log.warn(format_args!("{what} of {} is left out: {error}", self.engine.source.display()));
                Ok(None)
            }
            loaded => loaded,
        }
    }
}

/// Whether it is the fault of whoever pushed something about an image: everybody with the right to push may, and must not be able to keep
/// the image itself from being copied. A source that cannot be asked, or that sends other bytes than it was asked for, is another matter.
const fn is_junk(error: &Error) -> bool {
    match error {
        Error::NotFound { .. } | Error::Layout(_) => true,
        Error::Content(content) => matches!(
            content,
            ContentError::Size { .. } | ContentError::TooLarge { .. } | ContentError::TooMany { .. } | ContentError::NotAManifest { .. }
        ),
        _ => false,
    }
}

/// Enters referrers into the tag schema of their subjects.
pub(super) async fn register(engine: &Engine, unlisted: &[&Attached]) -> Result<(), Error> {
    let mut by_subject: BTreeMap<&Digest, Vec<Descriptor>> = BTreeMap::new();
    for one in unlisted {
        by_subject.entry(&one.subject).or_default().push(one.descriptor());
    }
    let updates = by_subject.iter().map(|(subject, list)| referrers::register(engine.cx(), &engine.destination, subject, list).boxed());
    side_by_side(ASKS, updates.collect()).await.map(|_| ())
}
