//! Fetching the plan of a job.
//!
//! A plan is text that holds JSON. It may be absent: some job types need none, and a plane says so with an empty body or with 404 for the
//! plan of a job it has. Whether that is good enough is for who decodes it to say. Messages never quote a plan: plans hold credentials.

use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::{Client, transport::unavailable};
use crate::{job::JobId, source::Error};

/// Most bytes of a plan.
const MAX_PLAN: usize = 16 << 20;

pub(super) async fn plan(client: &Client, job: &JobId) -> Result<Value, Error> {
    let mut call = client.job_call(Method::GET, job, &["plan"]);
    call.limit = MAX_PLAN;
    let answer = client.transport.send(&call).await?;
    // Nothing in this request names an execution, so it cannot be about a lost one: the plan is not ready.
    if answer.status == StatusCode::CONFLICT {
        return Err(unavailable(format!("{}: not ready: {}", call.name(), answer.text())));
    }
    let answer = match answer.success(&call) {
        Err(Error::Fenced(message)) => {
            let known = client.transport.success(&client.job_call(Method::GET, job, &[])).await;
            return known
                .map(|_| Value::Null)
                .map_err(|error| if matches!(error, Error::Fenced(_)) { Error::Fenced(message) } else { error });
        }
        answer => answer?,
    };
    let text = answer.body.trim_ascii();
    if text.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(text).map_err(|error| {
        let message = format!("{}: the plan is not JSON", call.name());
        if answer.is_page() || error.is_eof() {
            return unavailable(format!("{message}, but {}", if answer.is_page() { "a web page" } else { "cut short" }));
        }
        let message = format!("{message} from line {}, column {} on", error.line(), error.column());
        Error::Refused { status: answer.status.as_u16(), message }
    })
}
