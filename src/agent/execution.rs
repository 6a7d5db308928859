//! One claimed job from its claim to its delivery.
//!
//! ```text
//!  log, delivery begin ─► type known and ready? ─► plan fetched ─► decoded ─► supervisor ─► slot free ─► Finished durable ─► delivery
//!                              └─ NotAttempted         └─ fenced: disowned       └─ lease lost: disowned
//! ```
//!
//! Invariants: every claimed execution ends in exactly one of [`Delivery::finish`] and [`Delivery::disown`], also when something in between panics;
//! an execution that is not ours (any more) reports nothing.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

use super::{
    Attempt, Claimed, Job, Ledger, Logging,
    agent::Shared,
    delivery::{Delivery, DeliveryJob, log_folder},
    running::Entered,
    slots::Slot,
};
use crate::{
    executor::Readiness,
    job::{CancelCause, ExecutionId, Failure, FailureKind, Fault, JobType, Outcome, Phase, Receipt},
    journal::Entry,
    logs::{Bell, JobLog, Progress},
    plan::{Plan, Strictness},
    retry::{Advice, Backoff, Policy},
    shutdown::Cancel,
    source::Error,
};

/// How long the plan may take to arrive: less than any lease is without a heartbeat, more than a control plane takes to restart.
const PLAN_PATIENCE: Duration = Duration::from_mins(5);

/// How an execution that was claimed is over.
enum End {
    /// With an outcome that is true and ours to tell.
    Receipt(Box<Receipt>),
    /// It is not ours (any more), because of this.
    NotOurs(String),
}

/// Runs the job and hands everything there is to tell of it to its delivery. `slot` is free again when the work is over. `entry` is the claim's, if
/// it was not written down yet: the plan is fetched meanwhile, and the handle, which comes before any effect, cannot be durable before it.
pub(super) async fn attend(shared: Arc<Shared>, claimed: Claimed, entry: Option<Entry>, mut slot: Slot) {
    let entered = shared.running.enter(&claimed);
    let bell = Bell::new();
    let delivery = shared.deliveries.begin(DeliveryJob {
        job: claimed.job.clone(),
        job_type: claimed.job_type.clone(),
        execution: claimed.execution.clone(),
        log_stream: if shared.wants_logs() { claimed.log_stream.clone() } else { String::new() },
        folder: log_folder(&shared.state_dir, &claimed.execution),
        bell: bell.clone(),
        logs_sent: claimed.logs_sent,
    });
    let log = open_log(&shared, &claimed, bell).await;
    let started_at = Timestamp::now();
    let written = async {
        // A disk that fills up just now is no reason to leave a job of ours lying: the journal tries on, and says what troubles it.
        if let Some(entry) = entry {
            shared.journal.write(entry).await;
        }
    };
    let conduct = AssertUnwindSafe(conduct(&shared, &claimed, &entered, &delivery, &log)).catch_unwind();
    let ((), end) = tokio::join!(biased; written, conduct);
    let end = end.unwrap_or_else(|_| {
        let message = "the runner panicked while it ran the job; this is a defect of build-runner, please report it";
        let outcome = Outcome::Failed(Box::new(Failure::new(FailureKind::Internal, message)));
        End::Receipt(Box::new(Receipt::new(claimed.job.clone(), &claimed.job_type, started_at, Timestamp::now(), outcome)))
    });
    let lost = entered.cancel.cause() == Some(CancelCause::LeaseLost);
    // The log was crossed to its end: whatever reads it now reads all of it.
    drop((entered, log));
    slot.free();
    match end {
        End::NotOurs(why) => disown(&shared, &delivery, why),
        End::Receipt(_) if lost => disown(&shared, &delivery, "the lease was lost; another runner may own the job".to_owned()),
        End::Receipt(receipt) => {
            shared.metrics.executed(&receipt);
            tracing::info!(job = %claimed.job, execution = %claimed.execution, outcome = ?receipt.outcome, "the job is over");
            let entry = Entry::Finished { execution: claimed.execution.clone(), receipt: receipt.clone() };
            // Not durable delays nothing: the outcome is delivered now, and written down when the disk takes it.
            shared.journal.write(entry).await;
            delivery.finish(*receipt);
        }
    }
    // Until the source knows how it ended, it may offer the job again.
    shared.owed.spawn(async move {
        delivery.delivered().await;
        drop(slot);
    });
}

fn disown(shared: &Shared, delivery: &Delivery, why: String) {
    shared.metrics.disowned();
    delivery.disown(why);
}

/// The log of the execution; one that nobody reads when the disk does not take it, because a job is worth more than its log.
async fn open_log(shared: &Shared, claimed: &Claimed, bell: Bell) -> JobLog {
    let (folder, policy, sent) = (log_folder(&shared.state_dir, &claimed.execution), shared.supervisor.log_policy(), claimed.logs_sent);
    let opened = tokio::task::spawn_blocking(move || JobLog::reopen(&folder, policy, Box::new(bell), sent)).await;
    match opened.unwrap_or_else(|panic| Err(std::io::Error::other(panic))) {
        Ok(log) => log,
        Err(error) => {
            tracing::error!(execution = %claimed.execution, %error, "the job's log cannot be written: the job runs without one");
            JobLog::discard()
        }
    }
}

/// Gets the plan and runs it.
async fn conduct(shared: &Shared, claimed: &Claimed, entered: &Entered<'_>, delivery: &Delivery, log: &JobLog) -> End {
    let started_at = Timestamp::now();
    let outcome = match prepared(shared, claimed, &entered.cancel, log).await {
        Ok(job) => {
            let (cancel, execution, progress) = (&entered.cancel, &claimed.execution, Progress::default());
            let ledger = Journalled { shared, claimed, entered, delivery };
            let logging = Logging::Kept(log.clone());
            let receipt =
                shared.supervisor.run(Attempt { job: &job, execution, cancel, progress: &progress, logging, ledger: &ledger }).await;
            return End::Receipt(Box::new(Receipt { started_at, ..receipt }));
        }
        Err(Unprepared::NotOurs(why)) => return End::NotOurs(why),
        Err(Unprepared::Outcome(outcome)) => outcome,
    };
    if let Outcome::Failed(failure) | Outcome::NotAttempted(failure) = &outcome {
        log.warn(&failure.message);
        failure.evidence.iter().for_each(|evidence| log.warn(&evidence.text));
    }
    log.flush().await;
    End::Receipt(Box::new(Receipt::new(claimed.job.clone(), &claimed.job_type, started_at, Timestamp::now(), outcome)))
}

/// Why a job never got to its executor.
enum Unprepared {
    NotOurs(String),
    Outcome(Outcome),
}

impl From<Failure> for Unprepared {
    fn from(failure: Failure) -> Self {
        Self::Outcome(Outcome::Failed(Box::new(failure.at_step("plan"))))
    }
}

/// The job, if its type can run here and its plan is in order.
async fn prepared(shared: &Shared, claimed: &Claimed, cancel: &Cancel, log: &JobLog) -> Result<Job, Unprepared> {
    let job_type =
        runnable(shared, &claimed.job_type).await.map_err(|failure| Unprepared::Outcome(Outcome::NotAttempted(Box::new(failure))))?;
    let plan = match fetch_plan(shared, claimed, cancel).await? {
        Value::Null if !job_type.needs_plan() => Value::Object(serde_json::Map::new()),
        plan => plan,
    };
    let decoded = Plan::decode(job_type, &plan, Strictness::Polled).map_err(Failure::from)?;
    for secret in &decoded.secrets {
        log.add_secret(secrecy::ExposeSecret::expose_secret(secret));
    }
    for warning in &decoded.warnings {
        log.warn(format_args!("plan: {warning}"));
    }
    decoded.plan.check_destination().map_err(Failure::from)?;
    let local_base = shared.local_roots.admit(&decoded.folders)?;
    Ok(Job { id: claimed.job.clone(), job_type, plan: decoded.plan, timeout: claimed.timeout, secrets: decoded.secrets, local_base })
}

/// The type, if jobs of it can run here. One that could not when it was last looked at may be able to by now.
async fn runnable(shared: &Shared, name: &str) -> Result<JobType, Failure> {
    let Ok(job_type) = name.parse::<JobType>() else {
        let shown: String = name.chars().take(80).collect();
        let message = format!("job type '{shown}' is not known to build-runner {}; use a version that has it", env!("CARGO_PKG_VERSION"));
        return Err(Failure::new(FailureKind::Unsupported, message));
    };
    if shared.is_ready(job_type) {
        return Ok(job_type);
    }
    match shared.supervisor.executors().readiness(job_type).await {
        Readiness::Ready(_) => {
            shared.set_ready(job_type);
            Ok(job_type)
        }
        Readiness::NotReady { reason, remedy } => {
            let message = format!("{job_type} jobs cannot run on this runner: {reason}; {remedy}");
            Err(Failure::new(FailureKind::Unsupported, message))
        }
    }
}

/// The plan's JSON, as soon as the source gives it.
async fn fetch_plan(shared: &Shared, claimed: &Claimed, cancel: &Cancel) -> Result<Value, Unprepared> {
    let (mut backoff, deadline) = (Backoff::new(Policy::FOR_EVER), Instant::now() + PLAN_PATIENCE);
    loop {
        let stopped = || match cancel.cause().unwrap_or(CancelCause::Requested) {
            CancelCause::Deadline => {
                let message = "the time for the execution was over before its plan had arrived; raise timeouts.execution";
                Unprepared::Outcome(Outcome::TimedOut(Box::new(Failure::new(FailureKind::DeadlineExceeded, message).at_step("plan"))))
            }
            cause => Unprepared::Outcome(Outcome::Cancelled(cause)),
        };
        let error = match cancel.run(shared.source.plan(&claimed.job)).await {
            Ok(Ok(plan)) => return Ok(plan),
            Ok(Err(error)) => error,
            Err(_) => return Err(stopped()),
        };
        let kind = match &error {
            Error::Fenced(why) => return Err(Unprepared::NotOurs(why.clone())),
            Error::Refused { .. } => FailureKind::InvalidPlan,
            Error::Unauthorized(_) | Error::Unavailable { .. } | Error::Cancelled => FailureKind::SourceUnavailable,
        };
        let advice = if matches!(error, Error::Cancelled) { Advice::Retry } else { error.advice() };
        match backoff.next(advice).filter(|wait| Instant::now() + *wait < deadline) {
            Some(wait) => {
                tracing::debug!(job = %claimed.job, %error, "the plan cannot be fetched now");
                if cancel.run(tokio::time::sleep(wait)).await.is_err() {
                    return Err(stopped());
                }
            }
            None => {
                return Err(Failure::new(kind, format!("the plan cannot be had from the control plane: {error}"))
                    .blame(Fault::External)
                    .into());
            }
        }
    }
}

/// Writes handle and phases down, shows them, and tells the source.
struct Journalled<'a> {
    shared: &'a Shared,
    claimed: &'a Claimed,
    entered: &'a Entered<'a>,
    delivery: &'a Delivery,
}

#[async_trait]
impl Ledger for Journalled<'_> {
    async fn handle(&self, execution: &ExecutionId, handle: Value) {
        // Also when it names nothing: that the work was begun is told by the handle's being there.
        self.shared.journal.write(Entry::Handle { execution: execution.clone(), handle }).await;
    }

    async fn phase(&self, execution: &ExecutionId, phase: Phase) {
        if phase == Phase::Preparing
            && let Some(created_at) = self.claimed.created_at
        {
            self.shared.metrics.picked_up(Timestamp::now().duration_since(created_at));
        }
        self.shared.journal.note(Entry::Phase { execution: execution.clone(), phase });
        self.entered.phase(phase);
        self.delivery.phase(phase);
    }
}
