//! The JSON form of a configuration file (hashicorp/hcl, `json/spec.md`): where a body is expected there is an object, or an array of
//! objects that are one after the other the same body.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::config::{Call, Config, ConfigError, Lines, Source};

/// The members of an object in their order, each value as it is written.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(InOrder).map(Members)
    }
}

/// Parses a whole file.
pub(super) fn parse(text: &str) -> Result<Config, ConfigError> {
    let root: &RawValue = serde_json::from_str(text).map_err(|error| broken(&error))?;
    let shape = || ConfigError { line: 1, column: 1, why: "a configuration file holds one JSON object".to_owned() };
    let root = bodies(root).ok_or_else(shape)?;
    let lines = Lines::of(text);
    let mut config = Config::default();
    for (kind, value) in root {
        for (name, value) in bodies(value).unwrap_or_default() {
            config.about.member(&kind, &name, value);
            if kind == "module" {
                config.calls.push(call(text, &lines, name, value));
            }
        }
    }
    Ok(config)
}

fn call(text: &str, lines: &Lines, name: String, value: &RawValue) -> Call {
    let source = bodies(value).unwrap_or_default().into_iter().find(|(key, _)| key == "source").map(|(_, value)| value);
    let source = source.map_or(Source::Missing, |raw| match serde_json::from_str::<String>(raw.get()) {
        Ok(address) if !address.contains("${") && !address.contains("%{") => {
            let begin = offset(text, raw);
            Source::Address { text: address, inside: begin + 1..begin + raw.get().len() - 1 }
        }
        _ => Source::Computed,
    });
    Call { name, line: lines.number(offset(text, value)), source }
}

/// Where in `text` a value stands that was borrowed from it.
fn offset(text: &str, value: &RawValue) -> usize {
    (value.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize).min(text.len())
}

/// The members of an object, or of all objects of an array; `None` for anything else.
pub(super) fn bodies(value: &RawValue) -> Option<Vec<(String, &RawValue)>> {
    if let Ok(Members(members)) = serde_json::from_str(value.get()) {
        return Some(members);
    }
    let objects: Vec<Members<'_>> = serde_json::from_str(value.get()).ok()?;
    Some(objects.into_iter().flat_map(|object| object.0).collect())
}

fn broken(error: &serde_json::Error) -> ConfigError {
    let text = error.to_string();
    let why = text.rsplit_once(" at line ").map_or(text.as_str(), |(why, _)| why);
    ConfigError { line: error.line().max(1), column: error.column().max(1), why: format!("not valid JSON: {why}") }
}
