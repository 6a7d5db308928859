//! What can be wrong with a layout folder.

use std::path::{Path, PathBuf};

use crate::job::{Failure, FailureKind};

/// An unusable layout folder.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct LayoutError {
    /// The folder, or the file of it.
    pub path: PathBuf,
    /// What is wrong.
    pub problem: LayoutProblem,
}

/// What is wrong with it.
#[derive(Debug, thiserror::Error)]
pub enum LayoutProblem {
    /// A source that is not there.
    #[error("no such OCI layout folder")]
    Missing,
    /// A folder of something else.
    #[error("the folder holds other files and no 'oci-layout': name an empty or new folder, or an OCI layout")]
    NotALayout,
    /// A layout of another version.
    #[error("the layout has version '{0}'; this program reads and writes 1.0.0")]
    Version(String),
    /// `oci-layout` or `index.json` is not what it should be.
    #[error("not valid in an OCI layout: {0}")]
    Malformed(String),
    /// Larger than is read.
    #[error("larger than the {0} bytes that are read")]
    TooLarge(u64),
    /// One tag, several digests.
    #[error("the tag '{0}' names {1} different manifests: name one by digest")]
    Ambiguous(String, usize),
    /// A link that leads out.
    #[error("leads out of the layout folder through a symbolic link")]
    Outside,
    /// A folder, pipe or device where a blob should be.
    #[error("not a regular file")]
    NotAFile,
}

impl LayoutProblem {
    pub(super) fn at(self, path: &Path) -> LayoutError {
        LayoutError { path: path.to_owned(), problem: self }
    }
}

impl From<LayoutError> for Failure {
    fn from(error: LayoutError) -> Self {
        let kind = match error.problem {
            LayoutProblem::Missing => FailureKind::SourceNotFound,
            LayoutProblem::NotALayout => FailureKind::Conflict,
            LayoutProblem::TooLarge(_) => FailureKind::LimitExceeded,
            LayoutProblem::Version(_)
            | LayoutProblem::Malformed(_)
            | LayoutProblem::Ambiguous(..)
            | LayoutProblem::Outside
            | LayoutProblem::NotAFile => FailureKind::InvalidSource,
        };
        Self::new(kind, error.to_string())
    }
}
