//! The crash ledger and outbox: what the runner has begun and what it still owes its control plane, on disk before it counts.
//!
//! One append-only file `<state>/journal/journal.log`, one JSON entry a line with a checksum, written by one thread that syncs once for
//! all entries that came in meanwhile. [`Journal::open`] takes the lock, folds the entries into one [`Recovered`] per execution that is not
//! closed, and compacts the file. Entries hold no secrets: names, ids, phases, and receipts after redaction.
//!
//! ```text
//!  write, note ──► queue ──► [one thread] ── lines ──► write + fdatasync ──► answers
//!                                └─ ledger (the fold of all entries) ──► compaction, when most of the file is about closed executions
//! ```
//!
//! Invariants: an entry that [`Journal::write`] called durable is there after a kill or a power cut; a torn last line is dropped, never
//! the lines before it; a full disk never stops a job (the entry is kept in memory, tried again, and [`Journal::trouble`] says so).
//!
//! Called by the agent.

mod entry;
mod error;
mod files;
mod ledger;
mod line;
mod replay;
mod writer;

use std::{
    path::Path,
    sync::{Arc, PoisonError},
    thread::JoinHandle,
};

use tokio::sync::oneshot;

pub use entry::{Entry, Intent, Recovered, RecoveredExecution};
pub use error::Error;
pub use replay::{Replay, replay};
pub use writer::Synced;

use writer::{Desk, Waiting, Writer};

/// The open journal of one state folder. Dropping it writes what still waits, if the disk takes it, and lets go of the folder.
#[derive(Debug)]
pub struct Journal {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

impl Journal {
    /// Takes the journal below `state` (folders are made if need be, 0700) and says what an earlier runner left open, oldest first.
    ///
    /// # Errors
    /// When another runner uses the folder, or the folder can be neither read nor written. A damaged line is no error: it is reported to the
    /// runner's own log and skipped, and the file is kept beside the new one as `journal.damaged`.
    pub fn open(state: &Path) -> Result<(Self, Vec<Recovered>), Error> {
        let (files, ledger) = files::open(state)?;
        let recovered = ledger.recovered();
        let desk = Arc::<Desk>::default();
        let writer = Writer::new(Arc::clone(&desk), files, ledger);
        let thread = std::thread::Builder::new().name("journal".to_owned()).spawn(move || writer.run()).map_err(Error::Thread)?;
        Ok((Self { desk, thread: Some(thread) }, recovered))
    }

    /// Writes `entry` and resolves when it is on disk: `true`. `false`, at once, when the disk refuses; the entry is kept and tried again.
    /// Entries reach the disk in the order of the calls. Cancel-safe: once polled, the entry is on its way.
    pub async fn write(&self, entry: Entry) -> bool {
        let (answer, wait) = oneshot::channel();
        self.desk.put(Waiting { entry, answer: Some(answer) });
        // No answer: the thread is gone, and with it the promise.
        wait.await.unwrap_or(false)
    }

    /// Writes `entry` with the next one that somebody waits for, or a little later by itself. Of several notes of how much of one log is sent,
    /// only the latest counts.
    pub fn note(&self, entry: Entry) {
        self.desk.put(Waiting { entry, answer: None });
    }

    /// Why entries are not durable just now, in one sentence; `None` when they are.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.desk.trouble()
    }

    /// What was made durable so far.
    #[must_use]
    pub fn synced(&self) -> Synced {
        *self.desk.synced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.desk.close();
        if let Some(thread) = self.thread.take() {
            // It ended by a panic: everything there is to say about it was said there.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
