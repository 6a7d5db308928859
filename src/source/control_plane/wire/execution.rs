//! `RunnerJobExecution`: one attempt at a job, and what is asked and told about it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ExecutionResult, ExecutionStatus, codec, wire_object};

wire_object! {
    /// One attempt at a job (`RunnerJobExecution`).
    Execution {
        /// The attempt: the fencing token of everything said about it.
        id: String,
        /// Who made it.
        created_by_id: String,
        /// When.
        #[schema(value_type = Option<String>, format = DateTime)]
        created_at: Option<Timestamp>,
        /// When any of this changed last.
        #[schema(value_type = Option<String>, format = DateTime)]
        updated_at: Option<Timestamp>,
        /// The organisation it belongs to.
        org_id: String,
        /// The job.
        runner_job_id: String,
        /// Where it is.
        status: ExecutionStatus,
        /// The same for people.
        status_description: String,
        /// What it reported.
        result: Option<Box<ExecutionResult>>,
        /// What it made.
        #[schema(value_type = Object)]
        outputs: serde_json::Map<String, serde_json::Value>,
        /// What the plane noted; hosted planes keep the client's version under `client.version`.
        metadata: BTreeMap<String, String>,
    }
}

/// Body of `PATCH /v1/runner-jobs/{job}/executions/{execution}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExecutionPatch {
    /// The new status.
    pub status: ExecutionStatus,
    /// The same for people.
    #[serde(default, deserialize_with = "codec::or_default", skip_serializing_if = "String::is_empty")]
    pub status_description: String,
}

wire_object! {
    /// One line of the answer of `GET /v1/runners/{runner}/executions/tail` (an addition of ours): an execution that should not go on.
    ExecutionStanding {
        /// The attempt that was asked about.
        execution_id: String,
        /// Its job.
        job_id: String,
        /// What became of it; not terminal when the job belongs to a newer attempt.
        status: ExecutionStatus,
    }
}
