use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::job::{Artifact, CancelCause, Failure, FailureKind, Outcome, Outputs, Phase, Platform, Receipt, ReceiptOutcome};

/// As a hosted plane writes a job: nanoseconds, RFC 3339, nothing that is zero, and keys this build does not know.
fn hosted_job() -> Value {
    json!({
        "id": "jobaaaaaaaaaaaaaaaaaaaaaaa",
        "created_at": "2025-12-26T10:00:00.123456Z",
        "org_id": "orgaaaaaaaaaaaaaaaaaaaaaaa",
        "runner_id": "runaaaaaaaaaaaaaaaaaaaaaaa",
        "owner_id": "bldaaaaaaaaaaaaaaaaaaaaaaa",
        "owner_type": "component_builds",
        "log_stream_id": "logaaaaaaaaaaaaaaaaaaaaaaa",
        "execution_timeout": 300_000_000_000_i64,
        "max_executions": 1,
        "status": "available",
        "type": "helm-chart-build",
        "group": "build",
        "operation": "build",
        "executions": [{"id": "runbbbbbbbbbbbbbbbbbbbbbbb", "status": "cleaning-up", "result": null}],
        "metadata": {"component_name": "app"},
        "composite_status": {"new": ["in", "some", "version"]},
        "queue_timeout": null,
        "outputs": null,
    })
}

#[test]
fn a_hosted_job_is_read_and_written_as_it_is() {
    let job: Job = serde_json::from_value(hosted_job()).expect("readable");
    assert_eq!(job.execution_timeout.said(), Some(Duration::from_mins(5)));
    assert_eq!((job.queue_timeout.said(), job.status.clone()), (None, JobStatus::Available));
    assert_eq!(job.newest_execution().map(|execution| execution.status.clone()), Some(ExecutionStatus::CleaningUp));
    let mut expected = hosted_job();
    let object = expected.as_object_mut().expect("an object");
    for key in ["composite_status", "queue_timeout", "outputs"] {
        object.remove(key);
    }
    expected["executions"][0].as_object_mut().expect("an object").remove("result");
    assert_eq!(serde_json::to_value(&job).expect("JSON"), expected);
}

#[test]
fn every_status_has_the_name_of_the_api() {
    let names = |all: &[ExecutionStatus], terminal| -> Vec<String> {
        all.iter().filter(|status| status.is_terminal() == terminal).map(ToString::to_string).collect()
    };
    assert_eq!(names(ExecutionStatus::ALL, false), ["pending", "initializing", "in-progress", "cleaning-up"]);
    assert_eq!(names(ExecutionStatus::ALL, true), ["finished", "failed", "timed-out", "not-attempted", "cancelled"]);
    for status in JobStatus::ALL {
        assert_eq!(JobStatus::from(status.as_str()), *status);
    }
    let jobs: Vec<_> = JobStatus::ALL.iter().filter(|status| !status.is_terminal()).map(JobStatus::as_str).collect();
    assert_eq!(jobs, ["queued", "available", "in-progress"]);
    let odd: JobStatus = serde_json::from_str("\"paused\"").expect("any text");
    assert_eq!(odd, JobStatus::Unknown("paused".to_owned()));
    assert_eq!(serde_json::to_string(&odd).expect("JSON"), "\"paused\"");
    assert!(!odd.is_terminal());
}

#[test]
fn phases_and_outcomes_have_their_status() {
    let phases = [Phase::Claimed, Phase::Preparing, Phase::Running, Phase::Collecting, Phase::CleaningUp, Phase::Reported];
    let names: Vec<_> = phases.iter().map(|&phase| ExecutionStatus::of_phase(phase).map(|status| status.to_string())).collect();
    let expected = ["pending", "initializing", "in-progress", "in-progress", "cleaning-up"];
    assert_eq!(names[..5], expected.map(|name| Some(name.to_owned())));
    assert_eq!(names[5], None);
    for (outcome, status) in [
        (ReceiptOutcome::Succeeded, "finished"),
        (ReceiptOutcome::Failed, "failed"),
        (ReceiptOutcome::Cancelled, "cancelled"),
        (ReceiptOutcome::TimedOut, "timed-out"),
        (ReceiptOutcome::NotAttempted, "not-attempted"),
    ] {
        let status = ExecutionStatus::from(status);
        assert_eq!(ExecutionStatus::from(outcome), status);
        assert_eq!(status.of_job().map(|job| job.to_string()), Some(status.to_string()));
    }
}

fn receipt(outcome: Outcome) -> Receipt {
    let at = |second| jiff::Timestamp::from_second(second).expect("in range");
    Receipt::new("job1".parse().expect("an id"), "helm-chart-build", at(1), at(2), outcome)
}

#[test]
fn a_failure_is_told_with_everything_a_person_needs() {
    let failure = Failure::new(FailureKind::ToolFailed, "helm lint said no")
        .at_step("package")
        .with_tool("helm", Some(3))
        .with_evidence("stderr", "first")
        .with_evidence("stderr", "x".repeat(16 << 10))
        .with_evidence("stderr", "one")
        .with_evidence("stderr", "two");
    let receipt = receipt(Outcome::Failed(Box::new(failure)));
    let result = ResultRequest::of(&receipt);
    assert_eq!(serde_json::from_str::<Receipt>(&result.contents).expect("a receipt"), receipt);
    assert_eq!(
        serde_json::to_value(&result.error_metadata).expect("JSON"),
        json!({
            "step": "package", "tool": "helm", "exit_code": "3", "message": "helm lint said no", "error_output": "one\ntwo",
            "kind": "ToolFailed", "fault": "user", "retryable": "false", "job_type": "helm-chart-build", "handler": "build-runner",
        })
    );
    assert_eq!(OutputsRequest::of(&receipt), None);
    assert_eq!(ExecutionPatch::from(&receipt).status_description, "helm lint said no");
}

#[test]
fn outputs_carry_the_artifact_for_old_and_new_planes() {
    let artifact = Artifact {
        repository: "registry.example/charts/app".to_owned(),
        tag: "bld1".to_owned(),
        digest: format!("sha256:{}", "a".repeat(64)).parse().expect("a digest"),
        media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
        size: 77,
        platform: Some(Platform {
            os: "linux".to_owned(),
            architecture: "arm64".to_owned(),
            variant: None,
            os_version: Some("1".to_owned()),
        }),
    };
    let receipt = receipt(Outcome::Succeeded(Box::new(Outputs::of(artifact).with("chart", json!({"version": "1.0.0"})))));
    let request = OutputsRequest::of(&receipt).expect("outputs");
    let outputs = serde_json::to_value(&request).expect("JSON");
    assert_eq!(outputs["outputs"]["image"]["platform"], json!({"os": "linux", "architecture": "arm64", "os_version": "1"}));
    assert_eq!(outputs["outputs"]["image"]["digest"], outputs["outputs"]["artifacts"][0]["digest"]);
    assert_eq!(outputs["outputs"]["chart"]["version"], "1.0.0");
    let result = ResultRequest::of(&receipt);
    assert!(result.success && result.error_metadata.is_empty());
}

#[test]
fn the_result_says_what_was_copied() {
    let source = json!({
        "ref": "docker.io/library/nginx:1.27.1", "image": "nginx", "resolved_tag": "1.27.1", "digest": "sha256:ab", "media_type": "x/y",
        "resolved_at": "2026-01-02T03:04:05.000000006Z", "no_op": true,
    });
    let result = |source: Value| ResultRequest::of(&receipt(Outcome::Succeeded(Box::new(Outputs::default().with("source", source)))));
    let sent = serde_json::to_value(result(source)).expect("JSON");
    for (key, value) in [
        ("source_ref", json!("docker.io/library/nginx:1.27.1")),
        ("source_image", json!("nginx")),
        ("resolved_tag", json!("1.27.1")),
        ("source_digest", json!("sha256:ab")),
        ("source_media_type", json!("x/y")),
        ("resolved_at", json!("2026-01-02T03:04:05.000000006Z")),
        ("no_op", json!(true)),
    ] {
        assert_eq!(sent[key], value, "{key}");
    }
    // A source of git has a ref, too.
    let sent = serde_json::to_value(result(json!({"ref": "main", "digest": "x"}))).expect("JSON");
    assert!(sent.get("source_ref").is_none() && sent.get("source_digest").is_none(), "{sent}");
}

#[test]
fn a_cancelled_execution_has_a_result_and_no_outputs() {
    let receipt = receipt(Outcome::Cancelled(CancelCause::Requested));
    let result = ResultRequest::of(&receipt);
    assert!(!result.success && !result.contents.is_empty());
    assert_eq!((OutputsRequest::of(&receipt), ExecutionPatch::from(&receipt).status), (None, ExecutionStatus::Cancelled));
}

#[test]
fn a_heartbeat_always_says_how_long() {
    let beat = HeartbeatRequest { alive_time: Duration::ZERO.into(), version: "1.2.3".to_owned(), ..HeartbeatRequest::default() };
    assert_eq!(serde_json::to_value(beat).expect("JSON"), json!({"alive_time": 0, "version": "1.2.3"}));
    assert_eq!(serde_json::to_string(&Nanos(Duration::MAX)).expect("JSON"), i64::MAX.to_string());
    assert_eq!(serde_json::from_str::<Nanos>("-5").expect("a number"), Nanos::default());
}

#[test]
fn an_error_body_is_one_line() {
    let text = |value: Value| serde_json::from_value::<ApiError>(value).expect("readable").text();
    assert_eq!(text(json!({"error": "gone", "user_error": true, "description": "use another"})).as_deref(), Some("gone (use another)"));
    assert_eq!(text(json!({"error": "gone", "description": "gone"})).as_deref(), Some("gone"));
    assert_eq!(text(json!({"description": "use another"})).as_deref(), Some("use another"));
    assert_eq!(text(json!({"message": "x"})), None);
}

proptest::proptest! {
    #[test]
    fn no_json_panics(text in "[\\[\\]{}\":,a-z_0-9.\\-]{0,200}", status in "\\PC{0,40}", number in proptest::num::i64::ANY) {
        let _ = serde_json::from_str::<Job>(&text);
        let job = json!({"status": status, "execution_timeout": number, "executions": [{"status": status}]});
        let read: Job = serde_json::from_value(job).expect("readable");
        assert_eq!(read.status.as_str(), status);
        let written = serde_json::to_value(&read).expect("JSON");
        assert_eq!(serde_json::from_value::<Job>(written).expect("readable"), read);
    }
}
