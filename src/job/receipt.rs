//! The receipt: the one JSON object that a script reads about an execution.
//!
//! Its keys are a promise (README, reference): they are only ever added to.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Artifact, CancelCause, Failure, FailureKind, JobId, Outcome, Outputs};

/// How it ended, by its public name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReceiptOutcome {
    /// Everything was made and pushed.
    Succeeded,
    /// The job failed, whoever's fault it was.
    Failed,
    /// Stopped from outside.
    Cancelled,
    /// Stopped by its deadline.
    TimedOut,
    /// Never begun.
    NotAttempted,
}

/// What was asked, how it ended, what was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Receipt {
    /// The job's id, from the job file or made up for it.
    pub id: JobId,
    /// The job's type, as written in the job file.
    #[serde(rename = "type")]
    pub job_type: String,
    /// How it ended.
    pub outcome: ReceiptOutcome,
    /// When the execution began (RFC 3339, UTC).
    #[schemars(with = "String")]
    pub started_at: Timestamp,
    /// When it was over, cleanup included.
    #[schemars(with = "String")]
    pub finished_at: Timestamp,
    /// What was made; `artifacts` is empty unless it succeeded.
    pub outputs: Outputs,
    /// Why it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

impl Receipt {
    /// The receipt of an execution that ended with `outcome`.
    #[must_use]
    pub fn new(id: JobId, job_type: &str, started_at: Timestamp, finished_at: Timestamp, outcome: Outcome) -> Self {
        let (outcome, outputs, failure) = match outcome {
            Outcome::Succeeded(outputs) => (ReceiptOutcome::Succeeded, *outputs, None),
            Outcome::Failed(failure) => (ReceiptOutcome::Failed, Outputs::default(), Some(*failure)),
            Outcome::TimedOut(failure) => (ReceiptOutcome::TimedOut, Outputs::default(), Some(*failure)),
            Outcome::NotAttempted(failure) => (ReceiptOutcome::NotAttempted, Outputs::default(), Some(*failure)),
            Outcome::Cancelled(cause) => (ReceiptOutcome::Cancelled, Outputs::default(), cancelled(cause)),
        };
        Self { id, job_type: job_type.to_owned(), outcome, started_at, finished_at, outputs, failure }
    }

    /// The main artifact.
    #[must_use]
    pub fn artifact(&self) -> Option<&Artifact> {
        self.outputs.artifacts.first()
    }
}

/// A cancel that was asked for is not a failure; the others are worth a word.
fn cancelled(cause: CancelCause) -> Option<Failure> {
    match cause {
        CancelCause::Requested | CancelCause::Deadline => None,
        CancelCause::LeaseLost => Some(Failure::new(FailureKind::LeaseLost, "the lease was lost; another runner may own the job")),
        CancelCause::Shutdown => {
            let mut failure = Failure::new(FailureKind::Internal, "the runner was stopped before the job was over; run it again");
            failure.retryable = true;
            Some(failure)
        }
    }
}
