//! What the runner owes its source about each execution: phases, log, report. Nothing of it is given up because the source is away.
//!
//! ```text
//!  begin ─► live: log as it grows, latest phase ──finish─► rest of the log ─► report ─► Closed noted, log folder removed
//!                  └──────────────────────────────disown────────────────────────────────────┘   (nothing reported)
//! ```
//!
//! One task per execution. In: a [`DeliveryJob`], then phases and either [`Delivery::finish`] (after the journal's `Finished` is durable) or
//! [`Delivery::disown`]. Out: calls of the [`Source`], `LogsSent` and `Closed` in the [`Journal`].
//!
//! Invariants:
//! - every byte of the log is with the source before the terminal status; only a log endpoint that fails for a minute while the
//!   report gets through is overtaken by it, and is tried on afterwards;
//! - no intermediate phase follows the terminal status, and none is sent that is over before anybody could look;
//! - tries never end while the source is away or refuses the token; what it refuses for good or disowns is told in the runner's log;
//! - a restart repeats at most one batch and one report, which sources take as the same (records carry their number);
//! - memory: a batch is held only while it is being sent, and few are sent at once. Whoever waits to try again reads it anew.
//!
//! Called by the agent (every execution) and by recovery (what an earlier runner left).

mod handle;
mod phases;
mod shipper;
mod task;
#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use handle::{Delivered, Delivery};

use crate::{
    job::{ExecutionId, JobId},
    journal::Journal,
    logs::Bell,
    source::Source,
    telemetry::Metrics,
};

/// Log batches that are read or sent at once, over all executions.
const UPLOADS: usize = 8;

/// From here on the source is so far behind that nothing more should be claimed.
const BEHIND: usize = 1000;

/// Folder of the logs that are not delivered yet, in the state folder.
pub(super) const LOGS: &str = "logs";

/// Where the log of an execution is kept until it is delivered.
#[must_use]
pub fn log_folder(state: &Path, execution: &ExecutionId) -> PathBuf {
    state.join(LOGS).join(execution.as_str())
}

/// The execution whose log and outcome are to be delivered.
#[derive(Debug, Clone)]
pub struct DeliveryJob {
    /// The job.
    pub job: JobId,
    /// Its type, as the source wrote it.
    pub job_type: String,
    /// The attempt.
    pub execution: ExecutionId,
    /// Where the source wants its log; empty when it wants none.
    pub log_stream: String,
    /// Folder of the log; removed when everything is delivered. Need not exist (yet).
    pub folder: PathBuf,
    /// Rings when the log grows.
    pub bell: Bell,
    /// The last record the source has: 0 unless it was begun by an earlier runner.
    pub logs_sent: u64,
}

/// All deliveries of a runner.
#[derive(Debug)]
pub struct Deliveries {
    shared: Arc<Shared>,
    tasks: TaskTracker,
}

/// What every delivery uses.
pub(super) struct Shared {
    source: Arc<dyn Source>,
    journal: Arc<Journal>,
    metrics: Arc<Metrics>,
    uploads: Semaphore,
    owed: AtomicUsize,
    stop: CancellationToken,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("owed", &self.owed).finish_non_exhaustive()
    }
}

impl Deliveries {
    /// Nothing to deliver yet.
    #[must_use]
    pub fn new(source: Arc<dyn Source>, journal: Arc<Journal>) -> Self {
        Self::counted(source, journal, Arc::new(Metrics::new()))
    }

    /// Nothing to deliver yet; what will be is counted by `metrics`.
    #[must_use]
    pub fn counted(source: Arc<dyn Source>, journal: Arc<Journal>, metrics: Arc<Metrics>) -> Self {
        let (uploads, owed, stop) = (Semaphore::new(UPLOADS), AtomicUsize::new(0), CancellationToken::new());
        let shared = Shared { source, journal, metrics, uploads, owed, stop };
        Self { shared: Arc::new(shared), tasks: TaskTracker::new() }
    }

    /// Begins to deliver. Does not wait for anything; needs a tokio runtime.
    #[must_use]
    pub fn begin(&self, job: DeliveryJob) -> Delivery {
        let (delivery, orders) = handle::pair();
        self.tasks.spawn(task::run(Arc::clone(&self.shared), job, orders));
        delivery
    }

    /// Executions that are over and of which something is still owed.
    #[must_use]
    pub fn gauge(&self) -> usize {
        self.shared.owed.load(Ordering::Acquire)
    }

    /// Whether so much is owed that the runner should take no more work until some of it is gone.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.gauge() >= BEHIND
    }

    /// Waits until everything is delivered, `budget` at most. Returns how many deliveries are left: the journal keeps them for the next
    /// start.
    pub async fn drain(&self, budget: Duration) -> usize {
        self.tasks.close();
        // What is left is told by the return value.
        let _ = tokio::time::timeout(budget, self.tasks.wait()).await;
        self.tasks.len()
    }

    /// Stops all deliveries where they stand and waits until they have. What they owe stays in the journal.
    pub async fn stop(&self) {
        self.shared.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Deliveries {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}
