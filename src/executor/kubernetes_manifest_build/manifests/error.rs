//! What is wrong with manifests, and where.

use std::fmt;

use crate::{
    job::{Failure, FailureKind},
    shutdown::Cancelled,
    yaml::{Position, Problem},
};

/// A place in a text of several documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// What the text is called.
    pub name: String,
    /// Which document of it, counted from one, empty ones left out.
    pub document: usize,
    /// Where in the whole text.
    pub at: Position,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: document {}, line {}", self.name, self.document, self.at.line)
    }
}

/// Manifests that cannot be published.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not YAML, or not YAML that JSON can express.
    #[error("{place}, column {}: {problem}", place.at.column)]
    Yaml {
        /// Where.
        place: Place,
        /// What.
        problem: Problem,
    },
    /// A document that is no object.
    #[error("{place}: is {found}, not an object with apiVersion, kind and metadata.name")]
    NotAnObject {
        /// Where.
        place: Place,
        /// What it is, with its article.
        found: &'static str,
    },
    /// A field that every object needs, or a value no API server takes for it.
    #[error("{place}: {field} {problem}")]
    Field {
        /// Where.
        place: Place,
        /// Path of the field.
        field: &'static str,
        /// What is wrong and what to do.
        problem: String,
    },
    /// One object twice.
    #[error("{resource} is there twice, in {first} and in {second}; keep one")]
    Twice {
        /// The object.
        resource: String,
        /// Where first.
        first: Place,
        /// Where again.
        second: Place,
    },
    /// Instructions for kustomize, which no cluster knows.
    #[error(
        "{place}: is a {kind} of kustomize.config.k8s.io, which is an instruction for kustomize and not an object; build it with source_type \
         kustomize, or remove it"
    )]
    Instruction {
        /// Where.
        place: Place,
        /// `Kustomization` or `Component`.
        kind: String,
    },
    /// No object.
    #[error("{name}: there is no object in it; an artifact needs at least one")]
    Nothing {
        /// Every text that was read.
        name: String,
    },
    /// Too much.
    #[error("{name}: more than {limit} {what}; split the manifests into several components")]
    Limit {
        /// The text that went over the limit.
        name: String,
        /// The limit.
        limit: usize,
        /// Of what.
        what: &'static str,
    },
    /// Bytes that are not text.
    #[error("{name}: is not UTF-8 text; save it as UTF-8")]
    NotText {
        /// The text.
        name: String,
    },
    /// The work was stopped.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl From<ManifestError> for Failure {
    fn from(error: ManifestError) -> Self {
        let kind = match &error {
            ManifestError::Limit { .. } | ManifestError::Yaml { problem: Problem::Limit { .. }, .. } => FailureKind::LimitExceeded,
            ManifestError::Cancelled(stopped) => return Self::from(*stopped),
            _ => FailureKind::InvalidSource,
        };
        Self::new(kind, error.to_string())
    }
}
