//! The handle that everybody who has something to say holds.

use std::{
    fmt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::oneshot;

use super::{
    filter::Filter,
    pipeline::{Gauge, Message, Pipeline},
    progress::Progress,
    record::{LogPolicy, Stream},
    secrets::{Added, Secrets},
    sink::{Meeting, Sink, follow},
    spool::Spool,
};

/// How long a pump waits for the log at most before it reads on and lets the log drop what it cannot take.
const PATIENCE: Duration = Duration::from_millis(250);

/// Numbers below are the default pipes of [`JobLog::output`]; runner lines need none that lasts.
const FIRST_PIPE: u64 = 2;

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
}

impl JobLog {
    /// Begins a log in `folder` (made 0700 if need be), kept as `policy` says and handed to `sink` as it grows.
    ///
    /// # Errors
    /// When the folder cannot be made, or no thread can be had.
    pub fn open(folder: &Path, policy: LogPolicy, sink: Box<dyn Sink>) -> std::io::Result<Self> {
        let secrets = Arc::<Secrets>::default();
        let gauge = Arc::<Gauge>::default();
        let spool = Spool::create(folder.to_owned(), policy)?;
        let meeting = Arc::<Meeting>::default();
        let pipeline = Pipeline::new(Arc::clone(&secrets), Arc::clone(&gauge), spool, Arc::clone(&meeting), policy.line);
        let (sender, receiver) = mpsc::channel();
        // Threads, not tasks: a sink may block for as long as a terminal is paused, and the log outlives a runtime that shuts down.
        std::thread::Builder::new().name("log-write".to_owned()).spawn(move || pipeline.run(&receiver))?;
        let folder = folder.to_owned();
        std::thread::Builder::new().name("log-sink".to_owned()).spawn(move || follow(&folder, &meeting, sink))?;
        let inner = Inner { sender, gauge, policy, next_pipe: AtomicU64::new(FIRST_PIPE) };
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

    /// Output of a tool, in whatever pieces it arrives. All callers share one unfinished line and one unfinished secret per stream: two tools at
    /// once need a [`Pipe`] each.
    pub fn output(&self, stream: Stream, bytes: &[u8]) {
        self.send(u64::from(stream == Stream::Stderr), stream, bytes);
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

    /// Resolves when everything logged before is on disk and with the sink: only then may an outcome be shown. Ends unfinished lines. A sink that
    /// does not catch up within the policy's limit is not waited for.
    ///
    /// Returns whether the sink caught up.
    pub async fn flush(&self) -> bool {
        let Some(inner) = &self.inner else { return true };
        let (reached, wait) = oneshot::channel();
        if inner.sender.send(Message::Barrier(reached)).is_err() {
            return false;
        }
        matches!(tokio::time::timeout(inner.policy.flush_limit, wait).await, Ok(Ok(())))
    }

    fn line(&self, stream: Stream, text: &dyn fmt::Display) {
        let Some(inner) = &self.inner else { return };
        let pipe = inner.next_pipe.fetch_add(1, Ordering::Relaxed);
        self.send(pipe, stream, format!("{text}\n").as_bytes());
        let _ = inner.sender.send(Message::End { pipe });
    }

    fn send(&self, pipe: u64, stream: Stream, bytes: &[u8]) {
        let Some(inner) = &self.inner else { return };
        let queued = inner.gauge.queued.fetch_add(bytes.len(), Ordering::AcqRel);
        if queued.saturating_add(bytes.len()) > inner.policy.queue {
            inner.gauge.queued.fetch_sub(bytes.len(), Ordering::AcqRel);
            inner.gauge.dropped.fetch_add(bytes.len() as u64, Ordering::AcqRel);
            return;
        }
        let step = self.progress.as_ref().map_or("", Progress::current_step);
        let message = Message::Bytes { pipe, stream, step, time: Timestamp::now(), bytes: bytes.to_vec() };
        // The thread is gone only if it panicked: a log is not worth a job.
        let _ = inner.sender.send(message);
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
    /// The next bytes.
    pub fn write(&self, bytes: &[u8]) {
        self.log.send(self.id, self.stream, bytes);
    }

    /// Resolves when the log has room again, or after a quarter of a second: a tool that writes faster than the disk is slowed down a
    /// little rather than its lines lost, and a disk that hangs never stops it. Cancel-safe.
    pub async fn room(&self) {
        let Some(inner) = &self.log.inner else { return };
        let is_free = || inner.gauge.queued.load(Ordering::Acquire) <= inner.policy.queue / 2;
        let wait = async {
            loop {
                let room = inner.gauge.room.notified();
                if is_free() {
                    return;
                }
                room.await;
            }
        };
        // Giving up is fine, see above.
        let _ = tokio::time::timeout(PATIENCE, wait).await;
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        if let Some(inner) = &self.log.inner {
            let _ = inner.sender.send(Message::End { pipe: self.id });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Capture, Record, replay};
    use super::*;

    struct Bench {
        folder: tempfile::TempDir,
        sink: Capture,
        log: JobLog,
    }

    fn open(policy: LogPolicy) -> Bench {
        let (folder, sink) = (tempfile::tempdir().expect("a folder"), Capture::default());
        let log = JobLog::open(folder.path(), policy, Box::new(sink.clone())).expect("opened");
        Bench { folder, sink, log }
    }

    #[tokio::test]
    async fn everything_is_there_after_the_barrier() {
        let Bench { folder, sink, log } = open(LogPolicy::default());
        let progress = Progress::default();
        let log = log.with_progress(&progress);
        log.add_secret("hunter2-hunter2");
        progress.step("fetch");
        log.info("begin\nhere is hunter2-hunter2");
        let pipe = log.pipe(Stream::Stderr);
        pipe.write(b"tool says hunter2-");
        log.output(Stream::Stdout, b"other tool\n");
        pipe.write(b"hunter2\x1b[0m, done\nno end");
        drop(pipe);
        log.warn("careful");
        assert!(log.flush().await);
        let expected = [
            (Stream::Runner, "begin"),
            (Stream::Runner, "here is ***"),
            (Stream::Stdout, "other tool"),
            (Stream::Stderr, "tool says ***, done"),
            (Stream::Stderr, "no end"),
            (Stream::Warning, "careful"),
        ];
        let records = sink.records();
        assert_eq!(records.iter().map(|record| (record.stream, record.text.as_str())).collect::<Vec<_>>(), expected);
        assert_eq!(records.iter().map(|record| record.seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
        assert!(records.iter().all(|record| record.step == "fetch"));
        assert_eq!(replay(folder.path()).expect("readable").collect::<Result<Vec<Record>, _>>().expect("readable"), records);
    }

    #[tokio::test]
    async fn short_secrets_are_named_as_such() {
        let Bench { sink, log, folder: _folder } = open(LogPolicy::default());
        log.add_secret("abc");
        log.info("abc");
        log.flush().await;
        assert_eq!(sink.texts(), ["a secret of 3 characters is too short to be hidden in logs", "abc"]);
    }

    #[tokio::test]
    async fn a_flood_without_line_breaks_stays_bounded() {
        let policy = LogPolicy { head: 100_000, tail: 100_000, line: 1000, ..LogPolicy::default() };
        let Bench { folder, sink, log } = open(policy);
        let pipe = log.pipe(Stream::Stdout);
        for _ in 0..1000 {
            pipe.write(&vec![b'x'; 64 << 10]);
            pipe.room().await;
        }
        drop(pipe);
        log.flush().await;
        let texts = sink.texts();
        assert_eq!(texts.len(), 1, "{}", texts.len());
        assert!(texts[0].ends_with("bytes left out]") && texts[0].len() < 1100);
        assert!(std::fs::read_dir(folder.path()).expect("readable").count() < 4);
    }

    /// A sink that waits until it is let go.
    struct Slow(mpsc::Receiver<()>, Capture);

    impl Sink for Slow {
        fn record(&mut self, record: &Record) {
            if record.seq == 1 {
                let _ = self.0.recv();
            }
            self.1.record(record);
        }
    }

    #[tokio::test]
    async fn a_slow_sink_does_not_hold_up_the_job_and_hears_what_it_missed() {
        let (folder, sink) = (tempfile::tempdir().expect("a folder"), Capture::default());
        let (go, wait) = mpsc::channel();
        let policy = LogPolicy { head: 2000, tail: 8000, flush_limit: Duration::from_millis(50), ..LogPolicy::default() };
        let log = JobLog::open(folder.path(), policy, Box::new(Slow(wait, sink.clone()))).expect("opened");
        log.info("first");
        for number in 0..20_000 {
            log.output(Stream::Stdout, format!("line {number}\n").as_bytes());
            if number % 1000 == 0 {
                log.pipe(Stream::Stdout).room().await;
            }
        }
        assert!(!log.flush().await, "the sink still holds the first line");
        go.send(()).expect("it waits");
        let log = JobLog { inner: log.inner, ..JobLog::default() };
        while !log.flush().await {}
        let texts = sink.texts();
        assert_eq!((texts[0].as_str(), texts.last().map(String::as_str)), ("first", Some("line 19999")));
        // The writer may still have been at it when the sink went on: then there is more than one.
        assert!(texts.iter().any(|text| text.contains("left out here")), "{}", texts.len());
        assert!(texts.len() < 10_000, "{}", texts.len());
    }

    #[tokio::test]
    async fn what_does_not_fit_the_queue_is_counted() {
        let Bench { sink, log, folder: _folder } = open(LogPolicy { queue: 10, ..LogPolicy::default() });
        log.output(Stream::Stdout, &vec![b'x'; 50_000]);
        log.info("short");
        log.flush().await;
        assert_eq!(sink.texts(), ["48 KiB of output are lost: they came faster than the log could be written", "short"]);
        assert_eq!(sink.records()[0].stream, Stream::Gap);
    }
}
