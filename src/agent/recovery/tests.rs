//! A runner that was killed after each entry of its journal, and the one that comes after it.

use std::sync::Mutex;

use jiff::Timestamp;

use super::*;
use crate::{
    agent::scripted_source::{ScriptedSource, at_once, away},
    job::{FailureKind, Outcome, Receipt, ReceiptOutcome},
    logs::{JobLog, LogPolicy, Record},
};

/// Counts what it was asked to clean up.
#[derive(Default)]
struct Cleaned(Mutex<Vec<serde_json::Value>>);

#[async_trait]
impl Cleaner for Cleaned {
    async fn clean_up_after(
        &self,
        _: &JobId,
        job_type: JobType,
        _: &ExecutionId,
        handle: serde_json::Value,
        log: &JobLog,
    ) -> Result<(), Failure> {
        assert_eq!((job_type, &handle), (JobType::Noop, &"the handle".into()));
        log.info("cleaning up");
        self.0.lock().expect("whole").push(handle);
        Err(Failure::new(FailureKind::Io, "never changes the outcome"))
    }
}

/// One claim of a runner that was killed, and what it left.
struct Scene {
    state: tempfile::TempDir,
    source: Arc<ScriptedSource>,
    cleaned: Arc<Cleaned>,
    job: JobId,
    execution: ExecutionId,
}

/// What a runner did with the scene.
struct Run {
    recovery: Recovery,
    reclaimed: Vec<Claimed>,
}

impl Scene {
    fn new() -> Self {
        let (job, execution) = (JobId::generate(), ExecutionId::generate());
        let source = Arc::<ScriptedSource>::default();
        source.set_claim("key", Claim::Ours(execution.clone()));
        // Answered at once, as of a source that knows nothing against it.
        source.set_standing(&execution, Standing::Running);
        Self { state: tempfile::tempdir().expect("a folder"), source, cleaned: Arc::default(), job, execution }
    }

    fn intent() -> Intent {
        let timeout = Some(Duration::from_secs(90));
        Intent { job_type: "noop".to_owned(), operation: String::new(), log_stream: "logs".to_owned(), timeout }
    }

    fn receipt(&self) -> Receipt {
        let outcome = Outcome::Succeeded(Box::default());
        Receipt::new(self.job.clone(), "noop", Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH, outcome)
    }

    /// The entries of an execution from its claim to its end.
    fn entries(&self) -> Vec<Entry> {
        let (execution, at) = (self.execution.clone(), Timestamp::UNIX_EPOCH);
        let Intent { job_type, log_stream, .. } = Self::intent();
        let (key, job) = ("key".to_owned(), self.job.clone());
        let phase = |phase| Entry::Phase { execution: execution.clone(), phase };
        vec![
            Entry::Claiming { job: job.clone(), key: key.clone(), at, intent: Self::intent() },
            Entry::Claimed { key, job, execution: execution.clone(), job_type, log_stream, at },
            Entry::Handle { execution: execution.clone(), handle: "the handle".into() },
            phase(Phase::Preparing),
            phase(Phase::Running),
            Entry::LogsSent { execution: execution.clone(), seq: 2 },
            Entry::Finished { execution: execution.clone(), receipt: Box::new(self.receipt()) },
            Entry::LogsSent { execution: execution.clone(), seq: 4 },
            Entry::Closed { execution },
        ]
    }

    /// A runner that is killed once it has written `entries`, with five lines in its log.
    async fn killed_after(&self, entries: &[Entry]) {
        let (journal, found) = Journal::open(self.state.path()).expect("opened");
        assert_eq!(found, []);
        for entry in entries {
            assert!(journal.write(entry.clone()).await);
        }
        if entries.iter().any(|entry| matches!(entry, Entry::Handle { .. })) {
            let progress = crate::logs::Progress::default();
            progress.step("push");
            let folder = log_folder(self.state.path(), &self.execution);
            let log = JobLog::open(&folder, LogPolicy::default(), Box::new(Bell::new())).expect("opened").with_progress(&progress);
            for number in 1..=5 {
                log.info(format_args!("line {number}"));
            }
            assert!(log.flush().await);
        }
    }

    /// The next runner. Delivers for as long as it takes, if `delivers`.
    async fn next_runner(&self, delivers: bool) -> Run {
        let (journal, found) = Journal::open(self.state.path()).expect("opened");
        let (journal, source) = (Arc::new(journal), self.source.clone() as Arc<dyn Source>);
        let deliveries = Arc::new(Deliveries::new(Arc::clone(&source), Arc::clone(&journal)));
        let cleaner = self.cleaned.clone() as Arc<dyn Cleaner>;
        let recovery = Recovery { source, journal, deliveries, cleaner, state: self.state.path().to_owned() };
        let open = recovery.hand_over(found).await;
        let (room, mut runnable) = mpsc::channel(8);
        recovery.settle(open, room, &Cancel::new()).await;
        if delivers {
            assert_eq!(recovery.deliveries.drain(Duration::from_mins(1)).await, 0);
        }
        let mut reclaimed = Vec::new();
        while let Some(claim) = runnable.recv().await {
            reclaimed.push(claim);
        }
        Run { recovery, reclaimed }
    }

    /// What the one after that would find.
    fn left(&self) -> Vec<Recovered> {
        Journal::open(self.state.path()).expect("opened").1
    }

    fn records(&self) -> Vec<Record> {
        self.source.records(&self.execution)
    }

    /// The one report there is.
    fn report(&self) -> Receipt {
        let reports = self.source.reports();
        let [(execution, receipt)] = &reports[..] else { panic!("exactly one report: {reports:?}") };
        assert_eq!((execution, &receipt.id), (&self.execution, &self.job));
        receipt.clone()
    }
}

#[tokio::test]
async fn a_kill_after_any_entry_ends_in_one_true_outcome_and_the_whole_log() {
    let count = Scene::new().entries().len();
    for length in 0..=count {
        let scene = Scene::new();
        let entries = &scene.entries()[..length];
        scene.killed_after(entries).await;
        let run = scene.next_runner(true).await;
        let wanted = Claimed::intended(&scene.job, &Scene::intent(), scene.execution.clone());
        let (seqs, cleanups) = (scene.source.seqs(&scene.execution), scene.cleaned.0.lock().expect("whole").len());
        drop(run.recovery);
        match entries.last() {
            None | Some(Entry::Closed { .. }) => {
                assert_eq!((run.reclaimed.len(), scene.source.calls().len(), scene.left()), (0, 0, vec![]), "{length}");
            }
            Some(Entry::Claiming { .. } | Entry::Claimed { .. }) => {
                assert_eq!((run.reclaimed, cleanups, scene.source.reports()), (vec![wanted], 0, vec![]), "{length}");
                assert_eq!(scene.source.count("claim"), usize::from(length == 1));
                assert_eq!(scene.left()[0].claimed.as_ref().map(|claimed| &claimed.execution), Some(&scene.execution), "{length}");
            }
            Some(Entry::Finished { .. }) => {
                assert_eq!((scene.report(), cleanups, seqs), (scene.receipt(), 0, vec![3, 4, 5]), "{length}");
            }
            Some(Entry::LogsSent { seq: 4, .. }) => assert_eq!((scene.report(), cleanups, seqs), (scene.receipt(), 0, vec![5]), "{length}"),
            Some(_) => {
                let sent = if matches!(entries.last(), Some(Entry::LogsSent { .. })) { 2 } else { 0 };
                assert_eq!((cleanups, seqs), (1, (sent + 1..=8).collect()), "{length}");
                let failure = scene.report().failure.expect("a failure");
                assert_eq!((failure.kind, failure.step.as_str(), failure.retryable), (FailureKind::Interrupted, "push", true));
                let records = scene.records();
                let [.., line, cleaning, problem, last] = &records[..] else { panic!("{records:?}") };
                assert_eq!([&line.text, &cleaning.text, &problem.text], ["line 5", "cleaning up", "cleanup: never changes the outcome"]);
                assert_eq!(last.text, failure.message);
            }
        }
        if length > 2 {
            assert_eq!(scene.left(), [], "{length}");
            assert!(!log_folder(scene.state.path(), &scene.execution).exists(), "{length}");
        }
    }
}

#[tokio::test]
async fn a_runner_killed_while_it_recovers_changes_nothing_of_what_is_reported() {
    let scene = Scene::new();
    scene.killed_after(&scene.entries()[..6]).await;
    for kind in ["logs", "report", "standings"] {
        scene.source.on(kind, |_| at_once(Err(away())));
    }
    for _ in 0..3 {
        let run = scene.next_runner(false).await;
        assert_eq!(run.recovery.deliveries.drain(Duration::from_millis(1)).await, 1);
        run.recovery.deliveries.stop().await;
    }
    assert_eq!(scene.source.reports(), []);
    for kind in ["logs", "report", "standings"] {
        scene.source.on(kind, |_| at_once(Ok(())));
    }
    drop(scene.next_runner(true).await.recovery);
    assert_eq!(scene.report().failure.map(|failure| failure.kind), Some(FailureKind::Interrupted));
    assert_eq!(scene.source.seqs(&scene.execution), [3, 4, 5, 6, 7, 8], "one last line, however many runners wrote it");
    assert_eq!((scene.cleaned.0.lock().expect("whole").len(), scene.left()), (1, vec![]));
}

#[tokio::test]
async fn what_the_source_says_of_an_interrupted_job_decides_what_is_reported() {
    let cases = [(Standing::CancelRequested, ReceiptOutcome::Cancelled), (Standing::TimedOut, ReceiptOutcome::TimedOut)];
    for (standing, outcome) in cases {
        let scene = Scene { source: Arc::default(), ..Scene::new() };
        scene.source.set_standing(&scene.execution, standing);
        scene.killed_after(&scene.entries()[..5]).await;
        drop(scene.next_runner(true).await.recovery);
        assert_eq!((scene.report().outcome, scene.left()), (outcome, vec![]));
    }
    let scene = Scene { source: Arc::default(), ..Scene::new() };
    scene.source.set_standing(&scene.execution, Standing::Lost);
    scene.killed_after(&scene.entries()[..5]).await;
    drop(scene.next_runner(true).await.recovery);
    assert_eq!(scene.source.calls(), ["standings 1"], "nothing is told about what is somebody else's");
    assert_eq!((scene.cleaned.0.lock().expect("whole").len(), scene.left()), (1, vec![]));
}

#[tokio::test]
async fn a_claim_that_somebody_else_won_is_forgotten() {
    let scene = Scene { source: Arc::default(), ..Scene::new() };
    scene.killed_after(&scene.entries()[..1]).await;
    let run = scene.next_runner(true).await;
    assert_eq!((run.reclaimed, scene.source.calls()), (vec![], vec!["claim key".to_owned()]));
    drop(run.recovery);
    assert_eq!(scene.left(), []);
}

#[tokio::test]
async fn an_open_claim_waits_for_the_source_and_for_room_and_survives_a_stop() {
    let scene = Scene::new();
    scene.killed_after(&scene.entries()[..1]).await;
    scene.source.on("claim", |_| at_once(Err(away())));
    let (journal, found) = Journal::open(scene.state.path()).expect("opened");
    let (journal, source) = (Arc::new(journal), scene.source.clone() as Arc<dyn Source>);
    let deliveries = Arc::new(Deliveries::new(Arc::clone(&source), Arc::clone(&journal)));
    let state = scene.state.path().to_owned();
    let recovery = Recovery { source, journal, deliveries, cleaner: scene.cleaned.clone(), state };
    let open = recovery.hand_over(found).await;
    let (stop, (room, _runnable)) = (Cancel::new(), mpsc::channel(1));
    let until_stopped = async {
        while scene.source.count("claim") < 2 {
            tokio::task::yield_now().await;
        }
        stop.cancel(crate::job::CancelCause::Shutdown);
    };
    tokio::join!(recovery.settle(open.clone(), room, &stop), until_stopped);
    let (full, _nobody) = mpsc::channel(1);
    full.try_send(Claimed::intended(&scene.job, &Scene::intent(), scene.execution.clone())).expect("room for one");
    let claims = scene.source.count("claim");
    let stop = Cancel::new();
    let stopping = async { stop.cancel(crate::job::CancelCause::Shutdown) };
    tokio::join!(recovery.settle(open, full, &stop), stopping);
    assert_eq!(scene.source.count("claim"), claims, "no claim without a slot");
    drop(recovery);
    assert_eq!(scene.left().len(), 1, "the intent is still there");
}

#[tokio::test]
async fn leftovers_of_executions_that_nobody_knows_are_removed() {
    let scene = Scene::new();
    let (unknown, workspace) = (log_folder(scene.state.path(), &ExecutionId::generate()), scene.state.path().join("workspaces/run-dead"));
    for folder in [&unknown, &workspace] {
        std::fs::create_dir_all(folder.join("deep")).expect("made");
    }
    scene.next_runner(true).await;
    assert!(!unknown.exists() && !workspace.exists());
}
