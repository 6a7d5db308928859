//! The desk where polls wait and jobs are called out, one poll for one job.
//!
//! Inputs: parked polls and available jobs. Outputs: calls. Invariants: the poll that has waited longest is called first; a job is with one poll
//! at a time, until it is claimed or for [`OFFER`]. Called by [`super::Bells`].

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use super::{super::Job, locked};
use crate::job::{JobId, RunnerId};

/// How long a job is left to the poll that was called for it before the next one is called.
pub(super) const OFFER: Duration = Duration::from_secs(1);

/// What kind of poll a job is for.
#[derive(Debug, Clone)]
pub(super) struct Want {
    pub(super) group: String,
    pub(super) runner: Option<RunnerId>,
}

/// Where polls wait and jobs are called out.
#[derive(Debug, Default)]
pub(super) struct Desk {
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

    /// How many jobs are on their way to a runner.
    pub(super) fn offered(&self) -> usize {
        self.book().offers.len()
    }

    /// How many polls are parked.
    pub(super) fn parked(&self) -> usize {
        self.book().waiting.len()
    }

    pub(super) fn park(self: &Arc<Self>, runner: &RunnerId, groups: Option<&[String]>) -> Parked {
        let (call, called) = oneshot::channel();
        let mut book = self.book();
        let number = book.next;
        book.next += 1;
        book.waiting.insert(number, Waiter { runner: runner.clone(), groups: groups.map(<[String]>::to_vec), call });
        Parked { desk: Arc::clone(self), number, called, answered: false }
    }

    /// Calls the poll that has waited longest, unless the job is with somebody already: a look may have found it before it was told of.
    pub(super) fn offer(&self, job: &JobId, want: &Want) {
        let is_with_somebody = self.book().offers.get(job).is_some_and(|offer| offer.until > Instant::now());
        if !is_with_somebody {
            self.call(job, want);
        }
    }

    fn call(&self, job: &JobId, want: &Want) {
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

    pub(super) fn reserve(&self, runner: &RunnerId, found: &[Job], limit: usize) -> Vec<Job> {
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

    pub(super) fn taken(&self, job: &JobId) {
        self.book().offers.remove(job);
    }

    fn pass_on(&self, job: &JobId) {
        let want = self.book().offers.get(job).map(|offer| offer.want.clone());
        if let Some(want) = want {
            self.call(job, &want);
        }
    }

    pub(super) async fn keep_offering(&self) {
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
