//! Secrets in a plan: the value itself, or where to get it. Never shown.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

use crate::yaml::{Kind, Node};

use super::{
    Defect,
    macros::object,
    reader::{FromHere, Object, Reader},
    syntax,
    values::Decode,
};

object! {
    /// One key of a Kubernetes Secret.
    #[derive(Debug)]
    pub struct SecretRef {
        /// Namespace of the Secret; that of the job when absent.
        namespace: Option<String> = ["namespace"],
        /// Name of the Secret.
        name: String = ["name"],
        /// Key in the Secret.
        key: String = ["key"],
    }
    check check_secret_ref;
}

fn check_secret_ref(value: &SecretRef, object: &Object<'_>, r: &mut Reader<'_>) {
    if let Some(namespace) = &value.namespace {
        object.check(r, "namespace", syntax::kubernetes_name(namespace, false));
    }
    object.check(r, "name", syntax::kubernetes_name(&value.name, true));
}

/// A secret: `{"value": …}`, `{"secret_ref": …}`, in a job file also `{"file": …}`; the hosted control plane sends plain text.
#[derive(Clone)]
pub enum Secret {
    /// The value. Files are read when the job file is.
    Value(SecretString),
    /// A key of a Kubernetes Secret, read by whoever needs it.
    Ref(SecretRef),
}

impl Secret {
    /// The value, unless it has to be fetched from a cluster.
    #[must_use]
    pub const fn value(&self) -> Option<&SecretString> {
        match self {
            Self::Value(value) => Some(value),
            Self::Ref(_) => None,
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(_) => f.write_str("Secret(hidden)"),
            Self::Ref(reference) => reference.fmt(f),
        }
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Value(a), Self::Value(b)) => a.expose_secret() == b.expose_secret(),
            (Self::Ref(a), Self::Ref(b)) => a == b,
            _ => false,
        }
    }
}

const FIELDS: super::values::Fields = &[&["value"], &["secret_ref"], &["file"]];

impl Decode for Secret {
    const WHAT: &'static str = "a secret: {\"value\": …}, {\"file\": …} or {\"secret_ref\": …}";

    fn decode(node: &Node, r: &mut Reader<'_>) -> Option<Self> {
        if let Kind::String(text) = &node.kind {
            return Some(known(SecretString::from(text.as_str()), r));
        }
        if !matches!(node.kind, Kind::Mapping(_)) {
            r.wrong_type(node, "a secret, as in {\"file\": \"token.txt\"}");
            return None;
        }
        let object = r.object(node, FIELDS)?;
        let value: Option<String> = object.field(r, "value")?;
        let reference: Option<SecretRef> = object.field(r, "secret_ref")?;
        let file: Option<String> = object.field(r, "file")?;
        match (value, reference, file) {
            (Some(value), None, None) => Some(known(SecretString::from(value), r)),
            (None, Some(reference), None) => Some(Self::Ref(reference)),
            (None, None, Some(path)) => from_file(&path, &object, r),
            _ => {
                r.report(node.at, Defect::Contradiction("needs exactly one of value, file and secret_ref"));
                None
            }
        }
    }

    fn is_blank(node: &Node) -> bool {
        String::is_blank(node)
    }
}

/// Remembers the value, so that logs can be searched for it.
fn known(value: SecretString, r: &mut Reader<'_>) -> Secret {
    r.secrets.push(value.clone());
    Secret::Value(value)
}

fn from_file(path: &str, object: &Object<'_>, r: &mut Reader<'_>) -> Option<Secret> {
    let Some(load) = r.loader.filter(|_| r.is_job_file()) else {
        object.report(r, "file", Defect::Contradiction("secrets from files are for local job files; send secret_ref or value"));
        return None;
    };
    match load(path) {
        Ok(value) => {
            r.is_from_here(object.at, FromHere::Secret(value.clone()));
            Some(known(value, r))
        }
        Err(problem) => {
            let remedy = format!("{problem}: give a readable text file, by its path relative to the job file").into();
            let name = syntax::shown(path);
            object.report(r, "file", Defect::Reference { problem: "cannot read the secret file", name, remedy });
            None
        }
    }
}

impl schemars::JsonSchema for Secret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let reference = generator.subschema_for::<SecretRef>();
        let one = |key: &str, schema: serde_json::Value| serde_json::json!({ "type": "object", "properties": { key: schema }, "required": [key], "additionalProperties": false });
        schemars::json_schema!({
            "description": "A secret: the value, a file (job files only, relative to the file), or a key of a Kubernetes Secret.",
            "anyOf": [
                { "type": "string" },
                one("value", serde_json::json!({ "type": "string" })),
                one("file", serde_json::json!({ "type": "string" })),
                one("secret_ref", reference.to_value()),
            ],
        })
    }
}
