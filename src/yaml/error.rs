//! What can be wrong with a YAML or JSON text, and where.

use std::fmt;

use super::Position;

/// The defect itself.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The text does not follow the grammar.
    #[error("{0}")]
    Syntax(String),
    /// One mapping has the same key twice.
    #[error("key '{key}' is given twice, first at line {first}; keep one")]
    DuplicateKey {
        /// The key.
        key: String,
        /// Line of the first one.
        first: u32,
    },
    /// A key that is a list, a mapping or null.
    #[error("a key has to be plain text, not a list, a mapping or null")]
    ComplexKey,
    /// `<<` with something else than a mapping or a list of them.
    #[error("'<<' merges mappings only; give it an alias of a mapping or a list of such aliases")]
    BadMerge,
    /// An alias inside the very value it stands for.
    #[error("an alias refers to the value it is part of")]
    RecursiveAlias,
    /// A tag of a schema this reader does not have.
    #[error("tag '{0}' is not supported; remove it")]
    UnknownTag(String),
    /// A scalar that its tag does not fit, or that JSON cannot express.
    #[error("'{text}' is not a {expected}")]
    BadScalar {
        /// As written.
        text: String,
        /// Name of the type.
        expected: &'static str,
    },
    /// Too big, too deep, too many, or blown up by aliases.
    #[error("more than {limit} {what}; split the file or leave out what is not needed")]
    Limit {
        /// The limit.
        limit: usize,
        /// Of what.
        what: &'static str,
    },
    /// A second document where one is expected.
    #[error("a second document begins here; only one is expected")]
    SecondDocument,
}

/// A defect and its place.
#[derive(Debug, PartialEq, Eq)]
pub struct Error {
    /// Where; `None` when the whole text is meant.
    pub at: Option<Position>,
    /// What.
    pub problem: Problem,
}

impl Error {
    pub(super) const fn new(at: Option<Position>, problem: Problem) -> Self {
        Self { at, problem }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some(at) => write!(f, "line {}, column {}: {}", at.line, at.column, self.problem),
            None => self.problem.fmt(f),
        }
    }
}

impl std::error::Error for Error {}
