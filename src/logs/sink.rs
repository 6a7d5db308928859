//! Consumers of a log. They read from the spool at their own pace, so a slow one never slows the job down.

use std::{
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use super::{
    follower::Follower,
    record::Record,
    segment::{Loss, gap, size},
};

/// Bytes and records that are read for a sink at once.
const BATCH: (usize, usize) = (128 << 10, 1024);

/// Takes a log, record by record, in order, on a thread of its own. May take its time: what it is too slow for, and the spool no longer has,
/// arrives as one record of [`super::Stream::Gap`].
pub trait Sink: Send {
    /// The next record.
    fn record(&mut self, record: &Record);

    /// Everything there is has been handed over; there may be more later.
    fn caught_up(&mut self) {}

    /// Whether it wants the records. One that does not has no thread: the log's writer calls [`Sink::caught_up`] whenever the log has grown,
    /// and [`Sink::record`] only about lines that are missing at the end. It must not block.
    fn reads(&self) -> bool {
        true
    }
}

/// How the writer's side reaches the sink.
pub(super) enum Outlet {
    /// On a thread of its own.
    Thread(Arc<Meeting>),
    /// On the writer's.
    Here(Box<dyn Sink>),
}

impl Outlet {
    /// There is more to read. `lost` are lines the disk refused, of which no record tells yet.
    pub(super) fn publish(&mut self, lost: Loss) {
        match self {
            Self::Thread(meeting) => meeting.publish(lost),
            Self::Here(sink) => sink.caught_up(),
        }
    }

    /// Once everything published so far is with the sink, each of `barriers` hears of it.
    pub(super) fn pass(&mut self, barriers: impl Iterator<Item = oneshot::Sender<()>>, lost: Loss) {
        for reached in barriers {
            match self {
                Self::Thread(meeting) => meeting.barrier(reached),
                Self::Here(sink) => {
                    if lost.is_some() {
                        sink.record(&untold(lost));
                    }
                    // Whoever waited may have given up.
                    let _ = reached.send(());
                }
            }
        }
    }

    /// Nothing more will be written.
    pub(super) fn close(&self) {
        if let Self::Thread(meeting) = self {
            meeting.close();
        }
    }
}

fn untold(lost: Loss) -> Record {
    let text = format!("{} lines ({}) of the log are lost: its disk is full", lost.lines, size(lost.bytes));
    gap(0, jiff::Timestamp::now(), text)
}

/// What the writer tells the sink's thread.
#[derive(Debug, Default)]
struct State {
    /// Counts what was published.
    edition: u64,
    /// Lines the disk refused, of which no record tells yet.
    lost: Loss,
    barriers: Vec<oneshot::Sender<()>>,
    closed: bool,
}

/// Where writer and sink's thread meet.
#[derive(Debug, Default)]
pub(super) struct Meeting {
    state: Mutex<State>,
    changed: Condvar,
}

impl Meeting {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, lost: Loss) {
        let mut state = self.state();
        state.edition += 1;
        state.lost = lost;
        drop(state);
        self.changed.notify_one();
    }

    fn barrier(&self, reached: oneshot::Sender<()>) {
        self.state().barriers.push(reached);
        self.changed.notify_one();
    }

    fn close(&self) {
        self.state().closed = true;
        self.changed.notify_one();
    }
}

/// Hands the log in `folder` to `sink`, from behind `after_seq`, until it is closed.
pub(super) fn follow(folder: &Path, after_seq: u64, meeting: &Meeting, mut sink: Box<dyn Sink>) {
    let mut follower = None;
    let mut told = Loss::default();
    let mut idle = true;
    loop {
        let (edition, lost, barriers) = {
            let mut state = meeting.state();
            (state.edition, state.lost, std::mem::take(&mut state.barriers))
        };
        // A log that cannot be read now may be readable the next time.
        if follower.is_none() {
            follower = Follower::open(folder, after_seq).ok();
        }
        while let Some(Ok(records)) = follower.as_mut().map(|follower| follower.next_batch(BATCH.0, BATCH.1)) {
            if records.is_empty() {
                break;
            }
            idle = false;
            for record in &records {
                sink.record(record);
            }
        }
        // Only at a barrier: before, a record may yet be written about it.
        if !barriers.is_empty() && lost.is_some() && lost != told {
            told = lost;
            sink.record(&untold(lost));
            idle = false;
        }
        if !idle {
            sink.caught_up();
            idle = true;
        }
        for barrier in barriers {
            // Whoever waited may have given up.
            let _ = barrier.send(());
        }
        let mut state = meeting.state();
        while state.edition == edition && state.barriers.is_empty() {
            if state.closed {
                return;
            }
            state = meeting.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A sink that keeps everything, for tests.
#[derive(Debug, Clone, Default)]
pub struct Capture(Arc<Mutex<Vec<Record>>>);

impl Capture {
    /// What arrived so far.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The lines that arrived so far.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        self.records().into_iter().map(|record| record.text).collect()
    }
}

impl Sink for Capture {
    fn record(&mut self, record: &Record) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(record.clone());
    }
}
