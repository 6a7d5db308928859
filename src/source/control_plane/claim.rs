//! Making a job ours, also when the answer to an earlier try was lost.
//!
//! A plane that knows idempotency keys answers a repeated claim with the execution it made the first time. One that does not would make a
//! second execution, or (the hosted plane, whose limit is one) withdraw the job and say that there were too many. So a claim that is
//! repeated, which its key's age or a failed try before says, looks first: a job that is meant for this runner alone and whose newest
//! execution is pending and not older than the key has been claimed by nobody else.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use reqwest::{Method, StatusCode};

use super::{
    Client,
    answer::Answer,
    transport::Call,
    wire::{Execution, ExecutionStatus, IDEMPOTENCY_KEY, Job, JobStatus, RUNNER_ID},
};
use crate::{
    job::JobId,
    source::{Claim, Error, claimed_at},
};

/// Most claims whose answer was lost that are remembered.
const MAX_OPEN: usize = 1024;
/// A key older than this is not of a first try: the claim was tried before.
const FIRST_TRY: Duration = Duration::from_secs(2);
/// How far the clocks of plane and runner may be apart.
const SKEW: Duration = Duration::from_mins(1);
/// What the hosted plane says, with status 500, of a job that has no executions left.
const EXHAUSTED: &str = "exceeded max executions";

/// Claims whose answer never came, with when they were begun.
#[derive(Debug)]
pub(super) struct Claims {
    /// When this process began to claim: an older key is another process's, however fast this one
    /// was started after it. Keys count in milliseconds.
    born: Timestamp,
    open: Mutex<VecDeque<(String, Timestamp)>>,
}

impl Default for Claims {
    fn default() -> Self {
        Self { born: Timestamp::now(), open: Mutex::default() }
    }
}

impl Claims {
    /// When the claim with that key may have been made before; `None` if this is its first try.
    fn since(&self, key: &str) -> Option<Timestamp> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = open.iter().find(|(open, _)| open == key).map(|(_, at)| *at);
        let repeated =
            |at: &Timestamp| at.as_millisecond() < self.born.as_millisecond() || Timestamp::now().duration_since(*at) > jiff_of(FIRST_TRY);
        failed.or_else(|| claimed_at(key).filter(repeated))
    }

    fn unanswered(&self, key: &str, at: Timestamp) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.iter().any(|(open, _)| open == key) {
            return;
        }
        if open.len() >= MAX_OPEN {
            open.pop_front();
        }
        open.push_back((key.to_owned(), at));
    }

    fn answered(&self, key: &str) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).retain(|(open, _)| open != key);
    }
}

pub(super) async fn claim(client: &Client, job: &JobId, key: &str) -> Result<Claim, Error> {
    let began = claimed_at(key).unwrap_or_else(Timestamp::now);
    if let Some(since) = client.claims.since(key)
        && let Some(claim) = made_before(client, job, since).await?
    {
        client.claims.answered(key);
        return Ok(claim);
    }
    let call = client
        .job_call(Method::POST, job, &["executions"])
        .json(&serde_json::Map::new())
        .header(IDEMPOTENCY_KEY, key)
        .header(RUNNER_ID, &client.options.runner_id);
    let claim = match client.transport.send(&call).await {
        Ok(answer) => claimed(&answer, &call),
        Err(error) => Err(error),
    };
    match &claim {
        Err(Error::Unavailable { .. }) => client.claims.unanswered(key, began),
        Ok(_) | Err(_) => client.claims.answered(key),
    }
    claim
}

/// What the answer to a claim says.
fn claimed(answer: &Answer, call: &Call) -> Result<Claim, Error> {
    if answer.status.is_success() {
        let execution: Execution = answer.json(call)?;
        let id = execution.id.parse();
        return id
            .map(Claim::Ours)
            .map_err(|_| Error::Unavailable { message: format!("{}: the answer names no execution", call.name()), retry_after: None });
    }
    let text = answer.text();
    if answer.status == StatusCode::INTERNAL_SERVER_ERROR && text.contains(EXHAUSTED) {
        return Ok(Claim::Lost(text));
    }
    match answer.error(call) {
        Error::Fenced(message) => Ok(Claim::Lost(message)),
        error => Err(error),
    }
}

/// What the job itself says about an earlier claim of ours; `None` when it has to be claimed (again) to know.
async fn made_before(client: &Client, job: &JobId, since: Timestamp) -> Result<Option<Claim>, Error> {
    let call = client.job_call(Method::GET, job, &[]);
    let shown: Job = match client.transport.json(&call).await {
        Err(Error::Fenced(message)) => return Ok(Some(Claim::Lost(message))),
        other => other?,
    };
    // Of a job that anybody may claim, only the key tells who did.
    if shown.runner_id != client.options.runner_id {
        return Ok(None);
    }
    let ours = shown.newest_execution().filter(|execution| {
        let pending = execution.status == ExecutionStatus::Pending;
        pending && execution.created_at.is_some_and(|at| at.saturating_add(jiff_of(SKEW)).is_ok_and(|at| at >= since))
    });
    if let Some(id) = ours.and_then(|execution| execution.id.parse().ok()) {
        return Ok(Some(Claim::Ours(id)));
    }
    Ok(match shown.status {
        JobStatus::Available | JobStatus::Queued | JobStatus::Unknown(_) => None,
        status => Some(Claim::Lost(format!("job {job} is {status} already"))),
    })
}

fn jiff_of(duration: Duration) -> jiff::SignedDuration {
    jiff::SignedDuration::try_from(duration).unwrap_or(jiff::SignedDuration::MAX)
}
