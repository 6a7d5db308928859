//! The store's objects as those of the wire: the runner API's own, and the operator's.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    job::{ExecutionId, JobId, RunnerId},
    plan::GoDuration,
    server::store::{self, Ending},
    source::control_plane::wire,
};

/// Key of the hosted control plane under which an execution keeps what its client said it is.
const CLIENT_VERSION: &str = "client.version";

/// A job as runners see it, with its latest execution.
pub(crate) fn wire_job(job: store::Job) -> wire::Job {
    wire::Job {
        id: job.id.to_string(),
        created_at: Some(job.created_at),
        updated_at: Some(job.updated_at),
        runner_id: job.runner.map(String::from).unwrap_or_default(),
        owner_id: job.owner_id,
        owner_type: job.owner_type,
        log_stream_id: job.id.to_string(),
        available_timeout: job.timeouts.available.into(),
        execution_timeout: job.timeouts.execution.into(),
        overall_timeout: job.timeouts.overall.into(),
        max_executions: job.max_executions,
        status: job.status.as_str().into(),
        status_description: job.status_description,
        r#type: job.job_type,
        group: job.group,
        operation: job.operation,
        executions: job.latest.into_iter().map(wire_execution).collect(),
        started_at: job.started_at,
        finished_at: job.finished_at,
        metadata: job.metadata,
        execution_count: job.execution_count,
        ..wire::Job::default()
    }
}

/// The same, with the outputs and the execution that count.
pub(crate) fn wire_job_detail(detail: store::JobDetail) -> wire::Job {
    let last = detail.executions.into_iter().next_back();
    let mut job = wire_job(detail.job);
    if let Some(last) = last {
        if job.status.is_terminal() {
            job.final_runner_job_execution_id = last.execution.id.to_string();
        }
        if let Some(end) = last.execution.finished_at {
            let length = std::time::Duration::try_from(end.duration_since(last.execution.created_at)).unwrap_or_default();
            job.execution_time = length.into();
        }
        if let Some(Value::Object(outputs)) = &last.outputs {
            job.outputs_json = serde_json::to_string(outputs).unwrap_or_default();
            job.outputs.clone_from(outputs);
        }
        job.executions = vec![wire_execution_detail(last)];
    }
    job
}

/// An execution as runners see it.
pub(crate) fn wire_execution(execution: store::Execution) -> wire::Execution {
    let version = (!execution.client_version.is_empty()).then(|| (CLIENT_VERSION.to_owned(), execution.client_version));
    wire::Execution {
        id: execution.id.to_string(),
        created_at: Some(execution.created_at),
        updated_at: Some(execution.updated_at),
        runner_job_id: execution.job.to_string(),
        status: execution.status.as_str().into(),
        status_description: execution.status_description,
        metadata: version.into_iter().collect(),
        ..wire::Execution::default()
    }
}

/// The same, with what it handed in.
pub(crate) fn wire_execution_detail(detail: store::ExecutionDetail) -> wire::Execution {
    let result = detail.result.and_then(|result| serde_json::from_value(result).ok());
    let outputs = match detail.outputs {
        Some(Value::Object(outputs)) => outputs,
        _ => serde_json::Map::new(),
    };
    wire::Execution { result, outputs, ..wire_execution(detail.execution) }
}

/// A job as operators see it. What every job has is always there, also when it is zero.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobView {
    /// The job.
    #[schema(value_type = String)]
    id: JobId,
    /// What it asks for.
    r#type: String,
    /// The group of its type.
    group: String,
    /// What is done with the plan.
    operation: String,
    /// Where it stands.
    #[schema(value_type = String, example = "in-progress")]
    status: store::JobStatus,
    /// The same in a sentence.
    #[serde(skip_serializing_if = "String::is_empty")]
    status_description: String,
    /// The runner that has it, or the only one that may.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    runner_id: Option<RunnerId>,
    /// Executions there were.
    execution_count: u32,
    /// Executions there may be.
    max_executions: u32,
    /// Limits of time, as in a job file.
    timeouts: TimeoutsView,
    /// As submitted.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
    /// When it was submitted.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    /// When its latest execution began.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    started_at: Option<Timestamp>,
    /// When it was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    finished_at: Option<Timestamp>,
    /// Every execution, oldest first; when a single job is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    executions: Option<Vec<ExecutionView>>,
    /// The result of the latest execution.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    result: Option<Value>,
    /// What the latest execution made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    outputs: Option<Value>,
}

/// Limits of time of a job; absent when there is none.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TimeoutsView {
    /// Of one execution.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "5m0s")]
    execution: Option<String>,
    /// Of it all.
    #[serde(skip_serializing_if = "Option::is_none")]
    overall: Option<String>,
}

/// One attempt, as operators see it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExecutionView {
    /// The attempt.
    #[schema(value_type = String)]
    id: ExecutionId,
    /// Counts from 1.
    attempt: u32,
    /// Whose, as far as that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    runner_id: Option<RunnerId>,
    /// Where it stands.
    #[schema(value_type = String, example = "in-progress")]
    status: store::ExecutionStatus,
    /// The same in a sentence.
    #[serde(skip_serializing_if = "String::is_empty")]
    status_description: String,
    /// How it ended: `running`, `stopping`, `abandoned`, `reported` or `expired`.
    ending: &'static str,
    /// What its runner said it is.
    #[serde(skip_serializing_if = "String::is_empty")]
    client_version: String,
    /// When it was claimed.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When its status last changed.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    finished_at: Option<Timestamp>,
    /// What it reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    result: Option<Value>,
    /// What it made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    outputs: Option<Value>,
}

impl From<store::Job> for JobView {
    fn from(job: store::Job) -> Self {
        let length = |length| GoDuration::new(length).map(|length| length.to_string());
        Self {
            id: job.id,
            r#type: job.job_type,
            group: job.group,
            operation: job.operation,
            status: job.status,
            status_description: job.status_description,
            runner_id: job.runner,
            execution_count: job.execution_count,
            max_executions: job.max_executions,
            timeouts: TimeoutsView { execution: length(job.timeouts.execution), overall: length(job.timeouts.overall) },
            metadata: job.metadata,
            created_at: job.created_at,
            updated_at: job.updated_at,
            started_at: job.started_at,
            finished_at: job.finished_at,
            executions: None,
            result: None,
            outputs: None,
        }
    }
}

impl From<store::JobDetail> for JobView {
    fn from(detail: store::JobDetail) -> Self {
        let executions: Vec<_> = detail.executions.into_iter().map(ExecutionView::from).collect();
        let last = executions.last();
        let (result, outputs) = last.map(|last| (last.result.clone(), last.outputs.clone())).unwrap_or_default();
        Self { result, outputs, executions: Some(executions), ..Self::from(detail.job) }
    }
}

impl From<store::ExecutionDetail> for ExecutionView {
    fn from(detail: store::ExecutionDetail) -> Self {
        let execution = detail.execution;
        Self {
            id: execution.id,
            attempt: execution.attempt,
            runner_id: execution.runner,
            status: execution.status,
            status_description: execution.status_description,
            ending: match execution.ending {
                Ending::Running => "running",
                Ending::Stopping => "stopping",
                Ending::Abandoned => "abandoned",
                Ending::Reported => "reported",
                Ending::Expired => "expired",
            },
            client_version: execution.client_version,
            created_at: execution.created_at,
            updated_at: execution.updated_at,
            finished_at: execution.finished_at,
            result: detail.result,
            outputs: detail.outputs,
        }
    }
}

/// A runner and its health.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunnerView {
    /// The runner.
    #[schema(value_type = String)]
    id: RunnerId,
    /// `active` if it was heard of within the length of a lease, else `offline`.
    #[schema(example = "active")]
    status: &'static str,
    /// When it was first heard of.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it last sent a heartbeat.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    last_heartbeat: Option<Timestamp>,
    /// When its process was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    started_at: Option<Timestamp>,
    /// Its version.
    #[serde(skip_serializing_if = "String::is_empty")]
    version: String,
    /// Executions it has under way.
    running: u32,
}

impl RunnerView {
    /// The runner as it looks at `now`.
    pub(crate) fn new(runner: store::Runner, lease: std::time::Duration, now: Timestamp) -> Self {
        let silent = runner.last_heartbeat.map(|last| now.duration_since(last));
        let active = silent.is_some_and(|silent| silent <= jiff::SignedDuration::try_from(lease).unwrap_or(jiff::SignedDuration::MAX));
        Self {
            id: runner.id,
            status: if active { "active" } else { "offline" },
            created_at: runner.created_at,
            last_heartbeat: runner.last_heartbeat,
            started_at: runner.started_at,
            version: runner.version,
            running: runner.running,
        }
    }
}
