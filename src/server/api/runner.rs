//! What runners ask about themselves: settings, jobs (list and long poll), executions to stop, heartbeats.

use std::time::Duration;

use axum::{Json, extract::State, http::StatusCode};
use tokio::time::{Instant, timeout_at};

use super::{
    path::Ids,
    view::{RunnerView, wire_job},
};
use crate::{
    job::{ExecutionId, JobGroup, RunnerId},
    server::{
        auth::{Caller, RunnerCaller},
        body::Incoming,
        error::{ErrorBody, Refusal},
        query::Query,
        state::{Plane, Shared},
        store::{self, JobFilter, JobStatus},
    },
    source::control_plane::wire,
};

/// Most jobs in one answer.
const MOST: usize = 1000;
/// Most executions that one request may watch.
const WATCHED: usize = 1000;
/// What the hosted control plane uses as well; shorter when leases are.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// How a runner should behave.
#[utoipa::path(get, path = "/v1/runners/{runner_id}/settings", tag = "runner", security(("token" = [])),
    params(("runner_id" = String, Path, description = "The runner; it is registered by its first request.")),
    responses((status = 200, body = wire::RunnerSettings), (status = "default", body = ErrorBody)))]
pub(crate) async fn settings(
    caller: RunnerCaller,
    State(plane): Shared,
    Ids(runner): Ids<RunnerId>,
) -> Result<Json<wire::RunnerSettings>, Refusal> {
    arrive(&plane, &caller, &runner).await?;
    Ok(Json(wire::RunnerSettings {
        id: "default".to_owned(),
        runner_group_id: "default".to_owned(),
        // Three beats may be lost before a lease is.
        heart_beat_timeout: HEARTBEAT.min(plane.lease / 4).into(),
        enable_logging: Some(true),
        enable_metrics: Some(false),
        logging_level: "INFO".to_owned(),
        groups: JobGroup::ALL.iter().map(ToString::to_string).collect(),
        metadata: [("runner.id".to_owned(), runner.to_string())].into(),
        ..wire::RunnerSettings::default()
    }))
}

/// A runner and its health.
#[utoipa::path(get, path = "/v1/runners/{runner_id}", tag = "runner", security(("token" = [])),
    params(("runner_id" = String, Path)),
    responses((status = 200, body = RunnerView), (status = "default", body = ErrorBody)))]
pub(crate) async fn show(caller: Caller, State(plane): Shared, Ids(runner): Ids<RunnerId>) -> Result<Json<RunnerView>, Refusal> {
    caller.may_see(Some(&runner))?;
    let found = plane.store.runner(&runner).await?;
    let found = found.ok_or_else(|| Refusal::not_found(format!("no runner '{runner}' was ever heard of")))?;
    Ok(Json(RunnerView::new(found, plane.lease, plane.now())))
}

/// Jobs for a runner: those it may claim, oldest first, or those of another status, newest first.
#[utoipa::path(get, path = "/v1/runners/{runner_id}/jobs", tag = "runner", security(("token" = [])),
    params(("runner_id" = String, Path),
        ("status" = Option<String>, Query, description = "A job status; `available` when absent."),
        ("group" = Option<String>, Query, description = "A job group; `any` when absent."),
        ("limit" = Option<u32>, Query, description = "60 when absent."), ("offset" = Option<u32>, Query), ("page" = Option<u32>, Query)),
    responses((status = 200, body = [wire::Job]), (status = "default", body = ErrorBody)))]
pub(crate) async fn jobs(
    caller: RunnerCaller,
    State(plane): Shared,
    Ids(runner): Ids<RunnerId>,
    query: Query,
) -> Result<Json<Vec<wire::Job>>, Refusal> {
    arrive(&plane, &caller, &runner).await?;
    let limit = query.limit(wire::DEFAULT_LIMIT, MOST)?;
    let page = query.read::<usize>("page", "a whole number")?.unwrap_or(0).saturating_mul(limit);
    let offset = query.read::<usize>("offset", "a whole number")?.unwrap_or(0).saturating_add(page);
    let status = query.read::<JobStatus>("status", "a job status, such as available or in-progress")?.unwrap_or(JobStatus::Available);
    let jobs = if offset >= MOST {
        // Nobody pages that far; an empty page ends the paging.
        Vec::new()
    } else if status == JobStatus::Available {
        plane.store.available(&runner, groups(&query).as_deref(), offset + limit).await?
    } else {
        let group = query.text("group").filter(|group| *group != wire::ANY_GROUP).map(str::to_owned);
        let filter = JobFilter { statuses: vec![status], group, runner: Some(runner.clone()), ..JobFilter::default() };
        plane.store.jobs(&filter, None, offset + limit).await?.jobs
    };
    let jobs: Vec<_> = jobs.into_iter().skip(offset).collect();
    Ok(Json(hand_out(&plane, &runner, jobs)))
}

/// The same, but waits until there is a job to claim. An empty answer means that it is time to ask again.
#[utoipa::path(get, path = "/v1/runners/{runner_id}/jobs/tail", tag = "runner", security(("token" = [])),
    params(("runner_id" = String, Path),
        ("group" = Option<String>, Query, description = "A job group, may be repeated; `any` when absent."),
        ("wait" = Option<String>, Query, description = "How long, as in `25s`; 25 seconds at most."),
        ("limit" = Option<u32>, Query, description = "Most jobs in the answer; 1 when absent.")),
    responses((status = 200, body = [wire::Job]), (status = "default", body = ErrorBody)))]
pub(crate) async fn tail(
    caller: RunnerCaller,
    State(plane): Shared,
    Ids(runner): Ids<RunnerId>,
    query: Query,
) -> Result<Json<Vec<wire::Job>>, Refusal> {
    arrive(&plane, &caller, &runner).await?;
    let until = Instant::now() + query.wait(plane.limits.poll)?;
    let (limit, groups) = (query.limit(1, MOST)?, groups(&query));
    let jobs = tokio::select! {
        biased;
        () = plane.stop.cancelled() => Vec::new(),
        jobs = store::next_jobs(plane.store.as_ref(), &runner, groups.as_deref(), limit, until) => jobs?,
    };
    Ok(Json(hand_out(&plane, &runner, jobs)))
}

/// Waits until one of these executions should not go on, and answers with all that should not. An addition of ours.
#[utoipa::path(get, path = "/v1/runners/{runner_id}/executions/tail", tag = "runner", security(("token" = [])),
    params(("runner_id" = String, Path),
        ("execution" = Vec<String>, Query, description = "The executions that run, one key each."),
        ("wait" = Option<String>, Query, description = "How long, as in `25s`; 25 seconds at most.")),
    responses((status = 200, body = [wire::ExecutionStanding]), (status = "default", body = ErrorBody)))]
pub(crate) async fn standings(
    caller: RunnerCaller,
    State(plane): Shared,
    Ids(runner): Ids<RunnerId>,
    query: Query,
) -> Result<Json<Vec<wire::ExecutionStanding>>, Refusal> {
    arrive(&plane, &caller, &runner).await?;
    let until = Instant::now() + query.wait(plane.limits.poll)?;
    let executions: Vec<ExecutionId> = query
        .all("execution")
        .map(|text| text.parse().map_err(|error| Refusal::malformed(format!("the query execution: {error}"))))
        .collect::<Result<_, _>>()?;
    if executions.len() > WATCHED {
        return Err(Refusal::malformed(format!("the query execution is given more than {WATCHED} times; ask about fewer at once")));
    }
    plane.store.renew(&runner, &executions, plane.now()).await?;
    let mut bell = plane.store.bells().runner(&runner);
    loop {
        let stopped = stopped(&plane, &caller, &executions).await?;
        if !stopped.is_empty() {
            return Ok(Json(stopped));
        }
        tokio::select! {
            biased;
            () = plane.stop.cancelled() => return Ok(Json(Vec::new())),
            rung = timeout_at(until, bell.rung()) => if rung.is_err() { return Ok(Json(Vec::new())) },
        }
    }
}

/// Those that should not go on. One that nobody knows is among them: its runner must not wait for ever.
async fn stopped(plane: &Plane, caller: &RunnerCaller, executions: &[ExecutionId]) -> Result<Vec<wire::ExecutionStanding>, Refusal> {
    if executions.is_empty() {
        return Ok(Vec::new());
    }
    let known = plane.store.standings(executions).await?;
    known.iter().filter_map(|standing| standing.runner.as_ref()).try_for_each(|runner| caller.may_be(runner))?;
    let unknown = executions.iter().filter(|execution| !known.iter().any(|standing| standing.execution == **execution));
    let unknown: Vec<_> = unknown
        .map(|execution| wire::ExecutionStanding {
            execution_id: execution.to_string(),
            status: wire::ExecutionStatus::NotAttempted,
            ..wire::ExecutionStanding::default()
        })
        .collect();
    let over = known.into_iter().filter(|standing| !standing.runs()).map(|standing| wire::ExecutionStanding {
        execution_id: standing.execution.to_string(),
        job_id: standing.job.to_string(),
        status: standing.status.as_str().into(),
    });
    Ok(over.chain(unknown).collect())
}

/// The runner lives: renews the leases of everything it has under way.
#[utoipa::path(post, path = "/v1/runners/{runner_id}/heart-beats", tag = "runner", security(("token" = [])),
    params(("runner_id" = String, Path)), request_body = wire::HeartbeatRequest,
    responses((status = 201, body = wire::Heartbeat), (status = "default", body = ErrorBody)))]
pub(crate) async fn heartbeat(
    caller: RunnerCaller,
    State(plane): Shared,
    Ids(runner): Ids<RunnerId>,
    body: Incoming,
) -> Result<(StatusCode, Json<wire::Heartbeat>), Refusal> {
    caller.may_be(&runner)?;
    let request: wire::HeartbeatRequest = body.json(plane.limits.report, &plane.limits).await?;
    let (now, alive) = (plane.now(), request.alive_time.0);
    let beat = store::Heartbeat { runner: runner.clone(), alive, version: request.version.clone(), process: request.process.clone() };
    plane.store.heartbeat(beat, now).await?;
    let answer = wire::Heartbeat {
        created_at: Some(now),
        updated_at: Some(now),
        runner_id: runner.to_string(),
        alive_time: request.alive_time,
        version: request.version,
        started_at: now.checked_sub(alive).ok(),
        process: request.process,
        ..wire::Heartbeat::default()
    };
    Ok((StatusCode::CREATED, Json(answer)))
}

/// A runner has come by: refuses somebody else's token, and makes the runner known.
async fn arrive(plane: &Plane, caller: &RunnerCaller, runner: &RunnerId) -> Result<(), Refusal> {
    caller.may_be(runner)?;
    Ok(plane.store.register_runner(runner, plane.now()).await?)
}

/// The groups that are asked for; `None` for any.
fn groups(query: &Query) -> Option<Vec<String>> {
    let groups: Vec<_> = query.all("group").map(str::to_owned).collect();
    (!groups.is_empty() && !groups.iter().any(|group| group == wire::ANY_GROUP)).then_some(groups)
}

/// Jobs on their way to a runner.
fn hand_out(plane: &Plane, runner: &RunnerId, jobs: Vec<store::Job>) -> Vec<wire::Job> {
    jobs.iter().filter(|job| job.status == JobStatus::Available).for_each(|job| plane.shown.note(&job.id, job.created_at, runner));
    jobs.into_iter().map(wire_job).collect()
}
