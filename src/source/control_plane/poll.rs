//! Waiting for jobs: the long poll where there is one, else the list every few seconds.
//!
//! A plane without `…/jobs/tail` answers it with 404; it is polled the plain way then, and asked for the long poll again every five
//! minutes. Either way offers come out once each and oldest first, also of planes that list the newest first.

use std::{collections::HashSet, sync::Mutex, sync::PoisonError, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use jiff::Timestamp;
use reqwest::Method;
use tokio::time::Instant;

use super::{
    Client,
    probe::{Pace, Probe},
    transport::Call,
    wire::{ANY_GROUP, DEFAULT_LIMIT, Job, JobStatus},
};
use crate::{
    job::JobGroup,
    shutdown::{Cancel, Cancelled},
    source::{Error, Offer, Wanted},
};

/// Most pages of a list that are read to find the oldest job.
const MAX_PAGES: usize = 5;
/// Pause between two lists when the one before offered something: there may be more, but who does not hold polls gets no hundred a second.
const BUSY: Duration = Duration::from_millis(250);
/// Longest pause after long polls that were answered at once with nothing.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What is remembered between two polls.
#[derive(Debug)]
pub(super) struct Poll {
    tail: Probe,
    pace: Pace,
    /// When the next list is due.
    list_at: Mutex<Option<Instant>>,
}

impl Poll {
    pub(super) fn new(probe_again: Duration) -> Self {
        Self { tail: Probe::new(probe_again), pace: Pace::default(), list_at: Mutex::default() }
    }
}

/// What became of a long poll.
enum Tail {
    Offers(Vec<Offer>),
    /// The plane has none, or what it says there makes no sense.
    Missing,
}

pub(super) async fn poll(client: &Client, wanted: &Wanted, cancel: &Cancel) -> Result<Vec<Offer>, Error> {
    let poll = &client.poll;
    let try_tail = poll.tail.is_due();
    if try_tail {
        let began = Instant::now();
        match cancel.run(tail(client, wanted)).await.map_err(stopped)?? {
            Tail::Offers(offers) => {
                poll.tail.found();
                let pause = poll.pace.after(offers.is_empty(), began.elapsed(), LONGEST_PAUSE);
                if !pause.is_zero() {
                    cancel.run(tokio::time::sleep(pause)).await.map_err(stopped)?;
                }
                return Ok(offers);
            }
            Tail::Missing => {}
        }
    }
    let due = *poll.list_at.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(due) = due {
        cancel.run(tokio::time::sleep_until(due)).await.map_err(stopped)?;
    }
    let offers = cancel.run(list(client, wanted)).await.map_err(stopped)?;
    // Where the list is missing too, it is the plane that is away, not its long poll.
    if try_tail && offers.is_ok() {
        tracing::info!(interval = ?client.options.poll_interval, "the control plane has no long poll: asking it in intervals");
        poll.tail.missing();
    }
    let pause = match &offers {
        Ok(offers) if !offers.is_empty() => BUSY.min(client.options.poll_interval),
        _ => jittered(client.options.poll_interval),
    };
    *poll.list_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + pause);
    offers
}

/// One long poll per wanted group; the first that offers something wins. None of them claims, so dropping the others loses nothing.
async fn tail(client: &Client, wanted: &Wanted) -> Result<Tail, Error> {
    let limit = wanted.limit.max(1);
    let ask = async |group: &'static str| {
        let call = client.runner_call(Method::GET, &["jobs", "tail"]).within(client.held());
        let call = call.query("group", group).query("wait", &client.wait()).query("limit", &limit.to_string());
        let answer = client.transport.send(&call).await?;
        if answer.is_unsupported() {
            return Ok(Tail::Missing);
        }
        let answer = answer.success(&call)?;
        // A plane that takes `tail` for the id of a job answers with anything but a list.
        Ok(answer.json(&call).map_or(Tail::Missing, |jobs| Tail::Offers(offers(jobs, limit))))
    };
    let mut polls: FuturesUnordered<_> = groups(wanted).into_iter().map(ask).collect();
    while let Some(tail) = polls.next().await {
        match tail? {
            Tail::Offers(offers) if offers.is_empty() => {}
            found => return Ok(found),
        }
    }
    Ok(Tail::Offers(Vec::new()))
}

/// The plain list, one per wanted group.
async fn list(client: &Client, wanted: &Wanted) -> Result<Vec<Offer>, Error> {
    let mut jobs = Vec::new();
    for group in groups(wanted) {
        let call = client.runner_call(Method::GET, &["jobs"]).query("group", group);
        jobs.extend(pages(client, &call).await?);
    }
    Ok(offers(jobs, wanted.limit.max(1)))
}

/// All pages of a list of jobs, within reason: where the newest come first, the oldest is on the last.
pub(super) async fn pages(client: &Client, list: &Call) -> Result<Vec<serde_json::Value>, Error> {
    let list = list.clone().query("limit", &DEFAULT_LIMIT.to_string());
    let mut jobs: Vec<serde_json::Value> = Vec::new();
    for page in 0..MAX_PAGES {
        let call = if page == 0 { list.clone() } else { list.clone().query("offset", &(page * DEFAULT_LIMIT).to_string()) };
        let more: Vec<serde_json::Value> = client.transport.json(&call).await?;
        let full = more.len() >= DEFAULT_LIMIT;
        // A plane that does not know offsets gives the same page again.
        let new = more.first().is_some_and(|first| !jobs.contains(first));
        if new {
            jobs.extend(more);
        }
        if !full || !new {
            break;
        }
    }
    Ok(jobs)
}

/// The groups to ask for: one word for all of them where all are wanted, which also gets groups that this build does not know.
fn groups(wanted: &Wanted) -> Vec<&'static str> {
    match &wanted.groups {
        Some(groups) if JobGroup::ALL.iter().any(|group| !groups.contains(group)) => {
            let unique: HashSet<_> = groups.iter().collect();
            unique.into_iter().map(|group| group.as_str()).collect()
        }
        _ => vec![ANY_GROUP],
    }
}

/// At most `limit` offers out of a list, each job once, oldest first. A job that cannot be read does not hide the others.
fn offers(jobs: Vec<serde_json::Value>, limit: usize) -> Vec<Offer> {
    let mut seen = HashSet::new();
    let mut offers: Vec<Offer> = jobs.into_iter().filter_map(offer).filter(|offer| seen.insert(offer.id.clone())).collect();
    offers.sort_by(|one, other| (one.created_at, &one.id).cmp(&(other.created_at, &other.id)));
    offers.truncate(limit);
    offers
}

fn offer(job: serde_json::Value) -> Option<Offer> {
    let job: Job = serde_json::from_value(job)
        .inspect_err(|error| tracing::warn!(%error, "the control plane offers a job that cannot be read: it is left alone"))
        .ok()?;
    match &job.status {
        JobStatus::Available | JobStatus::Unknown(_) => {}
        JobStatus::Queued
        | JobStatus::InProgress
        | JobStatus::Finished
        | JobStatus::Failed
        | JobStatus::TimedOut
        | JobStatus::NotAttempted
        | JobStatus::Cancelled => return None,
    }
    let id = job.id.parse().inspect_err(|error| tracing::warn!(%error, "the control plane offers a job that cannot be named")).ok()?;
    Some(Offer {
        id,
        job_type: job.r#type,
        operation: job.operation,
        // One that does not say its age does not overtake those that do.
        created_at: job.created_at.unwrap_or_else(Timestamp::now),
        execution_timeout: job.execution_timeout.said(),
        log_stream: job.log_stream_id,
        metadata: job.metadata,
    })
}

/// A fifth more or less, so that runners which were started together do not ask together.
fn jittered(interval: Duration) -> Duration {
    let mut random = [0_u8; 2];
    // Without randomness the interval is as it is.
    let share = getrandom::fill(&mut random).map_or(0.5, |()| f64::from(u16::from_le_bytes(random)) / f64::from(u16::MAX));
    interval.mul_f64(0.8 + 0.4 * share)
}

pub(super) const fn stopped(_: Cancelled) -> Error {
    Error::Cancelled
}
