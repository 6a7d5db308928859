//! How the plain types of a plan are read: text, numbers, lists, maps.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::yaml::{Kind, Node};

use super::{Defect, reader::Reader};

/// The spellings of every field of an object; the first of each is the documented one.
pub(crate) type Fields = &'static [&'static [&'static str]];

/// A type that a plan is made of.
pub(crate) trait Decode: Sized {
    /// What it is in words, with the article: "a string".
    const WHAT: &'static str;

    /// Reads it. `None` when a mistake was recorded.
    fn decode(node: &Node, r: &mut Reader<'_>) -> Option<Self>;

    /// Reads it as the value of a key, where empty text is a mistake.
    fn decode_field(node: &Node, r: &mut Reader<'_>) -> Option<Self> {
        Self::decode(node, r)
    }

    /// What it is when its key is absent or null; `None` makes the key required.
    fn absent() -> Option<Self> {
        None
    }

    /// Whether `node` is how Go sends one that is not there.
    fn is_blank(node: &Node) -> bool {
        node.is_null()
    }
}

impl Decode for String {
    const WHAT: &'static str = "a string";

    fn decode(node: &Node, r: &mut Reader<'_>) -> Option<Self> {
        if let Kind::String(text) = &node.kind {
            return Some(text.clone());
        }
        r.wrong_type(node, Self::WHAT);
        None
    }

    fn decode_field(node: &Node, r: &mut Reader<'_>) -> Option<Self> {
        if Self::is_blank(node) && !node.is_null() {
            r.report(node.at, Defect::Empty);
            return None;
        }
        Self::decode(node, r)
    }

    fn is_blank(node: &Node) -> bool {
        node.is_null() || node.as_str() == Some("")
    }
}

impl Decode for bool {
    const WHAT: &'static str = "a boolean";

    fn decode(node: &Node, r: &mut Reader<'_>) -> Option<Self> {
        if let Kind::Bool(value) = node.kind {
            return Some(value);
        }
        r.wrong_type(node, Self::WHAT);
        None
    }
}

macro_rules! whole {
    ($($type:ty),+) => {$(
        impl Decode for $type {
            const WHAT: &'static str = "a whole number";

            fn decode(node: &Node, r: &mut Reader<'_>) -> Option<Self> {
                if let Kind::Number(number, _) = &node.kind {
                    let value = number.as_i64().and_then(|value| Self::try_from(value).ok());
                    if value.is_none() {
                        r.report(node.at, Defect::Contradiction("is out of range; use a smaller whole number, not below zero unless documented"));
                    }
                    return value;
                }
                r.wrong_type(node, Self::WHAT);
                None
            }
        }
    )+};
}
whole!(u8, u32, i64);

impl<T: Decode> Decode for Option<T> {
    const WHAT: &'static str = T::WHAT;

    fn decode(node: &Node, r: &mut Reader<'_>) -> Option<Self> {
        if node.is_null() { Some(None) } else { T::decode(node, r).map(Some) }
    }

    fn decode_field(node: &Node, r: &mut Reader<'_>) -> Option<Self> {
        if T::is_blank(node) { Some(None) } else { T::decode_field(node, r).map(Some) }
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<T: Decode> Decode for Vec<T> {
    const WHAT: &'static str = "a list";

    fn decode(node: &Node, r: &mut Reader<'_>) -> Option<Self> {
        let Kind::Sequence(items) = &node.kind else {
            r.wrong_type(node, Self::WHAT);
            return None;
        };
        // Every item is read before the first mistake counts, so that all of them are reported.
        let values: Vec<_> = items.iter().enumerate().map(|(i, item)| r.within(&format!("[{i}]"), |r| T::decode(item, r))).collect();
        values.into_iter().collect()
    }

    fn absent() -> Option<Self> {
        Some(Self::new())
    }
}

impl<T: Decode> Decode for BTreeMap<String, T> {
    const WHAT: &'static str = "an object";

    fn decode(node: &Node, r: &mut Reader<'_>) -> Option<Self> {
        let Kind::Mapping(entries) = &node.kind else {
            r.wrong_type(node, Self::WHAT);
            return None;
        };
        let pairs: Vec<_> = entries
            .iter()
            .map(|entry| {
                r.within(&super::syntax::shown(&entry.key), |r| T::decode(&entry.value, r)).map(|value| (entry.key.clone(), value))
            })
            .collect();
        pairs.into_iter().collect()
    }

    fn absent() -> Option<Self> {
        Some(Self::new())
    }
}

impl<T: Decode> Decode for Box<T> {
    const WHAT: &'static str = T::WHAT;

    fn decode(node: &Node, r: &mut Reader<'_>) -> Option<Self> {
        T::decode(node, r).map(Self::new)
    }

    fn is_blank(node: &Node) -> bool {
        T::is_blank(node)
    }
}

/// Anything; passed on as it is.
impl Decode for Value {
    const WHAT: &'static str = "a value";

    fn decode(node: &Node, _: &mut Reader<'_>) -> Option<Self> {
        Some(node.to_json())
    }
}

/// An object of somebody else's making (Kubernetes, Shipwright), passed on as it is.
impl Decode for Map<String, Value> {
    const WHAT: &'static str = "an object";

    fn decode(node: &Node, r: &mut Reader<'_>) -> Option<Self> {
        if let Value::Object(map) = node.to_json() {
            return Some(map);
        }
        r.wrong_type(node, Self::WHAT);
        None
    }
}
