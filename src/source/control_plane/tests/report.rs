//! The end of an execution, told once or several times.

use super::*;
use crate::{
    job::{Failure, FailureKind, Outcome, Outputs, Phase, Receipt},
    source::Source as _,
};

const PREFIX: &str = "/v1/runner-jobs/job1/executions/run1";

fn receipt(outcome: Outcome) -> Receipt {
    let at = |second| jiff::Timestamp::from_second(second).expect("in range");
    Receipt::new(job(), "noop-build", at(1), at(2), outcome)
}

fn succeeded() -> Receipt {
    receipt(Outcome::Succeeded(Box::new(Outputs::default().with("note", json!("x")))))
}

fn lines() -> [String; 3] {
    [format!("POST {PREFIX}/result"), format!("POST {PREFIX}/outputs"), format!("PATCH {PREFIX}")]
}

#[tokio::test]
async fn result_outputs_and_status_come_in_this_order() {
    let plane = Plane::saying(|| Reply::Json(201, Value::Null)).await;
    plane.client().report(&job(), &execution(), &succeeded()).await.expect("taken");
    assert_eq!(plane.lines(), lines());
    let seen = plane.seen();
    assert_eq!(seen[0].json()["success"], true);
    assert_eq!(seen[1].json(), json!({"outputs": {"artifacts": [], "note": "x"}}));
    assert_eq!(seen[2].json(), json!({"status": "finished"}));
}

#[tokio::test]
async fn a_failure_has_no_outputs_and_says_why() {
    let plane = Plane::saying(|| Reply::Json(201, Value::Null)).await;
    let failure = Failure::new(FailureKind::ToolFailed, "no").at_step("package");
    plane.client().report(&job(), &execution(), &receipt(Outcome::TimedOut(Box::new(failure)))).await.expect("taken");
    let seen = plane.seen();
    assert_eq!(seen[0].json()["error_metadata"]["step"], "package");
    assert!(seen[0].json()["contents"].as_str().is_some_and(|contents| contents.contains("timed-out")));
    assert_eq!((seen.len(), seen[1].json()), (2, json!({"status": "timed-out", "status_description": "no"})));
}

/// What comes of a report whose result, outputs and status are answered so.
async fn answered(answers: [u16; 3]) -> (Option<&'static str>, usize) {
    let plane = Plane::start(move |seen| match (seen.line.as_str(), answers) {
        (line, [status, ..]) if line.ends_with("/result") => refusal(status, "no"),
        (line, [_, status, _]) if line.ends_with("/outputs") => refusal(status, "no"),
        (_, [.., status]) => refusal(status, "no"),
    })
    .await;
    let answer = plane.client().report(&job(), &execution(), &succeeded()).await;
    (answer.err().as_ref().map(kind), plane.seen().len())
}

#[tokio::test]
async fn what_was_sent_before_is_not_in_the_way() {
    assert_eq!(answered([409, 409, 200]).await, (None, 3));
    assert_eq!(answered([409, 409, 409]).await, (Some("fenced"), 3));
    assert_eq!(answered([201, 201, 404]).await, (Some("fenced"), 3));
}

#[tokio::test]
async fn what_is_refused_for_good_does_not_hold_the_status_back() {
    assert_eq!(answered([413, 422, 200]).await, (None, 3));
    assert_eq!(answered([201, 403, 200]).await, (None, 3));
}

#[tokio::test]
async fn what_may_be_taken_later_is_tried_again_before_the_status() {
    assert_eq!(answered([503, 201, 200]).await, (Some("unavailable"), 1));
    assert_eq!(answered([401, 201, 200]).await, (Some("unauthorized"), 1));
    assert_eq!(answered([201, 500, 200]).await, (Some("unavailable"), 2));
    assert_eq!(answered([201, 201, 500]).await, (Some("unavailable"), 3));
}

#[tokio::test]
async fn phases_between_claim_and_end_are_told() {
    let plane = Plane::saying(|| ok(json!({}))).await;
    let client = plane.client();
    for phase in [Phase::Claimed, Phase::Preparing, Phase::Running, Phase::CleaningUp, Phase::Reported] {
        client.phase(&job(), &execution(), phase).await.expect("taken");
    }
    let told: Vec<_> = plane.seen().iter().map(|seen| seen.json()["status"].clone()).collect();
    assert_eq!(told, ["initializing", "in-progress", "cleaning-up"]);
    assert!(plane.lines().iter().all(|line| *line == lines()[2]));
}
