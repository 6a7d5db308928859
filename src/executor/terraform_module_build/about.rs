//! What a module needs and offers, for the receipt: versions, providers, variables, outputs, resources.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    hcl::{Block, Body, Value},
    json,
};

/// What a module needs and offers. A receipt's `module`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct About {
    /// Versions of OpenTofu or Terraform it wants, as constraints.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) required_version: Vec<String>,
    /// Providers it declares, by their local names.
    pub(crate) providers: BTreeMap<String, Provider>,
    /// Variables that have to be given.
    pub(crate) required_variables: BTreeSet<String>,
    /// Variables that have a default.
    pub(crate) optional_variables: BTreeSet<String>,
    /// Its outputs.
    pub(crate) outputs: BTreeSet<String>,
    /// Number of `resource` blocks.
    pub(crate) resources: usize,
    /// Number of `data` blocks.
    pub(crate) data_sources: usize,
}

/// A provider that is declared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Provider {
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
}

impl About {
    /// Adds what another file of the same module says.
    pub(crate) fn merge(&mut self, other: Self) {
        self.required_version.extend(other.required_version);
        self.providers.extend(other.providers);
        self.required_variables.extend(other.required_variables);
        self.optional_variables.extend(other.optional_variables);
        self.outputs.extend(other.outputs);
        self.resources += other.resources;
        self.data_sources += other.data_sources;
        // An override file may give a default to a variable of another file.
        self.required_variables.retain(|name| !self.optional_variables.contains(name));
    }

    /// Takes what a top-level block says.
    pub(crate) fn block(&mut self, block: &Block<'_>) {
        match (block.kind, block.labels.as_slice()) {
            ("terraform", []) => {
                self.required_version.extend(block.body.text("required_version").map(str::to_owned));
                for providers in block.body.blocks.iter().filter(|inner| inner.kind == "required_providers") {
                    self.required_providers(&providers.body);
                }
            }
            ("variable", [name]) => self.variable(name, block.body.get("default").is_some()),
            ("output", [name]) => {
                self.outputs.insert(name.clone().into_owned());
            }
            ("resource", [_, _]) => self.resources += 1,
            ("data", [_, _]) => self.data_sources += 1,
            _ => {}
        }
    }

    fn variable(&mut self, name: &str, has_default: bool) {
        let names = if has_default { &mut self.optional_variables } else { &mut self.required_variables };
        names.insert(name.to_owned());
    }

    fn required_providers(&mut self, body: &Body<'_>) {
        for argument in &body.arguments {
            let provider = match &argument.value {
                // The form of Terraform 0.12: a version and nothing else.
                Value::Text { text, .. } => Provider { source: None, version: Some(text.clone().into_owned()) },
                Value::Object(items) => {
                    let text = |key: &str| items.iter().find(|item| item.0 == key).and_then(|item| item.1.as_text()).map(str::to_owned);
                    Provider { source: text("source"), version: text("version") }
                }
                Value::Word(_) | Value::Other => Provider::default(),
            };
            self.providers.insert(argument.name.to_owned(), provider);
        }
    }

    /// Takes what a member of a top-level member of a JSON file says: `{"kind": {"name": value}}`.
    pub(crate) fn member(&mut self, kind: &str, name: &str, value: &RawValue) {
        let text = |value: &RawValue| serde_json::from_str::<String>(value.get()).ok();
        match (kind, name) {
            (_, "//") => {}
            ("terraform", "required_version") => self.required_version.extend(text(value)),
            ("terraform", "required_providers") => {
                for (name, value) in json::bodies(value).unwrap_or_default() {
                    let mut provider = Provider { source: None, version: text(value) };
                    for (key, value) in json::bodies(value).unwrap_or_default() {
                        match key.as_str() {
                            "source" => provider.source = text(value),
                            "version" => provider.version = text(value),
                            _ => {}
                        }
                    }
                    self.providers.insert(name, provider);
                }
            }
            ("variable", name) => {
                let has_default = json::bodies(value).unwrap_or_default().iter().any(|(key, _)| key == "default");
                self.variable(name, has_default);
            }
            ("output", name) => {
                self.outputs.insert(name.to_owned());
            }
            ("resource", _) => self.resources += json::bodies(value).map_or(0, |named| named.len()),
            ("data", _) => self.data_sources += json::bodies(value).map_or(0, |named| named.len()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::Syntax;

    #[test]
    fn both_syntaxes_say_the_same() {
        let native = r#"
terraform {
  required_version = ">= 1.6"
  required_providers {
    aws = { source = "hashicorp/aws", version = "~> 5.0" }
    old = "1.0"
  }
}
variable "a" {}
variable "b" { default = null }
output "o" { value = 1 }
resource "x" "y" {}
data "x" "y" {}
"#;
        let json = r#"{"//": "why", "terraform": [{"required_version": ">= 1.6"},
            {"required_providers": {"aws": {"source": "hashicorp/aws", "version": "~> 5.0"}, "old": "1.0"}}],
            "variable": {"a": {}, "b": [{"default": null}]}, "output": {"o": {"value": 1}},
            "resource": {"x": {"y": {}}}, "data": [{"x": {"y": {}}}]}"#;
        let native = Syntax::Native.parse(native.as_bytes()).expect("it parses").about;
        assert_eq!(Syntax::Json.parse(json.as_bytes()).expect("it parses").about, native);
        assert_eq!(
            serde_json::to_value(&native).expect("it is JSON"),
            serde_json::json!({
                "required_version": [">= 1.6"],
                "providers": {"aws": {"source": "hashicorp/aws", "version": "~> 5.0"}, "old": {"version": "1.0"}},
                "required_variables": ["a"], "optional_variables": ["b"], "outputs": ["o"], "resources": 1, "data_sources": 1,
            })
        );
    }
}
