//! The control plane as its clients see it: over real HTTP, with the real store.

mod client;
mod life;
mod parking;
mod refusals;
mod streams;

use std::{net::Ipv4Addr, time::Duration};

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use super::{Running, Server, ServerOptions};
use crate::{
    job::{ExecutionId, JobId},
    logs::{Record, Stream},
    source::{LogContext, control_plane::otlp},
};

/// A control plane with a folder of its own, and both first tokens.
struct Plane {
    running: Running,
    folder: tempfile::TempDir,
    http: reqwest::Client,
    operator: String,
    runner: String,
}

fn options(folder: &tempfile::TempDir) -> ServerOptions {
    ServerOptions::new((Ipv4Addr::LOCALHOST, 0).into(), folder.path())
}

fn client() -> reqwest::Client {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

impl Plane {
    async fn start() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut ServerOptions)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = options(&folder);
        change(&mut options);
        Self::open(folder, options).await
    }

    async fn open(folder: tempfile::TempDir, options: ServerOptions) -> Self {
        let running = Server::start(options).await.unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap().trim().to_owned();
        let (operator, runner) = (read("operator.token"), read("runner.token"));
        Self { running, folder, http: client(), operator, runner }
    }

    /// Stops, and starts again on the same folder.
    async fn restart(self) -> Self {
        self.running.stop().await;
        let options = options(&self.folder);
        Self::open(self.folder, options).await
    }

    fn ask(&self, method: Method, path: &str, token: &str) -> RequestBuilder {
        self.http.request(method, format!("http://{}{path}", self.running.addr)).bearer_auth(token)
    }

    /// As an operator; the body is left out when null.
    async fn operate(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        answer(with_body(self.ask(method, path, &self.operator), &body)).await
    }

    /// As a runner.
    async fn run(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        answer(with_body(self.ask(method, path, &self.runner), &body)).await
    }

    async fn submit(&self, body: Value) -> String {
        let (status, job) = self.operate(Method::POST, "/v1/jobs", body).await;
        assert_eq!(status, 201, "{job}");
        job["id"].as_str().unwrap().to_owned()
    }

    /// Claims a job for a runner; the execution's id.
    async fn claim(&self, job: &str, runner: &str) -> (StatusCode, String) {
        let request = self.ask(Method::POST, &format!("/v1/runner-jobs/{job}/executions"), &self.runner).header("x-runner-id", runner);
        let (status, execution) = answer(request.json(&json!({}))).await;
        (status, execution["id"].as_str().unwrap_or_default().to_owned())
    }

    async fn set_status(&self, job: &str, execution: &str, status: &str) -> (StatusCode, Value) {
        self.run(Method::PATCH, &format!("/v1/runner-jobs/{job}/executions/{execution}"), json!({"status": status})).await
    }

    /// Sends lines, numbered from `first`.
    async fn log(&self, job: &str, execution: &str, first: u64, lines: &[&str]) -> StatusCode {
        let body = batch(job, execution, first, lines);
        let request = self.ask(Method::POST, &format!("/v1/log-streams/{job}/logs"), &self.runner);
        let request = request.header("content-type", "application/x-protobuf").header("content-encoding", "gzip");
        answer(request.body(otlp::gzip(&body).unwrap())).await.0
    }

    async fn show(&self, job: &str) -> Value {
        let (status, job) = self.operate(Method::GET, &format!("/v1/jobs/{job}"), Value::Null).await;
        assert_eq!(status, 200, "{job}");
        job
    }
}

fn with_body(request: RequestBuilder, body: &Value) -> RequestBuilder {
    if body.is_null() { request } else { request.json(body) }
}

/// Status and body; a body that is no JSON as text.
async fn answer(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

fn batch(job: &str, execution: &str, first: u64, lines: &[&str]) -> Vec<u8> {
    let context = LogContext {
        job: job.parse::<JobId>().unwrap(),
        job_type: "noop".to_owned(),
        execution: execution.parse::<ExecutionId>().unwrap(),
        stream: job.to_owned(),
    };
    let record = |(seq, text): (u64, &&str)| Record {
        seq,
        time: jiff::Timestamp::now(),
        stream: Stream::Stdout,
        step: "execute".to_owned(),
        text: (*text).to_owned(),
    };
    let records: Vec<_> = (first..).zip(lines).map(record).collect();
    otlp::encode(&otlp::Runner::default(), &context, &records)
}

/// The shape that every refusal has.
fn assert_refusal(answer: &(StatusCode, Value), status: u16) {
    assert_eq!(answer.0, status, "{}", answer.1);
    assert!(answer.1["error"].as_str().is_some_and(|text| !text.is_empty()), "{}", answer.1);
    assert!(answer.1["description"].as_str().is_some_and(|text| text.len() > 10), "{}", answer.1);
    assert_eq!(answer.1["user_error"], json!(status < 500), "{}", answer.1);
}

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
