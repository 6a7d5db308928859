//! `RunnerJob`: what `GET /v1/runners/{runner}/jobs`, `…/jobs/tail` and `GET /v1/runner-jobs/{job}` answer. The plan is not in it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Execution, JobStatus, Nanos, wire_object};

wire_object! {
    /// A job as a control plane shows it to runners (`RunnerJob`).
    Job {
        /// The job.
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
        /// The runner it is meant for.
        runner_id: String,
        /// The build or deploy it belongs to; hosted planes expect its artifact under this tag.
        owner_id: String,
        /// What `owner_id` names: `component_builds`, `install_deploys` …
        owner_type: String,
        /// Where its log goes.
        log_stream_id: String,
        /// Longest time to be queued.
        queue_timeout: Nanos,
        /// Longest time to be available.
        available_timeout: Nanos,
        /// Longest time of one execution.
        execution_timeout: Nanos,
        /// Longest time of it all.
        overall_timeout: Nanos,
        /// How many executions there may be.
        max_executions: u32,
        /// Where it is.
        status: JobStatus,
        /// The same for people.
        status_description: String,
        /// The job type by its wire name; also one that this build does not know.
        r#type: String,
        /// The group of its type.
        group: String,
        /// What to do with the plan.
        operation: String,
        /// Its executions; of the hosted plane the newest alone.
        executions: Vec<Execution>,
        /// When its first execution began.
        #[schema(value_type = Option<String>, format = DateTime)]
        started_at: Option<Timestamp>,
        /// When it was over.
        #[schema(value_type = Option<String>, format = DateTime)]
        finished_at: Option<Timestamp>,
        /// Whatever its submitter wants to find again.
        metadata: BTreeMap<String, String>,
        /// How many executions there were.
        execution_count: u32,
        /// The execution whose outcome counts.
        final_runner_job_execution_id: String,
        /// The outputs as JSON text.
        outputs_json: String,
        /// What it made.
        #[schema(value_type = Object)]
        outputs: serde_json::Map<String, serde_json::Value>,
        /// How long the execution took.
        execution_time: Nanos,
    }
}

impl Job {
    /// The newest execution shown; planes do not promise an order.
    #[must_use]
    pub fn newest_execution(&self) -> Option<&Execution> {
        self.executions.iter().max_by_key(|execution| execution.created_at)
    }
}

/// Body of `PATCH /v1/runner-jobs/{job}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobPatch {
    /// The new status.
    pub status: JobStatus,
}
