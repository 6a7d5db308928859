//! The statement that is signed: in-toto with SLSA provenance v1 (in-toto attestation `statement.md` v1, slsa.dev/spec/v1.0/provenance).
//!
//! Inputs: what an executor wrote down, what was pushed, when and by whom. Outputs: the statement as JSON; of a foreign one, what people want to
//! know. Invariants: known secrets are masked in every text of it; two statements about the same build differ in `runDetails.metadata` alone.

use std::collections::HashSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::record::Record;
use crate::{
    digest::Digest,
    job::{Artifact, ExecutionId, JobType},
    logs::JobLog,
    oci::Repository,
};

/// Type of statements.
const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// Type of what a statement says about its subjects.
pub const SLSA_PROVENANCE: &str = "https://slsa.dev/provenance/v1";
/// Who built it: a promise about how, so it changes with the promise and not with the version.
const BUILDER: &str = "https://build-runner.dev/runner";

/// What everybody knows about an execution.
#[derive(Debug, Clone, Copy)]
pub struct Occasion<'a> {
    /// The type of the job.
    pub job_type: JobType,
    /// The execution.
    pub execution: &'a ExecutionId,
    /// When it began.
    pub started_at: Timestamp,
    /// When its artifacts were there.
    pub finished_at: Timestamp,
}

/// The statement about `artifacts`, the first of which it will be attached to.
pub(super) fn statement(record: &Record, artifacts: &[Artifact], occasion: Occasion<'_>, log: &JobLog) -> Value {
    let mut seen = HashSet::new();
    let subjects: Vec<_> = artifacts
        .iter()
        .filter(|artifact| seen.insert(&artifact.digest))
        .map(|artifact| {
            let digest = &artifact.digest;
            json!({"name": name(&record.repository), "digest": {digest.algorithm().as_str(): digest.hex()}})
        })
        .collect();
    let mut statement = json!({
        "_type": STATEMENT,
        "subject": subjects,
        "predicateType": SLSA_PROVENANCE,
        "predicate": {
            "buildDefinition": {
                "buildType": format!("https://build-runner.dev/build-types/{}/v1", occasion.job_type),
                "externalParameters": record.parameters,
                "resolvedDependencies": record.materials,
            },
            "runDetails": {
                "builder": {"id": BUILDER, "version": {"build-runner": env!("CARGO_PKG_VERSION")}},
                "metadata": {
                    "invocationId": occasion.execution.as_str(),
                    "startedOn": seconds(occasion.started_at),
                    "finishedOn": seconds(occasion.finished_at),
                },
            },
        },
    });
    mask(&mut statement, log);
    statement
}

/// A layout is called by the name of its folder: where that is says something about this machine, and nothing about the artifact.
fn name(repository: &Repository) -> String {
    match repository {
        Repository::Registry(registry) => registry.display(),
        Repository::Layout(layout) => layout.path().file_name().unwrap_or_default().to_string_lossy().into_owned(),
    }
}

/// RFC 3339 in whole seconds.
pub(super) fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Masks known secrets in texts and in the names of fields.
fn mask(value: &mut Value, log: &JobLog) {
    match value {
        Value::String(text) => *text = log.redact(text),
        Value::Array(items) => items.iter_mut().for_each(|item| mask(item, log)),
        Value::Object(fields) => {
            for (key, mut field) in std::mem::take(fields) {
                mask(&mut field, log);
                fields.insert(log.redact(&key), field);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether two statements say the same, whoever said it when.
pub(super) fn same_build(one: &Value, other: &Value) -> bool {
    let timeless = |statement: &Value| {
        let mut statement = statement.clone();
        if let Some(details) = statement.pointer_mut("/predicate/runDetails").and_then(Value::as_object_mut) {
            details.remove("metadata");
        }
        statement
    };
    timeless(one) == timeless(other)
}

/// A statement of somebody, with the questions that are asked of it.
#[derive(Debug, Clone)]
pub struct Statement(Value);

/// Why a statement does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// Not JSON, or not of that shape.
    #[error("its statement is damaged: {0}")]
    Malformed(String),
    /// Some other kind of document.
    #[error("its content is '{0}', not an in-toto statement")]
    Type(String),
    /// It says something else than where things come from.
    #[error("its statement is of type '{0}', not SLSA provenance v1")]
    Predicate(String),
    /// It is about something else.
    #[error("its statement is about another artifact: {0}")]
    Subject(String),
}

impl Statement {
    /// Reads a statement.
    ///
    /// # Errors
    /// When it is no provenance.
    pub fn parse(payload: &[u8]) -> Result<Self, StatementError> {
        let value: Value = serde_json::from_slice(payload).map_err(|error| StatementError::Malformed(error.to_string()))?;
        let text = |key: &str| value[key].as_str().unwrap_or_default().chars().take(200).collect::<String>();
        // Version 0.1 of statements differs in its name alone, and SLSA's own tools write it.
        if !matches!(value["_type"].as_str(), Some(STATEMENT | "https://in-toto.io/Statement/v0.1")) {
            return Err(StatementError::Type(text("_type")));
        }
        if value["predicateType"] != SLSA_PROVENANCE {
            return Err(StatementError::Predicate(text("predicateType")));
        }
        if !value["predicate"].is_object() {
            return Err(StatementError::Malformed("it has no predicate".to_owned()));
        }
        Ok(Self(value))
    }

    /// Whether it is about that manifest.
    ///
    /// # Errors
    /// What it is about instead.
    pub fn check_subject(&self, digest: &Digest) -> Result<(), StatementError> {
        let of = |subject: &Value| subject["digest"][digest.algorithm().as_str()].as_str().map(str::to_owned);
        let subjects: Vec<_> = self.0["subject"].as_array().into_iter().flatten().filter_map(of).collect();
        if subjects.iter().any(|hex| hex == digest.hex()) {
            return Ok(());
        }
        let first = subjects.first().map_or("nothing with a digest", String::as_str);
        Err(StatementError::Subject(first.chars().take(128).collect()))
    }

    /// The whole of it.
    #[must_use]
    pub const fn value(&self) -> &Value {
        &self.0
    }

    fn at(&self, pointer: &str) -> &Value {
        self.0["predicate"].pointer(pointer).unwrap_or(&Value::Null)
    }

    /// `runDetails.builder`: `id` and `version`.
    #[must_use]
    pub fn builder(&self) -> &Value {
        self.at("/runDetails/builder")
    }

    /// `buildDefinition.buildType`.
    #[must_use]
    pub fn build_type(&self) -> &str {
        self.at("/buildDefinition/buildType").as_str().unwrap_or_default()
    }

    /// `buildDefinition.externalParameters`.
    #[must_use]
    pub fn parameters(&self) -> &Value {
        self.at("/buildDefinition/externalParameters")
    }

    /// `buildDefinition.resolvedDependencies`.
    #[must_use]
    pub fn materials(&self) -> &[Value] {
        self.at("/buildDefinition/resolvedDependencies").as_array().map_or(&[], Vec::as_slice)
    }

    /// The first material that is a commit.
    #[must_use]
    pub fn source(&self) -> Option<&Value> {
        self.materials().iter().find(|material| material["digest"]["gitCommit"].is_string())
    }

    /// `runDetails.metadata`: `invocationId`, `startedOn`, `finishedOn`.
    #[must_use]
    pub fn metadata(&self) -> &Value {
        self.at("/runDetails/metadata")
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{
        oci::{Client, Location, Settings},
        provenance::Material,
    };

    fn made(secret: &str) -> (Value, Digest) {
        let client = Client::new(Settings::default()).expect("a client");
        let repository = client.open(&Location::layout(Path::new("out/charts"), Path::new("/nowhere"))).expect("a layout");
        let record = Record::new(repository).parameter("labels", json!({"token": secret, secret: "x"})).material([Material::commit(
            "https://git/repo",
            Some("main"),
            &"a".repeat(40),
        )]);
        let digest = Digest::of(b"manifest");
        let artifact = Artifact {
            repository: "/nowhere/out/charts".into(),
            tag: "1".into(),
            digest: digest.clone(),
            media_type: "m".into(),
            size: 1,
            platform: None,
        };
        let log = JobLog::discard();
        log.add_secret("hunter2-and-more");
        let execution = ExecutionId::generate();
        let now = Timestamp::now();
        let occasion = Occasion { job_type: JobType::HelmChartBuild, execution: &execution, started_at: now, finished_at: now };
        (statement(&record, &[artifact.clone(), artifact], occasion, &log), digest)
    }

    #[test]
    fn what_is_written_has_the_shape_of_slsa_and_no_secret() {
        let (value, digest) = made("hunter2-and-more");
        let text = value.to_string();
        assert!(!text.contains("hunter2") && !text.contains("nowhere"), "{text}");
        assert_eq!(value["subject"], json!([{"name": "charts", "digest": {"sha256": digest.hex()}}]));
        let statement = Statement::parse(text.as_bytes()).expect("reads");
        assert_eq!(statement.check_subject(&digest), Ok(()));
        assert_eq!(statement.build_type(), "https://build-runner.dev/build-types/helm-chart-build/v1");
        assert_eq!(statement.source().expect("a source")["uri"], "git+https://git/repo@main");
        let other = statement.check_subject(&Digest::of(b"other")).expect_err("another");
        assert_eq!(other, StatementError::Subject(digest.hex().to_owned()));
    }

    #[test]
    fn statements_of_one_build_are_the_same_and_of_others_are_not() {
        let ((one, _), (two, _), (other, _)) = (made("a-value"), made("a-value"), made("other"));
        assert_ne!(one, two, "invocations differ");
        assert!(same_build(&one, &two) && !same_build(&one, &other));
    }

    #[test]
    fn other_documents_are_told_apart() {
        let (good, _) = made("a-value");
        let with = |key: &str, value: Value| {
            let mut changed = good.clone();
            changed[key] = value;
            Statement::parse(changed.to_string().as_bytes()).expect_err("no provenance")
        };
        assert_eq!(with("_type", json!("x")), StatementError::Type("x".into()));
        assert_eq!(
            with("predicateType", json!("https://spdx.dev/Document")),
            StatementError::Predicate("https://spdx.dev/Document".into())
        );
        assert_eq!(with("predicate", json!([])), StatementError::Malformed("it has no predicate".into()));
        assert!(matches!(Statement::parse(b"{"), Err(StatementError::Malformed(_))));
        assert_eq!(Statement::parse(b"[]").expect_err("a list"), StatementError::Type(String::new()));
    }
}
