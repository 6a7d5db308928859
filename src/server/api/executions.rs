//! What runners ask and tell about jobs and executions: claim, plan, status, result, outputs.
//!
//! Every write names its execution, and the store fences: a write about one that the job has gone on without is a 409 and changes nothing.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use secrecy::ExposeSecret as _;
use serde_json::Value;

use super::{
    path::Ids,
    view::{wire_execution, wire_execution_detail, wire_job_detail},
};
use crate::{
    job::{ExecutionId, JobId},
    server::{
        auth::{Caller, RunnerCaller},
        body::{Incoming, decode},
        error::{ErrorBody, Refusal},
        state::{Plane, Shared},
        store::{Claim, Claimed, StatusWrite},
    },
    source::control_plane::wire,
};

/// Longest idempotency key and longest client version, in bytes.
pub(crate) const MAX_HEADER: usize = 255;

/// Claims a job by making an execution of it.
#[utoipa::path(post, path = "/v1/runner-jobs/{job_id}/executions", tag = "runner", security(("token" = [])),
    params(("job_id" = String, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key gives the same execution."),
        ("X-Runner-ID" = Option<String>, Header, description = "Who claims, if several runners share a token.")),
    responses((status = 201, description = "The job is yours.", body = wire::Execution),
        (status = 200, description = "It is yours since the first request with this key.", body = wire::Execution),
        (status = 409, description = "Somebody else was quicker, or it was withdrawn.", body = ErrorBody),
        (status = "default", body = ErrorBody)))]
pub(crate) async fn claim(
    caller: RunnerCaller,
    State(plane): Shared,
    Ids(job): Ids<JobId>,
    headers: HeaderMap,
) -> Result<(StatusCode, Json<wire::Execution>), Refusal> {
    let runner = caller.claimant(&plane, &job)?;
    let now = plane.now();
    if let Some(runner) = &runner {
        plane.store.register_runner(runner, now).await?;
    }
    let client_version = short_header(&headers, wire::CLIENT_VERSION)?.unwrap_or_default();
    let claim = Claim { job: job.clone(), runner, key: short_header(&headers, wire::IDEMPOTENCY_KEY)?, client_version };
    let (status, execution) = match plane.store.claim(claim, now).await? {
        Claimed::New(execution) => {
            plane.alarm.after(now, plane.lease);
            if let (1, Some(created_at)) = (execution.attempt, plane.shown.created_at(&job)) {
                plane.metrics.claimed(created_at, now);
            }
            (StatusCode::CREATED, execution)
        }
        Claimed::Same(execution) => (StatusCode::OK, execution),
        Claimed::Lost(lost) => return Err(Refusal::conflict("claim lost", format!("job '{job}' cannot be claimed: {lost}"))),
    };
    Ok((status, Json(wire_execution(execution))))
}

/// A header with a short text.
pub(crate) fn short_header(headers: &HeaderMap, name: &str) -> Result<Option<String>, Refusal> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    match value.to_str() {
        Ok(text) if text.len() <= MAX_HEADER => Ok((!text.trim().is_empty()).then(|| text.trim().to_owned())),
        _ => Err(Refusal::malformed(format!("the header {name} has to be at most {MAX_HEADER} characters of ASCII"))),
    }
}

/// The plan of a job.
#[utoipa::path(get, path = "/v1/runner-jobs/{job_id}/plan", tag = "runner", security(("token" = [])),
    params(("job_id" = String, Path)),
    responses((status = 200, description = "The plan's JSON.", body = String, content_type = "text/plain"),
        (status = "default", body = ErrorBody)))]
pub(crate) async fn plan(caller: RunnerCaller, State(plane): Shared, Ids(job): Ids<JobId>) -> Result<Response, Refusal> {
    if caller.is_bound() {
        caller.may_touch(&plane.store.job(&job).await?.job)?;
    }
    let plan = plane.store.plan(&job).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], plan.expose_secret().to_owned()).into_response())
}

/// A job, with its latest execution.
#[utoipa::path(get, path = "/v1/runner-jobs/{job_id}", tag = "runner", security(("token" = [])),
    params(("job_id" = String, Path)),
    responses((status = 200, body = wire::Job), (status = "default", body = ErrorBody)))]
pub(crate) async fn job(caller: Caller, State(plane): Shared, Ids(job): Ids<JobId>) -> Result<Json<wire::Job>, Refusal> {
    let detail = plane.store.job(&job).await?;
    caller.may_see(detail.job.runner.as_ref())?;
    Ok(Json(wire_job_detail(detail)))
}

/// Sets the status of a job: that of its latest execution.
#[utoipa::path(patch, path = "/v1/runner-jobs/{job_id}", tag = "runner", security(("token" = [])),
    params(("job_id" = String, Path)), request_body = wire::JobPatch,
    responses((status = 200, body = wire::Job), (status = "default", body = ErrorBody)))]
pub(crate) async fn set_job_status(
    caller: RunnerCaller,
    State(plane): Shared,
    Ids(job): Ids<JobId>,
    body: Incoming,
) -> Result<Json<wire::Job>, Refusal> {
    let patch: wire::JobPatch = body.json(plane.limits.report, &plane.limits).await?;
    let detail = plane.store.job(&job).await?;
    caller.may_touch(&detail.job)?;
    let no_execution = || Refusal::conflict("wrong state", format!("job '{job}' has no execution yet: claim it first"));
    let latest = detail.job.latest.as_ref().ok_or_else(no_execution)?;
    let status = patch.status.as_str().parse();
    let status = status.map_err(|_| Refusal::malformed("status: is not one that an execution can have".to_owned()))?;
    let write = StatusWrite { job: job.clone(), execution: latest.id.clone(), status, description: String::new() };
    plane.store.set_status(write, plane.now()).await?;
    Ok(Json(wire_job_detail(plane.store.job(&job).await?)))
}

/// The executions of a job, oldest first.
#[utoipa::path(get, path = "/v1/runner-jobs/{job_id}/executions", tag = "runner", security(("token" = [])),
    params(("job_id" = String, Path)),
    responses((status = 200, body = [wire::Execution]), (status = "default", body = ErrorBody)))]
pub(crate) async fn list(caller: Caller, State(plane): Shared, Ids(job): Ids<JobId>) -> Result<Json<Vec<wire::Execution>>, Refusal> {
    let detail = plane.store.job(&job).await?;
    caller.may_see(detail.job.runner.as_ref())?;
    Ok(Json(detail.executions.into_iter().map(wire_execution_detail).collect()))
}

/// One execution.
#[utoipa::path(get, path = "/v1/runner-jobs/{job_id}/executions/{execution_id}", tag = "runner", security(("token" = [])),
    params(("job_id" = String, Path), ("execution_id" = String, Path)),
    responses((status = 200, body = wire::Execution), (status = "default", body = ErrorBody)))]
pub(crate) async fn show(
    caller: Caller,
    State(plane): Shared,
    Ids((job, execution)): Ids<(JobId, ExecutionId)>,
) -> Result<Json<wire::Execution>, Refusal> {
    let detail = plane.store.job(&job).await?;
    caller.may_see(detail.job.runner.as_ref())?;
    let found = detail.executions.into_iter().find(|detail| detail.execution.id == execution);
    let found = found.ok_or_else(|| Refusal::not_found(format!("job '{job}' has no execution '{execution}'")))?;
    Ok(Json(wire_execution_detail(found)))
}

/// Tells where an execution stands. A terminal status is final; the same again is fine.
#[utoipa::path(patch, path = "/v1/runner-jobs/{job_id}/executions/{execution_id}", tag = "runner", security(("token" = [])),
    params(("job_id" = String, Path), ("execution_id" = String, Path)), request_body = wire::ExecutionPatch,
    responses((status = 200, body = wire::Execution),
        (status = 409, description = "The execution is over or superseded: stop.", body = ErrorBody),
        (status = "default", body = ErrorBody)))]
pub(crate) async fn set_status(
    caller: RunnerCaller,
    State(plane): Shared,
    Ids((job, execution)): Ids<(JobId, ExecutionId)>,
    body: Incoming,
) -> Result<Json<wire::Execution>, Refusal> {
    let patch: wire::ExecutionPatch = body.json(plane.limits.report, &plane.limits).await?;
    check_owner(&plane, &caller, &execution).await?;
    let status = patch.status.as_str().parse();
    let status = status.map_err(|_| Refusal::malformed("status: is not a status of an execution, such as in-progress or finished"))?;
    let answer = wire::Execution {
        id: execution.to_string(),
        runner_job_id: job.to_string(),
        status: patch.status,
        status_description: patch.status_description.clone(),
        ..wire::Execution::default()
    };
    plane.store.set_status(StatusWrite { job, execution, status, description: patch.status_description }, plane.now()).await?;
    Ok(Json(answer))
}

/// Why an execution ended as it did. The first one stays; the same again is fine.
#[utoipa::path(post, path = "/v1/runner-jobs/{job_id}/executions/{execution_id}/result", tag = "runner", security(("token" = [])),
    params(("job_id" = String, Path), ("execution_id" = String, Path)), request_body = wire::ResultRequest,
    responses((status = 201, body = wire::ExecutionResult), (status = "default", body = ErrorBody)))]
pub(crate) async fn put_result(
    caller: RunnerCaller,
    State(plane): Shared,
    Ids((job, execution)): Ids<(JobId, ExecutionId)>,
    body: Incoming,
) -> Result<(StatusCode, Json<wire::ExecutionResult>), Refusal> {
    let value: Value = body.json(plane.limits.report, &plane.limits).await?;
    let request: wire::ResultRequest = fit(&value)?;
    check_owner(&plane, &caller, &execution).await?;
    let now = plane.now();
    plane.store.put_result(&job, &execution, value, now).await?;
    let answer = wire::ExecutionResult {
        created_at: Some(now),
        updated_at: Some(now),
        runner_job_execution_id: execution.to_string(),
        success: request.success,
        error_code: request.error_code,
        error_metadata: request.error_metadata,
        ..wire::ExecutionResult::default()
    };
    Ok((StatusCode::CREATED, Json(answer)))
}

/// What an execution made. The first ones stay; the same again is fine.
#[utoipa::path(post, path = "/v1/runner-jobs/{job_id}/executions/{execution_id}/outputs", tag = "runner", security(("token" = [])),
    params(("job_id" = String, Path), ("execution_id" = String, Path)), request_body = wire::OutputsRequest,
    responses((status = 201, body = wire::ExecutionOutputs), (status = "default", body = ErrorBody)))]
pub(crate) async fn put_outputs(
    caller: RunnerCaller,
    State(plane): Shared,
    Ids((job, execution)): Ids<(JobId, ExecutionId)>,
    body: Incoming,
) -> Result<(StatusCode, Json<wire::ExecutionOutputs>), Refusal> {
    let request: wire::OutputsRequest = body.json(plane.limits.report, &plane.limits).await?;
    check_owner(&plane, &caller, &execution).await?;
    let now = plane.now();
    plane.store.put_outputs(&job, &execution, Value::Object(request.outputs.clone()), now).await?;
    let answer = wire::ExecutionOutputs {
        created_at: Some(now),
        updated_at: Some(now),
        runner_job_execution_id: execution.to_string(),
        outputs_json: serde_json::to_string(&request.outputs).unwrap_or_default(),
        outputs: request.outputs,
        ..wire::ExecutionOutputs::default()
    };
    Ok((StatusCode::CREATED, Json(answer)))
}

/// Refuses a token that is for another runner than the execution's. Tokens for any runner need no look.
pub(crate) async fn check_owner(plane: &Plane, caller: &RunnerCaller, execution: &ExecutionId) -> Result<(), Refusal> {
    if !caller.is_bound() {
        return Ok(());
    }
    let known = plane.store.standings(std::slice::from_ref(execution)).await?;
    known.iter().filter_map(|standing| standing.runner.as_ref()).try_for_each(|runner| caller.may_be(runner))
}

/// A value as what it should be, with the mistake if it is not.
fn fit<T: serde::de::DeserializeOwned>(value: &Value) -> Result<T, Refusal> {
    decode(&serde_json::to_vec(value).map_err(|_| Refusal::internal())?)
}
