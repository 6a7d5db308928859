//! What can be wrong with a job file, said with file, line and column.

use std::{fmt, path::Path};

use crate::{
    job::{Failure, FailureKind, JobId},
    plan::Defect,
    yaml::{self, Position},
};

/// The mistake itself.
#[derive(Debug, thiserror::Error)]
pub enum Mistake {
    /// The file cannot be read.
    #[error("cannot be read: {0}; check the path and its permissions")]
    Unreadable(std::io::ErrorKind),
    /// The file is too big to be a job file.
    #[error("is bigger than {0} bytes; a job file holds plans, not content")]
    TooBig(u64),
    /// The file is not text.
    #[error("is not UTF-8 text from byte {0} on; save it as UTF-8")]
    NotText(usize),
    /// The file is not YAML or JSON.
    #[error("{0}")]
    Document(yaml::Problem),
    /// The file has no job.
    #[error("holds no job; write an object with type and plan")]
    Empty,
    /// Two jobs have one id.
    #[error("id: '{0}' is the id of more than one job; give each its own or leave it out")]
    RepeatedId(JobId),
    /// A key, a value or a combination of them.
    #[error("{path}{}{defect}", if path.is_empty() { "" } else { ": " })]
    Plan {
        /// Keys from the root, joined by dots.
        path: String,
        /// What is wrong there.
        defect: Defect,
    },
}

/// A mistake and its place.
#[derive(Debug)]
pub struct Located {
    /// The file as it was named, or `<stdin>`.
    pub file: String,
    /// The place in it; `None` when the file as a whole is meant.
    pub at: Option<Position>,
    /// The mistake.
    pub mistake: Mistake,
}

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some(at) => write!(f, "{}:{}:{}: {}", self.file, at.line, at.column, self.mistake),
            None => write!(f, "{}: {}", self.file, self.mistake),
        }
    }
}

/// Every mistake that was found, at least one; one line each.
#[derive(Debug)]
pub struct Rejected(pub(super) Vec<Located>);

impl Rejected {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Located> {
        self.0.iter()
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Rejected {}

impl From<Rejected> for Failure {
    fn from(rejected: Rejected) -> Self {
        Self::new(FailureKind::InvalidPlan, rejected.to_string())
    }
}

/// How messages name a file.
pub(super) fn label(path: &Path) -> String {
    if path == Path::new("-") { "<stdin>".to_owned() } else { path.display().to_string() }
}
