//! The whole agent with a control plane in memory and a scripted executor.

mod draining;
mod plane;

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::*;
use crate::{
    agent::{Executors, Options},
    executor::scripted::{End, Scripted},
    job::{FailureKind, JobId, ReceiptOutcome},
    journal::Entry,
    logs::LogPolicy,
    oci,
    source::{Error, Standing},
    workspace::Minimum,
};
use plane::Plane;

/// Longer than any test may take.
const LONG: Duration = Duration::from_mins(1);

/// A runner and its control plane.
struct Scene {
    state: tempfile::TempDir,
    plane: Arc<Plane>,
    scripted: Scripted,
    slots: usize,
    groups: BTreeMap<JobGroup, usize>,
    drain_timeout: Duration,
    disk: Minimum,
    drain: Drain,
    status: Arc<Status>,
    metrics: Arc<Metrics>,
}

impl Scene {
    fn new(scripted: Scripted) -> Self {
        Self {
            state: tempfile::tempdir().expect("a folder"),
            plane: Arc::default(),
            scripted,
            slots: 4,
            groups: BTreeMap::new(),
            drain_timeout: LONG,
            disk: Minimum { bytes: 0, inodes: 0 },
            drain: Drain::new(),
            status: Arc::new(Status::new("rnr1", 4)),
            metrics: Arc::default(),
        }
    }

    /// Runs the agent while `script` plays, then drains it.
    async fn play<T>(&self, script: impl Future<Output = T>) -> (Ending, T) {
        crate::workspace::open_state(self.state.path()).expect("usable");
        let (journal, recovered) = Journal::open(self.state.path()).expect("opened");
        let client = oci::Client::new(oci::Settings::default()).expect("a client");
        let options = Options {
            state_dir: self.state.path().to_owned(),
            log_policy: LogPolicy::default(),
            execution_timeout: None,
            kill_grace: Duration::ZERO,
            git: Arc::default(),
            disk: self.disk,
        };
        let supervisor =
            Supervisor::new(Executors { scripted: Some(self.scripted.clone()), ..Executors::default() }, Arc::new(client), options);
        let agent = Agent::new(
            AgentOptions {
                source: self.plane.clone() as Arc<dyn Source>,
                heart_source: Arc::<Plane>::default() as Arc<dyn Source>,
                supervisor: Arc::new(supervisor),
                journal: Arc::new(journal),
                state_dir: self.state.path().to_owned(),
                slots: self.slots,
                group_limits: self.groups.clone(),
                drain_timeout: self.drain_timeout,
                delivery_budget: Duration::from_secs(10),
                local_roots: LocalRoots::default(),
                status: Arc::clone(&self.status),
                metrics: Arc::clone(&self.metrics),
            },
            self.drain.clone(),
        );
        let script = async {
            let played = script.await;
            if self.drain.stage() == Stage::Open {
                self.drain.advance();
            }
            played
        };
        let both = async { tokio::join!(agent.run(recovered), script) };
        tokio::time::timeout(LONG, both).await.expect("it ends")
    }

    /// Runs the agent until all of `jobs` are reported.
    async fn until_reported(&self, jobs: &[&JobId]) -> Ending {
        self.play(self.plane.reported(jobs)).await.0
    }

    /// What the next start would find.
    fn left(&self) -> Vec<Recovered> {
        Journal::open(self.state.path()).expect("opened").1
    }

    /// Nothing is owed, nothing lies about.
    fn is_tidy(&self, ending: Ending) {
        assert_eq!(ending, Ending { unfinished: 0, undelivered: 0 });
        assert_eq!(self.left(), []);
        for folder in ["workspaces", "logs"] {
            let left: Vec<_> = std::fs::read_dir(self.state.path().join(folder)).into_iter().flatten().collect();
            assert!(left.is_empty(), "{left:?}");
        }
        assert_eq!(self.status.snapshot().running, []);
    }
}

fn lasting(duration: Duration) -> Scripted {
    Scripted { duration, ..Scripted::default() }
}

#[tokio::test]
async fn jobs_go_oldest_first_whatever_the_order_of_the_offers() {
    let scene = Scene { slots: 1, ..Scene::new(Scripted { output: 1000, ..lasting(Duration::from_millis(20)) }) };
    let jobs: Vec<_> = (0..4).map(|_| scene.plane.offer("noop")).collect();
    let jobs: Vec<_> = jobs.iter().collect();
    scene.is_tidy(scene.until_reported(&jobs).await);
    let claims: Vec<_> = jobs.iter().map(|job| format!("claim {job}")).collect();
    assert_eq!(scene.plane.calls("claim"), claims);
    assert!(jobs.iter().all(|job| scene.plane.report(job).outcome == ReceiptOutcome::Succeeded));
    assert!(jobs.iter().all(|job| scene.plane.log(job).iter().filter(|line| line.contains("xxx")).count() == 10));
}

#[tokio::test]
async fn a_lost_race_is_normal_and_a_job_offered_twice_runs_once() {
    let scene = Scene::new(lasting(Duration::from_millis(200)));
    let (lost, twice) = (scene.plane.offer("noop"), scene.plane.offer("noop"));
    scene.plane.with(|state| {
        state.lost.insert(lost.clone());
        state.sticky.insert(twice.clone());
    });
    scene.is_tidy(scene.until_reported(&[&twice]).await);
    assert_eq!(scene.plane.calls("claim").iter().filter(|call| call.contains(twice.as_str())).count(), 1);
    assert!(scene.plane.calls("report").iter().all(|call| !call.contains(lost.as_str())));
    let polls = scene.plane.calls("poll").len();
    assert!(polls < 20, "{polls} polls for jobs that cannot be had");
}

#[tokio::test]
async fn a_group_has_no_more_than_its_limit_and_keeps_nobody_else_out() {
    let scene = Scene { groups: [(JobGroup::Operations, 1)].into(), ..Scene::new(lasting(Duration::from_millis(150))) };
    let slow = [scene.plane.offer("noop"), scene.plane.offer("noop")];
    let check = scene.plane.offer("health-check");
    let script = async {
        scene.plane.reported(&[&check]).await;
        assert!(scene.plane.calls("report").iter().all(|call| !call.contains("noop")), "the check did not have to wait");
        scene.plane.reported(&[&slow[0], &slow[1]]).await;
    };
    let (ending, ()) = scene.play(script).await;
    scene.is_tidy(ending);
    assert_eq!(scene.plane.with(|state| state.most_at_once), 2, "one noop and the check");
}

#[tokio::test]
async fn a_claim_without_an_answer_is_asked_again_under_the_same_key() {
    let scene = Scene::new(Scripted::default());
    let job = scene.plane.offer("noop");
    scene.plane.with(|state| state.failing_claims = 2);
    scene.is_tidy(scene.until_reported(&[&job]).await);
    let keys = scene.plane.with(|state| state.keys.clone());
    assert_eq!(keys.len(), 3);
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
}

#[tokio::test]
async fn a_lost_lease_stops_the_work_and_reports_nothing() {
    let scene = Scene::new(lasting(LONG));
    let job = scene.plane.offer("noop");
    let script = async {
        let execution = scene.plane.claimed(&job).await;
        scene.plane.stand(&execution, Standing::Lost);
        while scene.scripted.cleanups.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let (ending, ()) = scene.play(script).await;
    scene.is_tidy(ending);
    assert_eq!(scene.plane.calls("report"), [""; 0]);
}

#[tokio::test]
async fn a_cancel_is_reported_as_one() {
    let scene = Scene::new(lasting(LONG));
    let job = scene.plane.offer("noop");
    let script = async {
        let execution = scene.plane.claimed(&job).await;
        scene.plane.stand(&execution, Standing::CancelRequested);
        scene.plane.reported(&[&job]).await;
    };
    let (ending, ()) = scene.play(script).await;
    scene.is_tidy(ending);
    assert_eq!(scene.plane.report(&job).outcome, ReceiptOutcome::Cancelled);
}

#[tokio::test]
async fn plans_that_are_none_fail_with_every_field_named() {
    let scene = Scene::new(Scripted::default());
    let jobs: Vec<_> = (0..3).map(|_| scene.plane.offer("helm-chart-build")).collect();
    let plans = [serde_json::Value::Null, serde_json::json!("<html>"), serde_json::json!({"dst_tag": 7, "helm_build_plan": []})];
    for (job, plan) in jobs.iter().zip(plans) {
        scene.plane.plan(job, Ok(plan));
    }
    scene.is_tidy(scene.until_reported(&jobs.iter().collect::<Vec<_>>()).await);
    for job in &jobs {
        let failure = scene.plane.report(job).failure.expect("a failure");
        assert_eq!((failure.kind, failure.step.as_str()), (FailureKind::InvalidPlan, "plan"), "{failure:?}");
    }
    let failure = scene.plane.report(&jobs[2]).failure.expect("a failure");
    let text = format!("{failure:?}");
    assert!(text.contains("dst_tag") && text.contains("helm_build_plan"), "{text}");
    assert!(scene.plane.log(&jobs[2]).iter().any(|line| line.contains("dst_tag")), "{:?}", scene.plane.log(&jobs[2]));
}

#[tokio::test]
async fn a_job_that_says_all_by_its_type_needs_no_plan() {
    let scene = Scene::new(Scripted::default());
    let job = scene.plane.offer("health-check");
    scene.plane.plan(&job, Ok(serde_json::Value::Null));
    scene.is_tidy(scene.until_reported(&[&job]).await);
    assert_eq!(scene.plane.report(&job).outcome, ReceiptOutcome::Succeeded);
}

#[tokio::test]
async fn a_plan_that_is_refused_fails_and_one_that_is_fenced_is_nobodys() {
    let scene = Scene::new(Scripted::default());
    let (refused, fenced, later) = (scene.plane.offer("noop"), scene.plane.offer("noop"), scene.plane.offer("noop"));
    scene.plane.plan(&refused, Err(Error::Refused { status: 400, message: "plan of another age".to_owned() }));
    scene.plane.plan(&fenced, Err(Error::Fenced("the job belongs to another execution".to_owned())));
    scene.plane.plan(&later, Err(plane::away()));
    let script = async {
        scene.plane.called("plan", &later).await;
        scene.plane.plan(&later, Ok(serde_json::json!({})));
        scene.plane.reported(&[&refused, &later]).await;
    };
    let (ending, ()) = scene.play(script).await;
    scene.is_tidy(ending);
    let failure = scene.plane.report(&refused).failure.expect("a failure");
    assert_eq!(failure.message, "the plan cannot be had from the control plane: plan of another age");
    assert!(scene.plane.calls("report").iter().all(|call| !call.contains(fenced.as_str())));
    assert_eq!(scene.plane.report(&later).outcome, ReceiptOutcome::Succeeded);
}

#[tokio::test]
async fn types_that_cannot_run_here_are_refused_by_name() {
    let scene = Scene::new(Scripted::default());
    let (unknown, unready) = (scene.plane.offer("space-launch"), scene.plane.offer("flatpak-build"));
    scene.is_tidy(scene.until_reported(&[&unknown, &unready]).await);
    for (job, name, remedy) in [(&unknown, "'space-launch'", "use a version"), (&unready, "flatpak-build jobs", "use a build")] {
        let receipt = scene.plane.report(job);
        let failure = receipt.failure.expect("a failure");
        assert_eq!((receipt.outcome, failure.kind), (ReceiptOutcome::NotAttempted, FailureKind::Unsupported));
        assert!(failure.message.contains(name) && failure.message.contains(remedy), "{}", failure.message);
    }
}

#[tokio::test]
async fn a_panic_of_an_executor_costs_one_job() {
    let scene = Scene { slots: 1, ..Scene::new(Scripted { end: End::Panic, ..Scripted::default() }) };
    let (panics, check) = (scene.plane.offer("noop"), scene.plane.offer("health-check"));
    scene.is_tidy(scene.until_reported(&[&panics, &check]).await);
    assert_eq!(scene.plane.report(&panics).failure.expect("a failure").kind, FailureKind::Internal);
    assert_eq!(scene.plane.report(&check).outcome, ReceiptOutcome::Succeeded);
}

#[tokio::test]
async fn a_source_that_is_away_is_asked_again_and_the_status_says_so() {
    let scene = Scene::new(Scripted::default());
    let job = scene.plane.offer("noop");
    scene.plane.with(|state| state.failing_polls = 2);
    let script = async {
        scene.plane.called("poll", "").await;
        scene.status.pass(Gate::Validated, "Done");
        scene.plane.reported(&[&job]).await;
    };
    let (ending, ()) = scene.play(script).await;
    scene.is_tidy(ending);
    let metrics = scene.metrics.encode(&scene.status).expect("encodes");
    assert!(metrics.contains(r#"build_runner_poll_errors_total{reason="unavailable"} 2"#), "{metrics}");
    assert!(metrics.contains(r#"build_runner_claims_total{result="ours"} 1"#), "{metrics}");
    assert!(metrics.contains("build_runner_pickup_seconds_count 1"), "{metrics}");
}

#[tokio::test]
async fn a_claim_that_an_earlier_runner_began_nothing_of_is_run() {
    let scene = Scene::new(Scripted::default());
    let (job, execution) = (JobId::generate(), crate::job::ExecutionId::generate());
    let at = jiff::Timestamp::now();
    {
        let (journal, _) = Journal::open(scene.state.path()).expect("opened");
        let intent = crate::journal::Intent { job_type: "noop".to_owned(), log_stream: "log1".to_owned(), ..Default::default() };
        let (key, job_type, log_stream) = ("key".to_owned(), "noop".to_owned(), "log1".to_owned());
        assert!(journal.write(Entry::Claiming { job: job.clone(), key: key.clone(), at, intent }).await);
        assert!(journal.write(Entry::Claimed { key, job: job.clone(), execution: execution.clone(), job_type, log_stream, at }).await);
    }
    scene.plane.plan(&job, Ok(serde_json::json!({})));
    scene.is_tidy(scene.until_reported(&[&job]).await);
    assert_eq!(scene.plane.calls("claim"), [""; 0]);
    assert_eq!(scene.plane.report(&job).outcome, ReceiptOutcome::Succeeded);
}

#[tokio::test]
async fn a_full_disk_takes_no_jobs_and_says_so() {
    let scene = Scene { disk: Minimum { bytes: u64::MAX, inodes: 0 }, ..Scene::new(Scripted::default()) };
    scene.plane.offer("noop");
    let script = async {
        let says_so = || scene.status.snapshot().conditions.get("Bootstrapped").is_some_and(|condition| condition.reason == "NoRoom");
        while !says_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let (ending, ()) = scene.play(script).await;
    scene.is_tidy(ending);
    assert_eq!((scene.plane.calls("poll"), scene.plane.calls("claim")), (Vec::new(), Vec::new()));
}

#[tokio::test]
async fn a_job_that_names_a_folder_of_the_node_is_refused_unless_there_is_a_root() {
    let scene = Scene::new(Scripted::default());
    let job = scene.plane.offer("helm-chart-build");
    let registry = serde_json::json!({"RegistryType": "oci_layout", "Repository": "/var/lib/charts"});
    let source = serde_json::json!({"url": "https://example.com/charts"});
    scene.plane.plan(&job, Ok(serde_json::json!({"git_source": source, "dst_registry": registry, "dst_tag": "1", "helm_build_plan": {}})));
    scene.is_tidy(scene.until_reported(&[&job]).await);
    let failure = scene.plane.report(&job).failure.expect("a failure");
    assert!(failure.kind == FailureKind::InvalidPlan && failure.message.contains("--local-root"), "{}", failure.message);
}
