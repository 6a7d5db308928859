//! Taking a job in: a job file's object, checked as strictly as a job file, with every mistake in one answer.
//!
//! Differences to a job file on disk: secrets cannot come from files and local folders have to be absolute, because both are relative to
//! somebody else's machine; and there are keys for what only a control plane has (`runner_id`, `max_executions`).

use std::{collections::BTreeMap, time::Duration};

use aws_lc_rs::digest;
use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use secrecy::SecretString;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{executions::short_header, view::JobView};
use crate::{
    job::{JobId, JobType, Operation, RunnerId},
    plan::{Fields, GoDuration, Plan, Problem, Reader, Strictness, Timeouts, one_of, used_by},
    server::{
        auth::Operator,
        body::Incoming,
        error::{ErrorBody, FieldProblem, Refusal},
        state::Shared,
        store::{self, NewJob, SubmitKey, Submitted},
    },
    source::control_plane::wire,
    yaml::{Kind, Node},
};

/// Keys of a submitted job: those of a job file, and two that only a control plane understands.
const FIELDS: Fields = &[&["type"], &["plan"], &["id"], &["operation"], &["timeouts"], &["metadata"], &["runner_id"], &["max_executions"]];
/// More executions than anybody wants.
const MAX_EXECUTIONS: u32 = 100;

/// A job to be, as in a job file. Describes the body in the API's document; the body itself is read by the plan reader, which knows near misses.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NewJobBody {
    /// A job type.
    #[schema(example = "helm-chart-build")]
    r#type: String,
    /// The plan of that type; `build-runner explain` describes each.
    #[schema(value_type = Object)]
    plan: Value,
    /// Its id; made up when absent.
    id: Option<String>,
    /// What to do with the plan; the type's usual operation when absent.
    operation: Option<String>,
    /// Limits of time, `{"execution": "5m", "overall": "1h"}`.
    #[schema(value_type = Option<Object>)]
    timeouts: Option<Value>,
    /// Passed on to the runner.
    metadata: Option<BTreeMap<String, String>>,
    /// The only runner that may claim it.
    runner_id: Option<String>,
    /// How many executions there may be when leases run out; 1 when absent.
    max_executions: Option<u32>,
}

/// Submits a job. It is available to runners at once.
#[utoipa::path(post, path = "/v1/jobs", tag = "operator", security(("token" = [])), request_body = NewJobBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key and body give the same job.")),
    responses((status = 201, body = JobView), (status = 200, description = "It was submitted before, with this key.", body = JobView),
        (status = 409, description = "The key belongs to another body, or the id to another job.", body = ErrorBody),
        (status = 422, description = "Every mistake in the job.", body = ErrorBody), (status = "default", body = ErrorBody)))]
pub(crate) async fn submit(
    _: Operator,
    State(plane): Shared,
    headers: HeaderMap,
    body: Incoming,
) -> Result<(StatusCode, Json<JobView>), Refusal> {
    let key = short_header(&headers, wire::IDEMPOTENCY_KEY)?;
    let body: Value = body.json(plane.limits.submit, &plane.limits).await?;
    let key = key.map(|key| SubmitKey { key, body: fingerprint(&body) });
    let job = check(&body).map_err(Refusal::invalid)?;
    let (timeouts, now) = (job.timeouts, plane.now());
    let (status, job) = match plane.store.submit(job, key, now).await? {
        Submitted::Created(job) => (StatusCode::CREATED, job),
        Submitted::Replayed(job) => (StatusCode::OK, job),
        Submitted::KeyReused(job) => {
            let description = format!("the Idempotency-Key was used for job '{job}' with another body: use a new key for a new job");
            return Err(Refusal::conflict("idempotency key reused", description));
        }
    };
    plane.watch_clocks(&timeouts, now);
    Ok((status, Json(job.into())))
}

/// What tells bodies apart: their content, not their spacing.
fn fingerprint(body: &Value) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, body.to_string().as_bytes()).as_ref());
    bytes
}

/// The job, or everything that is wrong with it.
fn check(body: &Value) -> Result<NewJob, Vec<FieldProblem>> {
    let node = Node::from(body.clone());
    let mut reader = Reader::new(Strictness::JobFile, None);
    let job = read(&node, body, &mut reader);
    let mut problems: Vec<_> = reader.problems.iter().map(shown).collect();
    let job = job.map_err(|more| problems.extend(more));
    match job {
        Ok(Some(job)) if problems.is_empty() => Ok(job),
        _ => Err(problems),
    }
}

fn shown(problem: &Problem) -> FieldProblem {
    FieldProblem { path: problem.path.clone(), message: problem.defect.to_string() }
}

/// `Ok(None)` when the reader has noted mistakes; `Err` with those that it does not know.
fn read(node: &Node, body: &Value, r: &mut Reader<'_>) -> Result<Option<NewJob>, Vec<FieldProblem>> {
    let Some(object) = r.object(node, FIELDS) else { return Ok(None) };
    let job_type: Option<JobType> = object.field(r, "type");
    let id: Option<Option<JobId>> = object.field(r, "id");
    let timeouts: Option<Option<Timeouts>> = object.field(r, "timeouts");
    let metadata: Option<BTreeMap<String, String>> = object.field(r, "metadata");
    let runner: Option<Option<String>> = object.field(r, "runner_id");
    let executions: Option<Option<i64>> = object.field(r, "max_executions");
    let mut problems = Vec::new();
    let runner = runner.flatten().and_then(|text| noted(text.parse::<RunnerId>(), "runner_id", &mut problems));
    let max_executions = executions.flatten().unwrap_or(1);
    let max_executions = u32::try_from(max_executions).ok().filter(|count| (1..=MAX_EXECUTIONS).contains(count));
    if max_executions.is_none() {
        let message = format!("has to be between 1 and {MAX_EXECUTIONS}");
        problems.push(FieldProblem { path: "max_executions".to_owned(), message });
    }
    // Without a type there is no telling what operation and plan should be.
    let Some(job_type) = job_type else { return Err(problems) };
    let operation = match object.entry("operation").filter(|entry| !entry.value.is_null()) {
        None => Plan::operations(job_type).first().copied(),
        Some(entry) => r.within("operation", |r| {
            one_of(&entry.value, r, "an operation of this job type", Plan::operations(job_type), Operation::as_str)
        }),
    };
    let nothing = Node { kind: Kind::Mapping(Vec::new()), at: None };
    let given = object.entry("plan").map(|entry| &entry.value).filter(|plan| !plan.is_null());
    let plan = match given {
        None if !Plan::may_be_absent(job_type) => {
            let message = "required key is missing; add an object with the plan of the job".to_owned();
            problems.push(FieldProblem { path: "plan".to_owned(), message });
            None
        }
        given => r.within("plan", |r| Plan::read(job_type, given.unwrap_or(&nothing), r)),
    };
    if let Some(plan) = &plan {
        problems.extend(plan.check_destination().err().into_iter().flatten().map(|problem| {
            let what = if problem.path == "plan.dst_tag" { "the tag to push" } else { "an object with RegistryType and Repository" };
            FieldProblem { message: format!("required key is missing; add {what}"), path: problem.path }
        }));
        let folders = used_by(plan, std::mem::take(&mut r.folders));
        problems.extend(folders.into_iter().filter(|local| !local.folder.is_absolute()).map(|local| FieldProblem {
            path: local.key,
            message: "is a relative folder, which means nothing on the runner's machine; give an absolute one, or an address".to_owned(),
        }));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let (Some(id), Some(timeouts), Some(metadata), Some(operation), Some(_), Some(max_executions)) =
        (id, timeouts, metadata, operation, plan, max_executions)
    else {
        return Ok(None);
    };
    let timeouts = timeouts.unwrap_or_default();
    // As it was written, not as it was read: a runner that knows more than this control plane should not get less.
    let plan = body.get("plan").filter(|plan| !plan.is_null()).map_or_else(|| "{}".to_owned(), Value::to_string);
    Ok(Some(NewJob {
        id,
        job_type: job_type.to_string(),
        group: job_type.group().to_string(),
        operation: operation.to_string(),
        plan: SecretString::from(plan),
        metadata,
        runner,
        owner_id: String::new(),
        owner_type: String::new(),
        timeouts: store::Timeouts {
            available: Duration::ZERO,
            execution: timeouts.execution.map_or(job_type.default_timeout(), GoDuration::get),
            overall: timeouts.overall.map_or(Duration::ZERO, GoDuration::get),
        },
        max_executions,
    }))
}

fn noted<T, E: std::fmt::Display>(result: Result<T, E>, path: &str, problems: &mut Vec<FieldProblem>) -> Option<T> {
    result.map_err(|error| problems.push(FieldProblem { path: path.to_owned(), message: error.to_string() })).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn problems(body: &Value) -> Vec<String> {
        let found = check(body).expect_err("wrong");
        found.into_iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect()
    }

    #[test]
    fn every_mistake_is_told_with_its_field() {
        let found = problems(&json!({
            "type": "helm-chart-build", "operaton": "build", "max_executions": 0, "runner_id": "../x",
            "plan": {"git_source": {"url": "charts"}, "dst_registry": {"RegistryType": "oci_layout", "Repository": "out"}, "helm_build_plan": {"x": 1}},
        }));
        for field in ["operaton: unknown key; did you mean 'operation'?", "max_executions:", "runner_id:", "plan.helm_build_plan.x:"] {
            assert!(found.iter().any(|line| line.starts_with(field)), "{field} in {found:#?}");
        }
        let found = problems(&json!({
            "type": "helm-chart-build",
            "plan": {"git_source": {"url": "charts"}, "dst_registry": {"RegistryType": "oci_layout", "Repository": "out"}, "helm_build_plan": {}},
        }));
        assert_eq!(found.len(), 2, "{found:#?}");
        assert!(found[0].starts_with("plan.git_source.url: is a relative folder"));
    }

    #[test]
    fn an_unknown_type_is_answered_with_the_known_ones_and_secret_files_are_not_read() {
        let found = problems(&json!({"type": "helm"}));
        assert!(found[0].starts_with("type: ") && JobType::ALL.iter().all(|kind| found[0].contains(kind.as_str())), "{found:#?}");
        let plan = json!({"image": "x", "tag": "1", "dst_registry": {"RegistryType": "private_oci", "Repository": "h.io/x",
            "OCIAuth": {"Username": "u", "Password": {"file": "/etc/hostname"}}}, "container_image_pull_plan": {"image": "h.io/a", "tag": "1"}});
        let found = problems(&json!({"type": "container-image-build", "plan": plan}));
        assert!(found.iter().any(|line| line.contains("Password.file: secrets from files")), "{found:#?}");
    }

    #[test]
    fn what_is_left_out_has_its_usual_value() {
        let job = check(&json!({"type": "noop"})).expect("complete");
        assert_eq!((job.group.as_str(), job.operation.as_str(), job.max_executions), ("operations", "exec", 1));
        assert_eq!(job.timeouts.execution, Duration::from_mins(5));
        let job = check(&json!({"type": "noop", "timeouts": {"execution": "2m", "overall": "1h"}, "max_executions": 3})).expect("complete");
        assert_eq!((job.timeouts.overall, job.max_executions), (Duration::from_hours(1), 3));
    }

    #[test]
    fn bodies_are_told_apart_by_content() {
        assert_eq!(fingerprint(&json!({"a": 1})), fingerprint(&serde_json::from_str("{ \"a\" : 1 }").expect("JSON")));
        assert_ne!(fingerprint(&json!({"a": 1})), fingerprint(&json!({"a": 2})));
    }
}
