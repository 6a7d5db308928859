//! What runners ask of the store about executions, and what they are answered.

use std::time::Duration;

use jiff::Timestamp;

use super::{Execution, ExecutionStatus, JobStatus};
use crate::job::{ExecutionId, JobId, RunnerId};

/// A claim: make an execution of this job, for this runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The job.
    pub job: JobId,
    /// Who claims it. The hosted route does not say: `None` for a token that is good for any runner and a request that names none; the job's
    /// own runner is taken then, or the execution stays without one until [`super::Store::renew`] tells.
    pub runner: Option<RunnerId>,
    /// The runner's idempotency key: the same key about the same job is answered with the same execution, also after its end.
    pub key: Option<String>,
    /// What the runner says it is; may be empty.
    pub client_version: String,
}

/// What came of a claim.
#[derive(Debug, Clone, PartialEq)]
pub enum Claimed {
    /// A new execution.
    New(Execution),
    /// The execution that the first claim with this key made.
    Same(Execution),
    /// The job is not to be had.
    Lost(Lost),
}

/// Why a claim was lost. Normal, not an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// It is under way, over or withdrawn.
    #[error("the job is '{0}'")]
    Gone(JobStatus),
    /// It is for another runner.
    #[error("the job is for another runner")]
    OtherRunner,
    /// It has had all its executions.
    #[error("the job has had all its executions")]
    Exhausted,
}

/// A runner tells where its execution stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusWrite {
    /// The job.
    pub job: JobId,
    /// The execution, which fences.
    pub execution: ExecutionId,
    /// Where it stands.
    pub status: ExecutionStatus,
    /// Why, in a sentence; empty keeps the one before.
    pub description: String,
}

/// What came of a write that may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It changed something.
    Changed,
    /// It was known already (or overtaken by a later running status).
    Unchanged,
}

/// What came of a cancellation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Withdrawn {
    /// Nobody had begun.
    AtOnce,
    /// It is cancelled; this execution has been told to stop.
    Stopping(ExecutionId),
    /// It was over before, with this status (`cancelled` too).
    Over(JobStatus),
}

/// Something whose time ran out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expired {
    /// The job.
    pub job: JobId,
    /// The execution that was ended; `None` when nobody had claimed it.
    pub execution: Option<ExecutionId>,
    /// Which clock.
    pub clock: Clock,
    /// Where the job stands now; `available` when it gets another execution.
    pub status: JobStatus,
}

/// The clocks that run for a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Clock {
    /// The runner has not been heard of.
    Lease,
    /// One execution took too long.
    Execution,
    /// It took too long altogether.
    Overall,
    /// Nobody claimed it.
    Available,
}

impl Clock {
    /// Its name, for metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lease => "lease",
            Self::Execution => "execution",
            Self::Overall => "overall",
            Self::Available => "available",
        }
    }
}

/// How the store sees an execution that a runner asks about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The execution.
    pub execution: ExecutionId,
    /// Its job.
    pub job: JobId,
    /// Whose it is, if that is known.
    pub runner: Option<RunnerId>,
    /// Where it stands.
    pub status: ExecutionStatus,
    /// Whether a later execution has the job, or it was put back for one.
    pub superseded: bool,
}

impl Standing {
    /// Whether the runner may go on.
    #[must_use]
    pub fn runs(&self) -> bool {
        !self.status.is_terminal() && !self.superseded
    }
}

/// A runner's sign of life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// Who.
    pub runner: RunnerId,
    /// How long it has been up.
    pub alive: Duration,
    /// Its version; may be empty.
    pub version: String,
    /// Which of its processes (`build`, `install`, `mng` or empty).
    pub process: String,
}

/// A runner, as far as the store knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runner {
    /// Its id.
    pub id: RunnerId,
    /// When it was first heard of.
    pub created_at: Timestamp,
    /// When it last sent a heartbeat.
    pub last_heartbeat: Option<Timestamp>,
    /// When the process that sent it was started.
    pub started_at: Option<Timestamp>,
    /// Its version; may be empty.
    pub version: String,
    /// See [`Heartbeat::process`].
    pub process: String,
    /// How many executions it has under way.
    pub running: u32,
}
