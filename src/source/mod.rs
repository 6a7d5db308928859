//! Where jobs come from. Only this module knows the outside forms of a job; everybody else sees `job`, `plan` and the [`Source`] trait.
//!
//! [`job_file`] reads jobs that a person wrote down. [`control_plane`] speaks the runner API. The agent knows neither of them, only
//! [`Source`]: offers in, claims, progress, logs and reports out.

pub mod control_plane;
pub mod job_file;

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;

use crate::{
    job::{ExecutionId, JobGroup, JobId, Phase, Receipt},
    logs::Record,
    retry::Advice,
    shutdown::Cancel,
};

/// A job as its source offers it: not ours until it is claimed.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    /// The job.
    pub id: JobId,
    /// Its type, as the source writes it: one that this build does not know is claimed and failed by name, never ignored.
    pub job_type: String,
    /// What to do with the plan, as the source writes it; empty when it does not say.
    pub operation: String,
    /// When it was created: older ones go first.
    pub created_at: Timestamp,
    /// Longest time for one execution; absent when the source does not say.
    pub execution_timeout: Option<Duration>,
    /// Where its log goes; empty when the source takes none.
    pub log_stream: String,
    /// Passed on with log records.
    pub metadata: BTreeMap<String, String>,
}

/// What a poll asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The groups with a free slot; `None` for any.
    pub groups: Option<Vec<JobGroup>>,
    /// How many jobs could start now.
    pub limit: usize,
}

/// The answer to a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The job is ours, as this execution.
    Ours(ExecutionId),
    /// Somebody else was quicker, or it was withdrawn: normal.
    Lost(String),
}

/// What every key of [`claim_key`] begins with.
const CLAIM_KEY: &str = "claim";

/// A fresh idempotency key for the intent to claim, which also says when that was: `claim-<milliseconds>-<random>`.
#[must_use]
pub fn claim_key(at: Timestamp) -> String {
    format!("{CLAIM_KEY}-{}-{}", at.as_millisecond(), ExecutionId::generate())
}

/// When a key of [`claim_key`] was made.
fn claimed_at(key: &str) -> Option<Timestamp> {
    let (word, rest) = key.split_once('-')?;
    let millis = rest.split_once('-')?.0.parse().ok()?;
    Timestamp::from_millisecond(millis).ok().filter(|_| word == CLAIM_KEY)
}

/// How the source sees an execution that runs here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It may go on.
    Running,
    /// Whoever submitted the job wants it stopped.
    CancelRequested,
    /// The source's own clock says that it took too long.
    TimedOut,
    /// The job belongs to another execution, or is over: stop, and report nothing.
    Lost,
}

/// What the runner is told about how to behave, at its start and whenever it asks again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Time between two heartbeats.
    pub heartbeat: Duration,
    /// Whether job logs are wanted at all.
    pub logs: bool,
    /// Attributes of every log record (`org.id`, …).
    pub attributes: BTreeMap<String, String>,
}

/// Whose lines a batch of log records holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogContext {
    /// The job.
    pub job: JobId,
    /// Its type.
    pub job_type: String,
    /// The attempt.
    pub execution: ExecutionId,
    /// [`Offer::log_stream`].
    pub stream: String,
}

/// Why a call to a source failed. Messages never hold credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// 401 or 403: the runner's token is wrong, expired or not for this runner.
    #[error("{0}")]
    Unauthorized(String),
    /// 404, 409 or 410 about a job or execution: it is not ours (any more), or over.
    #[error("{0}")]
    Fenced(String),
    /// Refused for good; the same request will never succeed.
    #[error("{message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// What was asked and what was answered.
        message: String,
    },
    /// Not reachable, overloaded, broken, or an answer that makes no sense: worth another try.
    #[error("{message}")]
    Unavailable {
        /// What was asked and what went wrong.
        message: String,
        /// What the source asked to be given (`Retry-After`).
        retry_after: Option<Duration>,
    },
    /// The work was stopped from outside.
    #[error("stopped")]
    Cancelled,
}

impl Error {
    /// Whether the same call is worth another try. A refused token is: it may be renewed in its file at any moment.
    #[must_use]
    pub fn advice(&self) -> Advice {
        match self {
            Self::Unauthorized(_) => Advice::Retry,
            Self::Unavailable { retry_after, .. } => retry_after.map_or(Advice::Retry, Advice::RetryAfter),
            Self::Fenced(_) | Self::Refused { .. } | Self::Cancelled => Advice::GiveUp,
        }
    }
}

/// A control plane, as the agent sees it. One try per call: when to try again is the agent's to say (see [`Error::advice`]).
///
/// Every call has a time limit of its own and can be dropped at any await. Calls that change something may be repeated: the
/// second answer is that of the first.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// Waits for jobs as long as the source is willing to hold the request (or until the next poll is due), oldest first. An empty
    /// answer is normal.
    async fn poll(&self, wanted: &Wanted, cancel: &Cancel) -> Result<Vec<Offer>, Error>;

    /// Makes the job ours by creating an execution. `key` (from [`claim_key`]) is the same when the claim of a job is tried again, also by
    /// the next process after a crash: a source that knows idempotency keys answers with the execution made the first time, and of one
    /// that does not the key's time tells whether an execution may be the one that was made then.
    async fn claim(&self, job: &JobId, key: &str) -> Result<Claim, Error>;

    /// The plan's JSON.
    async fn plan(&self, job: &JobId) -> Result<serde_json::Value, Error>;

    /// Tells how far it is. Best effort: never the terminal status, see [`Source::report`].
    async fn phase(&self, job: &JobId, execution: &ExecutionId, phase: Phase) -> Result<(), Error>;

    /// Resolves as soon as one of the executions is not [`Standing::Running`] any more, with all that are not; or empty when it is time
    /// to ask again. One call for all of them.
    async fn standings(&self, running: &[(JobId, ExecutionId)], cancel: &Cancel) -> Result<Vec<(ExecutionId, Standing)>, Error>;

    /// Hands over log records, in order. A batch that was taken before is taken again without doubling (records carry their `seq`),
    /// by sources that understand that.
    async fn logs(&self, context: &LogContext, records: &[Record]) -> Result<(), Error>;

    /// The end of an execution: result, outputs, terminal status, in this order. Repeating it is harmless.
    async fn report(&self, job: &JobId, execution: &ExecutionId, receipt: &Receipt) -> Result<(), Error>;

    /// The runner lives, since `alive`. Renews the leases of what it runs.
    async fn heartbeat(&self, alive: Duration) -> Result<(), Error>;

    /// How to behave.
    async fn settings(&self) -> Result<Settings, Error>;
}
