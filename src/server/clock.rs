//! Leases and limits of time: a task that sleeps until the next of them runs out, and ends what it was for.
//!
//! In: [`Store::next_expiry`], and the [`Alarm`], by which handlers say that something with an earlier end has begun. Out: [`Store::expire`].
//! No polling: without a running clock it sleeps for good.
//!
//! [`Store::next_expiry`]: super::store::Store::next_expiry
//! [`Store::expire`]: super::store::Store::expire

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::Notify;

use super::{state::Plane, store::Error};

/// Wait after the store could not be asked, and between two rounds at least: what ends does so in bunches.
const BREATH: Duration = Duration::from_millis(20);
/// The same, when the store is in trouble.
const TROUBLE: Duration = Duration::from_secs(1);

/// When the clock goes off next.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    /// `None` while it is being worked out, or when there is nothing to wait for.
    next: Mutex<Option<Timestamp>>,
    earlier: Notify,
}

impl Alarm {
    /// Something ends at that time. Cheap: only the first of many with the same length wakes the clock.
    pub(crate) fn no_later_than(&self, at: Timestamp) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if next.is_none_or(|next| at < next) {
            *next = Some(at);
            self.earlier.notify_one();
        }
    }

    /// As [`Alarm::no_later_than`], so much later than `now`; zero is never.
    pub(crate) fn after(&self, now: Timestamp, length: Duration) {
        if let (false, Ok(at)) = (length.is_zero(), now.checked_add(length)) {
            self.no_later_than(at);
        }
    }

    fn set(&self, at: Option<Timestamp>) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }
}

/// Runs until the control plane stops.
pub(crate) async fn run(plane: Arc<Plane>) {
    let work = async {
        loop {
            if let Err(error) = round(&plane).await {
                tracing::error!(%error, "leases and limits of time cannot be watched; trying again");
                tokio::time::sleep(TROUBLE).await;
            }
        }
    };
    tokio::select! {
        () = plane.stop.cancelled() => {}
        () = work => {}
    }
}

/// Waits for the next end, and ends it.
async fn round(plane: &Plane) -> Result<(), Error> {
    // Forgotten first: what begins from here on is either in the answer or sets the alarm.
    plane.alarm.set(None);
    let known = plane.store.next_expiry().await?;
    if let Some(known) = known {
        plane.alarm.no_later_than(known);
    }
    let now = plane.now();
    let due = known.is_some_and(|at| at <= now);
    if !due {
        let rest = known.map(|at| Duration::try_from(at.duration_since(now)).unwrap_or(BREATH));
        tokio::select! {
            () = sleep(rest) => {}
            () = earlier(plane, known) => return Ok(()),
        }
    }
    for expired in plane.store.expire(plane.now()).await? {
        plane.metrics.expired(expired.clock);
        let (job, clock) = (&expired.job, expired.clock.as_str());
        let execution = expired.execution.as_ref().map(ToString::to_string);
        tracing::warn!(%job, execution, clock, status = %expired.status, "a job ran out of time");
    }
    tokio::time::sleep(BREATH).await;
    Ok(())
}

/// Resolves when the alarm stands earlier than `known`.
async fn earlier(plane: &Plane, known: Option<Timestamp>) {
    loop {
        plane.alarm.earlier.notified().await;
        let next = *plane.alarm.next.lock().unwrap_or_else(PoisonError::into_inner);
        // The ring of this round's own answer is not news.
        if next.is_some_and(|next| known.is_none_or(|known| next < known)) {
            return;
        }
    }
}

async fn sleep(length: Option<Duration>) {
    match length {
        Some(length) => tokio::time::sleep(length).await,
        None => std::future::pending().await,
    }
}
