//! The handle that everybody who has something to say holds.

use std::{
    fmt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::sync::oneshot;

use super::{
    filter::Filter,
    pipeline::{Gauge, Message, Pipeline},
    progress::Progress,
    record::{LogPolicy, Stream},
    secrets::{Added, Secrets},
    sink::{Meeting, Outlet, Sink, follow},
    spool::Spool,
};

/// The writer's stack: it calls nothing deep.
const STACK: usize = 512 << 10;

/// Handle of one execution's log. Cheap to clone; its calls never fail and never wait for disk or sink.
#[derive(Clone, Default)]
pub struct JobLog {
    secrets: Arc<Secrets>,
    inner: Option<Arc<Inner>>,
    progress: Option<Progress>,
}

struct Inner {
    sender: mpsc::Sender<Message>,
    gauge: Arc<Gauge>,
    policy: LogPolicy,
    next_pipe: AtomicU64,
    /// Lengths of secrets that it was said of that they cannot be hidden, a bit each: many parts of a job name the same one.
    short: AtomicU8,
}

impl JobLog {
    /// Begins a log in `folder` (made 0700 if need be), kept as `policy` says and handed to `sink` as it grows. A log that is there already
    /// goes on; `sink` gets what is new.
    ///
    /// # Errors
    /// When the folder cannot be made, or no thread can be had.
    pub fn open(folder: &Path, policy: LogPolicy, sink: Box<dyn Sink>) -> std::io::Result<Self> {
        Self::reopen(folder, policy, sink, 0)
    }

    /// As [`JobLog::open`], with records that are numbered higher than `after_seq`: what a reader has seen of a log it may have seen before a
    /// power cut took it from the disk.
    ///
    /// # Errors
    /// When the folder cannot be made, or no thread can be had.
    pub fn reopen(folder: &Path, policy: LogPolicy, sink: Box<dyn Sink>, after_seq: u64) -> std::io::Result<Self> {
        let secrets = Arc::<Secrets>::default();
        let gauge = Arc::<Gauge>::default();
        let spool = Spool::open(folder.to_owned(), policy, after_seq)?;
        // Threads, not tasks: a sink may block for as long as a terminal is paused, and the log outlives a runtime that shuts down.
        let outlet = if sink.reads() {
            let meeting = Arc::<Meeting>::default();
            let (folder, last, outlet) = (folder.to_owned(), spool.last_seq(), Outlet::Thread(Arc::clone(&meeting)));
            std::thread::Builder::new().name("log-sink".to_owned()).spawn(move || follow(&folder, last, &meeting, sink))?;
            outlet
        } else {
            Outlet::Here(sink)
        };
        let pipeline = Pipeline::new(Arc::clone(&secrets), Arc::clone(&gauge), spool, outlet, policy.line);
        let (sender, receiver) = mpsc::channel();
        std::thread::Builder::new().name("log-write".to_owned()).stack_size(STACK).spawn(move || pipeline.run(&receiver))?;
        let inner = Inner { sender, gauge, policy, next_pipe: AtomicU64::new(0), short: AtomicU8::new(0) };
        Ok(Self { secrets, inner: Some(Arc::new(inner)), progress: None })
    }

    /// A log that nobody reads. It redacts like any other.
    #[must_use]
    pub fn discard() -> Self {
        Self::default()
    }

    /// From now on lines carry the step that `progress` is in.
    #[must_use]
    pub fn with_progress(mut self, progress: &Progress) -> Self {
        self.progress = Some(progress.clone());
        self
    }

    /// A line of the runner itself.
    pub fn info(&self, text: impl fmt::Display) {
        self.line(Stream::Runner, &text);
    }

    /// A line of the runner itself that a person should notice.
    pub fn warn(&self, text: impl fmt::Display) {
        self.line(Stream::Warning, &text);
    }

    /// A stream of its own.
    #[must_use]
    pub fn pipe(&self, stream: Stream) -> Pipe {
        let id = self.inner.as_ref().map_or(0, |inner| inner.next_pipe.fetch_add(1, Ordering::Relaxed));
        Pipe { log: self.clone(), id, stream }
    }

    /// From now on this text, and its usual encodings, never leave the process. Text shorter than four characters cannot be
    /// hidden, and the log says so.
    pub fn add_secret(&self, secret: &str) {
        if self.secrets.add(secret) == Added::TooShort && !secret.trim().is_empty() {
            let count = secret.trim().chars().count();
            let bit = 1 << count.min(7);
            if self.inner.as_ref().is_some_and(|inner| inner.short.fetch_or(bit, Ordering::Relaxed) & bit != 0) {
                return;
            }
            self.warn(format_args!("a secret of {count} characters is too short to be hidden in logs"));
        }
    }

    /// Hides `secret`, and `user:secret` as HTTP's basic authentication writes it.
    pub fn add_basic_auth(&self, user: &str, secret: &str) {
        self.add_secret(secret);
        self.secrets.add_basic(user, secret);
    }

    /// `text` without any known secret.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        self.secrets.redact(text)
    }

    /// A filter for output that is kept elsewhere than in the log.
    #[must_use]
    pub fn filter(&self) -> Filter {
        Filter::new(Arc::clone(&self.secrets))
    }

    /// Whether tools wait for the log just now: time they take is not theirs.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.inner.as_ref().is_some_and(|inner| !inner.has_room())
    }

    /// Resolves when everything logged before is on disk and with the sink: only then may an outcome be shown. Ends unfinished lines. A sink, or a
    /// disk, that gets nowhere for the policy's limit is not waited for.
    ///
    /// Returns whether the sink caught up.
    pub async fn flush(&self) -> bool {
        let Some(inner) = &self.inner else { return true };
        let (reached, mut wait) = oneshot::channel();
        inner.send(Message::Barrier(reached));
        let limit = inner.policy.flush_limit;
        let mut progress = Progressing::new(inner);
        loop {
            match tokio::time::timeout(limit, &mut wait).await {
                Ok(reached) => return reached.is_ok(),
                Err(_) if progress.stopped_for() >= limit => return false,
                Err(_) => {}
            }
        }
    }

    /// Never dropped: the runner has little to say, and it matters.
    fn line(&self, stream: Stream, text: &dyn fmt::Display) {
        let Some(inner) = &self.inner else { return };
        let pipe = inner.next_pipe.fetch_add(1, Ordering::Relaxed);
        inner.send(self.message(pipe, stream, format!("{text}\n").into_bytes()));
        inner.send(Message::End { pipe });
    }

    fn message(&self, pipe: u64, stream: Stream, bytes: Vec<u8>) -> Message {
        let step = self.progress.as_ref().map_or("", Progress::current_step);
        Message::Bytes { pipe, stream, step, time: Timestamp::now(), bytes }
    }
}

impl Inner {
    fn send(&self, message: Message) {
        self.gauge.queued.fetch_add(message.weight(), Ordering::AcqRel);
        // The thread is gone only if it panicked: a log is not worth a job.
        if self.sender.send(message).is_err() {
            self.gauge.stalled.store(true, Ordering::Release);
        }
    }

    /// Whether whoever writes may go on.
    fn has_room(&self) -> bool {
        self.gauge.queued.load(Ordering::Acquire) <= self.policy.queue / 2 || self.gauge.stalled.load(Ordering::Acquire)
    }
}

impl fmt::Debug for JobLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobLog").field("secrets", &self.secrets).finish_non_exhaustive()
    }
}

/// One stream of one process. Dropping it ends the stream: an unfinished line is a line then.
#[derive(Debug)]
pub struct Pipe {
    log: JobLog,
    id: u64,
    stream: Stream,
}

impl Pipe {
    /// The next bytes. Whoever has more waits for [`Pipe::room`] first.
    pub fn write(&self, bytes: &[u8]) {
        let Some(inner) = &self.log.inner else { return };
        let gauge = &inner.gauge;
        if gauge.stalled.load(Ordering::Acquire) && gauge.queued.load(Ordering::Acquire).saturating_add(bytes.len()) > inner.policy.queue {
            gauge.dropped.fetch_add(bytes.len() as u64, Ordering::AcqRel);
            return;
        }
        inner.send(self.log.message(self.id, self.stream, bytes.to_vec()));
    }

    /// Resolves when the log has room again: a tool that writes faster than the disk is slowed down, and nothing of it lost. Only a disk that
    /// gets nowhere for the policy's limit is not waited for any longer; what does not fit in memory then is dropped, and the log says so.
    /// Cancel-safe.
    pub async fn room(&self) {
        let Some(inner) = &self.log.inner else { return };
        let limit = inner.policy.stall_limit;
        let mut progress = Progressing::new(inner);
        loop {
            let room = inner.gauge.room.notified();
            if inner.has_room() {
                return;
            }
            let _ = tokio::time::timeout(limit, room).await;
            if progress.stopped_for() >= limit {
                inner.gauge.stalled.store(true, Ordering::Release);
            }
        }
    }
}

/// Whether the writer gets anywhere. By the disk's time, also where tokio's is paused.
struct Progressing<'a> {
    inner: &'a Inner,
    done: u64,
    since: Instant,
}

impl<'a> Progressing<'a> {
    fn new(inner: &'a Inner) -> Self {
        Self { inner, done: inner.gauge.done.load(Ordering::Acquire), since: Instant::now() }
    }

    /// How long it has not, at the last look and at this one.
    fn stopped_for(&mut self) -> Duration {
        let done = self.inner.gauge.done.load(Ordering::Acquire);
        if done != self.done {
            (self.done, self.since) = (done, Instant::now());
        }
        self.since.elapsed()
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        if let Some(inner) = &self.log.inner {
            inner.send(Message::End { pipe: self.id });
        }
    }
}

#[cfg(test)]
mod tests;
