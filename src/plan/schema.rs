//! JSON Schema of plans and job files (draft 2020-12), made from the same declarations as the decoder.

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use crate::job::{JobType, Operation};

use super::{Plan, Timeouts, values::Decode};

/// Doc comment lines as one text.
pub(crate) fn description(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ").trim().to_owned()
}

/// The schema of one object under construction.
pub(crate) struct ObjectSchema {
    description: String,
    properties: Map<String, Value>,
    required: Vec<Value>,
}

impl ObjectSchema {
    pub(crate) fn new(doc: &[&str]) -> Self {
        Self { description: description(doc), properties: Map::new(), required: Vec::new() }
    }

    /// Adds a field under all its spellings; it is required when its type has nothing for an absent one.
    pub(crate) fn property<T: Decode + JsonSchema>(
        &mut self,
        generator: &mut SchemaGenerator,
        names: &[&str],
        doc: &[&str],
        has_default: bool,
    ) {
        let mut schema = generator.subschema_for::<T>();
        if has_default || T::absent().is_some() {
            schema = nullable(schema);
        } else {
            self.required.push(match names {
                [one] => json!({ "required": [one] }),
                _ => json!({ "anyOf": names.iter().map(|name| json!({ "required": [name] })).collect::<Vec<_>>() }),
            });
        }
        schema.insert("description".to_owned(), description(doc).into());
        for name in names {
            self.properties.insert((*name).to_owned(), schema.clone().to_value());
        }
    }

    pub(crate) fn finish(self) -> Schema {
        let mut schema = schemars::json_schema!({
            "description": self.description,
            "type": "object",
            "properties": self.properties,
            "additionalProperties": false,
        });
        if !self.required.is_empty() {
            schema.insert("allOf".to_owned(), self.required.into());
        }
        schema
    }
}

/// The schema, or null, which Go sends for what is not there.
fn nullable(schema: Schema) -> Schema {
    let value = schema.to_value();
    let already = match value.get("type") {
        Some(Value::Array(types)) => types.contains(&json!("null")),
        _ => value.get("anyOf").and_then(Value::as_array).is_some_and(|any| any.contains(&json!({ "type": "null" }))),
    };
    if already || value == Value::Bool(true) || value == json!({}) {
        return Schema::try_from(value).unwrap_or_default();
    }
    schemars::json_schema!({ "anyOf": [value, { "type": "null" }] })
}

/// The JSON Schema of a job file of one type, or of any.
#[must_use]
pub fn schema(only: Option<JobType>) -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let types = JobType::ALL.iter().copied().filter(|&kind| only.is_none_or(|only| kind == only));
    let branches: Vec<_> = types.map(|kind| job_file(kind, &mut generator)).collect();
    let definitions = generator.take_definitions(true);
    let title = only.map_or_else(|| "Job file".to_owned(), |kind| format!("Job file of type {kind}"));
    let head = json!({ "$schema": "https://json-schema.org/draft/2020-12/schema", "title": title });
    let body = match <[Value; 1]>::try_from(branches) {
        Ok([one]) => one,
        Err(many) => json!({ "oneOf": many }),
    };
    let parts = [head, body, json!({ "$defs": definitions })];
    parts.into_iter().filter_map(|part| if let Value::Object(part) = part { Some(part) } else { None }).flatten().collect()
}

fn job_file(kind: JobType, generator: &mut SchemaGenerator) -> Value {
    let plan = Plan::subschema(kind, generator);
    let timeouts = generator.subschema_for::<Timeouts>();
    let mut required = vec![json!("type")];
    if !Plan::may_be_absent(kind) {
        required.push(json!("plan"));
    }
    let operations: Vec<_> = Plan::operations(kind).iter().copied().map(Operation::as_str).collect();
    json!({
        "type": "object",
        "properties": {
            "type": { "description": "What the job asks for.", "const": kind.as_str() },
            "plan": plan,
            "id": {
                "description": "Names the job; made up when absent.",
                "type": ["string", "null"],
                "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$",
            },
            "operation": { "description": "What to do with the plan.", "enum": operations.iter().map(|&name| json!(name)).chain([Value::Null]).collect::<Vec<_>>() },
            "timeouts": { "anyOf": [timeouts, { "type": "null" }] },
            "metadata": {
                "description": "Passed on with the job's log records.",
                "type": ["object", "null"],
                "additionalProperties": { "type": "string" },
            },
        },
        "required": required,
        "additionalProperties": false,
    })
}
