//! What the control plane remembers, behind a trait.
//!
//! Inputs: operations of the domain ([`Store`]), each atomic and, where a client may repeat it, idempotent. Outputs: the new state, and
//! [`Bells`] that ring after the change is durable, so that long polls wait for events and not for timers. The default
//! implementation is one SQLite file in a data folder.
//!
//! Invariants: what was answered is on disk; a job is claimed by one runner at a time; an execution's id fences every write about it; a
//! terminal status reported by a runner is final; a plan is stored sealed, a token as SHA-256.
//!
//! Called by the HTTP layer of [`crate::server`].

mod error;
mod execution;
mod job;
mod logs;
mod notify;
mod pack;
mod poll;
mod seal;
pub mod sqlite;
mod token;

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::Value;

pub use error::{Error, Fence, OpenError};
pub use execution::{Claim, Claimed, Clock, Expired, Heartbeat, Lost, Runner, Standing, StatusWrite, Withdrawn, Written};
pub use job::{
    Counts, Cursor, Ending, Execution, ExecutionDetail, Job, JobDetail, JobFilter, JobPage, NewJob, SubmitKey, Submitted, Timeouts,
};
pub use logs::{Batch, LogPage, NewRecord, StoredRecord};
pub use notify::{Bell, Bells, Event, Parked};
pub use poll::next_jobs;
pub use token::{NewToken, Token, TokenKind, fingerprint};

pub use crate::job::{ExecutionStatus, JobStatus};

use crate::job::{ExecutionId, JobId, RunnerId, TokenId};

/// How far things may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long an execution lives without a sign of its runner.
    pub lease: Duration,
    /// How much later than the runner the store ends an execution that takes too long.
    pub grace: Duration,
    /// Bytes of log text per execution.
    pub log: u64,
}

impl Default for Limits {
    /// A lease of one minute, 30 seconds of grace, 1 GiB of log.
    fn default() -> Self {
        Self { lease: Duration::from_mins(1), grace: Duration::from_secs(30), log: 1 << 30 }
    }
}

/// The control plane's memory. Every change is durable before it is answered, and the bells ring after that.
///
/// `now` is the caller's clock, so that tests have none of their own. Any call can answer [`Error::Full`], [`Error::Unavailable`] or
/// [`Error::Closed`]; nothing has changed then, or repeating it is safe. Dropping a call's future does not take a change back that has
/// been handed to the writer.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// What rings when something changes.
    fn bells(&self) -> &Bells;

    // ── jobs ──

    /// Takes a job in; it is available at once. [`Error::JobExists`] for an id in use.
    async fn submit(&self, job: NewJob, key: Option<SubmitKey>, now: Timestamp) -> Result<Submitted, Error>;

    /// A job with its executions, results and outputs. [`Error::UnknownJob`].
    async fn job(&self, id: &JobId) -> Result<JobDetail, Error>;

    /// The newest jobs that fit, at most `limit`, from `after` on.
    async fn jobs(&self, filter: &JobFilter, after: Option<Cursor>, limit: usize) -> Result<JobPage, Error>;

    /// The oldest jobs that `runner` may claim, at most `limit`; of any group when `groups` is `None`.
    async fn available(&self, runner: &RunnerId, groups: Option<&[String]>, limit: usize) -> Result<Vec<Job>, Error>;

    /// The plan's JSON text. [`Error::UnknownJob`], [`Error::Damaged`].
    async fn plan(&self, job: &JobId) -> Result<SecretString, Error>;

    /// Withdraws a job. One that nobody has begun is cancelled at once. Otherwise job and execution are `cancelled` at once as well
    /// (so that runners of the hosted control plane, which ask for the status, stop), but that is the operator's word: the execution may still hand in
    /// log, result and outputs, and the first terminal status its runner reports settles what really became of it. `cancelled` confirms;
    /// work that finished or failed in spite of a late cancel is told as `finished` or `failed`. [`Error::UnknownJob`].
    async fn cancel(&self, job: &JobId, now: Timestamp) -> Result<Withdrawn, Error>;

    /// Makes a job that ended without success available again, with one more execution. [`Error::UnknownJob`]; [`Error::State`] when it is not over,
    /// finished, or its cancelled execution is still stopping.
    async fn retry(&self, job: &JobId, now: Timestamp) -> Result<Job, Error>;

    // ── executions ──

    /// Makes the job this runner's. Exactly one of any number of claims at the same time gets it. [`Error::UnknownJob`].
    async fn claim(&self, claim: Claim, now: Timestamp) -> Result<Claimed, Error>;

    /// Moves an execution on, and its job with it. Running statuses only go up (a late one is [`Written::Unchanged`]), a terminal one is final and
    /// may be repeated. Renews the lease. [`Error::Stale`].
    async fn set_status(&self, write: StatusWrite, now: Timestamp) -> Result<Written, Error>;

    /// Takes an execution's result object in. The first one stays; the same again is fine. Renews the lease. [`Error::Stale`], [`Error::Conflict`].
    async fn put_result(&self, job: &JobId, execution: &ExecutionId, result: Value, now: Timestamp) -> Result<Written, Error>;

    /// Takes an execution's outputs object in, like a result.
    async fn put_outputs(&self, job: &JobId, execution: &ExecutionId, outputs: Value, now: Timestamp) -> Result<Written, Error>;

    /// How these executions stand; those the store does not know are left out.
    async fn standings(&self, executions: &[ExecutionId]) -> Result<Vec<Standing>, Error>;

    /// The runner says that it has these under way: renews their leases, and makes those its own whose claim did not say who claimed. Others than
    /// its own are left alone.
    async fn renew(&self, runner: &RunnerId, executions: &[ExecutionId], now: Timestamp) -> Result<(), Error>;

    /// Ends what ran out of time, a bounded number of them at a time: call again at [`Store::next_expiry`].
    async fn expire(&self, now: Timestamp) -> Result<Vec<Expired>, Error>;

    /// When to call [`Store::expire`] next; leases renewed meanwhile make it too early, never too late, for what is known now.
    async fn next_expiry(&self) -> Result<Option<Timestamp>, Error>;

    // ── logs ──

    /// Stores records, each one once; answers how many were new. Renews the lease. [`Error::Stale`], [`Error::LogLimit`].
    async fn append_log(&self, batch: Batch, now: Timestamp) -> Result<usize, Error>;

    /// Up to `limit` records (and about a mebibyte) after position `after`. [`Error::UnknownJob`].
    async fn log(&self, job: &JobId, after: u64, limit: usize) -> Result<LogPage, Error>;

    // ── runners ──

    /// Makes the runner known, if it is not. Cheap for one that is.
    async fn register_runner(&self, runner: &RunnerId, now: Timestamp) -> Result<(), Error>;

    /// Notes that the runner lives, and renews the leases of all it has under way.
    async fn heartbeat(&self, beat: Heartbeat, now: Timestamp) -> Result<(), Error>;

    /// All runners, by id.
    async fn runners(&self) -> Result<Vec<Runner>, Error>;

    /// One runner.
    async fn runner(&self, id: &RunnerId) -> Result<Option<Runner>, Error>;

    // ── tokens ──

    /// Makes a token; the secret is shown this once.
    async fn create_token(&self, token: NewToken, now: Timestamp) -> Result<(Token, SecretString), Error>;

    /// All tokens, oldest first, expired ones included.
    async fn tokens(&self) -> Result<Vec<Token>, Error>;

    /// Takes a token back at once; answers whether there was one.
    async fn revoke_token(&self, id: &TokenId) -> Result<bool, Error>;

    /// Whose secret this is; `None` when unknown, revoked or expired. No database access.
    async fn authenticate(&self, secret: &SecretString, now: Timestamp) -> Result<Option<Token>, Error>;

    // ── the house ──

    /// Counts for metrics.
    async fn counts(&self) -> Result<Counts, Error>;

    /// Whether it can be read and written at the moment.
    async fn check(&self) -> Result<(), Error>;

    /// Finishes what was begun and closes the files. Later calls answer [`Error::Closed`].
    async fn close(&self);
}
