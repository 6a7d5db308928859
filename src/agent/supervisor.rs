//! One execution from start to receipt.
//!
//! ```text
//!  admit ─► workspace ─► log ─► handle ─► [prepare ─► execute ─► collect] ─► cleanup ─► log barrier ─► workspace removed ─► receipt
//!              │                  │         ▲ deadline, cancel, panic         own deadline
//!              │                  └ in the ledger before anything is made
//!              └── DiskFull ───► every way out ends in cleanup and a receipt
//! ```
//!
//! In: an [`Attempt`]. Out: its [`Receipt`], and calls of its [`Ledger`]. What a receipt is worth when the lease was lost is the caller's to know:
//! nothing ([`CancelCause::LeaseLost`]).

use std::{path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};

use super::{Executors, Ledger};
use crate::{
    executor::Context,
    job::{CancelCause, ExecutionId, Failure, FailureKind, JobId, JobType, Outcome, Outputs, Receipt},
    logs::{JobLog, LogPolicy, Progress, Sink},
    oci,
    plan::Plan,
    shutdown::Cancel,
    workspace::{self, Minimum, Workspace, admit, git},
};

/// How long cleanup may take before it is given up, counted and logged.
const CLEANUP_DEADLINE: Duration = Duration::from_secs(30);

/// How long an executor may go on after it was told to stop, beyond the grace it gives its own processes.
const STOP_MARGIN: Duration = Duration::from_secs(20);

/// What the supervisor needs to know about one job.
#[derive(Debug)]
pub struct Job {
    /// The job.
    pub id: JobId,
    /// Its type.
    pub job_type: JobType,
    /// What to do.
    pub plan: Plan,
    /// Longest time for this execution; the type's default when absent.
    pub timeout: Option<Duration>,
    /// Secrets that came with the plan: masked from the first line on.
    pub secrets: Vec<SecretString>,
    /// Folder that relative local paths of the plan are relative to; absent for a control plane's job.
    pub local_base: Option<PathBuf>,
}

/// Where the lines of an execution go.
pub enum Logging {
    /// Into the workspace, and gone with it; shown by the sink meanwhile.
    InWorkspace(Box<dyn Sink>),
    /// Into a log that the caller opened, and keeps.
    Kept(JobLog),
}

/// One execution to be run.
pub struct Attempt<'a> {
    /// The job.
    pub job: &'a Job,
    /// This attempt at it.
    pub execution: &'a ExecutionId,
    /// Stops it.
    pub cancel: &'a Cancel,
    /// Shows how far it is.
    pub progress: &'a Progress,
    /// Where its lines go.
    pub logging: Logging,
    /// Hears of its handle and its phases.
    pub ledger: &'a dyn Ledger,
}

/// Settings of the supervisor.
#[derive(Debug, Clone)]
pub struct Options {
    /// Folder for workspaces.
    pub state_dir: PathBuf,
    /// How much of a job's log is kept.
    pub log_policy: LogPolicy,
    /// Longest time for one execution when the job does not say.
    pub execution_timeout: Option<Duration>,
    /// Time a job's processes have between SIGTERM and SIGKILL.
    pub kill_grace: Duration,
    /// How git repositories are reached.
    pub git: Arc<git::Options>,
    /// What has to be free before a job is started.
    pub disk: Minimum,
}

/// Runs executions, any number at once.
pub struct Supervisor {
    executors: Executors,
    oci: Arc<oci::Client>,
    options: Options,
}

impl Supervisor {
    /// A supervisor of these executors.
    #[must_use]
    pub fn new(executors: Executors, oci: Arc<oci::Client>, options: Options) -> Self {
        Self { executors, oci, options }
    }

    /// The executors.
    #[must_use]
    pub const fn executors(&self) -> &Executors {
        &self.executors
    }

    /// Whether there is room for another execution.
    ///
    /// # Errors
    /// Which disk is full, with numbers and the remedy.
    pub fn admit(&self) -> Result<(), workspace::Error> {
        admit(&self.options.state_dir, self.options.disk)
    }

    /// Time between SIGTERM and SIGKILL for what jobs run.
    #[must_use]
    pub const fn kill_grace(&self) -> Duration {
        self.options.kill_grace
    }

    /// How much of a log is kept.
    #[must_use]
    pub const fn log_policy(&self) -> LogPolicy {
        self.options.log_policy
    }

    /// Runs one execution. Returns when everything it made on the way is gone and its log is complete.
    pub async fn run(&self, attempt: Attempt<'_>) -> Receipt {
        let (job, started_at) = (attempt.job, Timestamp::now());
        let admitted = self.admit().and_then(|()| Workspace::create(&self.options.state_dir, attempt.execution));
        let outcome = match admitted {
            Ok(workspace) => self.in_workspace(attempt, workspace.with_kill_grace(self.options.kill_grace)).await,
            Err(error) => Outcome::Failed(Box::new(Failure::from(error).at_step("workspace"))),
        };
        Receipt::new(job.id.clone(), job.job_type.as_str(), started_at, Timestamp::now(), outcome)
    }

    /// Ends and removes what an execution of an earlier runner left: its processes, its workspace, and what its journalled `handle` names.
    ///
    /// # Errors
    /// What could not be removed.
    pub async fn clean_up_after(
        &self,
        job: &JobId,
        job_type: JobType,
        execution: &ExecutionId,
        handle: serde_json::Value,
        log: &JobLog,
    ) -> Result<(), Failure> {
        // Making a workspace of that name ends the processes of the one before and removes it.
        let workspace = Workspace::create(&self.options.state_dir, execution)?.with_kill_grace(self.options.kill_grace);
        let cx = self.context(job, execution, log, Arc::new(workspace));
        let result = self.executors.clean_up_after(job_type, handle, &cx, CLEANUP_DEADLINE).await;
        let removed = cx.workspace.remove().await;
        result.and_then(|()| Ok(removed?))
    }

    /// A context with a cancel and a progress of its own, in which no local path may be named.
    fn context(&self, job: &JobId, execution: &ExecutionId, log: &JobLog, workspace: Arc<Workspace>) -> Context {
        Context {
            job: job.clone(),
            execution: execution.clone(),
            cancel: Cancel::new(),
            log: log.clone(),
            progress: Progress::default(),
            workspace,
            oci: Arc::clone(&self.oci),
            git: Arc::clone(&self.options.git),
            local_base: None,
        }
    }

    async fn in_workspace(&self, attempt: Attempt<'_>, workspace: Workspace) -> Outcome {
        let Attempt { job, execution, cancel, progress, logging, ledger } = attempt;
        let opened = match logging {
            Logging::Kept(log) => Ok(log),
            Logging::InWorkspace(sink) => {
                workspace.folder("log").map_err(Failure::from).and_then(|folder| Ok(JobLog::open(&folder, self.options.log_policy, sink)?))
            }
        };
        let log = match opened {
            Ok(log) => log.with_progress(progress),
            Err(failure) => return Outcome::Failed(Box::new(failure.at_step("workspace"))),
        };
        for secret in &job.secrets {
            log.add_secret(secret.expose_secret());
        }
        let workspace = Arc::new(workspace);
        let cx = Context {
            cancel: cancel.clone(),
            progress: progress.clone(),
            local_base: job.local_base.clone(),
            ..self.context(&job.id, execution, &log, Arc::clone(&workspace))
        };
        let timeout = job.timeout.or(self.options.execution_timeout).unwrap_or_else(|| job.job_type.default_timeout());
        let result = self.until_deadline(&job.plan, &cx, ledger, timeout).await;
        let outcome = redacted(conclude(result, cancel, progress, timeout), &log);
        // Nothing may be called over before its last line has arrived.
        if !log.flush().await {
            tracing::warn!(execution = %cx.execution, "the job's log could not be shown to its end in time");
        }
        if let Err(error) = workspace.remove().await {
            tracing::warn!(execution = %cx.execution, %error, "the workspace could not be removed");
        }
        outcome
    }

    /// Drives the executor; at the deadline, or when cancelled from outside, gives it time to stop by itself and then lets go.
    async fn until_deadline(&self, plan: &Plan, cx: &Context, ledger: &dyn Ledger, timeout: Duration) -> Result<Outputs, Failure> {
        let work = self.executors.run(plan, cx, ledger, CLEANUP_DEADLINE);
        tokio::pin!(work);
        tokio::select! {
            result = &mut work => return result,
            () = tokio::time::sleep(timeout) => cx.cancel.cancel(CancelCause::Deadline),
            () = cx.cancel.cancelled() => {}
        }
        let patience = self.options.kill_grace + CLEANUP_DEADLINE + STOP_MARGIN;
        tokio::time::timeout(patience, work).await.unwrap_or_else(|_| {
            tracing::error!(execution = %cx.execution, "the executor did not stop in time and was abandoned");
            Err(Failure::new(FailureKind::Internal, "the executor did not stop in time and was abandoned"))
        })
    }
}

/// The outcome of what an executor returned. Work that was finished in spite of a late cancel has succeeded.
fn conclude(result: Result<Outputs, Failure>, cancel: &Cancel, progress: &Progress, timeout: Duration) -> Outcome {
    let failure = match result {
        Ok(outputs) => return Outcome::Succeeded(Box::new(outputs)),
        Err(failure) => failure.at_step(progress.current_step()),
    };
    match cancel.cause() {
        None if failure.kind == FailureKind::Unsupported || failure.kind == FailureKind::ToolMissing && failure.step.is_empty() => {
            Outcome::NotAttempted(Box::new(failure))
        }
        None => Outcome::Failed(Box::new(failure)),
        Some(CancelCause::Deadline) => {
            let message = format!(
                "the execution took longer than {} s and was stopped in step '{}'; raise timeouts.execution, or find out what hangs",
                timeout.as_secs_f64(),
                failure.step
            );
            let late =
                Failure { evidence: failure.evidence, ..Failure::new(FailureKind::DeadlineExceeded, message).at_step(&failure.step) };
            Outcome::TimedOut(Box::new(late))
        }
        Some(cause) => Outcome::Cancelled(cause),
    }
}

/// Masks known secrets in everything that leaves the runner with the outcome.
fn redacted(outcome: Outcome, log: &JobLog) -> Outcome {
    let mask = |mut failure: Box<Failure>| {
        for text in failure.texts_mut() {
            *text = log.redact(text);
        }
        failure
    };
    match outcome {
        Outcome::Succeeded(mut outputs) => {
            outputs.details.values_mut().for_each(|value| mask_value(value, log));
            Outcome::Succeeded(outputs)
        }
        Outcome::Failed(failure) => Outcome::Failed(mask(failure)),
        Outcome::TimedOut(failure) => Outcome::TimedOut(mask(failure)),
        Outcome::NotAttempted(failure) => Outcome::NotAttempted(mask(failure)),
        Outcome::Cancelled(cause) => Outcome::Cancelled(cause),
    }
}

fn mask_value(value: &mut serde_json::Value, log: &JobLog) {
    match value {
        serde_json::Value::String(text) => *text = log.redact(text),
        serde_json::Value::Array(items) => items.iter_mut().for_each(|item| mask_value(item, log)),
        serde_json::Value::Object(map) => map.values_mut().for_each(|item| mask_value(item, log)),
        _ => {}
    }
}
