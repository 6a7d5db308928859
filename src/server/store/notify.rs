//! Who is waiting for what, and how they are woken: by the change itself, never by a timer.
//!
//! Inputs: [`Event`]s, rung by the store after a change is durable. Outputs: [`Bell`]s for one job or one runner, and [`Parked`] polls that
//! are called one at a time, longest waiting first, each with the job it was called for: two thousand parked polls and one new job make one query, not
//! two thousand, and a hundred new jobs do not send a hundred runners after the same one.
//!
//! Invariants: whoever takes a bell and then looks misses nothing that happens after the look; a called poll that goes away, or a job that nobody
//! claims within [`OFFER`], goes to the next one. Shared by all implementations of the store; called by the HTTP layer.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot, watch},
    time::Instant,
};

use super::Job;
use crate::job::{ExecutionId, JobId, RunnerId};

/// How long a job is left to the poll that was called for it before the next one is called.
const OFFER: Duration = Duration::from_secs(1);

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

/// Rings when something happens to what it was made for. Rings made for the same thing do not take each other's.
#[derive(Debug)]
pub struct Bell(watch::Receiver<u64>);

impl Bell {
    /// Resolves when something has happened since the bell was made, or since this last resolved. Cancel-safe.
    pub async fn rung(&mut self) {
        if self.0.changed().await.is_err() {
            // The store is gone: nothing will ever happen again.
            std::future::pending::<()>().await;
        }
    }
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
        self.desk.book().offers.len()
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
        self.desk.book().waiting.len()
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

/// One watch channel for each thing that somebody listens to.
#[derive(Debug)]
struct Topic<K>(Mutex<Channels<K>>);

#[derive(Debug)]
struct Channels<K> {
    senders: HashMap<K, watch::Sender<u64>>,
    /// The unused channels are swept when there are this many.
    sweep_at: usize,
}

/// Channels there may be before the first sweep.
const FEW: usize = 64;

impl<K> Default for Topic<K> {
    fn default() -> Self {
        Self(Mutex::new(Channels { senders: HashMap::new(), sweep_at: FEW }))
    }
}

impl<K: Clone + Eq + Hash> Topic<K> {
    fn listen(&self, key: &K) -> Bell {
        let mut channels = locked(&self.0);
        if channels.senders.len() >= channels.sweep_at {
            channels.senders.retain(|_, sender| sender.receiver_count() > 0);
            channels.sweep_at = (2 * channels.senders.len()).max(FEW);
        }
        Bell(channels.senders.entry(key.clone()).or_insert_with(|| watch::Sender::new(0)).subscribe())
    }

    fn ring(&self, key: &K) {
        let mut channels = locked(&self.0);
        let Some(sender) = channels.senders.get(key) else { return };
        if sender.receiver_count() == 0 {
            channels.senders.remove(key);
        } else {
            sender.send_modify(|count| *count += 1);
        }
    }

    fn ring_all(&self) {
        locked(&self.0).senders.values().for_each(|sender| sender.send_modify(|count| *count += 1));
    }
}

/// What kind of poll a job is for.
#[derive(Debug, Clone)]
struct Want {
    group: String,
    runner: Option<RunnerId>,
}

/// Where polls wait and jobs are called out.
#[derive(Debug, Default)]
struct Desk {
    book: Mutex<Book>,
    /// Rings when the first offer is made.
    offered: Notify,
}

#[derive(Debug, Default)]
struct Book {
    next: u64,
    /// Parked polls, longest waiting first.
    waiting: BTreeMap<u64, Waiter>,
    /// Jobs that somebody was told of, until they are claimed.
    offers: HashMap<JobId, Offer>,
}

/// A job on its way to a runner.
#[derive(Debug)]
struct Offer {
    runner: RunnerId,
    until: Instant,
    want: Want,
}

#[derive(Debug)]
struct Waiter {
    runner: RunnerId,
    groups: Option<Vec<String>>,
    call: oneshot::Sender<JobId>,
}

impl Waiter {
    fn fits(&self, want: &Want) -> bool {
        want.runner.as_ref().is_none_or(|runner| *runner == self.runner)
            && self.groups.as_ref().is_none_or(|groups| groups.contains(&want.group))
    }
}

impl Desk {
    fn book(&self) -> MutexGuard<'_, Book> {
        locked(&self.book)
    }

    fn park(self: &Arc<Self>, runner: &RunnerId, groups: Option<&[String]>) -> Parked {
        let (call, called) = oneshot::channel();
        let mut book = self.book();
        let number = book.next;
        book.next += 1;
        book.waiting.insert(number, Waiter { runner: runner.clone(), groups: groups.map(<[String]>::to_vec), call });
        Parked { desk: Arc::clone(self), number, called, answered: false }
    }

    fn offer(&self, job: &JobId, want: &Want) {
        let mut book = self.book();
        while let Some(number) = book.waiting.iter().find(|(_, waiter)| waiter.fits(want)).map(|(number, _)| *number) {
            let Some(waiter) = book.waiting.remove(&number) else { continue };
            if waiter.call.send(job.clone()).is_ok() {
                book.offers.insert(job.clone(), Offer { runner: waiter.runner, until: Instant::now() + OFFER, want: want.clone() });
                self.offered.notify_one();
                return;
            }
        }
        // Nobody waits: whoever polls next finds it by looking.
        book.offers.remove(job);
    }

    fn reserve(&self, runner: &RunnerId, found: &[Job], limit: usize) -> Vec<Job> {
        let (mut book, now) = (self.book(), Instant::now());
        let free = |job: &&Job| book.offers.get(&job.id).is_none_or(|offer| offer.runner == *runner || offer.until <= now);
        let jobs: Vec<Job> = found.iter().filter(free).take(limit).cloned().collect();
        for job in &jobs {
            let want = Want { group: job.group.clone(), runner: job.runner.clone() };
            book.offers.insert(job.id.clone(), Offer { runner: runner.clone(), until: now + OFFER, want });
        }
        self.offered.notify_one();
        jobs
    }

    fn taken(&self, job: &JobId) {
        self.book().offers.remove(job);
    }

    fn pass_on(&self, job: &JobId) {
        let want = self.book().offers.get(job).map(|offer| offer.want.clone());
        if let Some(want) = want {
            self.offer(job, &want);
        }
    }

    async fn keep_offering(&self) {
        loop {
            let now = Instant::now();
            let (due, next) = {
                let book = self.book();
                let due: Vec<JobId> = book.offers.iter().filter(|(_, offer)| offer.until <= now).map(|(job, _)| job.clone()).collect();
                (due, book.offers.values().map(|offer| offer.until).filter(|until| *until > now).min())
            };
            for job in &due {
                self.pass_on(job);
            }
            match next {
                _ if !due.is_empty() => {}
                Some(next) => tokio::time::sleep_until(next).await,
                None => self.offered.notified().await,
            }
        }
    }
}

/// A parked poll. Leaves when dropped; if it was called and dropped before [`Parked::called`] told, the next one is called.
#[derive(Debug)]
pub struct Parked {
    desk: Arc<Desk>,
    number: u64,
    called: oneshot::Receiver<JobId>,
    answered: bool,
}

impl Parked {
    /// Resolves with the job that this poll was called for. It may be gone when looked at. Call it once; cancel-safe until then.
    pub async fn called(&mut self) -> JobId {
        match (&mut self.called).await {
            Ok(job) => {
                self.answered = true;
                job
            }
            Err(_) => std::future::pending().await,
        }
    }

    /// The poll answers with these jobs. If it was called for one of them meanwhile, nobody else need be.
    pub fn answer(&mut self, jobs: &[Job]) {
        if let Ok(called) = self.called.try_recv() {
            self.answered = true;
            if !jobs.iter().any(|job| job.id == called) {
                self.desk.pass_on(&called);
            }
        }
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        self.desk.book().waiting.remove(&self.number);
        if let (false, Ok(job)) = (self.answered, self.called.try_recv()) {
            self.desk.pass_on(&job);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one of these; if it did, the maps would still be whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(locked(&bells.jobs.0).senders.len() <= FEW + 1);
    }
}
