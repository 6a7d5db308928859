//! The answers of a plane that behaves.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    http::HeaderMap,
    response::Response,
};
use build_runner::source::control_plane::otlp::{self, Coding};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    Shared,
    call::{Call, Endpoint},
    fault,
    state::{self, Execution, Job, State},
};

/// Largest batch of logs.
const MAX_BATCH: usize = 16 << 20;

/// An answer.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) media_type: &'static str,
    pub(super) body: Vec<u8>,
}

impl Reply {
    fn json(status: u16, body: &Value) -> Self {
        Self { status, media_type: "application/json", body: body.to_string().into_bytes() }
    }

    /// An error as the API writes it.
    pub(super) fn error(status: u16, text: &str) -> Self {
        Self::json(status, &json!({"error": text, "user_error": status < 500, "description": text}))
    }

    pub(super) fn into_response(self) -> Response {
        fault::response(self.status, self.media_type, Body::from(self.body))
    }
}

/// The answer to a request.
pub(super) async fn answer(shared: &Shared, call: &Call, headers: &HeaderMap, body: &Bytes) -> Reply {
    match call.endpoint {
        Endpoint::Settings => Reply::json(200, &json!({"id": "rgs1", "heart_beat_timeout": 1_000_000_000_u64, "enable_logging": true})),
        Endpoint::Heartbeat => Reply::json(201, &json!({"id": "rhb1"})),
        Endpoint::Jobs => Reply::json(200, &jobs(shared, call)),
        Endpoint::JobsTail | Endpoint::Standings if !shared.habits.tails => Reply::error(404, "not found"),
        Endpoint::JobsTail => Reply::json(200, &held(shared, call, || jobs(shared, call)).await),
        Endpoint::Standings => Reply::json(200, &held(shared, call, || json!([])).await),
        Endpoint::Unknown => Reply::error(404, "not found"),
        Endpoint::Logs => logs(shared, headers, body),
        Endpoint::Job | Endpoint::Plan | Endpoint::Claim | Endpoint::Status | Endpoint::End | Endpoint::Result | Endpoint::Outputs => {
            let mut state = shared.state.lock().unwrap();
            about_a_job(shared, &mut state, call, headers, body)
        }
    }
}

/// Asks again whenever there is news, until there is an answer or the time is up.
async fn held(shared: &Shared, call: &Call, ask: impl Fn() -> Value) -> Value {
    let deadline = Instant::now() + call.wait();
    loop {
        let news = shared.news.notified();
        let answer = ask();
        if answer != json!([]) || Instant::now() >= deadline {
            return answer;
        }
        // News may come between asking and waiting: never for longer than a moment without looking.
        let _ = tokio::time::timeout_at(deadline.min(Instant::now() + Duration::from_millis(100)), news).await;
    }
}

/// Jobs by status; `limit` and `offset` as the hosted plane counts them.
fn jobs(shared: &Shared, call: &Call) -> Value {
    let number = |key: &str, default: usize| call.query.get(key).and_then(|text| text.parse().ok()).unwrap_or(default);
    let wanted = call.query.get("status").map_or("available", String::as_str);
    let state = shared.state.lock().unwrap();
    let copies = if shared.habits.doubles { 2 } else { 1 };
    let matching = state.jobs.iter().filter(|job| job.status == wanted).flat_map(|job| std::iter::repeat_n(job, copies));
    matching.skip(number("offset", 0)).take(number("limit", 60)).map(|job| shown(job, &call.id)).collect()
}

/// A job as the API shows it, with its newest execution.
fn shown(job: &Job, runner: &str) -> Value {
    let execution = |one: &Execution| json!({"id": one.id, "runner_job_id": job.id, "status": one.status(), "created_at": one.created_at.to_string(), "odd": null});
    json!({
        "id": job.id, "type": job.kind, "group": "build", "status": job.status, "runner_id": runner, "operation": "build",
        "log_stream_id": format!("log{}", &job.id[3..]), "created_at": job.created_at.to_string(), "max_executions": 1,
        "execution_timeout": 600_000_000_000_u64, "execution_count": job.executions.len(),
        "executions": job.executions.last().map(execution).into_iter().collect::<Vec<_>>(), "something": {"new": true},
    })
}

fn about_a_job(shared: &Shared, state: &mut State, call: &Call, headers: &HeaderMap, body: &Bytes) -> Reply {
    let fresh = state.name("run");
    let Some(job) = state.job_mut(&call.id) else { return Reply::error(404, "record not found") };
    match call.endpoint {
        Endpoint::Job => Reply::json(200, &shown(job, super::RUNNER)),
        Endpoint::Plan => Reply { status: 200, media_type: "text/plain", body: job.plan.clone().into_bytes() },
        Endpoint::Claim => {
            let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok()).unwrap_or_default();
            claim(shared, job, key, &fresh)
        }
        _ => match serde_json::from_slice(body) {
            Ok(body) => about_an_execution(state, call, &body),
            Err(_) => Reply::error(400, "not JSON"),
        },
    }
}

fn claim(shared: &Shared, job: &mut Job, key: &str, fresh: &str) -> Reply {
    if let Some(made) = job.executions.iter().find(|made| shared.habits.idempotent && made.key == key) {
        return Reply::json(200, &json!({"id": made.id, "status": made.status()}));
    }
    if job.status != "available" {
        if shared.habits.idempotent {
            return Reply::error(409, "somebody else has it");
        }
        // The hosted plane counts the attempt first.
        "failed".clone_into(&mut job.status);
        return Reply::error(500, "exceeded max executions");
    }
    "in-progress".clone_into(&mut job.status);
    job.executions.push(Execution { id: fresh.to_owned(), created_at: Timestamp::now(), key: key.to_owned(), ..Execution::default() });
    Reply::json(201, &json!({"id": fresh, "runner_job_id": job.id, "status": "pending"}))
}

fn about_an_execution(state: &mut State, call: &Call, body: &Value) -> Reply {
    let Some(execution) = state.execution_mut(&call.id, &call.execution) else { return Reply::error(404, "record not found") };
    match call.endpoint {
        Endpoint::Result => {
            execution.results.push(body.clone());
            Reply::json(201, &json!({"id": "res1"}))
        }
        Endpoint::Outputs => {
            execution.outputs.push(body["outputs"].clone());
            Reply::json(201, &json!({"id": "out1"}))
        }
        _ => {
            let status = body["status"].as_str().unwrap_or_default().to_owned();
            if execution.is_over() && execution.status() != status {
                return Reply::error(409, "it is over");
            }
            execution.statuses.push(status.clone());
            if let (true, Some(job)) = (state::is_over(&status), state.job_mut(&call.id)) {
                job.status = status;
            }
            Reply::json(200, &json!({}))
        }
    }
}

fn logs(shared: &Shared, headers: &HeaderMap, body: &Bytes) -> Reply {
    let coding = Coding::of(headers.get("content-encoding").and_then(|value| value.to_str().ok()));
    let coding = coding.filter(|coding| shared.habits.gzip || *coding == Coding::Identity);
    let Some(coding) = coding else {
        // It reads the body as it comes, and fails.
        return Reply::error(500, "proto: cannot parse invalid wire-format data");
    };
    let lines = match otlp::decode(body, coding, MAX_BATCH) {
        Ok(lines) => lines,
        Err(error) => return Reply::error(400, &error.to_string()),
    };
    let mut state = shared.state.lock().unwrap();
    for line in lines {
        let Some(execution) = state.execution_mut(&line.job, &line.execution) else { return Reply::error(404, "record not found") };
        let seq = line.seq.unwrap_or_default();
        execution.late_lines |= execution.is_over();
        match execution.lines.get(&seq) {
            Some(text) if *text != line.text => execution.contradictions.push((seq, line.text)),
            _ => drop(execution.lines.insert(seq, line.text)),
        }
    }
    Reply::json(201, &json!("ok"))
}
