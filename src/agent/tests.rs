//! The supervisor with a scripted executor: every way an execution can end.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{Attempt, Executors, Job, Ledger, Logging, Options, Supervisor, Unkept};
use crate::{
    executor::scripted::{End, Scripted},
    job::{CancelCause, ExecutionId, FailureKind, Fault, JobId, JobType, Phase, Receipt, ReceiptOutcome},
    logs::{Capture, JobLog, LogPolicy, Progress, Sink},
    oci,
    plan::{Plan, Strictness},
    shutdown::Cancel,
    workspace::Minimum,
};

struct Run {
    receipt: Receipt,
    log: Vec<String>,
    state: tempfile::TempDir,
    scripted: Scripted,
}

fn job(timeout: Duration) -> Job {
    let plan = Plan::decode(JobType::Noop, &serde_json::json!({}), Strictness::JobFile).expect("an empty plan").plan;
    Job { id: JobId::generate(), job_type: JobType::Noop, plan, timeout: Some(timeout), secrets: Vec::new(), local_base: None }
}

fn supervisor(state: &std::path::Path, scripted: Scripted, disk: Minimum) -> Supervisor {
    let client = oci::Client::new(oci::Settings::default()).expect("a client");
    let options = Options {
        state_dir: state.to_owned(),
        log_policy: LogPolicy::default(),
        execution_timeout: None,
        kill_grace: Duration::ZERO,
        git: Arc::default(),
        disk,
    };
    Supervisor::new(Executors { scripted: Some(scripted), ..Executors::default() }, Arc::new(client), options)
}

async fn supervise(supervisor: &Supervisor, job: &Job, cancel: &Cancel, sink: Box<dyn Sink>, ledger: &dyn Ledger) -> Receipt {
    let (execution, progress) = (ExecutionId::generate(), Progress::default());
    let logging = Logging::InWorkspace(sink);
    supervisor.run(Attempt { job, execution: &execution, cancel, progress: &progress, logging, ledger }).await
}

async fn run(scripted: Scripted, timeout: Duration, cancel: Cancel) -> Run {
    let state = tempfile::tempdir().expect("a folder");
    crate::workspace::open_state(state.path()).expect("usable");
    let capture = Capture::default();
    let supervisor = supervisor(state.path(), scripted.clone(), Minimum { bytes: 0, inodes: 0 });
    let receipt = supervise(&supervisor, &job(timeout), &cancel, Box::new(capture.clone()), &Unkept).await;
    Run { receipt, log: capture.texts(), state, scripted }
}

impl Run {
    /// Whatever happened: cleaned up once, and no workspace left.
    fn is_tidy(&self) {
        assert_eq!(self.scripted.cleanups.load(Ordering::SeqCst), 1);
        let left: Vec<_> = std::fs::read_dir(self.state.path().join("workspaces")).expect("readable").collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

const LONG: Duration = Duration::from_mins(1);

#[tokio::test]
async fn success_carries_outputs_and_the_whole_log() {
    let run = run(Scripted { output: 100_000, ..Scripted::default() }, LONG, Cancel::new()).await;
    assert_eq!(run.receipt.outcome, ReceiptOutcome::Succeeded);
    assert_eq!(run.log.iter().filter(|line| line.starts_with("xxx")).count(), 1000);
    assert!(run.receipt.started_at <= run.receipt.finished_at);
    run.is_tidy();
}

#[tokio::test]
async fn a_failing_job_names_kind_step_and_evidence_without_secrets() {
    let end = End::Failure(FailureKind::ToolFailed, "said no to hunter2hunter2".to_owned());
    let run = run(Scripted { end, secret: "hunter2hunter2".to_owned(), ..Scripted::default() }, LONG, Cancel::new()).await;
    let failure = run.receipt.failure.clone().expect("a failure");
    assert_eq!((failure.kind, failure.fault, failure.step.as_str()), (FailureKind::ToolFailed, Fault::User, "work"));
    let everything = format!("{:?} {:?}", run.receipt, run.log);
    assert!(!everything.contains("hunter2") && everything.contains("***"), "{everything}");
    run.is_tidy();
}

#[tokio::test]
async fn secrets_are_masked_in_outputs_too() {
    let run = run(Scripted { secret: "hunter2hunter2".to_owned(), ..Scripted::default() }, LONG, Cancel::new()).await;
    assert_eq!(run.receipt.outputs.details["leak"], "***");
    run.is_tidy();
}

#[tokio::test]
async fn a_panic_is_a_failure_of_the_job() {
    let run = run(Scripted { end: End::Panic, ..Scripted::default() }, LONG, Cancel::new()).await;
    let failure = run.receipt.failure.clone().expect("a failure");
    assert_eq!((failure.kind, failure.fault), (FailureKind::Internal, Fault::Agent));
    assert_eq!(failure.evidence[0].text, "scripted panic");
    run.is_tidy();
}

#[tokio::test]
async fn the_deadline_stops_the_work_and_says_where_it_was() {
    let run = run(Scripted { duration: LONG, ..Scripted::default() }, Duration::from_millis(50), Cancel::new()).await;
    assert_eq!(run.receipt.outcome, ReceiptOutcome::TimedOut);
    let failure = run.receipt.failure.clone().expect("a failure");
    assert_eq!((failure.kind, failure.step.as_str()), (FailureKind::DeadlineExceeded, "work"));
    run.is_tidy();
}

#[tokio::test]
async fn a_cancel_before_the_end_cancels_and_one_after_the_end_does_not() {
    let cancel = Cancel::new();
    cancel.cancel(CancelCause::Requested);
    let stopped = run(Scripted { duration: LONG, ..Scripted::default() }, LONG, cancel.clone()).await;
    assert_eq!((stopped.receipt.outcome, stopped.receipt.failure.is_none()), (ReceiptOutcome::Cancelled, true));
    stopped.is_tidy();
    let finished = run(Scripted { deaf: true, ..Scripted::default() }, LONG, cancel).await;
    assert_eq!(finished.receipt.outcome, ReceiptOutcome::Succeeded, "what was made was made");
}

#[tokio::test]
async fn a_failed_preparation_is_cleaned_up_too() {
    let run = run(Scripted { fail_prepare: true, ..Scripted::default() }, LONG, Cancel::new()).await;
    assert_eq!(run.receipt.failure.clone().expect("a failure").step, "prepare");
    run.is_tidy();
}

#[tokio::test]
async fn no_room_on_the_disk_starts_nothing() {
    let state = tempfile::tempdir().expect("a folder");
    let scripted = Scripted::default();
    let supervisor = supervisor(state.path(), scripted.clone(), Minimum { bytes: u64::MAX, inodes: 0 });
    let receipt = supervise(&supervisor, &job(LONG), &Cancel::new(), Box::new(Capture::default()), &Unkept).await;
    assert_eq!(receipt.failure.expect("a failure").kind, FailureKind::DiskFull);
    assert_eq!(scripted.cleanups.load(Ordering::SeqCst), 0);
}

/// Writes down what it hears.
#[derive(Default)]
struct Heard(std::sync::Mutex<Vec<String>>);

#[async_trait::async_trait]
impl Ledger for Heard {
    async fn handle(&self, execution: &ExecutionId, handle: serde_json::Value) {
        assert_eq!(handle, format!("scripted-{execution}"));
        self.0.lock().expect("healthy").push("handle".to_owned());
    }

    async fn phase(&self, _execution: &ExecutionId, phase: Phase) {
        self.0.lock().expect("healthy").push(format!("{phase:?}"));
    }
}

async fn heard(scripted: Scripted) -> Vec<String> {
    let state = tempfile::tempdir().expect("a folder");
    let heard = Heard::default();
    let supervisor = supervisor(state.path(), scripted, Minimum { bytes: 0, inodes: 0 });
    supervise(&supervisor, &job(LONG), &Cancel::new(), Box::new(Capture::default()), &heard).await;
    heard.0.into_inner().expect("healthy")
}

#[tokio::test]
async fn the_handle_comes_before_everything_and_phases_in_order() {
    assert_eq!(heard(Scripted::default()).await, ["handle", "Preparing", "Running", "Collecting", "CleaningUp"]);
    assert_eq!(heard(Scripted { end: End::Panic, ..Scripted::default() }).await, ["handle", "Preparing", "Running", "CleaningUp"]);
    assert_eq!(heard(Scripted { fail_prepare: true, ..Scripted::default() }).await, ["handle", "Preparing", "CleaningUp"]);
}

#[tokio::test]
async fn what_another_process_left_is_cleaned_up_by_its_handle() {
    let state = tempfile::tempdir().expect("a folder");
    let (job, execution, scripted) = (JobId::generate(), ExecutionId::generate(), Scripted::default());
    let left = state.path().join("workspaces").join(execution.as_str()).join("left");
    std::fs::create_dir_all(&left).expect("made");
    let supervisor = supervisor(state.path(), scripted.clone(), Minimum { bytes: 0, inodes: 0 });
    let clean = |handle: &str| {
        let handle = serde_json::Value::from(handle);
        let (supervisor, job, execution) = (&supervisor, &job, &execution);
        async move { supervisor.clean_up_after(job, JobType::Noop, execution, handle, &JobLog::discard()).await }
    };
    let failure = clean(&format!("scripted-{execution}")).await.expect_err("the script's cleanup fails");
    assert_eq!(failure.message, "a failure of cleanup never changes the outcome");
    assert_eq!((scripted.cleanups.load(Ordering::SeqCst), left.exists()), (1, false));
    let strange = supervisor.clean_up_after(&job, JobType::Noop, &execution, serde_json::json!({"pod": 1}), &JobLog::discard()).await;
    assert!(strange.expect_err("no handle of ours").message.contains("not one of this build's"));
}
