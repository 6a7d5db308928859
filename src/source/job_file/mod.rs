//! Job files: jobs that a person wrote down, JSON or YAML.
//!
//! In: paths (`-` is standard input). Out: [`JobFile`]s with a decoded, checked plan, or every mistake in every file, each with its place.
//! Invariants: bounded; an unknown key is an error; several documents of a YAML file are several jobs; ids are unique over all files;
//! reads nothing but the files and the secret files they name. Called by `cli`.

mod document;
mod error;
mod portable;
#[cfg(test)]
mod tests;
mod text;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use secrecy::SecretString;

pub use error::{Located, Mistake, Rejected};
pub use portable::Portable;

use crate::{
    job::{JobId, JobType, Operation},
    plan::{Plan, Problem, Timeouts},
    yaml::Position,
};

/// One job of a job file.
#[derive(Debug)]
pub struct JobFile {
    /// Its id, if it has one.
    pub id: Option<JobId>,
    /// What it asks for.
    pub job_type: JobType,
    /// What to do with the plan; the usual thing for the type unless the file says otherwise.
    pub operation: Operation,
    /// Limits of time.
    pub timeouts: Timeouts,
    /// Passed on with log records.
    pub metadata: BTreeMap<String, String>,
    /// What to do.
    pub plan: Plan,
    /// Every secret in the plan, for the redaction of logs.
    pub secrets: Vec<SecretString>,
    /// Absolute folder that relative paths in the plan are relative to.
    pub base: PathBuf,
    /// The file, as it was named.
    pub path: PathBuf,
    /// The job for a machine elsewhere.
    pub portable: Portable,
    /// Where its id is in it.
    pub(crate) id_at: Option<Position>,
    /// Where the plan begins in it.
    pub(crate) plan_at: Option<Position>,
}

impl JobFile {
    /// The mistakes of a job that makes an artifact and does not say where it goes; to be asked once overrides are in.
    pub fn check_destination(&self) -> Result<(), Rejected> {
        self.plan.check_destination().map_err(|problems| {
            let place = |problem: Problem| Located {
                file: error::label(&self.path),
                at: self.plan_at,
                mistake: Mistake::Plan { path: problem.path, defect: problem.defect },
            };
            Rejected(problems.into_iter().map(place).collect())
        })
    }
}

/// Reads every job of every file. All files are read before the first mistake counts.
pub fn read_all<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Result<Vec<JobFile>, Rejected> {
    let (mut jobs, mut mistakes) = (Vec::new(), Vec::new());
    for path in paths {
        match read(path.as_ref()) {
            Ok(more) => jobs.extend(more),
            Err(Rejected(more)) => mistakes.extend(more),
        }
    }
    mistakes.extend(repeated_ids(&jobs));
    if mistakes.is_empty() { Ok(jobs) } else { Err(Rejected(mistakes)) }
}

/// Reads every job of one file; `-` is standard input.
pub fn read(path: &Path) -> Result<Vec<JobFile>, Rejected> {
    let reject = |mistake| Rejected(vec![Located { file: error::label(path), at: None, mistake }]);
    let text = text::load(path).map_err(reject)?;
    let base = text::base(path).map_err(reject)?;
    parse(&text, path, &base)
}

/// Reads every job of a text. `path` is for messages and for its extension; `base` is what relative paths are relative to.
pub fn parse(text: &str, path: &Path, base: &Path) -> Result<Vec<JobFile>, Rejected> {
    document::jobs(text, path, base)
}

fn repeated_ids(jobs: &[JobFile]) -> Vec<Located> {
    let mut seen = std::collections::HashSet::new();
    let twice = jobs.iter().filter(|job| job.id.as_ref().is_some_and(|id| !seen.insert(id)));
    twice
        .filter_map(|job| Some(Located { file: error::label(&job.path), at: job.id_at, mistake: Mistake::RepeatedId(job.id.clone()?) }))
        .collect()
}
