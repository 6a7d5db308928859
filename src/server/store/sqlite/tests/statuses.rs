//! Statuses, results and outputs, cancel and retry.

use ExecutionStatus::{CleaningUp, Failed, Finished, InProgress, Initializing};
use serde_json::json;

use super::*;

#[tokio::test]
async fn an_execution_goes_up_and_ends_once_and_its_job_with_it() {
    let bench = Bench::new().await;
    let (job, run) = bench.running().await;
    assert_eq!(bench.set(&job, &run, InProgress).await.unwrap(), Written::Changed);
    assert_eq!(bench.set(&job, &run, Initializing).await.unwrap(), Written::Unchanged, "a late one");
    assert_eq!(bench.job(&job).await.latest.unwrap().status, InProgress);
    assert_eq!(bench.set(&job, &run, CleaningUp).await.unwrap(), Written::Changed);
    assert_eq!(bench.status(&job).await, JobStatus::InProgress);
    assert_eq!(bench.set(&job, &run, Finished).await.unwrap(), Written::Changed);
    assert_eq!(bench.set(&job, &run, Finished).await.unwrap(), Written::Unchanged);
    for other in [Failed, InProgress, ExecutionStatus::Cancelled] {
        assert_eq!(fence(bench.set(&job, &run, other).await), Fence::Ended(Finished));
    }
    let job = bench.job(&job).await;
    assert_eq!((job.status, job.finished_at), (JobStatus::Finished, Some(bench.at(1))));
    assert_eq!(job.latest.unwrap().ending, Ending::Reported);
    assert_eq!(fence(bench.set(&job.id, &ExecutionId::generate(), Finished).await), Fence::Unknown);
    let (other, _) = bench.running().await;
    assert_eq!(fence(bench.set(&other, &run, Finished).await), Fence::Unknown, "an execution of another job");
}

#[tokio::test]
async fn the_first_result_stays_and_may_be_repeated() {
    let bench = Bench::new().await;
    let (job, run) = bench.running().await;
    let (first, other) = (json!({"success": true, "contents": "x"}), json!({"success": false}));
    let put = async |result: &Value| bench.store.put_result(&job, &run, result.clone(), bench.now).await;
    assert_eq!(put(&first).await.unwrap(), Written::Changed);
    assert_eq!(put(&json!({"contents": "x", "success": true})).await.unwrap(), Written::Unchanged, "the order of keys means nothing");
    assert!(matches!(put(&other).await, Err(Error::Conflict { what: "result", .. })));
    assert_eq!(bench.store.put_outputs(&job, &run, other.clone(), bench.now).await.unwrap(), Written::Changed);
    bench.set(&job, &run, Finished).await.unwrap();
    assert_eq!(put(&first).await.unwrap(), Written::Unchanged);
    let detail = bench.store.job(&job).await.unwrap();
    let [execution] = detail.executions.as_slice() else { panic!() };
    assert_eq!((execution.result.clone(), execution.outputs.clone()), (Some(first.clone()), Some(other)));
    assert_eq!(fence(bench.store.put_result(&job, &ExecutionId::generate(), first, bench.now).await), Fence::Unknown);
}

#[tokio::test]
async fn a_job_nobody_has_begun_is_cancelled_at_once() {
    let bench = Bench::new().await;
    let job = bench.submit().await;
    assert_eq!(bench.store.cancel(&job, bench.now).await.unwrap(), Withdrawn::AtOnce);
    assert_eq!(bench.claim(&job, "r1").await, Claimed::Lost(Lost::Gone(JobStatus::Cancelled)));
    assert_eq!(bench.store.cancel(&job, bench.now).await.unwrap(), Withdrawn::Over(JobStatus::Cancelled));
    assert!(bench.store.log(&job, 0, 10).await.unwrap().end);
    assert!(matches!(bench.store.cancel(&JobId::generate(), bench.now).await, Err(Error::UnknownJob(_))));
}

#[tokio::test]
async fn a_cancelled_execution_still_hands_in_what_it_has_and_confirms() {
    let bench = Bench::new().await;
    let (job, run) = bench.running().await;
    let (mut bell, mut stop) = (bench.store.bells().job(&job), bench.store.bells().runner(&runner("r1")));
    assert_eq!(bench.store.cancel(&job, bench.now).await.unwrap(), Withdrawn::Stopping(run.clone()));
    bell.rung().await;
    stop.rung().await;
    assert_eq!(bench.status(&job).await, JobStatus::Cancelled);
    let standings = bench.store.standings(std::slice::from_ref(&run)).await.unwrap();
    assert_eq!((standings[0].status, standings[0].runs()), (ExecutionStatus::Cancelled, false));
    assert_eq!(fence(bench.set(&job, &run, CleaningUp).await), Fence::Ended(ExecutionStatus::Cancelled));
    assert!(matches!(bench.store.retry(&job, bench.now).await, Err(Error::State { status: JobStatus::Cancelled, .. })));
    assert_eq!(bench.store.append_log(logs::batch(&job, &run, 1..=2), bench.now).await.unwrap(), 2);
    assert_eq!(bench.store.put_result(&job, &run, json!({"success": false}), bench.now).await.unwrap(), Written::Changed);
    assert!(!bench.store.log(&job, 2, 10).await.unwrap().end, "its runner has not said yet that it is over");
    assert_eq!(bench.set(&job, &run, ExecutionStatus::Cancelled).await.unwrap(), Written::Unchanged);
    assert!(bench.store.log(&job, 2, 10).await.unwrap().end);
    assert_eq!(fence(bench.set(&job, &run, Finished).await), Fence::Ended(ExecutionStatus::Cancelled), "it has confirmed");
    assert_eq!(bench.store.retry(&job, bench.now).await.unwrap().status, JobStatus::Available);
}

#[tokio::test]
async fn work_that_ended_in_spite_of_a_late_cancel_is_told_truthfully() {
    for (reported, job_status) in [(Finished, JobStatus::Finished), (Failed, JobStatus::Failed)] {
        let bench = Bench::new().await;
        let (job, run) = bench.running().await;
        bench.store.cancel(&job, bench.now).await.unwrap();
        assert_eq!(bench.set(&job, &run, reported).await.unwrap(), Written::Changed);
        assert_eq!(bench.set(&job, &run, reported).await.unwrap(), Written::Unchanged);
        assert_eq!(bench.status(&job).await, job_status);
    }
}

#[tokio::test]
async fn a_cancelled_execution_that_says_nothing_more_is_given_up_after_its_lease() {
    let bench = Bench::new().await;
    let (job, run) = bench.running().await;
    bench.store.cancel(&job, bench.now).await.unwrap();
    let beat = Heartbeat { runner: runner("r1"), alive: Duration::from_secs(9), version: String::new(), process: String::new() };
    bench.store.heartbeat(beat, bench.at(30)).await.unwrap();
    assert_eq!(bench.store.expire(bench.at(61)).await.unwrap(), [], "the job was over before");
    assert!(bench.store.log(&job, 0, 10).await.unwrap().end);
    assert_eq!(bench.status(&job).await, JobStatus::Cancelled);
    assert_eq!(bench.set(&job, &run, Finished).await.unwrap(), Written::Changed, "a word after a long silence is still true");

    let (job, run) = bench.running().await;
    bench.store.cancel(&job, bench.now).await.unwrap();
    bench.store.expire(bench.at(61)).await.unwrap();
    bench.store.retry(&job, bench.at(62)).await.unwrap();
    assert_eq!(fence(bench.set(&job, &run, Finished).await), Fence::Superseded);
    let next = bench.take(&job, "r2").await;
    assert_eq!(fence(bench.store.append_log(logs::batch(&job, &run, 1..=1), bench.now).await), Fence::Superseded);
    assert_eq!(bench.set(&job, &next, Finished).await.unwrap(), Written::Changed);
}

#[tokio::test]
async fn a_retry_counts_on_and_fences_the_execution_before() {
    let bench = Bench::new().await;
    let (job, first) = bench.running().await;
    assert!(matches!(bench.store.retry(&job, bench.now).await, Err(Error::State { status: JobStatus::InProgress, .. })));
    bench.set(&job, &first, Failed).await.unwrap();
    let again = bench.store.retry(&job, bench.at(5)).await.unwrap();
    assert_eq!(again, bench.job(&job).await);
    assert_eq!((again.status, again.max_executions, again.runner), (JobStatus::Available, 2, None));
    assert_eq!(bench.set(&job, &first, Failed).await.unwrap(), Written::Unchanged, "the answer got lost, it says so again");
    let second = bench.take(&job, "r2").await;
    assert_eq!(fence(bench.set(&job, &first, Finished).await), Fence::Ended(Failed));
    assert_eq!(bench.job(&job).await.execution_count, 2);
    bench.set(&job, &second, Finished).await.unwrap();
    assert!(matches!(bench.store.retry(&job, bench.now).await, Err(Error::State { status: JobStatus::Finished, .. })));
    let detail = bench.store.job(&job).await.unwrap();
    assert_eq!(detail.executions.iter().map(|detail| detail.execution.attempt).collect::<Vec<_>>(), [1, 2]);
    assert!(bench.store.standings(&[first]).await.unwrap()[0].superseded);
}
