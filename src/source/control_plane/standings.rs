//! Which of the running executions should stop: one question for all of them.
//!
//! Our plane holds `GET /v1/runners/{runner}/executions/tail` until one of them should. Other planes are asked every second for the list of
//! jobs in progress, and about each job that is missing from it.

use std::time::Duration;

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use reqwest::Method;
use tokio::time::Instant;

use super::{
    Client,
    poll::{pages, stopped},
    probe::{Pace, Probe},
    wire::{ExecutionStanding, ExecutionStatus, Job, JobStatus},
};
use crate::{
    job::{ExecutionId, JobId},
    shutdown::Cancel,
    source::{Error, Standing},
};

/// Executions asked about in one request: a line of a request has to stay short.
const CHUNK: usize = 100;
/// Time between two looks at a plane that has to be asked.
const INTERVAL: Duration = Duration::from_secs(1);

/// What is remembered between two calls.
#[derive(Debug)]
pub(super) struct Standings {
    tail: Probe,
    pace: Pace,
}

impl Standings {
    pub(super) fn new(probe_again: Duration) -> Self {
        Self { tail: Probe::new(probe_again), pace: Pace::default() }
    }
}

type Running<'a> = &'a [(JobId, ExecutionId)];
type Stopped = Vec<(ExecutionId, Standing)>;

pub(super) async fn standings(client: &Client, running: Running<'_>, cancel: &Cancel) -> Result<Stopped, Error> {
    let memory = &client.standings;
    let began = Instant::now();
    if running.is_empty() {
        cancel.run(tokio::time::sleep(client.options.wait)).await.map_err(stopped)?;
        return Ok(Vec::new());
    }
    let try_tail = memory.tail.is_due();
    if try_tail && let Some(found) = cancel.run(tail(client, running)).await.map_err(stopped)?? {
        memory.tail.found();
        let pause = memory.pace.after(found.is_empty(), began.elapsed(), INTERVAL);
        if !pause.is_zero() {
            cancel.run(tokio::time::sleep(pause)).await.map_err(stopped)?;
        }
        return Ok(found);
    }
    while began.elapsed() < client.options.wait {
        let found = cancel.run(look(client, running)).await.map_err(stopped)??;
        // Only now: where the list is missing too, it is the plane that is away, not its long poll.
        if try_tail {
            memory.tail.missing();
        }
        if !found.is_empty() {
            return Ok(found);
        }
        cancel.run(tokio::time::sleep(INTERVAL)).await.map_err(stopped)?;
    }
    Ok(Vec::new())
}

/// The long poll; `None` where there is none.
async fn tail(client: &Client, running: Running<'_>) -> Result<Option<Stopped>, Error> {
    let ask = async |chunk: Running<'_>| {
        let call = client.runner_call(Method::GET, &["executions", "tail"]).within(client.held());
        let call = call.query("wait", &client.wait());
        let call = chunk.iter().fold(call, |call, (_, execution)| call.query("execution", execution.as_str()));
        let answer = client.transport.send(&call).await?;
        if answer.is_unsupported() {
            return Ok(None);
        }
        let answer = answer.success(&call)?;
        let Ok(standings) = answer.json::<Vec<ExecutionStanding>>(&call) else { return Ok(None) };
        let found = chunk.iter().filter_map(|(_, execution)| {
            let standing = standings.iter().find(|standing| standing.execution_id == execution.as_str())?;
            Some((execution.clone(), of_tail(&standing.status)?))
        });
        Ok(Some(found.collect::<Vec<_>>()))
    };
    let mut polls: FuturesUnordered<_> = running.chunks(CHUNK).map(ask).collect();
    while let Some(found) = polls.next().await {
        match found? {
            Some(found) if found.is_empty() => {}
            found => return Ok(found),
        }
    }
    Ok(Some(Vec::new()))
}

/// Of an execution that is in the answer although it should go on, the job has a newer one.
fn of_tail(status: &ExecutionStatus) -> Option<Standing> {
    match of_execution(status) {
        Some(Standing::Running) => Some(Standing::Lost),
        standing => standing,
    }
}

/// What the status of our own execution says; `None` if this build does not know it.
const fn of_execution(status: &ExecutionStatus) -> Option<Standing> {
    match status {
        ExecutionStatus::Pending | ExecutionStatus::Initializing | ExecutionStatus::InProgress | ExecutionStatus::CleaningUp => {
            Some(Standing::Running)
        }
        ExecutionStatus::Cancelled => Some(Standing::CancelRequested),
        ExecutionStatus::TimedOut => Some(Standing::TimedOut),
        // An end that we did not report is somebody else's word about it.
        ExecutionStatus::Finished | ExecutionStatus::Failed | ExecutionStatus::NotAttempted => Some(Standing::Lost),
        ExecutionStatus::Unknown(_) => None,
    }
}

/// One look at a plane that has no long poll for this.
async fn look(client: &Client, running: Running<'_>) -> Result<Stopped, Error> {
    let list = client.runner_call(Method::GET, &["jobs"]).query("group", super::wire::ANY_GROUP).query("status", "in-progress");
    let jobs: Vec<Job> = pages(client, &list).await?.into_iter().filter_map(|job| serde_json::from_value(job).ok()).collect();
    let mut stopped = Vec::new();
    for (id, execution) in running {
        let listed = jobs.iter().find(|job| job.id == id.as_str());
        let standing = match listed.map(|job| judge(job, execution)) {
            Some(Standing::Running) => continue,
            // A list may be a moment old: the job itself has the last word.
            _ => ask(client, id, execution).await?,
        };
        if standing != Standing::Running {
            stopped.push((execution.clone(), standing));
        }
    }
    Ok(stopped)
}

async fn ask(client: &Client, job: &JobId, execution: &ExecutionId) -> Result<Standing, Error> {
    match client.transport.json::<Job>(&client.job_call(Method::GET, job, &[])).await {
        Ok(job) => Ok(judge(&job, execution)),
        Err(Error::Fenced(_)) => Ok(Standing::Lost),
        Err(error) => Err(error),
    }
}

/// How an execution stands by what is shown of its job. What is not shown is no reason to stop.
fn judge(job: &Job, execution: &ExecutionId) -> Standing {
    let shown = job.executions.iter().find(|shown| shown.id == execution.as_str());
    match shown.map(|shown| of_execution(&shown.status)) {
        Some(Some(Standing::Running) | None) => {}
        Some(Some(standing)) => return standing,
        None if job.executions.is_empty() => {}
        None => return Standing::Lost,
    }
    match job.status {
        JobStatus::Cancelled => Standing::CancelRequested,
        JobStatus::TimedOut => Standing::TimedOut,
        JobStatus::Finished | JobStatus::Failed | JobStatus::NotAttempted => Standing::Lost,
        JobStatus::Queued | JobStatus::Available | JobStatus::InProgress | JobStatus::Unknown(_) => Standing::Running,
    }
}
