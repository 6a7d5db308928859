//! A job as a machine elsewhere can take it: secrets from files filled in, local paths as the caller makes them absolute.
//!
//! The reader of plans notes what means something only here (see [`crate::plan::FromHere`]) with its place in the text; places are how it is
//! found again, so nothing is guessed from the names of keys.

use std::{collections::BTreeMap, fmt};

use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};

use crate::{
    plan::FromHere,
    yaml::{Kind, Node, Position},
};

/// The job's object as it was written, and what in it means something only on this machine.
pub struct Portable {
    node: Node,
    from_here: BTreeMap<Position, FromHere>,
}

impl fmt::Debug for Portable {
    /// The object may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Portable(hidden)")
    }
}

impl Portable {
    pub(super) fn new(node: &Node, from_here: Vec<(Position, FromHere)>) -> Self {
        Self { node: node.clone(), from_here: from_here.into_iter().collect() }
    }

    /// The job's JSON. It holds the values of secrets. `absolute` gets each local path as it was written (a `file://` URL stays one).
    #[must_use]
    pub fn to_json(&self, absolute: impl Fn(&str) -> String) -> Value {
        self.value(&self.node, &absolute)
    }

    fn value(&self, node: &Node, absolute: &impl Fn(&str) -> String) -> Value {
        match (node.at.and_then(|at| self.from_here.get(&at)), &node.kind) {
            (Some(FromHere::Path), Kind::String(path)) => json!(absolute(path)),
            (Some(FromHere::Literal), Kind::Number(_, literal)) => json!(literal),
            (Some(FromHere::Secret(secret)), Kind::Mapping(_)) => json!({ "value": secret.expose_secret() }),
            (_, Kind::Sequence(items)) => items.iter().map(|item| self.value(item, absolute)).collect(),
            (_, Kind::Mapping(entries)) => {
                Value::Object(entries.iter().map(|entry| (entry.key.clone(), self.value(&entry.value, absolute))).collect::<Map<_, _>>())
            }
            _ => node.to_json(),
        }
    }
}
