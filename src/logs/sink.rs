//! Consumers of a log. They read from the spool at their own pace, so a slow one never slows the job down.

use std::{
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use super::{
    reader::Reader,
    record::Record,
    segment::{Loss, gap, size},
    spool::Extent,
};

/// Takes a log, record by record, in order, on a thread of its own. May take its time: what it is too slow for, and the spool no longer has,
/// arrives as one record of [`super::Stream::Gap`].
pub trait Sink: Send {
    /// The next record.
    fn record(&mut self, record: &Record);

    /// Everything there is has been handed over; there may be more later.
    fn caught_up(&mut self) {}
}

/// What the writer tells the sink's thread.
#[derive(Debug, Default)]
struct State {
    extent: Extent,
    /// Lines the disk refused, of which no record tells yet.
    lost: Loss,
    barriers: Vec<oneshot::Sender<()>>,
    closed: bool,
}

/// Where writer and sink meet.
#[derive(Debug, Default)]
pub(super) struct Meeting {
    state: Mutex<State>,
    changed: Condvar,
}

impl Meeting {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There is more to read.
    pub(super) fn publish(&self, (extent, lost): (Extent, Loss)) {
        let mut state = self.state();
        (state.extent, state.lost) = (extent, lost);
        drop(state);
        self.changed.notify_one();
    }

    /// Once everything published so far is with the sink, `reached` hears of it.
    pub(super) fn barrier(&self, reached: oneshot::Sender<()>) {
        self.state().barriers.push(reached);
        self.changed.notify_one();
    }

    /// Nothing more will be written.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_one();
    }
}

/// Hands the log in `folder` to `sink` until it is closed.
pub(super) fn follow(folder: &Path, meeting: &Arc<Meeting>, mut sink: Box<dyn Sink>) {
    let mut reader = Reader::new(folder);
    let mut told = Loss::default();
    let mut idle = true;
    loop {
        let (extent, lost, barriers) = {
            let mut state = meeting.state();
            (state.extent, state.lost, std::mem::take(&mut state.barriers))
        };
        while let Ok(records) = reader.read(extent) {
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
            let text = format!("{} lines ({}) of the log are lost: its disk is full", lost.lines, size(lost.bytes));
            sink.record(&gap(0, jiff::Timestamp::now(), text));
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
        while state.extent == extent && state.barriers.is_empty() && state.lost == lost {
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
