//! Who is waiting for what, and how they are woken: by the change itself, never by a timer.
//!
//! Inputs: [`Event`]s, rung by the store after a change is durable. Outputs: [`Bell`]s for one job or one runner, and [`Parked`] polls that
//! are called one at a time, longest waiting first, each with the job it was called for: two thousand parked polls and one new job make one query, not
//! two thousand, and a hundred new jobs do not send a hundred runners after the same one.
//!
//! Invariants: whoever takes a bell and then looks misses nothing that happens after the look; a called poll that goes away, or a job that nobody
//! claims within one second, goes to the next one. Shared by all implementations of the store; called by the HTTP layer.

mod bell;
mod desk;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Job;
use crate::job::{ExecutionId, JobId, RunnerId};

pub use bell::Bell;
pub use desk::Parked;

use bell::Topic;
use desk::{Desk, Want};

/// Something that happened, and is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A job can be claimed.
    JobAvailable {
        /// The job.
        job: JobId,
        /// Its group.
        group: String,
        /// The only runner that may have it.
        runner: Option<RunnerId>,
    },
    /// A job cannot be claimed any more: it was, or it is over.
    JobTaken(JobId),
    /// A job or one of its executions has another status, result or outputs.
    JobChanged(JobId),
    /// An execution was ended by somebody else than its runner, which should stop.
    Stop {
        /// The execution.
        execution: ExecutionId,
        /// Its runner, if that is known.
        runner: Option<RunnerId>,
    },
    /// There are new log records.
    LogGrew(JobId),
}

/// All bells of a store.
#[derive(Debug, Default)]
pub struct Bells {
    jobs: Topic<JobId>,
    runners: Topic<RunnerId>,
    desk: Arc<Desk>,
}

impl Bells {
    /// Rings at every change of this job, its executions and its log.
    #[must_use]
    pub fn job(&self, job: &JobId) -> Bell {
        self.jobs.listen(job)
    }

    /// Rings when an execution of this runner should stop.
    #[must_use]
    pub fn runner(&self, runner: &RunnerId) -> Bell {
        self.runners.listen(runner)
    }

    /// Joins the polls that wait for a job; of any group when `groups` is `None`. Look for available jobs after this, not before.
    #[must_use]
    pub fn park(&self, runner: &RunnerId, groups: Option<&[String]>) -> Parked {
        self.desk.park(runner, groups)
    }

    /// How many jobs are on their way to a runner.
    #[must_use]
    pub fn offered(&self) -> usize {
        self.desk.offered()
    }

    /// Of the available jobs that were found for a runner, those that are not on their way to another one; they are on their way to this one then.
    /// Without this every runner that looks chases the jobs that others have just been called for.
    #[must_use]
    pub fn reserve(&self, runner: &RunnerId, found: &[Job], limit: usize) -> Vec<Job> {
        self.desk.reserve(runner, found, limit)
    }

    /// How many polls are parked.
    #[must_use]
    pub fn parked(&self) -> usize {
        self.desk.parked()
    }

    /// Calls the next poll for jobs that were not claimed by the one called before. Runs for ever: give it a task.
    pub async fn keep_offering(&self) {
        self.desk.keep_offering().await;
    }

    /// Tells everybody who waits for this. Only for what is durable.
    pub fn ring(&self, event: &Event) {
        match event {
            Event::JobAvailable { job, group, runner } => {
                self.desk.offer(job, &Want { group: group.clone(), runner: runner.clone() });
                self.jobs.ring(job);
            }
            Event::JobTaken(job) => self.desk.taken(job),
            Event::JobChanged(job) | Event::LogGrew(job) => self.jobs.ring(job),
            Event::Stop { runner: Some(runner), .. } => self.runners.ring(runner),
            Event::Stop { runner: None, .. } => self.runners.ring_all(),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one of these; if it did, the maps would still be whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{bell::FEW, desk::OFFER, *};

    fn runner(name: &str) -> RunnerId {
        name.parse().unwrap()
    }

    fn available(job: &JobId, group: &str) -> Event {
        Event::JobAvailable { job: job.clone(), group: group.into(), runner: None }
    }

    async fn silent(work: impl Future<Output = impl Sized>) -> bool {
        tokio::time::timeout(Duration::from_millis(1), work).await.is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn one_poll_is_called_for_one_job_longest_waiting_first_and_only_if_it_fits() {
        let bells = Bells::default();
        let builds = ["build".to_owned()];
        let mut sync = bells.park(&runner("a"), Some(&["sync".to_owned()]));
        let mut first = bells.park(&runner("a"), Some(&builds));
        let mut second = bells.park(&runner("b"), None);
        let (one, two, three) = (JobId::generate(), JobId::generate(), JobId::generate());
        bells.ring(&available(&one, "build"));
        assert_eq!(first.called().await, one);
        // Told of once more, it is with somebody already.
        bells.ring(&available(&one, "build"));
        assert!(silent(second.called()).await);
        bells.ring(&Event::JobAvailable { job: two.clone(), group: "sync".into(), runner: Some(runner("b")) });
        assert_eq!(second.called().await, two);
        assert!(silent(sync.called()).await);
        bells.ring(&available(&three, "sync"));
        assert_eq!(sync.called().await, three);
        assert_eq!(bells.parked(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_goes_to_the_next_poll_when_the_called_one_goes_away_or_does_not_claim_it() {
        let bells = Bells::default();
        let (gone, mut idle, mut last) = (bells.park(&runner("a"), None), bells.park(&runner("b"), None), bells.park(&runner("c"), None));
        let job = JobId::generate();
        bells.ring(&available(&job, "build"));
        drop(gone);
        assert_eq!(idle.called().await, job);
        tokio::select! {
            () = bells.keep_offering() => unreachable!(),
            again = last.called() => assert_eq!(again, job),
        }
        let mut late = bells.park(&runner("d"), None);
        bells.ring(&Event::JobTaken(job));
        tokio::select! {
            () = bells.keep_offering() => unreachable!(),
            _ = late.called() => panic!("the job was taken"),
            () = tokio::time::sleep(OFFER * 3) => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn bells_ring_for_their_own_thing_and_are_forgotten_with_their_listeners() {
        let bells = Bells::default();
        let (job, other) = (JobId::generate(), JobId::generate());
        let (mut mine, mut also_mine) = (bells.job(&job), bells.job(&job));
        let mut elsewhere = bells.job(&other);
        bells.ring(&Event::LogGrew(job.clone()));
        mine.rung().await;
        also_mine.rung().await;
        assert!(silent(mine.rung()).await && silent(elsewhere.rung()).await);
        let mut stop = bells.runner(&runner("a"));
        bells.ring(&Event::Stop { execution: ExecutionId::generate(), runner: Some(runner("a")) });
        stop.rung().await;
        for _ in 0..1000 {
            let _ = bells.job(&JobId::generate());
        }
        assert!(bells.jobs.len() <= FEW + 1);
    }
}
