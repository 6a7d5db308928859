//! The executions that run now, and how to stop them.
//!
//! In: one [`Entered`] per execution, from its claim to the end of its work. Out: each is shown by the status, watched on behalf of the source, and
//! stopped by [`Running::stop_all`]. Invariant: what enters after the stop is stopped at once.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    Claimed,
    watcher::{Watched, Watcher},
};
use crate::{
    job::{CancelCause, ExecutionId, Phase},
    shutdown::Cancel,
    telemetry::Status,
};

#[derive(Debug, Default)]
struct Table {
    cancels: BTreeMap<ExecutionId, Cancel>,
    begun: u64,
    stopped: bool,
}

/// Everything that runs.
#[derive(Debug)]
pub(super) struct Running {
    table: Mutex<Table>,
    watcher: Watcher,
    status: Arc<Status>,
}

/// One execution, while it runs.
#[derive(Debug)]
pub(super) struct Entered<'a> {
    running: &'a Running,
    execution: ExecutionId,
    /// Stops it.
    pub(super) cancel: Cancel,
    _watched: Watched,
}

impl Running {
    pub(super) fn new(watcher: Watcher, status: Arc<Status>) -> Self {
        Self { table: Mutex::default(), watcher, status }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It runs from now on, until the answer is dropped.
    pub(super) fn enter(&self, claimed: &Claimed) -> Entered<'_> {
        let (cancel, execution) = (Cancel::new(), claimed.execution.clone());
        let mut table = self.table();
        table.cancels.insert(execution.clone(), cancel.clone());
        table.begun += 1;
        if table.stopped {
            cancel.cancel(CancelCause::Shutdown);
        }
        drop(table);
        self.status.begin(&execution, &claimed.job, &claimed.job_type);
        let watched = self.watcher.watch(claimed.job.clone(), execution.clone(), cancel.clone());
        Entered { running: self, execution, cancel, _watched: watched }
    }

    /// How many executions there have been, while none runs.
    pub(super) fn idle_after(&self) -> Option<u64> {
        let table = self.table();
        table.cancels.is_empty().then_some(table.begun)
    }

    /// Stops everything because the runner ends. Returns how much that was.
    pub(super) fn stop_all(&self) -> usize {
        let mut table = self.table();
        table.stopped = true;
        table.cancels.values().for_each(|cancel| cancel.cancel(CancelCause::Shutdown));
        table.cancels.len()
    }
}

impl Entered<'_> {
    /// How far it is.
    pub(super) fn phase(&self, phase: Phase) {
        self.running.status.phase(&self.execution, phase);
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.running.table().cancels.remove(&self.execution);
        self.running.status.end(&self.execution);
    }
}
