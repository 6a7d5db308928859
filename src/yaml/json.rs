//! JSON text to the same tree.

use super::{Dialect, Error, Limits, Node, Position, Problem, builder};

/// Syntax is judged by the JSON parser, whose messages speak JSON; the tree with its places comes from the YAML parser, which every
/// JSON text that passed satisfies (YAML 1.2.2 §1.2).
pub(super) fn document(text: &str, limits: Limits) -> Result<Node, Error> {
    if text.len() > limits.bytes {
        return Err(Error::new(None, Problem::Limit { limit: limits.bytes, what: "bytes" }));
    }
    serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|error| syntax(&error))?;
    let mut documents = builder::documents(text, Dialect::Core, limits)?;
    Ok(documents.pop().unwrap_or_else(Node::null))
}

fn syntax(error: &serde_json::Error) -> Error {
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    // serde_json counts columns from one and puts errors at a line's end at column 0 of the next.
    let at = Position { line: number(error.line().max(1)), column: number(error.column().max(1)) };
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    Error::new(Some(at), Problem::Syntax(format!("not JSON: {text}; check commas, quotes and brackets up to here")))
}
