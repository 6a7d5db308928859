//! The one thread that turns what arrives into records: plain text ► redact ► lines ► spool.
//!
//! Input: messages from any number of [`super::JobLog`] handles, in the order they were sent. Output: the spool. Ends when the last handle is
//! dropped. A barrier passes only when everything sent before it is on disk and with the sink.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
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
    segment::{gap, size},
    sink::Meeting,
    spool::Spool,
};

/// Records written at once, at most.
const BATCH: usize = 4096;

/// What a handle sends.
pub(super) enum Message {
    /// Bytes of a pipe.
    Bytes { pipe: u64, stream: Stream, step: &'static str, time: Timestamp, bytes: Vec<u8> },
    /// A pipe is over.
    End { pipe: u64 },
    /// Everything before this has to be through.
    Barrier(oneshot::Sender<()>),
}

/// Counters that handles and thread share.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    /// Bytes on their way to the thread.
    pub(super) queued: AtomicUsize,
    /// Bytes that were dropped because too many were on their way.
    pub(super) dropped: AtomicU64,
    /// Rung whenever the queue gets shorter.
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
    meeting: Arc<Meeting>,
    longest_line: usize,
    pipes: BTreeMap<u64, Pipe>,
    clean: Vec<u8>,
}

impl Pipeline {
    pub(super) fn new(secrets: Arc<Secrets>, gauge: Arc<Gauge>, spool: Spool, meeting: Arc<Meeting>, longest_line: usize) -> Self {
        Self { secrets, gauge, spool, meeting, longest_line, pipes: BTreeMap::new(), clean: Vec::new() }
    }

    /// Works until every handle is gone.
    pub(super) fn run(mut self, messages: &Receiver<Message>) {
        let mut barriers = Vec::new();
        while let Ok(message) = messages.recv() {
            self.take(message, &mut barriers);
            for message in messages.try_iter().take(BATCH) {
                self.take(message, &mut barriers);
            }
            self.publish(&mut barriers);
        }
        self.end_all();
        self.publish(&mut barriers);
        self.meeting.close();
    }

    fn take(&mut self, message: Message, barriers: &mut Vec<oneshot::Sender<()>>) {
        match message {
            Message::Bytes { pipe, stream, step, time, bytes } => {
                self.tell_drops(time);
                let mut state = self.pipes.remove(&pipe).unwrap_or_else(|| Pipe::new(Filter::new(Arc::clone(&self.secrets))));
                (state.stream, state.step, state.time) = (stream, step, time);
                self.feed(&mut state, &bytes);
                self.pipes.insert(pipe, state);
                self.gauge.queued.fetch_sub(bytes.len(), Ordering::AcqRel);
                self.gauge.room.notify_waiters();
            }
            Message::End { pipe } => {
                if let Some(mut state) = self.pipes.remove(&pipe) {
                    self.end(&mut state);
                }
            }
            Message::Barrier(reached) => {
                self.end_all();
                self.tell_drops(Timestamp::now());
                barriers.push(reached);
            }
        }
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
                format!("{} of output are lost: they came faster than the log could be written", size(dropped)),
            ));
        }
    }

    fn publish(&mut self, barriers: &mut Vec<oneshot::Sender<()>>) {
        self.meeting.publish(self.spool.flush());
        barriers.drain(..).for_each(|reached| self.meeting.barrier(reached));
    }
}
