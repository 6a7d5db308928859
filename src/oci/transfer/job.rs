//! Moving one blob.
//!
//! Many of these run side by side, as tasks of their own ([`super::pool`]). Each asks the destination for an upload session (which may
//! turn out to be unnecessary) and hands the bytes of the source through to it. Small blobs are asked for at both ends at once:
//! what that may fetch in vain is little, and a far registry is two round trips away instead of three.

use std::sync::{
    Arc, Mutex, OnceLock, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::sync::{oneshot, watch};

use super::{Verify, engine::Engine, platform, pool};
use crate::{
    digest::Digest,
    job::Platform,
    logs::{JobLog, Meter, Progress},
    oci::{BlobSource, ByteStream, Cx, Descriptor, Error, Repository, Stored, error::ContentError, verified},
    shutdown::Cancel,
};

/// What the tasks that move blobs need; they outlive the borrow of the call.
pub(super) struct Job {
    source: Repository,
    destination: Repository,
    verify: Verify,
    cancel: Cancel,
    log: JobLog,
    progress: Progress,
    /// Digest of the root's image configuration, which is read for its platform in passing.
    pub(super) config: Option<Digest>,
    pub(super) platform: OnceLock<Platform>,
    /// Whether the destination may be asked to take blobs.
    begun: watch::Sender<bool>,
    /// Whether a first blob has arrived, which tells if the destination checks what it is sent.
    arrived: watch::Sender<bool>,
    /// Whether blobs are asked for before it is known that they are needed: until one is not.
    eager: AtomicBool,
}

/// A blob of the source repository.
struct SourceBlob<'a> {
    job: &'a Job,
    blob: &'a Descriptor,
    meter: Arc<Meter>,
    /// Its bytes, asked for in advance.
    early: Mutex<Option<oneshot::Receiver<Result<ByteStream, Error>>>>,
}

/// Waits until a flag is up.
async fn raised(flag: &watch::Sender<bool>, cancel: &Cancel) -> Result<(), Error> {
    // The sender is at hand, so the wait cannot fail for want of one.
    let _ = cancel.run(flag.subscribe().wait_for(|up| *up)).await?;
    Ok(())
}

impl Job {
    pub(super) fn new(engine: &Engine, config: Option<Digest>) -> Self {
        let same_registry = match (&engine.source, &engine.destination) {
            (Repository::Registry(source), Repository::Registry(destination)) => destination.same_registry(source),
            _ => false,
        };
        Self {
            source: engine.source.clone(),
            destination: engine.destination.clone(),
            verify: engine.options.verify,
            cancel: engine.cancel.clone(),
            log: engine.log.clone(),
            progress: engine.progress.clone(),
            config,
            platform: OnceLock::new(),
            begun: watch::Sender::new(false),
            arrived: watch::Sender::new(false),
            eager: AtomicBool::new(!same_registry),
        }
    }

    fn cx(&self) -> Cx<'_> {
        Cx { cancel: &self.cancel, log: &self.log, progress: &self.progress }
    }

    /// Lets blobs be sent.
    pub(super) fn begin(&self) {
        self.begun.send_replace(true);
    }

    /// Says whether a small blob is sent before all large ones, which may wait for it then.
    pub(super) fn expect_small(&self, small: bool) {
        if !small {
            self.arrived.send_replace(true);
        }
    }

    fn is_config(&self, blob: &Descriptor) -> bool {
        self.config.as_ref() == Some(&blob.digest)
    }

    pub(super) fn note_platform(&self, config: &[u8]) {
        if let Some(platform) = platform::of_config(config) {
            // Only ever set to the same value.
            let _ = self.platform.set(platform);
        }
    }

    /// Moves one blob.
    pub(super) async fn send(&self, blob: &Descriptor) -> Result<Stored, Error> {
        let stored = self.send_any(blob).await?;
        self.arrived.send_replace(true);
        if stored != Stored::Uploaded {
            self.eager.store(false, Ordering::Relaxed);
        }
        Ok(stored)
    }

    async fn send_any(&self, blob: &Descriptor) -> Result<Stored, Error> {
        let is_config = self.is_config(blob);
        if let Some(content) = blob.inline() {
            if is_config {
                self.note_platform(&content);
            }
            raised(&self.begun, &self.cancel).await?;
            return Box::pin(self.destination.put_blob(self.cx(), blob, &content, Some(&self.source))).await;
        }
        let stored = match self.stream(blob).await {
            // Damage on the way heals; damage in the source comes again.
            Err(Error::Content(error @ ContentError::Digest { .. })) => {
                self.log.warn(format_args!("{error}; fetching it once more"));
                self.stream(blob).await
            }
            result => result,
        }?;
        if is_config && self.platform.get().is_none() && stored != Stored::Uploaded {
            // The destination had it, so that its bytes did not come by.
            self.note_platform(&self.source.blob(self.cx(), blob, platform::MAX_CONFIG).await?);
        }
        Ok(stored)
    }

    /// Hands a blob's bytes through.
    async fn stream(&self, blob: &Descriptor) -> Result<Stored, Error> {
        let cx = self.cx();
        let meter = Arc::new(self.progress.meter(short(&blob.digest), blob.size));
        let mut source = SourceBlob { job: self, blob, meter, early: Mutex::default() };
        if blob.size >= pool::SMALL || !self.eager.load(Ordering::Relaxed) {
            raised(&self.begun, &self.cancel).await?;
            return Box::pin(self.destination.put_blob(cx, blob, &source, Some(&self.source))).await;
        }
        let (sender, receiver) = oneshot::channel();
        source.early = Mutex::new(Some(receiver));
        let ask = async {
            // Nobody listens any more when the blob turned out to be there.
            let _ = sender.send(self.source.open_blob(cx, blob, 0).await);
            std::future::pending::<std::convert::Infallible>().await
        };
        let put = async {
            raised(&self.begun, &self.cancel).await?;
            Box::pin(self.destination.put_blob(cx, blob, &source, Some(&self.source))).await
        };
        tokio::select! {
            stored = put => stored,
            never = ask => match never {},
        }
    }
}

/// A digest as people tell them apart.
fn short(digest: &Digest) -> String {
    digest.hex().chars().take(12).collect()
}

impl SourceBlob<'_> {
    /// Whether bytes are hashed on their way.
    async fn hashes(&self) -> Result<bool, Error> {
        let job = self.job;
        let Repository::Registry(destination) = &job.destination else {
            // A layout hashes what it writes.
            return Ok(false);
        };
        // What lies on a disk can rot.
        let rots = matches!(job.source, Repository::Layout(_)) && job.verify != Verify::Fresh;
        if job.verify == Verify::Always || rots {
            return Ok(true);
        }
        if destination.confirms_digests().is_none() && self.blob.size >= pool::SMALL {
            // Hashing it costs more than waiting for the first small blob, which is under way.
            raised(&job.arrived, &job.cancel).await?;
        }
        Ok(destination.confirms_digests() != Some(true))
    }

    /// The whole blob, if it was asked for in advance.
    async fn early(&self) -> Option<Result<ByteStream, Error>> {
        let receiver = self.early.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        receiver.await.ok()
    }

    /// The configuration in one piece, its platform noted.
    async fn read_config(&self, cx: Cx<'_>, mut stream: ByteStream) -> Result<ByteStream, Error> {
        let mut config = BytesMut::new();
        while let Some(piece) = cx.cancel.run(stream.next()).await? {
            config.extend_from_slice(&piece?);
        }
        self.job.note_platform(&config);
        Ok(futures_util::stream::once(std::future::ready(Ok(config.freeze()))).boxed())
    }
}

#[async_trait]
impl BlobSource for SourceBlob<'_> {
    async fn open(&self, cx: Cx<'_>, offset: u64) -> Result<ByteStream, Error> {
        let is_config = self.job.is_config(self.blob);
        let hash = is_config || self.hashes().await?;
        self.meter.reset(offset);
        let meter = Arc::clone(&self.meter);
        let begin = if hash { 0 } else { offset };
        let stream = match cx.cancel.run(self.early()).await? {
            Some(early) if begin == 0 => early?,
            _ => self.job.source.open_blob(cx, self.blob, begin).await?,
        };
        let stream = if hash { verified(stream, self.blob, self.job.source.display()) } else { stream };
        let stream = if is_config { self.read_config(cx, stream).await? } else { stream };
        let stream = if hash { skip(stream, offset) } else { stream };
        Ok(stream.inspect_ok(move |piece: &Bytes| meter.add(piece.len() as u64)).boxed())
    }
}

/// The stream without its first `count` bytes, which were needed for its digest alone.
fn skip(stream: ByteStream, count: u64) -> ByteStream {
    let mut left = count;
    stream
        .map_ok(move |mut piece| {
            let cut = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
            left -= cut as u64;
            piece.split_off(cut)
        })
        .try_filter(|piece| std::future::ready(!piece.is_empty()))
        .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_sent_before_is_left_out() {
        let pieces = [b"abc".as_slice(), b"de", b"f"].map(|piece| Ok(Bytes::from_static(piece)));
        let rest = skip(futures_util::stream::iter(pieces).boxed(), 4);
        assert_eq!(rest.try_collect::<Vec<_>>().await.unwrap(), [b"e".as_slice(), b"f"]);
    }
}
