//! Jobs and executions as the store keeps them, and the questions one can ask about them.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::Value;

use super::{ExecutionStatus, JobStatus};
use crate::job::{ExecutionId, JobId, RunnerId};

/// Time limits of a job. Zero means none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timeouts {
    /// How long it may wait for a runner; it is not attempted then.
    pub available: Duration,
    /// How long one execution may take. The runner keeps this limit itself; the store steps in [`super::Limits::grace`] later.
    pub execution: Duration,
    /// How long it may take altogether, from its submission.
    pub overall: Duration,
}

/// A job to be.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Its id, when the submitter has chosen one.
    pub id: Option<JobId>,
    /// Wire name of its type.
    pub job_type: String,
    /// Wire name of its group.
    pub group: String,
    /// Wire name of the operation.
    pub operation: String,
    /// The plan as JSON text; sealed before it is stored.
    pub plan: SecretString,
    /// Passed on to the runner.
    pub metadata: BTreeMap<String, String>,
    /// The only runner that may claim it.
    pub runner: Option<RunnerId>,
    /// What the job belongs to; runners of the hosted control plane use the id as tag. Empty: the job itself.
    pub owner_id: String,
    /// What kind of thing that is; may be empty.
    pub owner_type: String,
    /// Time limits.
    pub timeouts: Timeouts,
    /// How many executions there may be, at least 1. More than one means: try again when a lease runs out.
    pub max_executions: u32,
}

/// Makes a submission repeatable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmitKey {
    /// The client's idempotency key.
    pub key: String,
    /// SHA-256 of what was asked for: the same key with another body is a mistake.
    pub body: [u8; 32],
}

/// What came of a submission.
#[derive(Debug, Clone, PartialEq)]
pub enum Submitted {
    /// A new job.
    Created(Job),
    /// The job that the first request with this key made, as it is now.
    Replayed(Job),
    /// The key belongs to this job, made by another body.
    KeyReused(JobId),
}

/// A job, with its latest execution but without plan, result and outputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its id; also that of its log stream.
    pub id: JobId,
    /// See [`NewJob::job_type`].
    pub job_type: String,
    /// See [`NewJob::group`].
    pub group: String,
    /// See [`NewJob::operation`].
    pub operation: String,
    /// Where it stands.
    pub status: JobStatus,
    /// Why, in a sentence; may be empty.
    pub status_description: String,
    /// The runner that has it, or the only one that may claim it.
    pub runner: Option<RunnerId>,
    /// See [`NewJob::owner_id`].
    pub owner_id: String,
    /// See [`NewJob::owner_type`].
    pub owner_type: String,
    /// See [`NewJob::metadata`].
    pub metadata: BTreeMap<String, String>,
    /// Time limits.
    pub timeouts: Timeouts,
    /// How many executions there may be.
    pub max_executions: u32,
    /// How many there have been.
    pub execution_count: u32,
    /// When it was submitted.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When its latest execution was claimed.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Its latest execution.
    pub latest: Option<Execution>,
}

/// How an execution came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It runs.
    Running,
    /// Withdrawn by the operator; its runner has not said yet what became of it. See [`super::Store::cancel`].
    Stopping,
    /// As [`Ending::Stopping`], and the lease has run out since: a retry need not wait for it.
    Abandoned,
    /// Its runner has reported it.
    Reported,
    /// Its lease or a time limit ran out: fenced.
    Expired,
}

impl Ending {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Abandoned => "abandoned",
            Self::Reported => "reported",
            Self::Expired => "expired",
        }
    }

    /// Whether something of the execution is still to be expected: it runs, or has not yet said that it stopped.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Running | Self::Stopping)
    }
}

impl std::str::FromStr for Ending {
    type Err = String;
    /// # Errors
    /// The text itself when it is none of the words.
    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Running, Self::Stopping, Self::Abandoned, Self::Reported, Self::Expired]
            .into_iter()
            .find(|ending| ending.as_str() == text)
            .ok_or_else(|| text.to_owned())
    }
}

/// One attempt at a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Execution {
    /// Its id, the fencing token.
    pub id: ExecutionId,
    /// Whose attempt.
    pub job: JobId,
    /// Counts the executions of its job from 1.
    pub attempt: u32,
    /// Who claimed it, if that is known.
    pub runner: Option<RunnerId>,
    /// What the runner said it is (header `X-Nuon-Client-Version`); may be empty.
    pub client_version: String,
    /// Where it stands.
    pub status: ExecutionStatus,
    /// Why, in a sentence; may be empty.
    pub status_description: String,
    /// How it ended, if it did.
    pub ending: Ending,
    /// When it was claimed.
    pub created_at: Timestamp,
    /// When its status last changed.
    pub updated_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// When its lease ends unless it is renewed; absent once nothing is expected of it.
    pub lease_until: Option<Timestamp>,
}

/// An execution with what it handed in.
#[derive(Debug, Clone, PartialEq)]
pub struct ExecutionDetail {
    /// The execution.
    pub execution: Execution,
    /// The result object, as handed in.
    pub result: Option<Value>,
    /// The outputs object, as handed in.
    pub outputs: Option<Value>,
}

/// Everything about one job but its plan and log.
#[derive(Debug, Clone, PartialEq)]
pub struct JobDetail {
    /// The job.
    pub job: Job,
    /// Its executions, oldest first.
    pub executions: Vec<ExecutionDetail>,
}

/// Which jobs to list. Everything that is set must fit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JobFilter {
    /// Any of these statuses; empty for all.
    pub statuses: Vec<JobStatus>,
    /// This type.
    pub job_type: Option<String>,
    /// This group.
    pub group: Option<String>,
    /// Claimed by this runner, or only for it.
    pub runner: Option<RunnerId>,
}

/// A place in a list of jobs. Only good for the store that made it; survives restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor(pub i64);

/// A piece of a list of jobs.
#[derive(Debug, Clone, PartialEq)]
pub struct JobPage {
    /// The jobs, newest first.
    pub jobs: Vec<Job>,
    /// Where to go on; `None` at the end.
    pub next: Option<Cursor>,
}

/// How many of what there are, for metrics.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// Jobs of each status; a status without jobs is left out.
    pub jobs: BTreeMap<JobStatus, u64>,
    /// When the job that has waited longest was submitted.
    pub oldest_available: Option<Timestamp>,
    /// Registered runners.
    pub runners: u64,
    /// Bytes of the database file and its write-ahead log.
    pub bytes: u64,
}
