//! The drain in every state that the runner can be in.

use super::*;

#[tokio::test]
async fn an_idle_runner_is_gone_at_once() {
    let scene = Scene::new(Scripted::default());
    let began = std::time::Instant::now();
    let (ending, ()) = scene.play(scene.plane.called("poll", "")).await;
    scene.is_tidy(ending);
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(scene.status.snapshot().phase, crate::telemetry::RunnerPhase::Draining);
}

#[tokio::test]
async fn what_runs_is_left_to_finish_and_what_waits_is_left_alone() {
    let scene = Scene { slots: 2, ..Scene::new(lasting(Duration::from_millis(300))) };
    let running = [scene.plane.offer("noop"), scene.plane.offer("noop")];
    let waiting = scene.plane.offer("noop");
    let script = async {
        for job in &running {
            scene.plane.claimed(job).await;
        }
        scene.drain.advance();
    };
    let (ending, ()) = scene.play(script).await;
    scene.is_tidy(ending);
    assert!(running.iter().all(|job| scene.plane.report(job).outcome == ReceiptOutcome::Succeeded));
    assert!(scene.plane.calls("claim").iter().all(|call| !call.contains(waiting.as_str())));
}

#[tokio::test]
async fn the_second_request_cancels_and_the_outcome_is_told() {
    let scene = Scene::new(lasting(LONG));
    let job = scene.plane.offer("noop");
    let script = async {
        scene.plane.claimed(&job).await;
        scene.drain.advance();
        scene.drain.advance();
    };
    let (ending, ()) = scene.play(script).await;
    scene.is_tidy(ending);
    let receipt = scene.plane.report(&job);
    assert_eq!(receipt.outcome, ReceiptOutcome::Cancelled);
    assert!(receipt.failure.expect("why").retryable, "the runner's end is nobody's fault");
}

#[tokio::test]
async fn so_does_the_end_of_the_drain_timeout() {
    let scene = Scene { drain_timeout: Duration::from_millis(100), ..Scene::new(lasting(LONG)) };
    let job = scene.plane.offer("noop");
    let script = async {
        scene.plane.claimed(&job).await;
    };
    let (ending, ()) = scene.play(script).await;
    scene.is_tidy(ending);
    assert_eq!(scene.plane.report(&job).outcome, ReceiptOutcome::Cancelled);
}

#[tokio::test]
async fn a_claim_that_is_answered_during_the_drain_is_run() {
    let scene = Scene::new(Scripted::default());
    let job = scene.plane.offer("noop");
    scene.plane.with(|state| state.claim_takes = Duration::from_millis(200));
    let script = async {
        scene.plane.asked("claim").await;
        scene.drain.advance();
    };
    let (ending, ()) = scene.play(script).await;
    scene.is_tidy(ending);
    assert_eq!(scene.plane.report(&job).outcome, ReceiptOutcome::Succeeded);
}

#[tokio::test]
async fn a_claim_that_is_never_answered_is_kept_for_the_next_start() {
    let scene = Scene::new(Scripted::default());
    let job = scene.plane.offer("noop");
    scene.plane.with(|state| state.failing_claims = usize::MAX);
    let script = async {
        scene.plane.asked("claim").await;
        scene.drain.advance();
    };
    let (ending, ()) = scene.play(script).await;
    assert_eq!(ending, Ending { unfinished: 0, undelivered: 0 });
    let left = scene.left();
    assert_eq!((left.len(), &left[0].job, left[0].claimed.is_none()), (1, &job, true));
}

#[tokio::test]
async fn the_third_request_waits_for_nothing_and_the_journal_knows() {
    let scene = Scene::new(Scripted { deaf: true, ..lasting(LONG) });
    let job = scene.plane.offer("noop");
    let script = async {
        scene.plane.claimed(&job).await;
        for stage in [Stage::Draining, Stage::Stopping, Stage::Aborted] {
            assert_eq!(scene.drain.advance(), stage);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let (ending, ()) = scene.play(script).await;
    assert_eq!(ending, Ending { unfinished: 1, undelivered: 1 });
    assert_eq!(scene.plane.calls("report"), [""; 0]);
}
