//! What runners send in bulk: log batches, which are kept, and traces and metrics, which are not.

use axum::{Json, extract::State, http::StatusCode};
use jiff::Timestamp;

use super::{executions::check_owner, path::Ids};
use crate::{
    job::{ExecutionId, JobId, RunnerId},
    server::{
        auth::RunnerCaller,
        body::Incoming,
        error::{ErrorBody, Refusal},
        state::{Plane, Shared},
        store::{Batch, NewRecord},
    },
    source::control_plane::{
        otlp::{DecodeError, LogLine, decode},
        wire,
    },
};

/// Log records of a job. A record that carries its `log.seq` is stored once, however often it is sent.
#[utoipa::path(post, path = "/v1/log-streams/{log_stream_id}/logs", tag = "runner", security(("token" = [])),
    params(("log_stream_id" = String, Path, description = "As the job says.")),
    request_body(content = Vec<u8>, content_type = "application/x-protobuf", description = "An OTLP `ExportLogsServiceRequest`, plain or gzip."),
    responses((status = 201, body = String, description = "`ok`"),
        (status = 409, description = "The execution is superseded: stop.", body = ErrorBody),
        (status = "default", body = ErrorBody)))]
pub(crate) async fn append(
    caller: RunnerCaller,
    State(plane): Shared,
    Ids(job): Ids<JobId>,
    body: Incoming,
) -> Result<(StatusCode, Json<&'static str>), Refusal> {
    body.expect(wire::PROTOBUF, |kind| matches!(kind, wire::PROTOBUF | "application/protobuf" | "application/octet-stream"))?;
    let content = body.content(plane.limits.logs, &plane.limits).await?;
    let lines = {
        // A batch may be big and takes a processor while it is read: few at a time, and on threads of their own.
        let _turn = plane.unpacking.acquire().await.map_err(|_| Refusal::internal())?;
        let limit = plane.limits.logs;
        let decoding = tokio::task::spawn_blocking(move || decode(&content.bytes, content.coding, limit));
        decoding.await.map_err(|_| Refusal::internal())?.map_err(|error| refused(&error))?
    };
    let now = plane.now();
    for (named, records) in runs(lines, now) {
        let execution = whose(&plane, &job, &named).await?;
        check_owner(&plane, &caller, &execution).await?;
        let new = plane.store.append_log(Batch { job: job.clone(), execution, records }, now).await?;
        plane.metrics.log_records(new);
    }
    Ok((StatusCode::CREATED, Json("ok")))
}

fn refused(error: &DecodeError) -> Refusal {
    match error {
        DecodeError::TooBig(_) | DecodeError::TooManyRecords(_) | DecodeError::RecordTooLong(_) => Refusal::over_limit(error.to_string()),
        DecodeError::NotGzip | DecodeError::NotProtobuf(_) => Refusal::malformed(error.to_string()),
    }
}

/// The records, in order, cut where the execution that they name changes.
fn runs(lines: Vec<LogLine>, now: Timestamp) -> Vec<(String, Vec<NewRecord>)> {
    let mut runs: Vec<(String, Vec<NewRecord>)> = Vec::new();
    for line in lines {
        let time = line.time.unwrap_or(now);
        let record = NewRecord { seq: line.seq, time, stream: line.stream, step: line.step, text: line.text };
        match runs.last_mut().filter(|(execution, _)| *execution == line.execution) {
            Some((_, records)) => records.push(record),
            None => runs.push((line.execution, vec![record])),
        }
    }
    runs
}

/// The execution that records belong to: the one they name, or the job's latest.
async fn whose(plane: &Plane, job: &JobId, named: &str) -> Result<ExecutionId, Refusal> {
    if !named.is_empty() {
        return named.parse().map_err(|error| Refusal::malformed(format!("runner_job_execution.id: {error}")));
    }
    let latest = plane.store.job(job).await?.job.latest;
    latest
        .map(|execution| execution.id)
        .ok_or_else(|| Refusal::conflict("wrong state", format!("job '{job}' has no execution yet: claim it first")))
}

/// Traces of a runner: taken, and not kept.
#[utoipa::path(post, path = "/v1/runners/{runner_id}/traces", tag = "runner", security(("token" = [])),
    params(("runner_id" = String, Path)),
    request_body(content = Vec<u8>, content_type = "application/x-protobuf"),
    responses((status = 201, body = String, description = "`ok`"), (status = "default", body = ErrorBody)))]
pub(crate) async fn traces(
    caller: RunnerCaller,
    State(plane): Shared,
    Ids(runner): Ids<RunnerId>,
    body: Incoming,
) -> Result<(StatusCode, Json<&'static str>), Refusal> {
    drop_telemetry(&caller, &plane, &runner, body).await
}

/// Metrics of a runner: taken, and not kept.
#[utoipa::path(post, path = "/v1/runners/{runner_id}/metrics", tag = "runner", security(("token" = [])),
    params(("runner_id" = String, Path)),
    request_body(content = Vec<u8>, content_type = "application/x-protobuf"),
    responses((status = 201, body = String, description = "`ok`"), (status = "default", body = ErrorBody)))]
pub(crate) async fn metrics(
    caller: RunnerCaller,
    State(plane): Shared,
    Ids(runner): Ids<RunnerId>,
    body: Incoming,
) -> Result<(StatusCode, Json<&'static str>), Refusal> {
    drop_telemetry(&caller, &plane, &runner, body).await
}

async fn drop_telemetry(
    caller: &RunnerCaller,
    plane: &Plane,
    runner: &RunnerId,
    body: Incoming,
) -> Result<(StatusCode, Json<&'static str>), Refusal> {
    caller.may_be(runner)?;
    body.bytes(plane.limits.report, &plane.limits).await?;
    Ok((StatusCode::CREATED, Json("ok")))
}
