//! Leases and time limits.

use ExecutionStatus::{Finished, InProgress};

use super::*;

#[tokio::test]
async fn a_silent_runner_loses_its_job_and_is_fenced() {
    let bench = Bench::new().await;
    let job = bench.submit_with(|job| job.max_executions = 2).await;
    let first = bench.take(&job, "r1").await;
    let mut stop = bench.store.bells().runner(&runner("r1"));
    assert_eq!(bench.store.next_expiry().await.unwrap(), Some(bench.at(60)));
    assert_eq!(bench.store.expire(bench.at(59)).await.unwrap(), []);
    let expired =
        |execution: &ExecutionId, status| Expired { job: job.clone(), execution: Some(execution.clone()), clock: Clock::Lease, status };
    assert_eq!(bench.store.expire(bench.at(60)).await.unwrap(), [expired(&first, JobStatus::Available)]);
    stop.rung().await;
    assert_eq!(bench.store.next_expiry().await.unwrap(), None);
    assert_eq!(fence(bench.set(&job, &first, Finished).await), Fence::Expired);
    assert_eq!(fence(bench.store.put_outputs(&job, &first, serde_json::json!({}), bench.now).await), Fence::Expired);
    assert_eq!(fence(bench.store.append_log(logs::batch(&job, &first, 1..=1), bench.now).await), Fence::Expired);
    let second = bench.take(&job, "r2").await;
    assert_eq!(bench.store.expire(bench.at(120)).await.unwrap(), [expired(&second, JobStatus::Failed)]);
    let job = bench.job(&job).await;
    assert!(job.status_description.contains("lease expired"), "{}", job.status_description);
    assert_eq!(job.latest.unwrap().status, ExecutionStatus::TimedOut);
}

#[tokio::test]
async fn heartbeats_and_every_write_renew_the_lease() {
    let bench = Bench::new().await;
    let (job, run) = bench.running().await;
    let lease = async || bench.job(&job).await.latest.unwrap().lease_until.unwrap();
    let beat = Heartbeat { runner: runner("r1"), alive: Duration::from_secs(9), version: "1.2".into(), process: "build".into() };
    bench.store.heartbeat(beat, bench.at(30)).await.unwrap();
    assert_eq!(lease().await, bench.at(90));
    let known = bench.store.runner(&runner("r1")).await.unwrap().unwrap();
    assert_eq!((known.last_heartbeat, known.started_at, known.running), (Some(bench.at(30)), Some(bench.at(21)), 1));
    bench.store.append_log(logs::batch(&job, &run, 1..=1), bench.at(50)).await.unwrap();
    assert_eq!(lease().await, bench.at(110));
    bench.store.put_outputs(&job, &run, serde_json::json!({}), bench.at(80)).await.unwrap();
    assert_eq!(lease().await, bench.at(140));
    let write = StatusWrite { job: job.clone(), execution: run.clone(), status: InProgress, description: String::new() };
    bench.store.set_status(write, bench.at(120)).await.unwrap();
    assert_eq!(lease().await, bench.at(180));
    bench.store.renew(&runner("other"), std::slice::from_ref(&run), bench.at(170)).await.unwrap();
    assert_eq!(lease().await, bench.at(180), "not another runner's to renew");
    bench.store.renew(&runner("r1"), std::slice::from_ref(&run), bench.at(170)).await.unwrap();
    assert_eq!(lease().await, bench.at(230));
}

#[tokio::test]
async fn an_execution_without_a_runner_belongs_to_the_one_that_says_it_has_it() {
    let bench = Bench::new().await;
    let job = bench.submit().await;
    let anonymous = Claim { runner: None, ..claim(&job, "r1", None) };
    let Claimed::New(execution) = bench.store.claim(anonymous, bench.now).await.unwrap() else { panic!() };
    bench.store.renew(&runner("r1"), std::slice::from_ref(&execution.id), bench.at(5)).await.unwrap();
    assert_eq!(bench.job(&job).await.latest.unwrap().runner, Some(runner("r1")));
}

#[tokio::test]
async fn time_limits_end_jobs_that_nobody_claims_or_that_take_too_long() {
    let bench = Bench::new().await;
    let limit = Duration::from_secs(100);
    let unclaimed = bench.submit_with(|job| job.timeouts = Timeouts { available: limit, ..Timeouts::default() }).await;
    let slow = bench.submit_with(|job| job.timeouts = Timeouts { execution: limit, ..Timeouts::default() }).await;
    let long = bench.submit_with(|job| job.timeouts = Timeouts { execution: limit * 9, overall: limit, ..Timeouts::default() }).await;
    let (slow_run, long_run) = (bench.take(&slow, "r1").await, bench.take(&long, "r1").await);
    let beat = Heartbeat { runner: runner("r1"), alive: limit, version: String::new(), process: String::new() };
    bench.store.heartbeat(beat, bench.at(99)).await.unwrap();
    let at_limit = bench.store.expire(bench.at(100)).await.unwrap();
    let nobody = Expired { job: unclaimed, execution: None, clock: Clock::Available, status: JobStatus::NotAttempted };
    assert_eq!(at_limit, [nobody], "a runner is given some grace to keep the limit itself");
    let mut ended = bench.store.expire(bench.at(130)).await.unwrap();
    ended.sort_by_key(|expired| expired.clock.as_str());
    let expected = |job, run, clock| Expired { job, execution: Some(run), clock, status: JobStatus::TimedOut };
    assert_eq!(ended, [expected(slow, slow_run.clone(), Clock::Execution), expected(long, long_run, Clock::Overall)]);
    let slow = ended[0].job.clone();
    assert_eq!(bench.set(&slow, &slow_run, ExecutionStatus::TimedOut).await.unwrap(), Written::Unchanged, "the runner saw it too");
}

#[tokio::test]
async fn a_control_plane_that_was_down_blames_nobody_for_its_own_silence() {
    let bench = Bench::new().await;
    let (job, run) = bench.running().await;
    let bench = bench.reopen(100_000).await;
    assert_eq!(bench.store.expire(bench.at(100_029)).await.unwrap(), []);
    assert_eq!(bench.set(&job, &run, Finished).await.unwrap(), Written::Changed);
}
