//! Plans: there, absent, broken.

use super::*;
use crate::source::Source as _;

async fn plan(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Result<Value, Error> {
    Plane::start(script).await.client().plan(&job()).await
}

#[tokio::test]
async fn a_plan_is_text_that_holds_json() {
    let text = "\n{\"helm_build_plan\": {\"Chart\": \"x\"}} ";
    assert_eq!(plan(move |_| Reply::Text(200, "text/plain", text)).await, Ok(json!({"helm_build_plan": {"Chart": "x"}})));
    for empty in ["", " \n", "null"] {
        assert_eq!(plan(move |_| Reply::Text(200, "text/plain", empty)).await, Ok(Value::Null));
    }
}

#[tokio::test]
async fn a_missing_plan_of_a_job_that_is_there_is_an_empty_one() {
    let missing = |seen: &Seen| if seen.line.ends_with("/plan") { refusal(404, "record not found") } else { ok(json!({"id": "job1"})) };
    assert_eq!(plan(missing).await, Ok(Value::Null));
    let error = plan(|_| refusal(404, "record not found")).await.expect_err("no job");
    assert_eq!(error, Error::Fenced("GET /v1/runner-jobs/job1/plan: status 404: record not found".to_owned()));
    assert_eq!(kind(&plan(|_| refusal(409, "still planning")).await.expect_err("not ready")), "unavailable");
}

#[tokio::test]
async fn a_broken_plan_is_refused_without_a_word_of_it() {
    let error = plan(|_| Reply::Text(200, "text/plain", "{\"password\": hunter2}")).await.expect_err("not JSON");
    assert_eq!(kind(&error), "refused");
    assert_eq!(error.to_string(), "GET /v1/runner-jobs/job1/plan: the plan is not JSON from line 1, column 14 on");
    for other in ["<html>Log in</html>", "{\"password\": \"hunt"] {
        let error = plan(move |_| Reply::Text(200, "text/plain", other)).await.expect_err("not a plan");
        assert!(kind(&error) == "unavailable" && !error.to_string().contains("hunt"), "{error}");
    }
}
