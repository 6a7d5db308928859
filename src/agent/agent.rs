//! The agent itself: what it is made of, and its life from start to drain.
//!
//! ```text
//!  heartbeat ─► recovery hands over ─► recovery settles open claims ─► poll · claim · run · deliver ─► drain ─► stop
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::{
    Claimed, LocalRoots, Supervisor, background,
    claim::Vain,
    delivery::Deliveries,
    drain::{Drain, Stage},
    execution::attend,
    heart::{Heart, Pulse},
    poller,
    recovery::Recovery,
    running::Running,
    slots::{Limits, Slots},
    watcher::Watcher,
};
use crate::{
    executor::Readiness,
    job::{CancelCause, JobGroup, JobType},
    journal::{Journal, Recovered},
    shutdown::Cancel,
    source::Source,
    telemetry::{Gate, Metrics, Status},
};

/// Interval of the heartbeat until the source has said what it wants.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// How long open claims of an earlier runner go first at the start.
const SETTLING: Duration = Duration::from_secs(2);

/// What an agent works with.
pub struct AgentOptions {
    /// The control plane.
    pub source: Arc<dyn Source>,
    /// The control plane once more, for the heartbeat alone: nothing that the work does to the other may delay it.
    pub heart_source: Arc<dyn Source>,
    /// Runs the jobs.
    pub supervisor: Arc<Supervisor>,
    /// The open journal of `state_dir`.
    pub journal: Arc<Journal>,
    /// The state folder.
    pub state_dir: PathBuf,
    /// How many executions may run at once.
    pub slots: usize,
    /// How many of one group.
    pub group_limits: BTreeMap<JobGroup, usize>,
    /// How long running jobs are left to finish when the runner drains.
    pub drain_timeout: Duration,
    /// How long outcomes and logs are waited for at the end; what is not delivered then is delivered by the next start.
    pub delivery_budget: Duration,
    /// The folders of this machine that jobs may name.
    pub local_roots: LocalRoots,
    /// Shows what goes on.
    pub status: Arc<Status>,
    /// Counts what goes on.
    pub metrics: Arc<Metrics>,
}

/// What is left when the agent has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// Executions that were given up where they stood; the next start cleans up after them.
    pub unfinished: usize,
    /// Executions whose log or outcome the next start has to deliver, the unfinished ones included.
    pub undelivered: usize,
}

/// What every part of the agent uses.
pub(super) struct Shared {
    pub(super) source: Arc<dyn Source>,
    pub(super) supervisor: Arc<Supervisor>,
    pub(super) journal: Arc<Journal>,
    pub(super) deliveries: Arc<Deliveries>,
    pub(super) status: Arc<Status>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) state_dir: PathBuf,
    pub(super) local_roots: LocalRoots,
    pub(super) drain: Drain,
    pub(super) slots: Slots,
    pub(super) running: Running,
    pub(super) vain: Vain,
    /// One per execution that is over and not delivered.
    pub(super) owed: TaskTracker,
    ready: Mutex<BTreeSet<JobType>>,
    wants_logs: AtomicBool,
}

impl Shared {
    /// Whether the source wants job logs.
    pub(super) fn wants_logs(&self) -> bool {
        self.wants_logs.load(Ordering::Relaxed)
    }

    pub(super) fn set_wants_logs(&self, wants: bool) {
        self.wants_logs.store(wants, Ordering::Relaxed);
    }

    /// Whether jobs of that type were found to be runnable here.
    pub(super) fn is_ready(&self, job_type: JobType) -> bool {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).contains(&job_type)
    }

    pub(super) fn set_ready(&self, job_type: JobType) {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).insert(job_type);
    }
}

/// A polling runner.
pub struct Agent {
    shared: Arc<Shared>,
    heart_source: Arc<dyn Source>,
    watcher: Watcher,
    drain_timeout: Duration,
    delivery_budget: Duration,
    /// One per claim and execution.
    work: TaskTracker,
    /// Everything that goes on as long as anything does.
    background: TaskTracker,
}

impl Agent {
    /// An agent that does nothing yet. `drain` is advanced by whoever hears signals.
    #[must_use]
    pub fn new(options: AgentOptions, drain: Drain) -> Self {
        let watcher = Watcher::new();
        let shared = Shared {
            deliveries: Arc::new(Deliveries::counted(
                Arc::clone(&options.source),
                Arc::clone(&options.journal),
                Arc::clone(&options.metrics),
            )),
            running: Running::new(watcher.clone(), Arc::clone(&options.status)),
            slots: Slots::new(Limits { slots: options.slots, groups: options.group_limits }),
            source: options.source,
            supervisor: options.supervisor,
            journal: options.journal,
            status: options.status,
            metrics: options.metrics,
            state_dir: options.state_dir,
            local_roots: options.local_roots,
            drain,
            vain: Vain::default(),
            owed: TaskTracker::new(),
            ready: Mutex::default(),
            wants_logs: AtomicBool::new(true),
        };
        Self {
            shared: Arc::new(shared),
            heart_source: options.heart_source,
            watcher,
            drain_timeout: options.drain_timeout,
            delivery_budget: options.delivery_budget,
            work: TaskTracker::new(),
            background: TaskTracker::new(),
        }
    }

    /// Takes jobs until the drain begins, and then ends. `recovered` is what [`Journal::open`] found.
    pub async fn run(self, recovered: Vec<Recovered>) -> Ending {
        let stop = Cancel::new();
        let heart = self.start_heart();
        self.start_background(heart.as_ref(), &stop);
        self.look_at_executors().await;
        let drain = self.shared.drain.clone();
        tokio::select! {
            () = self.take_jobs(recovered, &stop) => {}
            () = drain.reached(Stage::Draining) => {}
        }
        let ending = tokio::select! {
            ending = self.finish() => ending,
            () = drain.reached(Stage::Aborted) => self.left(),
        };
        stop.cancel(CancelCause::Shutdown);
        self.background.close();
        self.background.wait().await;
        self.shared.deliveries.stop().await;
        self.shared.owed.close();
        self.shared.owed.wait().await;
        // Last of all, so that the lease holds as long as anything is told. Whoever else held the heart has ended.
        if let Some(heart) = heart.and_then(Arc::into_inner) {
            heart.stop();
        }
        ending
    }

    /// The heartbeat; without one (no thread to be had) the lease is renewed by what the work tells.
    fn start_heart(&self) -> Option<Arc<Heart>> {
        let metrics = Arc::clone(&self.shared.metrics);
        let on_pulse = move |pulse: &Pulse| {
            if matches!(pulse, Pulse::Failing(_)) {
                metrics.heartbeat_failed();
            }
        };
        match Heart::start(Arc::clone(&self.heart_source), HEARTBEAT, Box::new(on_pulse)) {
            Ok(heart) => Some(Arc::new(heart)),
            Err(error) => {
                tracing::error!(%error, "the heartbeat cannot be started; the control plane may think that this runner is gone");
                None
            }
        }
    }

    fn start_background(&self, heart: Option<&Arc<Heart>>, stop: &Cancel) {
        let (watcher, source, ended) = (self.watcher.clone(), Arc::clone(&self.shared.source), stop.clone());
        self.background.spawn(async move { watcher.run(source, &ended).await });
        self.background.spawn(background::follow_settings(Arc::clone(&self.shared), heart.cloned(), stop.clone()));
        self.background.spawn(background::show_what_is_owed(Arc::clone(&self.shared), stop.clone()));
    }

    async fn look_at_executors(&self) {
        let mut refused = Vec::new();
        for (job_type, readiness) in self.shared.supervisor.executors().probe().await {
            match readiness {
                Readiness::Ready(_) => self.shared.set_ready(job_type),
                Readiness::NotReady { .. } => refused.push(job_type.as_str()),
            }
        }
        if !refused.is_empty() {
            tracing::info!(types = refused.join(", "), "jobs of these types are refused; `build-runner doctor` says why");
        }
    }

    /// First what an earlier runner left, then whatever comes. Never returns by itself.
    async fn take_jobs(&self, recovered: Vec<Recovered>, stop: &Cancel) {
        let recovery = Recovery {
            source: Arc::clone(&self.shared.source),
            journal: Arc::clone(&self.shared.journal),
            deliveries: Arc::clone(&self.shared.deliveries),
            cleaner: Arc::clone(&self.shared.supervisor) as _,
            state: self.shared.state_dir.clone(),
        };
        let open = recovery.hand_over(recovered).await;
        self.shared.status.pass(Gate::Recovered, "HandedOver");
        let (sender, mut runnable) = mpsc::channel(1);
        let settle = recovery.settle(open, sender, stop);
        let rerun = async {
            while let Some(claimed) = runnable.recv().await {
                self.rerun(claimed).await;
            }
        };
        let settled = async { tokio::join!(settle, rerun) };
        tokio::pin!(settled);
        // Jobs that are ours already go first, as long as they can be had.
        let is_settled = tokio::time::timeout(SETTLING, &mut settled).await.is_ok();
        let settled = async {
            if !is_settled {
                settled.await;
            }
        };
        tokio::join!(settled, poller::poll(&self.shared, &self.work));
    }

    async fn rerun(&self, claimed: Claimed) {
        let group = claimed.job_type.parse().ok().map(JobType::group);
        let Some(mut slot) = self.shared.slots.wait_for(&claimed.job, group).await else { return };
        slot.settled();
        self.work.spawn(attend(Arc::clone(&self.shared), claimed, None, slot));
    }

    /// The drain: what runs is left to finish, then told to stop; what is owed is delivered.
    async fn finish(&self) -> Ending {
        let shared = &self.shared;
        shared.status.drain();
        self.work.close();
        tracing::info!(running = self.work.len(), "draining: no new jobs; those that run are left to finish");
        let finished = tokio::select! {
            () = self.work.wait() => true,
            () = tokio::time::sleep(self.drain_timeout) => false,
            () = shared.drain.reached(Stage::Stopping) => false,
        };
        if !finished {
            let running = shared.running.stop_all();
            tracing::warn!(running, "what still runs is cancelled");
            let patience = shared.supervisor.kill_grace() + self.delivery_budget;
            if tokio::time::timeout(patience, self.work.wait()).await.is_err() {
                tracing::error!(left = self.work.len(), "some jobs did not stop in time; the next start cleans up after them");
            }
        }
        let undelivered = shared.deliveries.drain(self.delivery_budget).await;
        if undelivered > 0 {
            tracing::warn!(undelivered, "not everything could be delivered in time; the journal keeps it for the next start");
        }
        Ending { unfinished: self.work.len(), undelivered }
    }

    /// What is left when nothing is waited for any more.
    fn left(&self) -> Ending {
        tracing::warn!(running = self.work.len(), "aborted; the next start cleans up and delivers what is owed");
        Ending { unfinished: self.work.len(), undelivered: self.shared.deliveries.gauge().max(self.work.len()) }
    }
}

#[cfg(test)]
mod tests;
