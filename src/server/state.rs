//! What all handlers share.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{
    clock::Alarm,
    metrics::Metrics,
    options::{Limits, ServerOptions},
    store::{Store, Timeouts},
};
use crate::job::{JobId, RunnerId};

/// The control plane, as handlers see it.
pub(crate) struct Plane {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) limits: Limits,
    pub(crate) metrics: Metrics,
    pub(crate) shown: Shown,
    pub(crate) alarm: Alarm,
    /// How long an execution lives without a sign of its runner.
    pub(crate) lease: Duration,
    /// Turns at reading a log batch.
    pub(crate) unpacking: Semaphore,
    /// Cancelled when the control plane is to stop: parked requests answer, streams end.
    pub(crate) stop: CancellationToken,
}

/// The extractor by which handlers get it.
pub(crate) type Shared = axum::extract::State<Arc<Plane>>;

/// Log batches that are read at the same time, each up to [`Limits::logs`] in memory, packed and unpacked.
const BATCHES: usize = 4;

impl Plane {
    /// A control plane that has done nothing yet.
    pub(crate) fn new(store: Arc<dyn Store>, options: &ServerOptions, stop: CancellationToken) -> Self {
        Self {
            store,
            limits: options.limits,
            lease: options.lease,
            metrics: Metrics::new(),
            shown: Shown::default(),
            alarm: Alarm::default(),
            unpacking: Semaphore::new(BATCHES),
            stop,
        }
    }

    /// The clock of all requests.
    #[expect(clippy::unused_self, reason = "handlers ask the plane for the time, so that a plane with another clock changes one place")]
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    /// Lets the clock know of the limits of a job that begins to wait now.
    pub(crate) fn watch_clocks(&self, timeouts: &Timeouts, now: Timestamp) {
        self.alarm.after(now, timeouts.available);
        self.alarm.after(now, timeouts.overall);
    }
}

/// Which runner was shown which job. A claim of the runner API does not say who claims: a runner whose token is bound to no id and which
/// does not send the header of ours is the one that was shown the job, if that was one alone.
#[derive(Debug, Default)]
pub(crate) struct Shown(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    jobs: HashMap<JobId, (Audience, Timestamp)>,
    order: VecDeque<JobId>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Audience {
    One(RunnerId),
    Several,
}

/// Jobs remembered: as many as could be under way to their runners.
const REMEMBERED: usize = 16_384;

impl Shown {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        // Nothing panics while it holds this; if it did, the memory would still serve.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that `runner` was told of `job`.
    pub(crate) fn note(&self, job: &JobId, submitted: Timestamp, runner: &RunnerId) {
        let mut memory = self.memory();
        let one = Audience::One(runner.clone());
        match memory.jobs.get_mut(job) {
            Some((audience, _)) if *audience != one => *audience = Audience::Several,
            Some(_) => {}
            None => {
                memory.jobs.insert(job.clone(), (one, submitted));
                memory.order.push_back(job.clone());
            }
        }
        if memory.order.len() > REMEMBERED
            && let Some(oldest) = memory.order.pop_front()
        {
            memory.jobs.remove(&oldest);
        }
    }

    /// The only runner that was told of it.
    pub(crate) fn to(&self, job: &JobId) -> Option<RunnerId> {
        match self.memory().jobs.get(job) {
            Some((Audience::One(runner), _)) => Some(runner.clone()),
            _ => None,
        }
    }

    /// When it was submitted.
    pub(crate) fn created_at(&self, job: &JobId) -> Option<Timestamp> {
        self.memory().jobs.get(job).map(|(_, submitted)| *submitted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_runner_that_was_shown_a_job_is_remembered_and_memory_is_bounded() {
        let (shown, job, now) = (Shown::default(), JobId::generate(), Timestamp::now());
        let (a, b): (RunnerId, RunnerId) = ("a".parse().expect("an id"), "b".parse().expect("an id"));
        shown.note(&job, now, &a);
        shown.note(&job, now, &a);
        assert_eq!((shown.to(&job), shown.created_at(&job)), (Some(a.clone()), Some(now)));
        shown.note(&job, now, &b);
        shown.note(&job, now, &a);
        assert_eq!(shown.to(&job), None);
        for _ in 0..REMEMBERED {
            shown.note(&JobId::generate(), now, &a);
        }
        assert_eq!((shown.created_at(&job), shown.memory().jobs.len()), (None, REMEMBERED));
    }
}
