//! What is written down, and what is left of it after a restart.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::job::{ExecutionId, JobId, Phase, Receipt};

/// What has to be known of a job to run it: enough for the next runner to go on with a claim whose answer never arrived.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// Type of the job, as the source wrote it.
    pub job_type: String,
    /// What to do with the plan, as the source wrote it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub operation: String,
    /// Where its log goes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub log_stream: String,
    /// Longest time for the execution, when the source says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
}

/// One line of the journal. Each is written before the effect it announces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum Entry {
    /// The job is about to be claimed, under this idempotency key.
    Claiming {
        /// The job.
        job: JobId,
        /// See [`crate::source::Source::claim`].
        key: String,
        /// When.
        at: Timestamp,
        /// The job, as it was offered.
        intent: Intent,
    },
    /// The claim was lost, or never answered for good: forget the intent.
    Unclaimed {
        /// The key of the intent.
        key: String,
    },
    /// The job is ours.
    Claimed {
        /// The key of the intent.
        key: String,
        /// The job.
        job: JobId,
        /// The attempt.
        execution: ExecutionId,
        /// Type of the job, as the source wrote it.
        job_type: String,
        /// Where its log goes.
        log_stream: String,
        /// When.
        at: Timestamp,
    },
    /// Names of everything the executor will create outside its workspace.
    Handle {
        /// The attempt.
        execution: ExecutionId,
        /// The executor's handle.
        handle: serde_json::Value,
    },
    /// The execution entered a phase.
    Phase {
        /// The attempt.
        execution: ExecutionId,
        /// The phase.
        phase: Phase,
    },
    /// The execution is over; this is owed to the source until [`Entry::Closed`].
    Finished {
        /// The attempt.
        execution: ExecutionId,
        /// How it ended, redacted.
        receipt: Box<Receipt>,
    },
    /// The source has the log up to this record.
    LogsSent {
        /// The attempt.
        execution: ExecutionId,
        /// The last record it has.
        seq: u64,
    },
    /// Nothing is owed any more: the source has everything, or disowned the execution.
    Closed {
        /// The attempt.
        execution: ExecutionId,
    },
}

/// What the journal knows of one claim that is not closed.
#[derive(Debug, Clone, PartialEq)]
pub struct Recovered {
    /// The key of the intent.
    pub key: String,
    /// The job.
    pub job: JobId,
    /// When the claim was begun.
    pub at: Timestamp,
    /// The job, as it was offered.
    pub intent: Intent,
    /// What came of the claim; `None` when the answer never arrived.
    pub claimed: Option<RecoveredExecution>,
}

/// An execution that was claimed.
#[derive(Debug, Clone, PartialEq)]
pub struct RecoveredExecution {
    /// The attempt.
    pub execution: ExecutionId,
    /// Type of the job, as the source wrote it.
    pub job_type: String,
    /// Where its log goes.
    pub log_stream: String,
    /// The executor's handle, if it got that far.
    pub handle: Option<serde_json::Value>,
    /// The last phase written down.
    pub phase: Phase,
    /// How it ended, if it did.
    pub receipt: Option<Receipt>,
    /// Last log record the source is known to have.
    pub logs_sent: u64,
}
