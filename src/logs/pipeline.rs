//! The one thread that turns what arrives into records: plain text ► redact ► lines ► spool.
//!
//! Input: messages from any number of [`super::JobLog`] handles, in the order they were sent. Output: the spool. Ends when the last handle is
//! dropped. A barrier passes only when everything sent before it is on disk and with the sink.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc::Receiver,
    },
};

use jiff::Timestamp;
use tokio::sync::{Notify, oneshot};

use super::{
    filter::Filter,
    lines::Lines,
    record::{Record, Stream},
    secrets::Secrets,
    segment::{Loss, gap, size},
    sink::Outlet,
    spool::Spool,
};

/// Bytes of records that are gathered before they are published.
const GATHER: usize = 32 << 10;

/// Bytes that a message weighs besides what it carries: of a tool that writes byte by byte this is nearly all.
const WEIGHT: usize = 128;

/// What a handle sends.
pub(super) enum Message {
    /// Bytes of a pipe.
    Bytes { pipe: u64, stream: Stream, step: &'static str, time: Timestamp, bytes: Vec<u8> },
    /// A pipe is over.
    End { pipe: u64 },
    /// Everything before this has to be through.
    Barrier(oneshot::Sender<()>),
}

impl Message {
    /// How much of the queue it takes.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Bytes { bytes, .. } => WEIGHT + bytes.len(),
            Self::End { .. } | Self::Barrier(_) => WEIGHT,
        }
    }
}

/// Counters that handles and thread share.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    /// Weight of the messages on their way to the thread.
    pub(super) queued: AtomicUsize,
    /// Messages that the thread has dealt with.
    pub(super) done: AtomicU64,
    /// Nothing was dealt with for so long that nobody waits any more, and what does not fit is dropped.
    pub(super) stalled: AtomicBool,
    /// Bytes that were dropped so.
    pub(super) dropped: AtomicU64,
    /// Rung whenever the queue gets short.
    pub(super) room: Notify,
}

/// One stream of one process, or of the runner itself.
struct Pipe {
    filter: Filter,
    lines: Lines,
    stream: Stream,
    step: &'static str,
    time: Timestamp,
}

impl Pipe {
    fn new(filter: Filter) -> Self {
        Self { filter, lines: Lines::default(), stream: Stream::Runner, step: "", time: Timestamp::UNIX_EPOCH }
    }

    /// A record of this pipe, but for its text.
    fn record(&self) -> Record {
        Record { seq: 0, time: self.time, stream: self.stream, step: self.step.to_owned(), text: String::new() }
    }
}

/// The thread's state.
pub(super) struct Pipeline {
    secrets: Arc<Secrets>,
    gauge: Arc<Gauge>,
    spool: Spool,
    outlet: Outlet,
    /// Number of the last record the outlet knows of, and what it knows to be lost.
    published: (u64, Loss),
    longest_line: usize,
    pipes: BTreeMap<u64, Pipe>,
    clean: Vec<u8>,
}

impl Pipeline {
    pub(super) fn new(secrets: Arc<Secrets>, gauge: Arc<Gauge>, spool: Spool, outlet: Outlet, longest_line: usize) -> Self {
        let published = (spool.last_seq(), Loss::default());
        Self { secrets, gauge, spool, outlet, published, longest_line, pipes: BTreeMap::new(), clean: Vec::new() }
    }

    /// Works until every handle is gone.
    pub(super) fn run(mut self, messages: &Receiver<Message>) {
        let mut barriers = Vec::new();
        while let Ok(message) = messages.recv() {
            self.take(message, &mut barriers);
            while self.spool.pending() < GATHER
                && let Ok(message) = messages.try_recv()
            {
                self.take(message, &mut barriers);
            }
            self.publish(&mut barriers);
        }
        self.end_all();
        self.publish(&mut barriers);
        self.outlet.close();
    }

    fn take(&mut self, message: Message, barriers: &mut Vec<oneshot::Sender<()>>) {
        let weight = message.weight();
        match message {
            Message::Bytes { pipe, stream, step, time, bytes } => {
                self.tell_drops(time);
                let mut state = self.pipes.remove(&pipe).unwrap_or_else(|| Pipe::new(Filter::new(Arc::clone(&self.secrets))));
                (state.stream, state.step, state.time) = (stream, step, time);
                self.feed(&mut state, &bytes);
                self.pipes.insert(pipe, state);
            }
            Message::End { pipe } => {
                if let Some(mut state) = self.pipes.remove(&pipe) {
                    self.end(&mut state);
                }
            }
            Message::Barrier(reached) => {
                self.end_all();
                let now = Timestamp::now();
                self.tell_drops(now);
                self.spool.tell_loss(now);
                barriers.push(reached);
            }
        }
        self.gauge.done.fetch_add(1, Ordering::AcqRel);
        self.gauge.stalled.store(false, Ordering::Release);
        self.gauge.queued.fetch_sub(weight, Ordering::AcqRel);
        self.gauge.room.notify_waiters();
    }

    fn feed(&mut self, state: &mut Pipe, bytes: &[u8]) {
        self.clean.clear();
        state.filter.push(bytes, &mut self.clean);
        let record = state.record();
        state.lines.push(&self.clean, self.longest_line, |text| self.spool.append(Record { text, ..record.clone() }));
    }

    fn end(&mut self, state: &mut Pipe) {
        self.clean.clear();
        state.filter.finish(&mut self.clean);
        let record = state.record();
        state.lines.push(&self.clean, self.longest_line, |text| self.spool.append(Record { text, ..record.clone() }));
        state.lines.finish(|text| self.spool.append(Record { text, ..record.clone() }));
    }

    fn end_all(&mut self) {
        for (_, mut state) in std::mem::take(&mut self.pipes) {
            self.end(&mut state);
        }
    }

    fn tell_drops(&mut self, time: Timestamp) {
        let dropped = self.gauge.dropped.swap(0, Ordering::AcqRel);
        if dropped > 0 {
            self.spool.append(gap(
                0,
                time,
                format!("{} of output are lost here: the disk of the log took nothing for too long", size(dropped)),
            ));
        }
    }

    fn publish(&mut self, barriers: &mut Vec<oneshot::Sender<()>>) {
        let lost = self.spool.flush();
        if (self.spool.last_seq(), lost) != self.published {
            self.published = (self.spool.last_seq(), lost);
            self.outlet.publish(lost);
        }
        self.outlet.pass(barriers.drain(..), lost);
    }
}
