//! What people and their tools ask about jobs and runners: list, show, cancel, retry. Submission is in [`super::submit`], logs in [`super::stream`].

use axum::{Json, extract::State, http::StatusCode};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    path::Ids,
    view::{JobView, RunnerView},
};
use crate::{
    job::{JobId, RunnerId},
    server::{
        auth::Operator,
        error::{ErrorBody, Refusal},
        query::Query,
        state::{Plane, Shared},
        store::{Cursor, JobFilter, JobStatus, Withdrawn},
    },
};

/// Jobs in one page when nobody says, and at most.
const PAGE: (usize, usize) = (50, 500);

/// A page of jobs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobList {
    /// Newest first.
    jobs: Vec<JobView>,
    /// What to give as `cursor` to go on; null at the end.
    next: Option<String>,
}

/// All runners.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunnerList {
    /// By id.
    runners: Vec<RunnerView>,
}

/// Jobs, newest first.
#[utoipa::path(get, path = "/v1/jobs", tag = "operator", security(("token" = [])),
    params(("status" = Option<String>, Query, description = "A job status, may be repeated."), ("type" = Option<String>, Query),
        ("group" = Option<String>, Query), ("runner_id" = Option<String>, Query),
        ("limit" = Option<u32>, Query, description = "50 when absent, 500 at most."),
        ("cursor" = Option<String>, Query, description = "`next` of the page before.")),
    responses((status = 200, body = JobList), (status = "default", body = ErrorBody)))]
pub(crate) async fn list(_: Operator, State(plane): Shared, query: Query) -> Result<Json<JobList>, Refusal> {
    let statuses = query.all("status").flat_map(|text| text.split(',')).map(|text| {
        let known = || JobStatus::ALL.iter().map(|status| status.as_str()).collect::<Vec<_>>().join(", ");
        text.trim().parse::<JobStatus>().map_err(|_| Refusal::malformed(format!("the query status has to be one of {}", known())))
    });
    let filter = JobFilter {
        statuses: statuses.collect::<Result<_, _>>()?,
        job_type: query.text("type").map(str::to_owned),
        group: query.text("group").map(str::to_owned),
        runner: query.read::<RunnerId>("runner_id", "the id of a runner")?,
    };
    let after = query.text("cursor").map(read_cursor).transpose()?;
    let page = plane.store.jobs(&filter, after, query.limit(PAGE.0, PAGE.1)?).await?;
    Ok(Json(JobList { jobs: page.jobs.into_iter().map(JobView::from).collect(), next: page.next.map(write_cursor) }))
}

/// A cursor is nobody's business but the store's, so it does not look like a number that one could count with.
fn write_cursor(cursor: Cursor) -> String {
    URL_SAFE_NO_PAD.encode(cursor.0.to_be_bytes())
}

fn read_cursor(text: &str) -> Result<Cursor, Refusal> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
    bytes
        .map(|bytes| Cursor(i64::from_be_bytes(bytes)))
        .ok_or_else(|| Refusal::malformed("the query cursor is none that was given out here"))
}

/// A job with its executions, result and outputs.
#[utoipa::path(get, path = "/v1/jobs/{job_id}", tag = "operator", security(("token" = [])), params(("job_id" = String, Path)),
    responses((status = 200, body = JobView), (status = "default", body = ErrorBody)))]
pub(crate) async fn show(_: Operator, State(plane): Shared, Ids(job): Ids<JobId>) -> Result<Json<JobView>, Refusal> {
    Ok(Json(plane.store.job(&job).await?.into()))
}

/// Withdraws a job. Its runner is told at once; one that is over stays as it is.
#[utoipa::path(post, path = "/v1/jobs/{job_id}/cancel", tag = "operator", security(("token" = [])), params(("job_id" = String, Path)),
    responses((status = 202, body = JobView), (status = "default", body = ErrorBody)))]
pub(crate) async fn cancel(_: Operator, State(plane): Shared, Ids(job): Ids<JobId>) -> Result<(StatusCode, Json<JobView>), Refusal> {
    cancel_job(&plane, &job).await
}

/// Withdraws a job, under the name of the hosted control plane.
#[utoipa::path(post, path = "/v1/runner-jobs/{job_id}/cancel", tag = "operator", security(("token" = [])), params(("job_id" = String, Path)),
    responses((status = 202, body = JobView), (status = "default", body = ErrorBody)))]
pub(crate) async fn cancel_hosted(_: Operator, State(plane): Shared, Ids(job): Ids<JobId>) -> Result<(StatusCode, Json<JobView>), Refusal> {
    cancel_job(&plane, &job).await
}

async fn cancel_job(plane: &Plane, job: &JobId) -> Result<(StatusCode, Json<JobView>), Refusal> {
    match plane.store.cancel(job, plane.now()).await? {
        Withdrawn::AtOnce | Withdrawn::Stopping(_) | Withdrawn::Over(JobStatus::Cancelled) => {}
        Withdrawn::Over(status) => {
            return Err(Refusal::conflict("wrong state", format!("job '{job}' is '{status}' already: there is nothing to cancel")));
        }
    }
    Ok((StatusCode::ACCEPTED, Json(plane.store.job(job).await?.into())))
}

/// Makes a job that ended without success available again, with one more execution.
#[utoipa::path(post, path = "/v1/jobs/{job_id}/retry", tag = "operator", security(("token" = [])), params(("job_id" = String, Path)),
    responses((status = 200, body = JobView), (status = 409, description = "It is not over, or finished.", body = ErrorBody),
        (status = "default", body = ErrorBody)))]
pub(crate) async fn retry(_: Operator, State(plane): Shared, Ids(job): Ids<JobId>) -> Result<Json<JobView>, Refusal> {
    let now = plane.now();
    let job = plane.store.retry(&job, now).await?;
    plane.watch_clocks(&job.timeouts, now);
    Ok(Json(job.into()))
}

/// All runners and their health.
#[utoipa::path(get, path = "/v1/runners", tag = "operator", security(("token" = [])),
    responses((status = 200, body = RunnerList), (status = "default", body = ErrorBody)))]
pub(crate) async fn runners(_: Operator, State(plane): Shared) -> Result<Json<RunnerList>, Refusal> {
    let now = plane.now();
    let runners = plane.store.runners().await?.into_iter().map(|runner| RunnerView::new(runner, plane.lease, now)).collect();
    Ok(Json(RunnerList { runners }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_read_back_and_others_are_refused() {
        for number in [0, 1, i64::MAX, -1] {
            assert_eq!(read_cursor(&write_cursor(Cursor(number))).expect("ours"), Cursor(number));
        }
        for text in ["x", "1", "AAAA", "AAAAAAAAAAAAAAAA"] {
            assert_eq!(read_cursor(text).expect_err("not ours").status(), 400);
        }
    }
}
