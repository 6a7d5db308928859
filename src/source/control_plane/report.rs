//! The end of an execution: result, then outputs, then the terminal status that makes both count.
//!
//! Each of the three may have been sent before: a result or outputs that are there already (409) are as good as taken, and the status
//! alone decides whether the execution is still ours. A result or outputs that the plane refuses for good do not hold the status back:
//! a job whose end nobody hears of is worse than one without details.

use reqwest::Method;

use super::{
    Client,
    wire::{ExecutionPatch, OutputsRequest, ResultRequest},
};
use crate::{
    job::{ExecutionId, JobId, Receipt},
    source::Error,
};

pub(super) async fn report(client: &Client, job: &JobId, execution: &ExecutionId, receipt: &Receipt) -> Result<(), Error> {
    let call = |method, last: &[&str]| {
        let segments: Vec<_> = ["executions", execution.as_str()].iter().chain(last).copied().collect();
        client.job_call(method, job, &segments)
    };
    let result = call(Method::POST, &["result"]).json(&ResultRequest::of(receipt));
    let sent = client.transport.tell(&result).await;
    dispensable("result", job, sent, false)?;
    if let Some(outputs) = OutputsRequest::of(receipt) {
        let outputs = call(Method::POST, &["outputs"]).json(&outputs);
        let sent = client.transport.tell(&outputs).await;
        // The same token was good a moment ago: what it lacks is the right to store outputs.
        dispensable("outputs", job, sent, true)?;
    }
    client.transport.tell(&call(Method::PATCH, &[]).json(&ExecutionPatch::from(receipt))).await
}

/// Only what may be better at the next try holds the status back.
fn dispensable(what: &str, job: &JobId, sent: Result<(), Error>, token_is_good: bool) -> Result<(), Error> {
    match sent {
        // There already, or not ours any more: the status tells.
        Ok(()) | Err(Error::Fenced(_)) => Ok(()),
        Err(error @ Error::Refused { .. }) => {
            tracing::warn!(%job, %error, "the control plane refuses the {what}; its status is reported without");
            Ok(())
        }
        Err(error @ Error::Unauthorized(_)) if token_is_good => {
            tracing::warn!(%job, %error, "the token may not store the {what}; the status is reported without");
            Ok(())
        }
        Err(error @ (Error::Unauthorized(_) | Error::Unavailable { .. } | Error::Cancelled)) => Err(error),
    }
}
