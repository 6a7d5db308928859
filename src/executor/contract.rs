//! The contract between the supervisor and an executor.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    job::{ExecutionId, Failure, JobId, Outputs},
    logs::{JobLog, Progress},
    oci,
    provenance::Record,
    shutdown::Cancel,
    workspace::{Workspace, git},
};

/// Whether an executor can be used on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It can; `detail` names what it will use (a tool and its version), or is empty.
    Ready(String),
    /// It cannot, because of `reason`; `remedy` is what to run or set.
    NotReady {
        /// What is missing, by name.
        reason: String,
        /// The command or setting that mends it.
        remedy: String,
    },
}

/// Everything one execution may use. Passed explicitly; there are no globals.
#[derive(Clone)]
pub struct Context {
    /// The job.
    pub job: JobId,
    /// This attempt at it.
    pub execution: ExecutionId,
    /// Fires when the work has to stop. Every await selects on it.
    pub cancel: Cancel,
    /// The job's log.
    pub log: JobLog,
    /// The step under way and bytes moved, for people.
    pub progress: Progress,
    /// A private folder (0700), removed in every outcome.
    pub workspace: Arc<Workspace>,
    /// Registries and layouts.
    pub oci: Arc<oci::Client>,
    /// How git repositories are reached: keys, authorities, patience.
    pub git: Arc<git::Options>,
    /// Folder that relative paths of a local job file are relative to; `None` for a job of a control plane, whose plans may
    /// name no local paths.
    pub local_base: Option<PathBuf>,
}

impl Context {
    /// What calls to registries and layouts need.
    #[must_use]
    pub const fn oci_cx(&self) -> oci::Cx<'_> {
        oci::Cx { cancel: &self.cancel, log: &self.log, progress: &self.progress }
    }

    /// Enters the step of that name: shown to people, and named by a failure that happens in it.
    pub fn step(&self, name: &'static str) {
        self.progress.step(name);
    }
}

/// What an execution made, and how.
#[derive(Debug)]
pub struct Made {
    /// What is reported.
    pub outputs: Outputs,
    /// How it came to be, for the provenance of the artifacts; absent when there is nothing to vouch for.
    pub record: Option<Record>,
}

impl From<Outputs> for Made {
    fn from(outputs: Outputs) -> Self {
        Self { outputs, record: None }
    }
}

/// The handle of executors that make nothing outside the workspace but the artifact: its blobs nobody sees before its tag, and a tag
/// that was moved is the result, not a left-over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoHandle {}

/// Turns plans of one type into artifacts.
///
/// # Order of calls
/// `handle` → `prepare` → `execute` → `collect` → `cleanup`, all by one supervisor, one after the other, for one execution.
/// `handle` is pure, and durable before `prepare` runs, so that whatever `prepare` and `execute` start can be found
/// again after a crash by the handle alone. A failure or cancellation skips straight to `cleanup`, which always runs, also when
/// `prepare` never did or died half way, and may run again after a restart.
///
/// # Cancellation
/// Every await inside selects on `cx.cancel`. A step that was cancelled returns any failure at all: the supervisor asks the token
/// for the cause and reports that. A step that finishes in spite of a late cancel has finished: its result stands.
///
/// # Failures
/// A user's failing build is a successful run of a failing job: it comes back as a [`Failure`] with evidence, not as a panic and not as a
/// retry. A failure of `cleanup` is logged; it never changes the outcome.
///
/// # Concurrency
/// One executor value serves many executions at once; state of one execution lives in `Work`.
#[async_trait]
pub trait Executor: Send + Sync {
    /// The plan it understands.
    type Plan: Send + Sync;
    /// Names of everything the execution will create outside its workspace, derived from ids alone.
    type Handle: Serialize + DeserializeOwned + Send + Sync;
    /// What one step leaves for the next.
    type Work: Send + Sync;

    /// Whether it can be used here. Cheap enough to be asked once a minute.
    async fn probe(&self) -> Readiness;

    /// Names for the things that will be made; pure.
    fn handle(&self, job: &JobId, execution: &ExecutionId, plan: &Self::Plan) -> Self::Handle;

    /// Gets everything the work needs: source, tools, credentials.
    async fn prepare(&self, cx: &Context, plan: &Self::Plan, handle: &Self::Handle) -> Result<Self::Work, Failure>;

    /// Does the work, pushing included.
    async fn execute(&self, cx: &Context, plan: &Self::Plan, handle: &Self::Handle, work: &mut Self::Work) -> Result<(), Failure>;

    /// Reads back what was really pushed. What the record says is signed and attached to the artifacts by the caller.
    async fn collect(&self, cx: &Context, plan: &Self::Plan, handle: &Self::Handle, work: Self::Work) -> Result<Made, Failure>;

    /// Removes what `handle` names. Idempotent; runs under a cancel token and deadline of its own.
    async fn cleanup(&self, cx: &Context, handle: &Self::Handle) -> Result<(), Failure>;
}
