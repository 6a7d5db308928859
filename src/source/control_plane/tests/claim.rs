//! Claims: won, lost, and those whose answer never came.

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::source::{Claim, Source as _, claim_key};

const EXECUTIONS: &str = "POST /v1/runner-jobs/job1/executions";
const JOB: &str = "GET /v1/runner-jobs/job1";

fn ours() -> Claim {
    Claim::Ours(execution())
}

fn created() -> Reply {
    Reply::Json(201, json!({"id": "run1", "status": "pending"}))
}

/// The job as a plane shows it whose newest execution was created `ago`.
fn shown(runner: &str, status: &str, execution: &str, ago: SignedDuration) -> Reply {
    let created_at = (Timestamp::now() - ago).to_string();
    let executions = json!([{"id": "run1", "status": execution, "created_at": created_at}]);
    ok(json!({"id": "job1", "runner_id": runner, "status": status, "executions": executions}))
}

#[tokio::test]
async fn a_claim_is_one_request_with_its_key() {
    let plane = Plane::saying(created).await;
    let (client, key) = (plane.client(), claim_key(Timestamp::now()));
    assert_eq!(client.claim(&job(), &key).await, Ok(ours()));
    let seen = plane.seen();
    assert_eq!((seen.len(), seen[0].line.as_str(), seen[0].json()), (1, EXECUTIONS, json!({})));
    assert_eq!(seen[0].header("x-runner-id"), "runner-1");
    assert_eq!((seen[0].header("idempotency-key"), seen[0].header("content-type")), (key.as_str(), "application/json"));
}

#[tokio::test]
async fn a_lost_race_is_no_error() {
    for (status, error) in [(404, "record not found"), (409, "the job is claimed"), (410, "gone"), (500, "job exceeded max executions (1)")]
    {
        let plane = Plane::saying(move || refusal(status, error)).await;
        let claim = plane.client().claim(&job(), "key").await;
        assert!(matches!(&claim, Ok(Claim::Lost(why)) if why.contains(error)), "{claim:?}");
    }
    for (status, expected) in [(500, "unavailable"), (403, "unauthorized"), (400, "refused")] {
        let plane = Plane::saying(move || refusal(status, "no")).await;
        assert_eq!(kind(&plane.client().claim(&job(), "key").await.expect_err("refused")), expected);
    }
    let plane = Plane::saying(|| Reply::Json(201, json!({"id": ""}))).await;
    assert_eq!(kind(&plane.client().claim(&job(), "key").await.expect_err("no id")), "unavailable");
}

/// A plane that made an execution and then lost the connection: what a second try does with what it shows.
async fn second_try(show: impl Fn() -> Reply + Send + Sync + 'static) -> (Result<Claim, Error>, Vec<String>) {
    let plane = Plane::start(move |seen| match (seen.number, seen.line.as_str()) {
        (0, EXECUTIONS) => Reply::Cut,
        (_, EXECUTIONS) => created(),
        _ => show(),
    })
    .await;
    let (client, key) = (plane.client(), claim_key(Timestamp::now()));
    assert_eq!(kind(&client.claim(&job(), &key).await.expect_err("cut")), "unavailable");
    (client.claim(&job(), &key).await, plane.lines())
}

#[tokio::test]
async fn a_claim_whose_answer_was_lost_is_found_without_a_second_execution() {
    let (claim, lines) = second_try(|| shown("runner-1", "in-progress", "pending", SignedDuration::ZERO)).await;
    assert_eq!((claim, lines), (Ok(ours()), vec![EXECUTIONS.to_owned(), JOB.to_owned()]));
    // Never arrived.
    let (claim, lines) = second_try(|| ok(json!({"id": "job1", "runner_id": "runner-1", "status": "available"}))).await;
    assert_eq!((claim, lines.len()), (Ok(ours()), 3));
    // Anybody's job: the key decides, as every plane with such jobs knows keys.
    let (claim, lines) = second_try(|| shown("", "in-progress", "pending", SignedDuration::ZERO)).await;
    assert_eq!((claim, lines.len()), (Ok(ours()), 3));
}

#[tokio::test]
async fn an_execution_of_somebody_else_is_not_taken_for_ours() {
    let lost = |claim| matches!(claim, Ok(Claim::Lost(_)));
    let (claim, _) = second_try(|| shown("runner-1", "in-progress", "pending", SignedDuration::from_mins(10))).await;
    assert!(lost(claim), "older than the intent");
    let (claim, _) = second_try(|| shown("runner-1", "in-progress", "in-progress", SignedDuration::ZERO)).await;
    assert!(lost(claim), "somebody works on it");
    let (claim, _) = second_try(|| shown("runner-1", "cancelled", "cancelled", SignedDuration::ZERO)).await;
    assert!(lost(claim), "withdrawn");
    let (claim, _) = second_try(|| refusal(404, "record not found")).await;
    assert!(lost(claim), "gone");
}

#[tokio::test]
async fn the_key_of_an_earlier_process_looks_first() {
    let plane = Plane::start(|seen| match seen.line.as_str() {
        EXECUTIONS => refusal(500, "exceeded max executions"),
        _ => shown("runner-1", "in-progress", "pending", SignedDuration::from_mins(5)),
    })
    .await;
    let key = claim_key(Timestamp::now() - SignedDuration::from_mins(5));
    assert_eq!(plane.client().claim(&job(), &key).await, Ok(ours()));
    assert_eq!(plane.lines(), [JOB]);
}
