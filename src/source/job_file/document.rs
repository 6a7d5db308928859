//! The text of a job file to jobs.

use std::{collections::BTreeMap, path::Path};

use crate::{
    job::{JobId, JobType, Operation},
    plan::{Decode, Defect, Fields, Plan, Reader, Strictness, SyntaxError, Timeouts, one_of},
    yaml::{self, Dialect, Limits, Node},
};

use super::{JobFile, Located, Mistake, Portable, Rejected, error::label, text};

/// Keys of a job file.
const FIELDS: Fields = &[&["type"], &["plan"], &["id"], &["operation"], &["timeouts"], &["metadata"]];
/// More jobs than anybody starts with one command.
const MAX_JOBS: usize = 100;

pub(super) fn jobs(text: &str, path: &Path, base: &Path) -> Result<Vec<JobFile>, Rejected> {
    let documents = documents(text, path)
        .map_err(|error| Rejected(vec![Located { file: label(path), at: error.at, mistake: Mistake::Document(error.problem) }]))?;
    let (mut jobs, mut mistakes) = (Vec::new(), Vec::new());
    // `---` at the end or twice in a row makes an empty document.
    for node in documents.iter().filter(|node| !node.is_null()) {
        match job(node, path, base) {
            Ok(job) => jobs.push(job),
            Err(more) => mistakes.extend(more),
        }
    }
    if jobs.is_empty() && mistakes.is_empty() {
        mistakes.push(Located { file: label(path), at: None, mistake: Mistake::Empty });
    }
    if mistakes.is_empty() { Ok(jobs) } else { Err(Rejected(mistakes)) }
}

/// What begins like JSON is read as JSON, whose messages are clearer; YAML in flow style begins the same and gets its chance.
fn documents(text: &str, path: &Path) -> Result<Vec<Node>, yaml::Error> {
    let limits = Limits { documents: MAX_JOBS, ..Limits::default() };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let yaml = || yaml::parse_with(text, Dialect::Core, limits);
    if !text.trim_start().starts_with(['{', '[']) {
        return yaml();
    }
    match yaml::parse_json(text, limits) {
        Ok(node) => Ok(vec![node]),
        Err(error) if !matches!(error.problem, yaml::Problem::Syntax(_)) => Err(error),
        Err(error) => match path.extension().and_then(|extension| extension.to_str()) {
            Some("yaml" | "yml") => yaml(),
            _ => Err(error),
        },
    }
}

fn job(node: &Node, path: &Path, base: &Path) -> Result<JobFile, Vec<Located>> {
    let load = |path: &str| text::secret(base, path);
    let mut reader = Reader::new(Strictness::JobFile, Some(&load));
    let parts = parts(node, &mut reader);
    reader.problems.sort_by_key(|problem| problem.at);
    if let Some((id, job_type, operation, timeouts, metadata, plan)) = parts.filter(|_| reader.problems.is_empty()) {
        let id_at = node.get("id").and_then(|id| id.at);
        let plan_at = node.get("plan").unwrap_or(node).at;
        let portable = Portable::new(node, reader.from_here);
        let (secrets, base, path) = (reader.secrets, base.to_owned(), path.to_owned());
        return Ok(JobFile { id, job_type, operation, timeouts, metadata, plan, secrets, base, path, portable, id_at, plan_at });
    }
    let locate = |problem: crate::plan::Problem| Located {
        file: label(path),
        at: problem.at,
        mistake: Mistake::Plan { path: problem.path, defect: problem.defect },
    };
    Err(reader.problems.into_iter().map(locate).collect())
}

type Parts = (Option<JobId>, JobType, Operation, Timeouts, BTreeMap<String, String>, Plan);

fn parts(node: &Node, r: &mut Reader<'_>) -> Option<Parts> {
    let object = r.object(node, FIELDS)?;
    let job_type: Option<JobType> = object.field(r, "type");
    let id: Option<Option<JobId>> = object.field(r, "id");
    let timeouts: Option<Option<Timeouts>> = object.field(r, "timeouts");
    let metadata = object.field(r, "metadata");
    // Without a type there is no telling what operation and plan should be.
    let job_type = job_type?;
    let operation = match object.entry("operation").filter(|entry| !entry.value.is_null()) {
        None => Plan::operations(job_type).first().copied(),
        Some(entry) => r.within("operation", |r| {
            one_of(&entry.value, r, "an operation of this job type", Plan::operations(job_type), Operation::as_str)
        }),
    };
    let plan = match object.entry("plan") {
        Some(entry) if !(entry.value.is_null() && Plan::may_be_absent(job_type)) => {
            r.within("plan", |r| Plan::read(job_type, &entry.value, r))
        }
        _ if Plan::may_be_absent(job_type) => Plan::read(job_type, &Node { kind: yaml::Kind::Mapping(Vec::new()), at: node.at }, r),
        _ => {
            object.report(r, "plan", Defect::Missing { expected: "an object with the plan of the job" });
            None
        }
    };
    Some((id?, job_type, operation?, timeouts?.unwrap_or_default(), metadata?, plan?))
}

impl Decode for JobType {
    const WHAT: &'static str = "the type of the job, such as helm-chart-build";

    fn decode(node: &Node, r: &mut Reader<'_>) -> Option<Self> {
        one_of(node, r, "a job type", Self::ALL, Self::as_str)
    }
}

impl Decode for JobId {
    const WHAT: &'static str = "an id";

    fn decode(node: &Node, r: &mut Reader<'_>) -> Option<Self> {
        let text = String::decode_field(node, r)?;
        let id = text.parse().ok();
        if id.is_none() {
            let rule = "use 1 to 63 letters, digits, '-', '_' or '.', beginning with a letter or digit";
            r.report(node.at, SyntaxError::Name { value: crate::plan::shown(&text), what: "an id", rule });
        }
        id
    }
}
