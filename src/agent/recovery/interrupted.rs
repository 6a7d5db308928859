//! Work that was under way when the runner died: stopped, cleaned up, and reported as what it is.

use jiff::Timestamp;

use super::Recovery;
use crate::{
    agent::delivery::DeliveryJob,
    job::{CancelCause, Failure, FailureKind, JobId, Outcome, Phase, Receipt},
    journal::{Entry, RecoveredExecution},
    logs::{Follower, JobLog, LogPolicy},
    process,
    source::Standing,
};

/// Bytes of log looked at together.
const PIECE: usize = 256 << 10;

/// Ends an interrupted execution. Not reported before nothing of it runs any more.
pub(super) async fn conclude(recovery: &Recovery, job: JobId, claimed_at: Timestamp, claimed: RecoveredExecution, standing: Standing) {
    let execution = &claimed.execution;
    let delivery_job = recovery.delivery_of(&job, &claimed);
    stop_processes(execution.as_str()).await;
    let step = last_step(&delivery_job).await;
    let log = reopen(&delivery_job).await.unwrap_or_else(|error| {
        tracing::warn!(%job, %execution, %error, "the log of the killed runner cannot be gone on with");
        JobLog::discard()
    });
    // A type that this build does not know was not begun.
    if let (Some(handle), Ok(job_type)) = (&claimed.handle, claimed.job_type.parse()) {
        // Never changes the outcome. What could not be removed is named, for whoever has to.
        if let Err(failure) = recovery.cleaner.clean_up_after(&job, job_type, execution, handle.clone(), &log).await {
            tracing::warn!(%job, %execution, %handle, problem = failure.message, "what the killed runner made cannot be cleaned up");
            log.warn(format_args!("cleanup: {failure}"));
        }
    }
    if standing == Standing::Lost {
        recovery
            .deliveries
            .begin(delivery_job)
            .disown("the control plane gave the job to another runner, or ended it, while this one was away");
        return;
    }
    let message = message(&step, claimed.phase);
    log.warn(&message);
    if !log.flush().await {
        tracing::warn!(%job, %execution, "the log of the killed runner cannot be ended: the disk takes nothing");
    }
    let outcome = outcome(standing, &step, claimed.phase, message);
    let receipt = Receipt::new(job.clone(), &claimed.job_type, claimed_at, Timestamp::now(), outcome);
    tracing::warn!(%job, %execution, outcome = ?receipt.outcome, "the job was interrupted by the end of an earlier runner");
    // Not durable means that the next start comes to the same conclusion.
    recovery.journal.write(Entry::Finished { execution: execution.clone(), receipt: Box::new(receipt.clone()) }).await;
    recovery.deliveries.begin(delivery_job).finish(receipt);
}

/// Also those of commands whose workspace is gone already.
async fn stop_processes(execution: &str) {
    let name = execution.to_owned();
    match tokio::task::spawn_blocking(move || process::stop_execution(&name)).await {
        Ok(stopped) => {
            for process in stopped {
                tracing::info!(execution, %process, "a process of the killed runner was still running and was stopped");
            }
        }
        Err(error) => tracing::error!(execution, %error, "the search for processes of the killed runner failed"),
    }
}

/// The step that the last line of the log was written in; empty when there is none.
async fn last_step(delivery: &DeliveryJob) -> String {
    let (folder, sent) = (delivery.folder.clone(), delivery.logs_sent);
    let read = move || {
        // The last batch may be all that was sent.
        let mut follower = Follower::open(&folder, sent.saturating_sub(1))?;
        let mut step = String::new();
        while let Some(last) = follower.next_batch(PIECE, usize::MAX)?.pop() {
            step = last.step;
        }
        Ok::<_, std::io::Error>(step)
    };
    // A log that cannot be read does not say: the phase has to do.
    tokio::task::spawn_blocking(read).await.ok().and_then(Result::ok).unwrap_or_default()
}

/// Goes on with the log where the killed runner stopped.
async fn reopen(delivery: &DeliveryJob) -> std::io::Result<JobLog> {
    let (folder, sent, bell) = (delivery.folder.clone(), delivery.logs_sent, Box::new(delivery.bell.clone()));
    let open = move || JobLog::reopen(&folder, LogPolicy::default(), bell, sent);
    tokio::task::spawn_blocking(open).await.unwrap_or_else(|error| Err(std::io::Error::other(error)))
}

/// What is true of it: whoever wanted it stopped has it stopped.
fn outcome(standing: Standing, step: &str, phase: Phase, message: String) -> Outcome {
    let failure = |kind| Box::new(Failure::new(kind, message).at_step(if step.is_empty() { phase_name(phase) } else { step }));
    match standing {
        Standing::CancelRequested => Outcome::Cancelled(CancelCause::Requested),
        Standing::TimedOut => Outcome::TimedOut(failure(FailureKind::DeadlineExceeded)),
        Standing::Running | Standing::Lost => Outcome::Failed(failure(FailureKind::Interrupted)),
    }
}

fn message(step: &str, phase: Phase) -> String {
    let place = if step.is_empty() { format!("while it was {}", phase_name(phase)) } else { format!("in step '{step}'") };
    format!("the runner was killed or restarted {place} and the work was not finished; what was begun is cleaned up, run the job again")
}

/// As it reads in a sentence.
const fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Claimed => "starting",
        Phase::Preparing => "preparing",
        Phase::Running => "running",
        Phase::Collecting => "collecting",
        Phase::CleaningUp => "cleaning up",
        Phase::Reported => "reporting",
    }
}
