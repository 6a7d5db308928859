//! A job that is ours: what it takes to run it.

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    job::{ExecutionId, JobId},
    journal::Intent,
    source::Offer,
};

/// A claimed job, before anything was begun. Made by the claim, or by recovery for a claim that an earlier runner began nothing of.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimed {
    /// The job.
    pub job: JobId,
    /// This attempt at it.
    pub execution: ExecutionId,
    /// Type of the job, as the source writes it.
    pub job_type: String,
    /// What to do with the plan, as the source writes it.
    pub operation: String,
    /// Where its log goes; empty when the source takes none.
    pub log_stream: String,
    /// Longest time for the execution; the type's default when absent.
    pub timeout: Option<Duration>,
    /// When the job was created; absent when that is not known any more.
    pub created_at: Option<Timestamp>,
    /// The last log record that the source has: 0 unless an earlier runner began to send.
    pub logs_sent: u64,
}

impl Claimed {
    /// The job that was offered, as this execution.
    #[must_use]
    pub fn offered(offer: &Offer, execution: ExecutionId) -> Self {
        Self { created_at: Some(offer.created_at), ..Self::intended(&offer.id, &intent(offer), execution) }
    }

    /// The job that an intent of the journal is about, as this execution.
    #[must_use]
    pub fn intended(job: &JobId, intent: &Intent, execution: ExecutionId) -> Self {
        Self {
            job: job.clone(),
            execution,
            job_type: intent.job_type.clone(),
            operation: intent.operation.clone(),
            log_stream: intent.log_stream.clone(),
            timeout: intent.timeout,
            created_at: None,
            logs_sent: 0,
        }
    }
}

/// What the journal keeps of an offer.
pub(super) fn intent(offer: &Offer) -> Intent {
    Intent {
        job_type: offer.job_type.clone(),
        operation: offer.operation.clone(),
        log_stream: offer.log_stream.clone(),
        timeout: offer.execution_timeout,
    }
}
