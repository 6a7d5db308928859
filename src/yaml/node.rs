//! The tree: JSON's data model, with places and the literal text of numbers.

use serde_json::{Map, Number, Value};

/// Bytes of text that count as one more value where an alias repeats them: about what a value itself takes.
const TEXT: usize = 64;

/// A place in a text. Both count from one; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line.
    pub line: u32,
    /// Column.
    pub column: u32,
}

/// A value and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The value.
    pub kind: Kind,
    /// Where it begins; `None` when it does not come from a text.
    pub at: Option<Position>,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A number, and how it was written (`1.10`, `0x1F`).
    Number(Number, Box<str>),
    /// Text.
    String(String),
    /// A list.
    Sequence(Vec<Node>),
    /// Key and value pairs, in the order of the text, no key twice.
    Mapping(Vec<Entry>),
}

/// One pair of a mapping.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key; keys that are numbers or booleans are their text.
    pub key: String,
    /// Where the key begins.
    pub key_at: Option<Position>,
    /// The value.
    pub value: Node,
}

impl Node {
    /// Null, from nowhere.
    #[must_use]
    pub const fn null() -> Self {
        Self { kind: Kind::Null, at: None }
    }

    /// What kind of value it is, in words for a message.
    #[must_use]
    pub const fn type_name(&self) -> &'static str {
        match self.kind {
            Kind::Null => "null",
            Kind::Bool(_) => "a boolean",
            Kind::Number(..) => "a number",
            Kind::String(_) => "a string",
            Kind::Sequence(_) => "a list",
            Kind::Mapping(_) => "an object",
        }
    }

    /// Whether it is null.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Null)
    }

    /// The text, if it is text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Kind::String(text) = &self.kind { Some(text) } else { None }
    }

    /// The pairs, if it is a mapping.
    #[must_use]
    pub fn entries(&self) -> Option<&[Entry]> {
        if let Kind::Mapping(entries) = &self.kind { Some(entries) } else { None }
    }

    /// The items, if it is a list.
    #[must_use]
    pub fn items(&self) -> Option<&[Self]> {
        if let Kind::Sequence(items) = &self.kind { Some(items) } else { None }
    }

    /// The value under `key`, if it is a mapping that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entries()?.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// The value without places.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(value) => Value::Bool(*value),
            Kind::Number(number, _) => Value::Number(number.clone()),
            Kind::String(text) => Value::String(text.clone()),
            Kind::Sequence(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Kind::Mapping(entries) => {
                Value::Object(entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect::<Map<_, _>>())
            }
        }
    }

    /// What a copy of it costs: a value is one, itself included, and so is every [`TEXT`] bytes of text.
    pub(super) fn weight(&self) -> usize {
        match &self.kind {
            Kind::Sequence(items) => 1 + items.iter().map(Self::weight).sum::<usize>(),
            Kind::Mapping(entries) => 1 + entries.iter().map(|entry| entry.key.len() / TEXT + entry.value.weight()).sum::<usize>(),
            Kind::String(text) => 1 + text.len() / TEXT,
            Kind::Number(_, text) => 1 + text.len() / TEXT,
            Kind::Null | Kind::Bool(_) => 1,
        }
    }

    /// How deep it is; a scalar is 0.
    pub(super) fn depth(&self) -> usize {
        match &self.kind {
            Kind::Sequence(items) => 1 + items.iter().map(Self::depth).max().unwrap_or(0),
            Kind::Mapping(entries) => 1 + entries.iter().map(|entry| entry.value.depth()).max().unwrap_or(0),
            _ => 0,
        }
    }
}

impl From<Value> for Node {
    fn from(value: Value) -> Self {
        let kind = match value {
            Value::Null => Kind::Null,
            Value::Bool(value) => Kind::Bool(value),
            Value::Number(number) => {
                let literal = number.to_string().into_boxed_str();
                Kind::Number(number, literal)
            }
            Value::String(text) => Kind::String(text),
            Value::Array(items) => Kind::Sequence(items.into_iter().map(Self::from).collect()),
            Value::Object(entries) => {
                Kind::Mapping(entries.into_iter().map(|(key, value)| Entry { key, key_at: None, value: value.into() }).collect())
            }
        };
        Self { kind, at: None }
    }
}
