//! What an execution reports: its result (why it ended as it did) and its outputs (what it made).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{codec, wire_object};

wire_object! {
    /// Body of `POST /v1/runner-jobs/{job}/executions/{execution}/result`. Planes of the first generation drop one without
    /// `contents`, so there always is some.
    ResultRequest {
        /// Whether it succeeded.
        success: bool,
        /// Always zero.
        error_code: i64,
        /// Why it did not: `step`, `tool`, `exit_code`, `message`, `error_output` …
        error_metadata: BTreeMap<String, String>,
        /// The receipt as JSON text.
        contents: String,
        /// Something to show in its place.
        #[schema(value_type = Object)]
        contents_display: Value,
        /// `contents`, gzip in URL-safe base 64.
        contents_compressed: String,
        /// `contents_display`, gzip in URL-safe base 64.
        contents_display_compressed: String,
        /// What was copied, for a job that copies an image: `HOST/NAME:TAG` or `HOST/NAME@DIGEST`.
        source_ref: String,
        /// The image as the plan names it.
        source_image: String,
        /// The tag that was asked for or chosen.
        resolved_tag: String,
        /// The digest it led to.
        source_digest: String,
        /// Media type of what has that digest.
        source_media_type: String,
        /// When that was found out (RFC 3339, nanoseconds).
        #[schema(value_type = Option<String>, format = DateTime)]
        resolved_at: Option<Timestamp>,
        /// Whether it is what the build before had copied.
        no_op: bool,
    }
}

wire_object! {
    /// A stored result (`RunnerJobExecutionResult`).
    ExecutionResult {
        /// The result.
        id: String,
        /// Who reported it.
        created_by_id: String,
        /// When.
        #[schema(value_type = Option<String>, format = DateTime)]
        created_at: Option<Timestamp>,
        /// When any of this changed last.
        #[schema(value_type = Option<String>, format = DateTime)]
        updated_at: Option<Timestamp>,
        /// The organisation it belongs to.
        org_id: String,
        /// The attempt.
        runner_job_execution_id: String,
        /// Whether it succeeded.
        success: bool,
        /// Always zero.
        error_code: i64,
        /// Why it did not.
        error_metadata: BTreeMap<String, String>,
        /// The receipt as JSON text.
        contents: String,
        /// Something to show in its place.
        #[schema(value_type = Object)]
        contents_display: Value,
    }
}

/// Body of `POST /v1/runner-jobs/{job}/executions/{execution}/outputs`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OutputsRequest {
    /// What was made: `artifacts`, `image`, and the keys of the job type.
    #[serde(deserialize_with = "codec::or_default")]
    #[schema(value_type = Object)]
    pub outputs: Map<String, Value>,
}

wire_object! {
    /// Stored outputs (`RunnerJobExecutionOutputs`).
    ExecutionOutputs {
        /// The outputs.
        id: String,
        /// Who reported them.
        created_by_id: String,
        /// When.
        #[schema(value_type = Option<String>, format = DateTime)]
        created_at: Option<Timestamp>,
        /// When any of this changed last.
        #[schema(value_type = Option<String>, format = DateTime)]
        updated_at: Option<Timestamp>,
        /// The organisation they belong to.
        org_id: String,
        /// The attempt.
        runner_job_execution_id: String,
        /// The outputs as JSON text.
        outputs_json: String,
        /// The outputs.
        #[schema(value_type = Object)]
        outputs: Map<String, Value>,
    }
}
