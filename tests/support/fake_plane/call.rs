//! Which endpoint a request is for.

use std::{collections::BTreeMap, time::Duration};

use axum::http::request::Parts;
use serde_json::Value;

use super::state;

/// The endpoints that runners call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Endpoint {
    /// `GET /v1/runners/{runner}/settings`
    Settings,
    /// `POST /v1/runners/{runner}/heart-beats`
    Heartbeat,
    /// `GET /v1/runners/{runner}/jobs`
    Jobs,
    /// `GET /v1/runners/{runner}/jobs/tail`
    JobsTail,
    /// `GET /v1/runners/{runner}/executions/tail`
    Standings,
    /// `GET /v1/runner-jobs/{job}`
    Job,
    /// `GET /v1/runner-jobs/{job}/plan`
    Plan,
    /// `POST /v1/runner-jobs/{job}/executions`
    Claim,
    /// `PATCH /v1/runner-jobs/{job}/executions/{execution}`, on the way
    Status,
    /// The same with a terminal status
    End,
    /// `POST …/result`
    Result,
    /// `POST …/outputs`
    Outputs,
    /// `POST /v1/log-streams/{stream}/logs`
    Logs,
    /// Anything else.
    Unknown,
}

/// A request, taken apart.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) endpoint: Endpoint,
    /// The runner, job or log stream.
    pub(super) id: String,
    /// The execution, where the path has one.
    pub(super) execution: String,
    pub(super) query: BTreeMap<String, String>,
}

impl Call {
    pub(super) fn new(parts: &Parts, body: &[u8]) -> Self {
        let path: Vec<&str> = parts.uri.path().trim_matches('/').split('/').collect();
        let (endpoint, id, execution) = match (parts.method.as_str(), path.as_slice()) {
            ("GET", ["v1", "runners", id, "settings"]) => (Endpoint::Settings, *id, ""),
            ("POST", ["v1", "runners", id, "heart-beats"]) => (Endpoint::Heartbeat, *id, ""),
            ("GET", ["v1", "runners", id, "jobs"]) => (Endpoint::Jobs, *id, ""),
            ("GET", ["v1", "runners", id, "jobs", "tail"]) => (Endpoint::JobsTail, *id, ""),
            ("GET", ["v1", "runners", id, "executions", "tail"]) => (Endpoint::Standings, *id, ""),
            ("GET", ["v1", "runner-jobs", id]) => (Endpoint::Job, *id, ""),
            ("GET", ["v1", "runner-jobs", id, "plan"]) => (Endpoint::Plan, *id, ""),
            ("POST", ["v1", "runner-jobs", id, "executions"]) => (Endpoint::Claim, *id, ""),
            ("PATCH", ["v1", "runner-jobs", id, "executions", execution]) => (status(body), *id, *execution),
            ("POST", ["v1", "runner-jobs", id, "executions", execution, "result"]) => (Endpoint::Result, *id, *execution),
            ("POST", ["v1", "runner-jobs", id, "executions", execution, "outputs"]) => (Endpoint::Outputs, *id, *execution),
            ("POST", ["v1", "log-streams", id, "logs"]) => (Endpoint::Logs, *id, ""),
            _ => (Endpoint::Unknown, "", ""),
        };
        let query = url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
        Self { endpoint, id: id.to_owned(), execution: execution.to_owned(), query }
    }

    /// How long a long poll may be held: what it asks for, within a test's reason.
    pub(super) fn wait(&self) -> Duration {
        let seconds = self.query.get("wait").and_then(|wait| wait.trim_end_matches('s').parse().ok()).unwrap_or(0);
        Duration::from_secs(seconds)
    }
}

/// Which of the two a status update is.
fn status(body: &[u8]) -> Endpoint {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    if body["status"].as_str().is_some_and(state::is_over) { Endpoint::End } else { Endpoint::Status }
}
