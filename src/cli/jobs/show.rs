//! Jobs on the screen.

use serde_json::Value;

use crate::cli::{Console, Exit};

/// A key's text; nothing when it is not there.
pub(super) fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

/// How a command ends that waited for the job.
pub(super) fn exit(job: &Value) -> Exit {
    match text(job, "status") {
        "finished" => Exit::Success,
        "timed-out" => Exit::TimedOut,
        "cancelled" => Exit::Cancelled,
        "not-attempted" => Exit::RunnerFailed,
        _ => Exit::JobFailed,
    }
}

/// One line of `jobs list`.
pub(super) fn row(console: Console, job: &Value) {
    let count = job["execution_count"].as_u64().unwrap_or_default();
    let times = if count == 1 { "1 execution" } else { &format!("{count} executions") };
    let created = text(job, "created_at").split('.').next().unwrap_or_default().trim_end_matches('Z');
    console.shown(format_args!("{:<26} {:<26} {:<13} {times:<13} {created}Z", text(job, "id"), text(job, "type"), text(job, "status")));
}

/// `jobs show`.
pub(super) fn details(console: Console, job: &Value) {
    for key in ["id", "type", "operation", "status", "status_description", "runner_id", "created_at", "started_at", "finished_at"] {
        if !text(job, key).is_empty() {
            console.shown(format_args!("{:<20} {}", key.replace('_', " "), text(job, key)));
        }
    }
    for execution in job["executions"].as_array().into_iter().flatten() {
        let (id, status, runner) = (text(execution, "id"), text(execution, "status"), text(execution, "runner_id"));
        let by = if runner.is_empty() { String::new() } else { format!(" on {runner}") };
        console.shown(format_args!("{:<20} {id} {status}{by}", "execution"));
    }
    artifacts(job).for_each(|artifact| console.shown(format_args!("{:<20} {artifact}", "artifact")));
    if let Some(failure) = failure(job) {
        console.shown(format_args!("{:<20} {failure}", "failure"));
    }
}

/// How it ended, beside a log that was followed.
pub(super) fn end(console: Console, job: &Value) {
    artifacts(job).for_each(|artifact| console.note(format_args!("pushed {artifact}")));
    console.note(format_args!("{} {} {}", text(job, "type"), text(job, "id"), text(job, "status")));
    if let Some(failure) = failure(job) {
        console.error(failure);
    }
}

/// What it made, each as one line that can be pasted.
pub(super) fn artifacts(job: &Value) -> impl Iterator<Item = String> {
    job["outputs"]["artifacts"].as_array().into_iter().flatten().map(|artifact| {
        let repository = text(artifact, "repository");
        let tag = if repository.starts_with('/') { String::new() } else { format!(":{}", text(artifact, "tag")) };
        format!("{repository}{tag}@{}", text(artifact, "digest"))
    })
}

/// Why it did not succeed, as its runner said it.
pub(super) fn failure(job: &Value) -> Option<String> {
    let why = &job["result"]["error_metadata"];
    let said = if text(why, "message").is_empty() { text(job, "status_description") } else { text(why, "message") };
    if said.is_empty() || text(job, "status") == "finished" {
        return None;
    }
    let step = if text(why, "step").is_empty() { String::new() } else { format!(" in step {}", text(why, "step")) };
    Some(if text(why, "kind").is_empty() { said.to_owned() } else { format!("{}{step}: {said}", text(why, "kind")) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_job_tells_how_it_ended() {
        let artifact = json!({"repository": "r.example.com/app", "tag": "1", "digest": "sha256:ab"});
        let job =
            json!({"status": "finished", "outputs": {"artifacts": [artifact, {"repository": "/out", "tag": "1", "digest": "sha256:cd"}]}});
        assert_eq!(artifacts(&job).collect::<Vec<_>>(), ["r.example.com/app:1@sha256:ab", "/out@sha256:cd"]);
        assert_eq!((exit(&job), failure(&job)), (Exit::Success, None));
        let why = json!({"kind": "ToolFailed", "step": "package", "message": "no"});
        let job = json!({"status": "failed", "status_description": "failed", "result": {"error_metadata": why}});
        assert_eq!((exit(&job), failure(&job).as_deref()), (Exit::JobFailed, Some("ToolFailed in step package: no")));
        let job = json!({"status": "timed-out", "status_description": "the lease expired"});
        assert_eq!((exit(&job), failure(&job).as_deref()), (Exit::TimedOut, Some("the lease expired")));
    }
}
