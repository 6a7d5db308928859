//! The cancel watcher: one task that asks, for all running executions at once, whether they may go on.
//!
//! In: executions that [`Watcher::watch`] registered, each with its [`Cancel`]. Out: that token cancelled with
//! [`CancelCause::Requested`], [`CancelCause::Deadline`] or [`CancelCause::LeaseLost`]. Invariants: no request while nothing runs; one request
//! at a time however much runs; an execution is cancelled once.
//!
//! A source that cannot be reached stops nothing, however long: the results are kept until it can, and whether a lease expired
//! meanwhile is the source's to decide (it fences the writes of the execution then).
//!
//! Started by the agent; the running table registers executions.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use crate::{
    job::{CancelCause, ExecutionId, JobId},
    retry::{Backoff, Policy},
    shutdown::Cancel,
    source::{Source, Standing},
};

/// How long a new execution waits until it is asked about: most of a burst of short jobs is over by then, and asking anew for each of
/// them would cost more requests than running them.
const SETTLE: Duration = Duration::from_millis(250);

/// Shortest time between two questions, for sources that answer at once.
const SPACING: Duration = Duration::from_secs(1);

type Running = BTreeMap<ExecutionId, (JobId, Cancel)>;

#[derive(Debug, Default)]
struct Table {
    running: Mutex<Running>,
    /// Counts the changes of `running`.
    changes: watch::Sender<u64>,
}

impl Table {
    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Registers executions. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Watcher(Arc<Table>);

/// Keeps one execution registered while it lives.
#[derive(Debug)]
pub struct Watched {
    table: Arc<Table>,
    execution: ExecutionId,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.table.running().remove(&self.execution);
        self.table.changes.send_modify(|changes| *changes += 1);
    }
}

impl Watcher {
    /// Nothing runs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on, and until the answer is dropped, `cancel` fires when the source does not want `execution` to go on.
    #[must_use]
    pub fn watch(&self, job: JobId, execution: ExecutionId, cancel: Cancel) -> Watched {
        self.0.running().insert(execution.clone(), (job, cancel));
        self.0.changes.send_modify(|changes| *changes += 1);
        Watched { table: Arc::clone(&self.0), execution }
    }

    /// Watches until `stop` is cancelled.
    pub async fn run(&self, source: Arc<dyn Source>, stop: &Cancel) {
        // Cancelled is all it can be.
        let _ = stop.run(self.watch_all(source.as_ref(), stop)).await;
    }

    async fn watch_all(&self, source: &dyn Source, stop: &Cancel) {
        let mut changes = self.0.changes.subscribe();
        let mut backoff = Backoff::new(Policy::FOR_EVER);
        let mut failing = false;
        loop {
            while self.asked_about().is_empty() {
                let _ = changes.changed().await;
            }
            tokio::time::sleep(SETTLE).await;
            changes.mark_unchanged();
            let asked = self.asked_about();
            if asked.is_empty() {
                continue;
            }
            let began = Instant::now();
            let answer = tokio::select! {
                answer = source.standings(&asked, stop) => answer,
                () = self.outgrown(&asked, &mut changes) => continue,
            };
            let wait = match answer {
                Ok(standings) => {
                    if std::mem::take(&mut failing) {
                        tracing::info!("the control plane can be asked about cancelled jobs again");
                    }
                    backoff.reset();
                    if self.apply(&standings) { Duration::ZERO } else { SPACING.saturating_sub(began.elapsed()) }
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(%error, "the control plane cannot be asked about cancelled jobs; they go on");
                    }
                    // An answer that is final for this question may be another one for the next.
                    let advice = match error.advice() {
                        crate::retry::Advice::GiveUp => crate::retry::Advice::Retry,
                        advice => advice,
                    };
                    backoff.next(advice).unwrap_or(Policy::FOR_EVER.max_delay)
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Whatever runs and was not told to stop.
    fn asked_about(&self) -> Vec<(JobId, ExecutionId)> {
        let running = self.0.running();
        let going = running.iter().filter(|(_, (_, cancel))| !cancel.is_cancelled());
        going.map(|(execution, (job, _))| (job.clone(), execution.clone())).collect()
    }

    /// Resolves when the question does not fit any more: nothing of it runs, or something else has been running for a while.
    async fn outgrown(&self, asked: &[(JobId, ExecutionId)], changes: &mut watch::Receiver<u64>) {
        let is_new = |execution: &ExecutionId| !asked.iter().any(|(_, asked)| asked == execution);
        loop {
            let _ = changes.changed().await;
            let now = self.asked_about();
            if now.is_empty() {
                return;
            }
            if now.iter().any(|(_, execution)| is_new(execution)) {
                tokio::time::sleep(SETTLE).await;
                if self.asked_about().iter().any(|(_, execution)| is_new(execution)) {
                    return;
                }
            }
        }
    }

    /// Cancels what the source does not want any more. Returns whether that was anything.
    fn apply(&self, standings: &[(ExecutionId, Standing)]) -> bool {
        let running = self.0.running();
        let mut any = false;
        for (execution, standing) in standings {
            let cause = match standing {
                Standing::Running => continue,
                Standing::CancelRequested => CancelCause::Requested,
                Standing::TimedOut => CancelCause::Deadline,
                Standing::Lost => CancelCause::LeaseLost,
            };
            if let Some((job, cancel)) = running.get(execution)
                && !cancel.is_cancelled()
            {
                tracing::info!(%job, %execution, ?cause, "stopped by the control plane");
                cancel.cancel(cause);
                any = true;
            }
        }
        any
    }
}
