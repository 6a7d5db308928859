//! What can be wrong with a plan or job file: one value per mistake, with its path, its place and the way out.

use std::{borrow::Cow, fmt};

use crate::{
    job::{Failure, FailureKind, JobType},
    yaml::Position,
};

use super::syntax::SyntaxError;

/// The mistake itself. Never carries a value that may be a secret.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Defect {
    /// A key nobody reads.
    #[error("unknown key; {}", hint(nearest.as_deref(), known))]
    UnknownKey {
        /// The known key that looks most like it.
        nearest: Option<String>,
        /// Every key that may stand there.
        known: Vec<&'static str>,
    },
    /// A key that belongs to the plan of another type.
    #[error("this is the plan of type '{owner}'; remove it or change the type of the job")]
    ForeignPlan {
        /// The type it belongs to.
        owner: JobType,
    },
    /// A required key that is not there.
    #[error("required key is missing; add {expected}")]
    Missing {
        /// What to add, with its article.
        expected: &'static str,
    },
    /// A value of the wrong type.
    #[error("must be {expected}, not {found}{}", quote_hint(expected, found))]
    WrongType {
        /// What it has to be, with its article.
        expected: &'static str,
        /// What it is, with its article.
        found: &'static str,
    },
    /// A word that is none of the allowed ones.
    #[error("'{value}' is not {what}; {}", hint(nearest.as_deref(), allowed))]
    NotOneOf {
        /// As written, made safe to print.
        value: String,
        /// What it should be, with its article.
        what: &'static str,
        /// The allowed word that looks most like it.
        nearest: Option<String>,
        /// Every allowed word.
        allowed: Vec<&'static str>,
    },
    /// Two spellings of one key.
    #[error("given twice, also as '{other}'; keep one")]
    Twice {
        /// The other spelling.
        other: String,
    },
    /// An empty text or list where something is needed.
    #[error("must not be empty; give it a value or remove the key")]
    Empty,
    /// A text that breaks the grammar of its kind.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// Values that do not go together, or are not allowed here.
    #[error("{0}")]
    Contradiction(&'static str),
    /// Names that refer to one another wrongly (steps, secrets).
    #[error("{problem} '{name}'; {remedy}")]
    Reference {
        /// What is wrong with the name.
        problem: &'static str,
        /// The name, made safe to print.
        name: String,
        /// What to do.
        remedy: Cow<'static, str>,
    },
}

fn hint(nearest: Option<&str>, words: &[&str]) -> String {
    match nearest {
        Some(word) => format!("did you mean '{word}'? Allowed: {}", words.join(", ")),
        None => format!("allowed: {}", words.join(", ")),
    }
}

fn quote_hint(expected: &str, found: &str) -> &'static str {
    match (expected, found) {
        ("a string", "a number" | "a boolean") => "; put it in quotes",
        ("a boolean", "a string") => "; write true or false without quotes",
        ("a whole number", "a string") => "; write it without quotes",
        _ => "",
    }
}

/// A mistake, where it is in the plan (`plan.dst_registry.RegistryType`) and in the file.
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    /// Keys from the root, joined by dots, list items in brackets; empty for the whole document.
    pub path: String,
    /// Place in the file; `None` for plans that do not come from one.
    pub at: Option<Position>,
    /// The mistake.
    pub defect: Defect,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        self.defect.fmt(f)
    }
}

/// Every mistake that was found, at least one, in the order of the text.
#[derive(Debug, PartialEq, Eq)]
pub struct Problems(pub(super) Vec<Problem>);

impl Problems {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        let first = problems.0.first().map_or_else(String::new, ToString::to_string);
        let message = match problems.0.len() {
            0 | 1 => first,
            count => format!("{first} (and {} more)", count - 1),
        };
        problems
            .0
            .iter()
            .skip(1)
            .fold(Self::new(FailureKind::InvalidPlan, message), |failure, problem| failure.with_evidence("plan", problem.to_string()))
    }
}

/// The word of `words` that `text` was probably meant to be.
pub(crate) fn nearest<'w>(text: &str, words: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let folded = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>();
    let text = folded(text);
    words
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(&text, &folded(word)), word))
        // A third of the word may be wrong; short words get one slip.
        .filter(|(distance, word)| *distance <= (word.len() / 3).max(1) && *distance < word.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_near() {
        assert_eq!(nearest("registry_typ", ["RegistryType", "Region"]), Some("RegistryType"));
        assert_eq!(nearest("ecs", ["ecr", "acr", "gar"]), Some("ecr"));
        assert_eq!(nearest("banana", ["ecr", "acr"]), None);
    }
}
