//! Text where people write numbers and booleans without quotes: environment variables, build arguments, Helm values.

use std::fmt;

use crate::yaml::{Kind, Node};

use super::{
    reader::{FromHere, Reader},
    values::Decode,
};

/// Text, or the text of a number (as written) or boolean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(String);

impl Text {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Decode for Text {
    const WHAT: &'static str = "a string";

    fn decode(node: &Node, r: &mut Reader<'_>) -> Option<Self> {
        let text = match &node.kind {
            Kind::String(text) => text.clone(),
            Kind::Number(_, literal) => {
                r.is_from_here(node.at, FromHere::Literal);
                literal.to_string()
            }
            Kind::Bool(value) => value.to_string(),
            _ => {
                r.wrong_type(node, Self::WHAT);
                return None;
            }
        };
        Some(Self(text))
    }
}

impl schemars::JsonSchema for Text {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Text".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "description": "Text; numbers and booleans are taken as written.", "type": ["string", "number", "boolean"] })
    }
}
