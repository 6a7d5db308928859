//! Who should stop, asked of either kind of plane.

use super::*;
use crate::{
    shutdown::Cancel,
    source::{Source as _, Standing},
};

fn running(ids: &[&str]) -> Vec<(JobId, ExecutionId)> {
    ids.iter().map(|id| (format!("job{id}").parse().expect("an id"), format!("run{id}").parse().expect("an id"))).collect()
}

async fn standings(client: &Client, ids: &[&str]) -> Vec<(String, Standing)> {
    let found = client.standings(&running(ids), &Cancel::new()).await.expect("an answer");
    found.into_iter().map(|(execution, standing)| (execution.to_string(), standing)).collect()
}

#[tokio::test]
async fn one_question_is_held_for_all_executions() {
    let plane = Plane::saying(|| {
        ok(json!([
            {"execution_id": "run1", "job_id": "job1", "status": "cancelled"},
            {"execution_id": "run2", "job_id": "job2", "status": "timed-out"},
            {"execution_id": "run3", "job_id": "job3", "status": "in-progress"},
            {"execution_id": "run4", "job_id": "job4", "status": "failed"},
            {"execution_id": "run5", "job_id": "job5", "status": "of a later version"},
            {"execution_id": "run9", "job_id": "job9", "status": "cancelled"},
        ]))
    })
    .await;
    let found = standings(&plane.client(), &["1", "2", "3", "4", "5"]).await;
    let expected = [Standing::CancelRequested, Standing::TimedOut, Standing::Lost, Standing::Lost];
    assert_eq!(found, ["run1", "run2", "run3", "run4"].map(str::to_owned).into_iter().zip(expected).collect::<Vec<_>>());
    let query = "wait=300ms&execution=run1&execution=run2&execution=run3&execution=run4&execution=run5";
    assert_eq!(plane.lines(), [format!("GET /v1/runners/runner-1/executions/tail?{query}")]);
}

#[tokio::test]
async fn many_executions_are_asked_about_in_pieces() {
    let plane = Plane::start(|seen| {
        if seen.line.contains("run249") { ok(json!([{"execution_id": "run249", "status": "cancelled"}])) } else { Reply::Hang }
    })
    .await;
    let ids: Vec<_> = (0..250).map(|id| id.to_string()).collect();
    let found = standings(&plane.client(), &ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!(found, [("run249".to_owned(), Standing::CancelRequested)]);
    assert!(plane.lines().iter().all(|line| line.len() < 8000));
}

/// What a plane without our long poll shows of a job, and what that says about `run1`.
async fn by_job(job: Value) -> Option<Standing> {
    let plane = Plane::start(move |seen| match seen.line.as_str() {
        "GET /v1/runner-jobs/job1" => ok(job.clone()),
        line if line.contains("/executions/tail") => refusal(404, "no"),
        _ => ok(json!([])),
    })
    .await;
    standings(&plane.client(), &["1"]).await.into_iter().map(|(_, standing)| standing).next()
}

#[tokio::test]
async fn another_plane_is_judged_by_what_it_shows() {
    let own = |status| json!([{"id": "run1", "status": status}]);
    for (job, expected) in [
        (json!({"status": "in-progress", "executions": own("in-progress")}), None),
        (json!({"status": "in-progress"}), None),
        (json!({"status": "available", "executions": own("pending")}), None),
        (json!({"status": "odd", "executions": own("odd")}), None),
        (json!({"status": "in-progress", "executions": own("cancelled")}), Some(Standing::CancelRequested)),
        (json!({"status": "cancelled", "executions": own("in-progress")}), Some(Standing::CancelRequested)),
        (json!({"status": "timed-out", "executions": own("initializing")}), Some(Standing::TimedOut)),
        (json!({"status": "failed", "executions": own("failed")}), Some(Standing::Lost)),
        (json!({"status": "in-progress", "executions": [{"id": "run2", "status": "pending"}]}), Some(Standing::Lost)),
    ] {
        assert_eq!(by_job(job.clone()).await, expected, "{job}");
    }
}

#[tokio::test]
async fn only_jobs_that_are_not_in_the_list_are_asked_about() {
    let plane = Plane::start(|seen| match seen.line.as_str() {
        "GET /v1/runner-jobs/job2" => refusal(404, "record not found"),
        line if line.contains("/executions/tail") => Reply::Text(404, "text/plain", "404 page not found"),
        _ => ok(json!([{"id": "job1", "status": "in-progress", "executions": [{"id": "run1", "status": "in-progress"}]}])),
    })
    .await;
    let client = plane.client();
    for _ in 0..2 {
        assert_eq!(standings(&client, &["1", "2"]).await, [("run2".to_owned(), Standing::Lost)]);
    }
    let list = "GET /v1/runners/runner-1/jobs?group=any&status=in-progress&limit=60";
    assert_eq!(
        plane.lines()[1..],
        [list, "GET /v1/runner-jobs/job2", list, "GET /v1/runner-jobs/job2"],
        "the long poll is not asked again"
    );
}

#[tokio::test]
async fn a_plane_that_is_away_is_an_error_and_nothing_running_is_silence() {
    let plane = Plane::saying(|| Reply::Cut).await;
    let client = plane.client();
    assert_eq!(kind(&client.standings(&running(&["1"]), &Cancel::new()).await.expect_err("cut")), "unavailable");
    assert_eq!(client.standings(&[], &Cancel::new()).await, Ok(Vec::new()));
    assert_eq!(plane.seen().len(), 1);
}
