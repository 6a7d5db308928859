//! The one thread that writes: takes everything that waits, writes it, syncs once, answers everybody.
//!
//! A disk that refuses costs nothing but durability: lines stay in memory and are written with the next entry, or every second. Too many of
//! them are forgotten in favour of the ledger, which says the same and is bounded by what is open: then a new file is written.

use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{Entry, files::Files, ledger::Ledger, line};

/// How long a note waits for an entry that it can be written with.
const LINGER: Duration = Duration::from_millis(200);

/// Time between two tries on a disk that refuses.
const RETRY: Duration = Duration::from_secs(1);

/// From here on a try hangs.
const HANGS: Duration = Duration::from_secs(5);

/// Lines kept in memory while the disk refuses.
const UNSAVED_LIMIT: usize = 1 << 20;

/// An entry on its way.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) entry: Entry,
    /// Who wants to know that it is durable.
    pub(super) answer: Option<oneshot::Sender<bool>>,
}

/// Where the callers leave entries. Bounded by what an execution writes: a handful of entries, of the notes about its log only the latest.
#[derive(Debug, Default)]
pub(super) struct Desk {
    queue: Mutex<Queue>,
    wake: Condvar,
    trouble: Mutex<Trouble>,
    /// See [`super::Journal::synced`].
    pub(super) synced: Mutex<Synced>,
}

#[derive(Debug, Default)]
struct Trouble {
    /// Why the last try failed.
    refused: Option<String>,
    /// When the try under way began.
    trying_since: Option<Instant>,
}

/// What was made durable since the journal was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Synced {
    /// Entries.
    pub entries: u64,
    /// Writes, each with one sync for all entries that had come in.
    pub writes: u64,
    /// Time that the writes took altogether.
    pub took: Duration,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<Waiting>,
    is_urgent: bool,
    is_closing: bool,
}

impl Desk {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn put(&self, waiting: Waiting) {
        let mut queue = self.queue();
        if let Entry::LogsSent { execution, seq } = &waiting.entry {
            let known = queue.waiting.iter_mut().rev().find_map(|other| match &mut other.entry {
                Entry::LogsSent { execution: other, seq } if other == execution => Some(seq),
                _ => None,
            });
            if let (Some(known), None) = (known, &waiting.answer) {
                *known = (*known).max(*seq);
                return;
            }
        }
        let wakes = queue.waiting.is_empty() || waiting.answer.is_some() && !queue.is_urgent;
        queue.is_urgent |= waiting.answer.is_some();
        queue.waiting.push(waiting);
        drop(queue);
        if wakes {
            self.wake.notify_one();
        }
    }

    pub(super) fn close(&self) {
        self.queue().is_closing = true;
        self.wake.notify_one();
    }

    fn troubles(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// See [`super::Journal::trouble`].
    pub(super) fn trouble(&self) -> Option<String> {
        let Trouble { refused, trying_since } = &*self.troubles();
        let hangs = || {
            let seconds = trying_since.map(|since| since.elapsed()).filter(|time| *time >= HANGS)?.as_secs();
            Some(format!("the disk of the runner's journal has not answered for {seconds} s: find out why it hangs"))
        };
        refused.clone().or_else(hangs)
    }

    /// Everything that waits, once somebody waits for it, notes have lingered, `until` has passed or the desk closes; and whether it does.
    fn take(&self, until: Option<Instant>) -> (Vec<Waiting>, bool) {
        let mut queue = self.queue();
        let mut until = until;
        loop {
            if queue.is_urgent || queue.is_closing {
                break;
            }
            if !queue.waiting.is_empty() {
                until = Some(until.unwrap_or_else(|| Instant::now() + LINGER));
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            queue = match left {
                Some(Duration::ZERO) => break,
                Some(left) => self.wake.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner),
            };
        }
        queue.is_urgent = false;
        (std::mem::take(&mut queue.waiting), queue.is_closing)
    }
}

/// The thread's state.
pub(super) struct Writer {
    desk: Arc<Desk>,
    files: Files,
    ledger: Ledger,
    /// Lines that are not durable.
    unsaved: Vec<u8>,
    /// Entries that are not durable.
    entries: usize,
    /// The lines are not enough any more: only a new file says everything.
    needs_new_file: bool,
}

impl Writer {
    pub(super) const fn new(desk: Arc<Desk>, files: Files, ledger: Ledger) -> Self {
        Self { desk, files, ledger, unsaved: Vec::new(), entries: 0, needs_new_file: false }
    }

    /// Works until the desk is closed.
    pub(super) fn run(mut self) {
        let mut answers = Vec::new();
        loop {
            let retry = (self.entries > 0).then(|| Instant::now() + RETRY);
            let (waiting, is_closing) = self.desk.take(retry);
            for Waiting { entry, answer } in waiting {
                line::encode(&entry, &mut self.unsaved);
                self.ledger.apply(entry);
                self.entries += 1;
                answers.extend(answer);
            }
            let is_durable = self.save();
            for answer in answers.drain(..) {
                // Whoever waited may have been cancelled.
                let _ = answer.send(is_durable);
            }
            if is_closing {
                return;
            }
        }
    }

    fn save(&mut self) -> bool {
        if self.entries == 0 {
            return true;
        }
        let began = Instant::now();
        self.desk.troubles().trying_since = Some(began);
        let saved = self.try_save();
        if saved.is_ok() {
            let mut synced = self.desk.synced.lock().unwrap_or_else(PoisonError::into_inner);
            synced.entries += self.entries as u64;
            synced.writes += 1;
            synced.took += began.elapsed();
        }
        let mut trouble = self.desk.troubles();
        trouble.trying_since = None;
        match &saved {
            Ok(()) => {
                if trouble.refused.take().is_some() {
                    tracing::info!(entries = self.entries, "the runner's journal can be written again");
                }
                self.unsaved.clear();
                self.unsaved.shrink_to(UNSAVED_LIMIT / 16);
                (self.entries, self.needs_new_file) = (0, false);
            }
            Err(error) => {
                let text = format!(
                    "the runner's journal in '{}' cannot be written ({error}): {} wait in memory and are lost if the runner is killed now; \
                     free some space there, or repair the disk",
                    self.files.folder().display(),
                    if self.entries == 1 { "1 entry".to_owned() } else { format!("{} entries", self.entries) },
                );
                if trouble.refused.is_none() {
                    tracing::error!("{text}");
                }
                trouble.refused = Some(text);
                // A failed sync leaves nobody knowing what of the file is on the disk; a full disk is simply full.
                self.needs_new_file |= !is_full(error) || self.unsaved.len() > UNSAVED_LIMIT;
                if self.needs_new_file {
                    self.unsaved = Vec::new();
                }
            }
        }
        saved.is_ok()
    }

    fn try_save(&mut self) -> io::Result<()> {
        if self.needs_new_file {
            return self.files.compact(&self.ledger);
        }
        if self.files.wants_compaction() {
            match self.files.compact(&self.ledger) {
                Ok(()) => return Ok(()),
                Err(error) => tracing::warn!(%error, "the runner's journal cannot be compacted; it is continued as it is"),
            }
        }
        self.files.append(&self.unsaved)
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

#[cfg(test)]
mod tests;
