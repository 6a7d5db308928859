//! What Chart.yaml says, as helm models it, and the two texts made from it: the YAML inside the package and the JSON config blob.
//!
//! Keys that helm does not know do not survive, as with `helm package`. Order of the JSON keys: Go's `chart.Metadata` (helm
//! `pkg/chart/v2/metadata.go`); empty values are left out.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::yaml;

use super::go_json;

/// The API version whose dependencies stand in requirements.yaml.
pub(crate) const API_V1: &str = "v1";
/// The API version of today.
pub(crate) const API_V2: &str = "v2";

/// Somebody who looks after a chart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Maintainer {
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) url: String,
}

/// A chart that a chart needs; of a Chart.yaml (a range) or of a lock (one version).
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) repository: String,
    pub(crate) condition: String,
    pub(crate) tags: Vec<String>,
    pub(crate) enabled: bool,
    /// Text, or pairs of `child` and `parent`; kept as they are.
    pub(crate) import_values: Vec<Value>,
    pub(crate) alias: String,
}

/// Chart.yaml.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Metadata {
    pub(crate) name: String,
    pub(crate) home: String,
    pub(crate) sources: Vec<String>,
    pub(crate) version: String,
    pub(crate) description: String,
    pub(crate) keywords: Vec<String>,
    pub(crate) maintainers: Vec<Maintainer>,
    pub(crate) icon: String,
    pub(crate) api_version: String,
    pub(crate) condition: String,
    pub(crate) tags: String,
    pub(crate) app_version: String,
    pub(crate) deprecated: bool,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) kube_version: String,
    /// `None` when the key is missing or null, which a lock's digest tells apart from an empty list.
    pub(crate) dependencies: Option<Vec<Dependency>>,
    pub(crate) kind: String,
}

/// Adds a key unless its value is empty.
struct Keys(Map<String, Value>);

impl Keys {
    fn add(mut self, key: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        let empty = match &value {
            Value::Null => true,
            Value::Bool(flag) => !flag,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(map) => map.is_empty(),
            Value::Number(_) => false,
        };
        if !empty {
            self.0.insert(key.to_owned(), value);
        }
        self
    }
}

impl Maintainer {
    fn to_json(&self) -> Value {
        Value::Object(Keys(Map::new()).add("name", self.name.as_str()).add("email", self.email.as_str()).add("url", self.url.as_str()).0)
    }
}

impl Dependency {
    pub(super) fn to_json(&self) -> Value {
        let mut keys = Keys(Map::new());
        keys.0.insert("name".to_owned(), json!(self.name));
        let mut keys = keys.add("version", self.version.as_str());
        keys.0.insert("repository".to_owned(), json!(self.repository));
        let keys = keys
            .add("condition", self.condition.as_str())
            .add("tags", self.tags.clone())
            .add("enabled", self.enabled)
            .add("import-values", self.import_values.clone())
            .add("alias", self.alias.as_str());
        Value::Object(keys.0)
    }
}

impl Metadata {
    /// What it depends on.
    pub(crate) fn dependencies(&self) -> &[Dependency] {
        self.dependencies.as_deref().unwrap_or_default()
    }

    fn to_json(&self, with_dependencies: bool) -> Map<String, Value> {
        let annotations: Map<_, _> = self.annotations.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        let dependencies = if with_dependencies { self.dependencies() } else { &[] };
        Keys(Map::new())
            .add("name", self.name.as_str())
            .add("home", self.home.as_str())
            .add("sources", self.sources.clone())
            .add("version", self.version.as_str())
            .add("description", self.description.as_str())
            .add("keywords", self.keywords.clone())
            .add("maintainers", self.maintainers.iter().map(Maintainer::to_json).collect::<Vec<_>>())
            .add("icon", self.icon.as_str())
            .add("apiVersion", self.api_version.as_str())
            .add("condition", self.condition.as_str())
            .add("tags", self.tags.as_str())
            .add("appVersion", self.app_version.as_str())
            .add("deprecated", self.deprecated)
            .add("annotations", annotations)
            .add("kubeVersion", self.kube_version.as_str())
            .add("dependencies", dependencies.iter().map(Dependency::to_json).collect::<Vec<_>>())
            .add("type", self.kind.as_str())
            .0
    }

    /// Chart.yaml as it goes into the package. Charts of `v1` have their dependencies in requirements.yaml.
    pub(crate) fn chart_yaml(&self) -> String {
        yaml::to_string(&Value::Object(self.to_json(self.api_version != API_V1)))
    }

    /// The config blob of the OCI artifact: what helm reads back from the package it pushes.
    pub(crate) fn config_json(&self) -> String {
        go_json::to_string(&Value::Object(self.to_json(true)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_config_has_the_key_order_of_helm() {
        let metadata = Metadata {
            name: "a".into(),
            version: "1.0.0".into(),
            description: "<b>".into(),
            api_version: API_V2.into(),
            kind: "application".into(),
            deprecated: true,
            dependencies: Some(vec![Dependency { name: "d".into(), version: "1".into(), alias: "x".into(), ..Dependency::default() }]),
            ..Metadata::default()
        };
        assert_eq!(
            metadata.config_json(),
            "{\"name\":\"a\",\"version\":\"1.0.0\",\"description\":\"\\u003cb\\u003e\",\"apiVersion\":\"v2\",\"deprecated\":true,\"dependencies\":[{\"name\":\"d\",\"version\":\"1\",\"repository\":\"\",\"alias\":\"x\"}],\"type\":\"application\"}"
        );
    }
}
