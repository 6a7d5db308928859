//! YAML and JSON text to a tree that knows where everything stands, and back to text.
//!
//! In: text. Out: [`Node`] trees (every value with line and column), `serde_json::Value`, YAML text as Go's `sigs.k8s.io/yaml` writes it.
//! Invariants: bounded in bytes, nodes, depth and documents, alias expansion included; a key given twice is an error; never panics.
//! The only module that knows the YAML crate. Called by `plan` (decoding), `source` (job files) and the executors that read YAML.

mod builder;
mod emit;
mod error;
mod go;
mod json;
mod node;
mod scalar;

pub use emit::to_string;
pub use error::{Error, Problem};
pub use node::{Entry, Kind, Node, Position};
pub use scalar::Dialect;

/// What a text may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest text, in bytes.
    pub bytes: usize,
    /// Most values, those that aliases repeat counted again, their long texts by length.
    pub nodes: usize,
    /// Deepest nesting.
    pub depth: usize,
    /// Most documents in one text.
    pub documents: usize,
}

impl Default for Limits {
    /// Enough for any plan, manifest or chart file that a person wrote.
    fn default() -> Self {
        Self { bytes: 8 << 20, nodes: 500_000, depth: 100, documents: 1_000 }
    }
}

/// Every document of a YAML text (YAML 1.2, core schema; `<<` merges).
pub fn parse(text: &str) -> Result<Vec<Node>, Error> {
    parse_with(text, Dialect::Core, Limits::default())
}

/// Every document of a YAML text, with scalars resolved as `dialect` does.
pub fn parse_with(text: &str, dialect: Dialect, limits: Limits) -> Result<Vec<Node>, Error> {
    builder::documents(text, dialect, limits)
}

/// The one document of a YAML text; an empty text is null.
pub fn parse_one(text: &str, dialect: Dialect, limits: Limits) -> Result<Node, Error> {
    let mut documents = parse_with(text, dialect, limits)?;
    if let Some(second) = documents.get(1) {
        return Err(Error::new(second.at, Problem::SecondDocument));
    }
    Ok(documents.pop().unwrap_or_else(Node::null))
}

/// The JSON value of the one document of a YAML text.
pub fn parse_value(text: &str, dialect: Dialect) -> Result<serde_json::Value, Error> {
    parse_one(text, dialect, Limits::default()).map(|node| node.to_json())
}

/// A JSON text as a tree; stricter than YAML, of which JSON is all but a subset.
pub fn parse_json(text: &str, limits: Limits) -> Result<Node, Error> {
    json::document(text, limits)
}
