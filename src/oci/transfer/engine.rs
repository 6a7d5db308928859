//! The order of things in one copy.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio::time::Instant;

use super::{
    CopyOptions, CopyReport, Tally,
    attached::{self, Attached},
    graph::{Graph, Node},
    job::Job,
    platform::{self, Selected},
    pool, side_by_side,
};
use crate::{
    digest::{Algorithm, Digest},
    job::{Artifact, Platform},
    logs::{JobLog, Progress},
    oci::{Accepted, Cx, Descriptor, Error, Manifest, Repository, error::ContentError, media_type},
    shutdown::Cancel,
};

/// Manifests pushed at the same time.
const PUSHES: usize = 8;
/// Blobs in flight where no setting says otherwise (layouts).
const CEILING: usize = 8;

/// A destination that takes this long to answer is worth being asked for more than may be needed. Registries of the same machine or
/// network answer within a few milliseconds, others in tens.
const FAR: Duration = Duration::from_millis(10);

/// One copy under way.
pub(super) struct Engine {
    pub(super) source: Repository,
    pub(super) destination: Repository,
    pub(super) options: CopyOptions,
    pub(super) cancel: Cancel,
    pub(super) log: JobLog,
    pub(super) progress: Progress,
}

/// Everything that has to be pushed before a root may be.
#[derive(Default)]
struct Work<'a> {
    blobs: BTreeMap<Digest, Descriptor>,
    /// By level: highest first.
    manifests: BTreeMap<std::cmp::Reverse<usize>, Vec<&'a Node>>,
}

impl Engine {
    pub(super) fn new(cx: Cx<'_>, source: &Repository, destination: &Repository, options: &CopyOptions) -> Self {
        Self {
            source: source.clone(),
            destination: destination.clone(),
            options: options.clone(),
            cancel: cx.cancel.clone(),
            log: cx.log.clone(),
            progress: cx.progress.clone(),
        }
    }

    pub(super) fn cx(&self) -> Cx<'_> {
        Cx { cancel: &self.cancel, log: &self.log, progress: &self.progress }
    }

    /// Most blobs in flight.
    pub(super) fn ceiling(&self) -> usize {
        match &self.destination {
            Repository::Registry(registry) => registry.concurrency(),
            Repository::Layout(_) => CEILING,
        }
    }

    /// How often either side has throttled this process so far.
    pub(super) fn refusals(&self) -> u64 {
        [&self.source, &self.destination].into_iter().fold(0, |sum, side| match side {
            Repository::Registry(registry) => sum + registry.refusals(),
            Repository::Layout(_) => sum,
        })
    }

    pub(super) async fn run(&self, reference: &str, tag: &str) -> Result<CopyReport, Error> {
        let cx = self.cx();
        self.destination.will_write();
        let asked = Instant::now();
        let current = async { Ok((self.destination.find(cx, tag).await?, asked.elapsed())) };
        let ((descriptor, bytes), (current, trip)) = futures_util::try_join!(self.source.manifest(cx, reference), current)?;
        let Selected { root, only } = platform::select(self, Node::new(descriptor, bytes, 0)?, reference).await?;
        let digest = root.descriptor.digest.clone();
        let unchanged = current.is_some_and(|current| current.digest == digest) && !self.options.deep;
        let graph = Graph::load(self, root, only.as_ref()).await?;
        let job = Arc::new(self.job(&graph));
        if trip >= FAR {
            job.begin();
        }
        let upload = self.push_unless_known(&job, &graph, unchanged);
        let discover = async {
            if !self.options.referrers {
                return Ok(Vec::new());
            }
            // A tag that has not moved is asked about for new signatures of the root alone.
            let subjects = if unchanged { vec![digest.clone()] } else { graph.digests().cloned().collect() };
            attached::discover(self, subjects).await
        };
        let ((known, mut blobs), attached) = futures_util::try_join!(upload, discover)?;
        let root = graph.root();
        let missing = self.missing(&attached).await?;
        // Under its digest, so that what is about it never is about nothing, or since registries give what comes by tag a digest of SHA-256;
        // the tag still waits.
        if !known && (missing.contains(&true) || digest.algorithm() != Algorithm::Sha256) {
            self.put(digest.as_str(), root).await?;
        }
        if missing.contains(&true) {
            let lacking = attached.iter().zip(&missing).filter(|(_, missing)| **missing).map(|(one, _)| one).collect();
            blobs += self.attach(&job, lacking).await?;
        }
        if !unchanged {
            let accepted = match self.put(tag, root).await {
                Err(Error::Response(answer)) if known && answer.lacks_blobs() => {
                    // It has the root, and somebody removed of it what we took for granted.
                    self.log.info(format_args!("{} has {digest} in part: all of it is sent", self.destination.display()));
                    job.begin();
                    blobs += self.push_all(&job, &graph).boxed().await?;
                    self.put(tag, root).await?
                }
                answered => answered?,
            };
            if !accepted.confirms_digest {
                self.read_back(tag, root).await?;
            }
        }
        Ok(CopyReport {
            artifact: Artifact {
                repository: self.destination.display(),
                tag: tag.to_owned(),
                digest,
                media_type: root.descriptor.media_type.clone(),
                size: graph.size()?,
                platform: job.platform.get().cloned(),
            },
            root: root.descriptor.clone(),
            annotations: root.manifest.annotations().cloned().unwrap_or_default(),
            no_op: unchanged && !missing.contains(&true),
            blobs,
            referrers: attached.iter().zip(missing).map(|(one, missing)| one.report(!missing)).collect(),
        })
    }

    fn job(&self, graph: &Graph) -> Job {
        let config = match &graph.root().manifest {
            Manifest::Image(image) if is_image_config(&image.config) => Some(image.config.digest.clone()),
            _ => None,
        };
        Job::new(self, config)
    }

    /// Learns the platform of an image of which only the tag is sent.
    async fn read_config(&self, job: &Job, graph: &Graph) -> Result<(), Error> {
        if let (Some(_), Manifest::Image(image)) = (&job.config, &graph.root().manifest) {
            job.note_platform(&self.source.blob(self.cx(), &image.config, platform::MAX_CONFIG).await?);
        }
        Ok(())
    }

    /// A manifest below the root.
    pub(super) async fn fetch_child(&self, entry: &Descriptor, level: usize) -> Result<Node, Error> {
        let (mut descriptor, bytes) = self.source.manifest(self.cx(), entry.digest.as_str()).await?;
        if descriptor.size != entry.size {
            let what = format!("manifest {} of {}", entry.digest, self.source.display());
            return Err(ContentError::Size { what, expected: entry.size, actual: descriptor.size }.into());
        }
        // The index is what consumers go by; a registry's Content-Type is not.
        descriptor.media_type.clone_from(&entry.media_type);
        Node::new(descriptor, bytes, level)
    }

    pub(super) fn no_platform(&self, wanted: &Platform, reference: &str, has: &[Platform]) -> Error {
        let has: Vec<_> = has.iter().map(ToString::to_string).collect();
        let has = if has.is_empty() { "none".to_owned() } else { has.join(", ") };
        Error::NotFound { what: format!("platform {wanted} of '{reference}' (it has {has})"), repository: self.source.display() }
    }

    /// Pushes everything below the root, unless the destination has the root under its digest, and so all of it: then the same
    /// content only gets another tag. Returns whether it had.
    ///
    /// While the destination is asked, the first blobs are asked for already. A near one has to answer before anything else is
    /// asked of it; one that is [`FAR`] hears of the blobs in the meantime, since a blob it has costs it a short answer, and
    /// a blob it lacks a round trip less.
    async fn push_unless_known(&self, job: &Arc<Job>, graph: &Graph, unchanged: bool) -> Result<(bool, Tally), Error> {
        if unchanged {
            // Not even the configuration is read for its platform: most syncs of a mirror end here.
            return Ok((true, Tally::default()));
        }
        let ask = async {
            let known = !self.options.deep && self.destination.find(self.cx(), graph.root().descriptor.digest.as_str()).await?.is_some();
            if !known {
                job.begin();
            }
            Ok::<_, Error>(known)
        };
        let (mut ask, mut push) = (Box::pin(ask), Box::pin(self.push_all(job, graph)));
        let known = tokio::select! {
            biased;
            known = &mut ask => known?,
            // Faster than the answer: an error, or nothing to push. An error of what was not needed does not count.
            tally = &mut push => {
                if !ask.await? {
                    return Ok((false, tally?));
                }
                true
            }
        };
        if known {
            drop(push);
            return self.read_config(job, graph).await.map(|()| (true, Tally::default()));
        }
        Ok((false, push.await?))
    }

    /// Pushes everything below the root.
    async fn push_all(&self, job: &Arc<Job>, graph: &Graph) -> Result<Tally, Error> {
        let mut work = Work::default();
        work.add(self, graph)?;
        self.push(job, work).await
    }

    /// Pushes blobs, then manifests from the leaves up. Returns how the blobs got there.
    async fn push(&self, job: &Arc<Job>, work: Work<'_>) -> Result<Tally, Error> {
        let tally = pool::send(self, job, work.blobs.into_values().collect()).await?;
        for nodes in work.manifests.into_values() {
            let pushes = nodes.iter().map(|node| self.put(node.descriptor.digest.as_str(), node).boxed()).collect();
            side_by_side(PUSHES, pushes).await?;
        }
        Ok(tally)
    }

    async fn put(&self, reference: &str, node: &Node) -> Result<Accepted, Error> {
        self.destination.put_manifest(self.cx(), reference, &node.descriptor, node.bytes.clone()).await
    }

    /// What the tag really names now, by whatever algorithm the registry names it.
    async fn read_back(&self, tag: &str, root: &Node) -> Result<(), Error> {
        match self.destination.find(self.cx(), tag).await? {
            Some(now) if !now.digest.matches(&root.bytes) => {
                let what = format!("tag '{tag}' of {}, read back after pushing,", self.destination.display());
                Err(ContentError::Digest { what, expected: root.descriptor.digest.clone(), actual: now.digest }.into())
            }
            Some(_) => Ok(()),
            None => {
                // NVIDIA/k8s-test-infra#390: some registries take a while to show what they accepted.
                self.log.warn(format_args!("{} took tag '{tag}' and does not show it yet", self.destination.display()));
                Ok(())
            }
        }
    }

    /// For each, whether the destination lacks it.
    async fn missing(&self, attached: &[Attached]) -> Result<Vec<bool>, Error> {
        side_by_side(PUSHES, attached.iter().map(|one| self.lacks(one).boxed()).collect()).await
    }

    async fn lacks(&self, one: &Attached) -> Result<bool, Error> {
        let root = &one.graph.root().descriptor;
        let found = self.destination.find(self.cx(), one.name()).await?;
        Ok(self.options.deep || found.is_none_or(|found| found.digest != root.digest))
    }

    /// Pushes artifacts about others and has them listed where the registry does not do so itself.
    async fn attach(&self, job: &Arc<Job>, attached: Vec<&Attached>) -> Result<Tally, Error> {
        // Also when the root was there, so that nothing has been sent before.
        job.begin();
        let mut work = Work::default();
        for one in &attached {
            work.add(self, &one.graph)?;
        }
        let tally = self.push(job, work).await?;
        let pushes = attached.iter().map(|one| self.put(one.name(), one.graph.root()).boxed()).collect();
        let accepted = side_by_side(PUSHES, pushes).await?;
        let unlisted: Vec<_> = attached
            .into_iter()
            .zip(accepted)
            .filter(|(one, accepted)| !accepted.lists_subject && one.tag.is_none())
            .map(|(one, _)| one)
            .collect();
        attached::register(self, &unlisted).await?;
        Ok(tally)
    }
}

fn is_image_config(config: &Descriptor) -> bool {
    matches!(config.media_type.as_str(), media_type::OCI_CONFIG | "application/vnd.docker.container.image.v1+json")
        && config.size <= platform::MAX_CONFIG
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.uploaded += other.uploaded;
        self.mounted += other.mounted;
        self.present += other.present;
        self.bytes += other.bytes;
    }
}

impl<'a> Work<'a> {
    /// Adds all of `graph` but its root.
    fn add(&mut self, engine: &Engine, graph: &'a Graph) -> Result<(), Error> {
        let wanted = |blob: &Descriptor| engine.options.foreign_layers || !blob.is_foreign();
        self.blobs.extend(graph.blobs()?.into_iter().filter(|(_, blob)| wanted(blob)));
        let mut known: HashSet<&Digest> = self.manifests.values().flatten().map(|node| &node.descriptor.digest).collect();
        for node in &graph.nodes[1..] {
            if known.insert(&node.descriptor.digest) {
                self.manifests.entry(std::cmp::Reverse(node.level)).or_default().push(node);
            }
        }
        Ok(())
    }
}
