//! One object: what every API server wants of it, and what it is called.

use std::fmt;

use serde::Serialize;

use crate::yaml::{Entry, Kind, Node};

use super::{ManifestError, Place};

/// API group of kustomize's own files.
const KUSTOMIZE: &str = "kustomize.config.k8s.io";
/// Longest name of an object in any API.
const MAX_NAME: usize = 253;

/// An object by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Resource {
    /// `v1`, `apps/v1` …
    pub api_version: String,
    /// `Deployment` …
    pub kind: String,
    /// As the manifest says it; absent for objects of the cluster and those whose namespace the deployment decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

/// What makes two objects the same: versions of one API group show the same objects.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    group: String,
    kind: String,
    namespace: Option<String>,
    name: String,
}

impl Resource {
    fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    pub(super) fn identity(&self) -> Identity {
        Identity { group: self.group().to_owned(), kind: self.kind.clone(), namespace: self.namespace.clone(), name: self.name.clone() }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} '", self.api_version, self.kind)?;
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        write!(f, "{}'", self.name)
    }
}

/// The object that `node` is.
pub(super) fn resource(node: &Node, place: &Place) -> Result<Resource, ManifestError> {
    if node.entries().is_none() {
        return Err(ManifestError::NotAnObject { place: place.clone(), found: node.type_name() });
    }
    let field = |field, problem: String| Err(ManifestError::Field { place: place.clone(), field, problem });
    let api_version = text(node, "apiVersion", "apiVersion", place)?;
    if !is_api_version(&api_version) {
        return field("apiVersion", format!("'{}' is not an API version; write it like v1 or apps/v1", shown(&api_version)));
    }
    let kind = text(node, "kind", "kind", place)?;
    if !(kind.starts_with(|c: char| c.is_ascii_alphabetic()) && kind.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')) {
        return field("kind", format!("'{}' is not a kind; write it like Deployment", shown(&kind)));
    }
    if api_version.split('/').next() == Some(KUSTOMIZE) {
        return Err(ManifestError::Instruction { place: place.clone(), kind });
    }
    let Some(metadata) = node.get("metadata").filter(|metadata| !metadata.is_null()) else {
        return field("metadata.name", format!("is missing; give the {kind} a name"));
    };
    if metadata.entries().is_none() {
        return field("metadata", format!("is {}, not an object", metadata.type_name()));
    }
    strings(metadata, "labels", "metadata.labels", place)?;
    strings(metadata, "annotations", "metadata.annotations", place)?;
    if metadata.get("name").is_none_or(Node::is_null) && metadata.get("generateName").is_some() {
        let problem = format!("is missing, and generateName makes another {kind} with every deployment; set metadata.name");
        return field("metadata.name", problem);
    }
    let name = text(metadata, "name", "metadata.name", place)?;
    if !is_segment(&name) {
        return field("metadata.name", format!("'{}' is not a name that an API server takes", shown(&name)));
    }
    let namespace = match metadata.get("namespace").filter(|namespace| !namespace.is_null()) {
        None => None,
        Some(value) if value.as_str() == Some("") => None,
        Some(_) => Some(text(metadata, "namespace", "metadata.namespace", place)?),
    };
    if let Some(namespace) = namespace.as_deref().filter(|namespace| !is_segment(namespace)) {
        return field("metadata.namespace", format!("'{}' is not a name that an API server takes", shown(namespace)));
    }
    Ok(Resource { api_version, kind, namespace, name })
}

/// The items of a list (`kind: List`, `ConfigMapList` …); `None` for an object. What a typed list leaves out of its items is put back, as
/// apimachinery does (`unstructured/helpers.go`, `decodeToList`).
pub(super) fn list_items(node: &Node, place: &Place) -> Result<Option<Vec<Node>>, ManifestError> {
    let kind = node.get("kind").and_then(Node::as_str).unwrap_or_default();
    let Some(item_kind) = kind.strip_suffix("List") else { return Ok(None) };
    let generic = item_kind.is_empty();
    let named = node.get("metadata").and_then(|metadata| metadata.get("name")).is_some();
    let items = match node.get("items") {
        Some(Node { kind: Kind::Sequence(items), .. }) if generic || !named => items,
        Some(items) if items.is_null() && !named => return Ok(Some(Vec::new())),
        None if generic => return Ok(Some(Vec::new())),
        Some(items) if generic => {
            let problem = format!("of a List is {}, not a list", items.type_name());
            return Err(ManifestError::Field { place: place.clone(), field: "items", problem });
        }
        _ => return Ok(None),
    };
    let api_version = node.get("apiVersion").cloned();
    let complete = |item: &Node| {
        let mut item = item.clone();
        if let (false, Kind::Mapping(entries), Some(version)) = (generic, &mut item.kind, &api_version)
            && !entries.iter().any(|entry| matches!(entry.key.as_str(), "kind" | "apiVersion"))
        {
            let kind = Node { kind: Kind::String(item_kind.to_owned()), at: item.at };
            entries.push(Entry { key: "apiVersion".to_owned(), key_at: None, value: version.clone() });
            entries.push(Entry { key: "kind".to_owned(), key_at: None, value: kind });
        }
        item
    };
    Ok(Some(items.iter().map(complete).collect()))
}

/// A map of strings, of which no API server takes anything else; what is null reads as empty.
fn strings(node: &Node, key: &str, field: &'static str, place: &Place) -> Result<(), ManifestError> {
    let Some(value) = node.get(key).filter(|value| !value.is_null()) else { return Ok(()) };
    let wrong = |entry: &&Entry| !entry.value.is_null() && entry.value.as_str().is_none();
    let problem = match value.entries().map(|entries| entries.iter().find(wrong)) {
        None => format!("is {}, not an object", value.type_name()),
        Some(None) => return Ok(()),
        Some(Some(Entry { key, value, .. })) => {
            format!("has '{}', which is {}, not a string; put it in quotes", shown(key), value.type_name())
        }
    };
    Err(ManifestError::Field { place: place.clone(), field, problem })
}

fn text(node: &Node, key: &str, field: &'static str, place: &Place) -> Result<String, ManifestError> {
    let problem = match node.get(key) {
        None => "is missing; every object needs it".to_owned(),
        Some(value) => match value.as_str() {
            Some("") => "is empty; every object needs it".to_owned(),
            Some(text) => return Ok(text.to_owned()),
            None if value.is_null() => "is empty; every object needs it".to_owned(),
            None => format!("is {}, not a string; put it in quotes", value.type_name()),
        },
    };
    Err(ManifestError::Field { place: place.clone(), field, problem })
}

/// `VERSION` or `GROUP/VERSION`.
fn is_api_version(text: &str) -> bool {
    let word = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'));
    text.split('/').count() <= 2 && text.split('/').all(word)
}

/// What every API takes for a name: a segment of a path (apimachinery `path.IsValidPathSegmentName`).
fn is_segment(text: &str) -> bool {
    let wrong = |c: char| matches!(c, '/' | '%') || c.is_control() || c.is_whitespace();
    !matches!(text, "" | "." | "..") && text.len() <= MAX_NAME && !text.contains(wrong)
}

fn shown(text: &str) -> String {
    text.chars().take(80).map(|c| if c.is_control() { '?' } else { c }).collect()
}
