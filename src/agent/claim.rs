//! The claim: from an offer to a job that is ours, with the intent in the journal before anybody is asked.
//!
//! ```text
//!  Claiming durable ─► claim ─┬─ Ours ──────────► Claimed written ─► run it
//!                             ├─ Lost, Fenced ──► Unclaimed, not asked about for a while
//!                             └─ no answer ─────► again, same key; in the end the intent stays in the journal, and the key here
//! ```
//!
//! A claim that was never answered may have been granted. Its key is used again if the job is offered again, and by the next start of the
//! runner if it is not.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::Instant;

use super::{Claimed, agent::Shared, claimed::intent, drain::Stage};
use crate::{
    job::{ExecutionId, JobId},
    journal::Entry,
    retry::{Backoff, Policy},
    source::{Claim, Error, Offer, claim_key},
    telemetry::ClaimEnd,
};

/// How long a claim that gets no answer keeps its slot.
const PATIENCE: Duration = Duration::from_mins(2);

/// How long a job that went to somebody else is not asked about, should it be offered all the same.
const LOST: Duration = Duration::from_secs(2);

/// How long a job that we are refused, or get no answer about, is left alone.
const REFUSED: Duration = Duration::from_secs(30);

/// Most jobs that are remembered here.
const REMEMBERED: usize = 1000;

/// Jobs that were asked for in vain.
#[derive(Debug, Default)]
pub(super) struct Vain(Mutex<BTreeMap<JobId, Memory>>);

#[derive(Debug)]
struct Memory {
    until: Instant,
    /// Of a claim that may have been granted.
    key: Option<String>,
}

impl Vain {
    fn memories(&self) -> MutexGuard<'_, BTreeMap<JobId, Memory>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the job is to be left alone for now.
    pub(super) fn is_shunned(&self, job: &JobId) -> bool {
        self.memories().get(job).is_some_and(|memory| Instant::now() < memory.until)
    }

    fn remember(&self, job: &JobId, wait: Duration, key: Option<String>) {
        let mut memories = self.memories();
        let now = Instant::now();
        memories.retain(|_, memory| memory.key.is_some() || now < memory.until);
        if memories.len() < REMEMBERED {
            memories.insert(job.clone(), Memory { until: now + wait, key });
        }
    }

    /// The key of an earlier claim of the job that was never answered.
    fn take_key(&self, job: &JobId) -> Option<String> {
        self.memories().remove(job)?.key
    }
}

/// Claims the job; `None` when it is not ours, or not yet known to be. With the entry that has to be on its way to the disk before anything else is.
pub(super) async fn claim(shared: &Shared, offer: &Offer) -> Option<(Claimed, Entry)> {
    let key = match shared.vain.take_key(&offer.id) {
        Some(key) => key,
        None => intend(shared, offer).await?,
    };
    let (mut backoff, deadline) = (Backoff::new(Policy::FOR_EVER), Instant::now() + PATIENCE);
    let why = loop {
        let error = match shared.source.claim(&offer.id, &key).await {
            Ok(Claim::Ours(execution)) => return Some(ours(shared, offer, key, execution)),
            Ok(Claim::Lost(why)) | Err(Error::Fenced(why)) => break why,
            Err(error) => error,
        };
        if let Error::Refused { message, .. } = &error {
            tracing::warn!(job = %offer.id, error = message, "the control plane refuses the claim of a job that it offered");
            shared.metrics.claimed(ClaimEnd::Failed);
            shared.journal.note(Entry::Unclaimed { key });
            shared.vain.remember(&offer.id, REFUSED, None);
            return None;
        }
        let wait = backoff.next(error.advice()).filter(|wait| Instant::now() + *wait < deadline);
        let goes_on = match wait {
            None => false,
            Some(wait) => tokio::select! {
                () = tokio::time::sleep(wait) => true,
                () = shared.drain.reached(Stage::Draining) => false,
            },
        };
        if !goes_on {
            tracing::warn!(job = %offer.id, %error, "a claim was not answered; it is settled when the job is offered again, or at the next start");
            shared.metrics.claimed(ClaimEnd::Failed);
            shared.vain.remember(&offer.id, REFUSED, Some(key));
            return None;
        }
    };
    tracing::debug!(job = %offer.id, why, "somebody else was quicker");
    shared.metrics.claimed(ClaimEnd::Lost);
    shared.journal.note(Entry::Unclaimed { key });
    shared.vain.remember(&offer.id, LOST, None);
    None
}

/// Writes the intent down and returns its key; `None` when the disk refuses, because what is claimed then could be lost.
async fn intend(shared: &Shared, offer: &Offer) -> Option<String> {
    let at = Timestamp::now();
    let key = claim_key(at);
    let entry = Entry::Claiming { job: offer.id.clone(), key: key.clone(), at, intent: intent(offer) };
    if shared.journal.write(entry).await {
        return Some(key);
    }
    tracing::warn!(job = %offer.id, "the journal cannot be written: the job is left to others");
    shared.metrics.claimed(ClaimEnd::Failed);
    shared.journal.note(Entry::Unclaimed { key });
    None
}

fn ours(shared: &Shared, offer: &Offer, key: String, execution: ExecutionId) -> (Claimed, Entry) {
    shared.metrics.claimed(ClaimEnd::Ours);
    let claimed = Claimed::offered(offer, execution);
    let entry = Entry::Claimed {
        key,
        job: claimed.job.clone(),
        execution: claimed.execution.clone(),
        job_type: claimed.job_type.clone(),
        log_stream: claimed.log_stream.clone(),
        at: Timestamp::now(),
    };
    (claimed, entry)
}
