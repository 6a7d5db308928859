//! Long polls: woken by events, in turn, and let go in order.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_poll_is_woken_by_the_job_at_once() {
    let plane = Plane::start().await;
    let mut worst = Duration::ZERO;
    for _ in 0..10 {
        let poll = async {
            let answer = plane.run(Method::GET, "/v1/runners/r1/jobs/tail?wait=20s", Value::Null).await;
            (answer.1, std::time::Instant::now())
        };
        let submit = async {
            parked(&plane, 1).await;
            let began = std::time::Instant::now();
            (plane.submit(json!({"type": "noop"})).await, began)
        };
        let ((jobs, woken), (job, began)) = tokio::join!(poll, submit);
        assert_eq!(jobs[0]["id"], json!(job));
        worst = worst.max(woken.duration_since(began));
        assert_eq!(plane.claim(&job, "r1").await.0, 201);
    }
    assert!(worst < Duration::from_secs(1), "{worst:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_many_jobs_goes_to_another_poll_and_the_rest_stay_parked() {
    let plane = Plane::start().await;
    let (claimed, took) = (AtomicUsize::new(0), AtomicU64::new(0));
    let polls = (0..40).map(|number| {
        let path = format!("/v1/runners/r{number}/jobs/tail?wait=20s");
        let (plane, claimed) = (&plane, &claimed);
        async move {
            let (_, jobs) = plane.run(Method::GET, &path, Value::Null).await;
            let job = jobs[0]["id"].as_str()?;
            let status = plane.claim(job, &format!("r{number}")).await.0.as_u16();
            claimed.fetch_add(usize::from(status == 201), Ordering::Relaxed);
            Some(status)
        }
    });
    let work = async {
        parked(&plane, 40).await;
        let began = std::time::Instant::now();
        for _ in 0..10 {
            plane.submit(json!({"type": "noop"})).await;
        }
        let until = std::time::Instant::now() + PATIENCE;
        while claimed.load(Ordering::Relaxed) < 10 {
            assert!(std::time::Instant::now() < until, "all jobs should be claimed");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        took.store(u64::try_from(began.elapsed().as_millis()).expect("a short test"), Ordering::Relaxed);
        plane.running.stop.cancel();
    };
    let (claims, ()) = tokio::join!(futures_util::future::join_all(polls), work);
    assert_eq!(claims.iter().filter(|claim| **claim == Some(201)).count(), 10, "{claims:?}");
    // After a second the next one is called for a job that nobody has claimed, as is right on a machine that is too busy to claim it.
    let called = claims.iter().filter(|claim| claim.is_some()).count();
    let rounds = 1 + usize::try_from(took.load(Ordering::Relaxed)).expect("a short test") / 1000;
    assert!(called <= 20 * rounds, "{called} polls were called in {rounds} rounds: {claims:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_does_not_chase_jobs_that_are_on_their_way_to_others() {
    let plane = Plane::start().await;
    let mut jobs = Vec::new();
    for _ in 0..3 {
        jobs.push(plane.submit(json!({"type": "noop"})).await);
    }
    let look = async |runner: &str| {
        let (_, found) = plane.run(Method::GET, &format!("/v1/runners/{runner}/jobs/tail?wait=50ms"), Value::Null).await;
        found[0]["id"].as_str().unwrap_or("none").to_owned()
    };
    let seen = [look("r1").await, look("r2").await, look("r1").await, look("r3").await, look("r4").await];
    assert_eq!(seen, [&jobs[0], &jobs[1], &jobs[0], &jobs[2], "none"]);
    // Nobody claims them: they are offered again.
    let (_, found) = plane.run(Method::GET, "/v1/runners/r4/jobs/tail?wait=20s", Value::Null).await;
    assert!(jobs.contains(&found[0]["id"].as_str().unwrap().to_owned()), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bound_jobs_wait_for_their_runner_and_waiting_has_an_end() {
    let plane = Plane::start().await;
    let began = std::time::Instant::now();
    let (status, none) = plane.run(Method::GET, "/v1/runners/r1/jobs/tail?wait=50ms", Value::Null).await;
    assert_eq!((status.as_u16(), none), (200, json!([])));
    assert!(began.elapsed() < Duration::from_secs(5));
    let other = async { plane.run(Method::GET, "/v1/runners/r1/jobs/tail?wait=700ms", Value::Null).await.1 };
    let own = async { plane.run(Method::GET, "/v1/runners/r2/jobs/tail?wait=20s&limit=5", Value::Null).await.1 };
    let submit = async {
        parked(&plane, 2).await;
        plane.submit(json!({"type": "noop", "runner_id": "r2"})).await
    };
    let (other, own, job) = tokio::join!(other, own, submit);
    assert_eq!((other, &own[0]["id"]), (json!([]), &json!(job)));
    assert_eq!(plane.claim(&job, "r1").await.0, 409);
    assert_eq!(plane.claim(&job, "r2").await.0, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_answers_the_parked_and_lets_the_busy_finish() {
    let plane = Plane::start().await;
    let stop = plane.running.stop.clone();
    let poll = plane.run(Method::GET, "/v1/runners/r1/jobs/tail", Value::Null);
    let stopping = async {
        parked(&plane, 1).await;
        stop.cancel();
    };
    let ((status, jobs), ()) = tokio::join!(poll, stopping);
    assert_eq!((status.as_u16(), jobs), (200, json!([])));
    tokio::time::timeout(PATIENCE, plane.running.stop()).await.unwrap();
}

/// Waits until that many polls are parked.
async fn parked(plane: &Plane, count: usize) {
    let url = format!("http://{}/metrics", plane.running.addr);
    let line = format!("build_runner_plane_parked_polls {count}\n");
    let until = std::time::Instant::now() + PATIENCE;
    while !plane.http.get(&url).send().await.unwrap().text().await.unwrap().contains(&line) {
        assert!(std::time::Instant::now() < until, "there should be {count} parked polls");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
