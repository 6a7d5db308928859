//! Chart.yaml, requirements.yaml and lock files from YAML to the model, with the conversions of Go's JSON decoder.
//!
//! A number or boolean where text is expected becomes text (`version: 1.10` reads as "1.1": a note tells), keys are found in any
//! case, null means absent, unknown keys are passed over.

use serde_json::Value;

use crate::yaml::{self, Dialect, Kind, Limits, Node, Position};

use super::metadata::{Dependency, Maintainer, Metadata};

/// What is wrong with a chart's own files.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    #[error("not YAML: {0}")]
    Yaml(yaml::Problem),
    #[error("not UTF-8 text; save the file as UTF-8")]
    NotText,
    #[error("{key} is {found}, expected {expected}")]
    Type { key: String, expected: &'static str, found: &'static str },
    #[error("{key} is missing; add '{example}'")]
    Required { key: &'static str, example: &'static str },
    #[error("{key} '{value}' is not allowed; {remedy}")]
    Value { key: String, value: String, remedy: &'static str },
    #[error("{key} holds an empty item; remove it or fill it in")]
    EmptyItem { key: String },
    #[error("two dependencies are called '{0}'; give one of them another alias")]
    SameName(String),
    #[error("not JSON: {0}")]
    Json(String),
}

/// A problem, with its file and place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Defect {
    pub(crate) file: String,
    pub(crate) at: Option<Position>,
    pub(crate) problem: Problem,
}

impl std::fmt::Display for Defect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.at {
            Some(at) => write!(f, "{} line {}: {}", self.file, at.line, self.problem),
            None => write!(f, "{}: {}", self.file, self.problem),
        }
    }
}

impl std::error::Error for Defect {}

/// Reads the values of one file.
pub(super) struct Reader<'a> {
    file: &'a str,
    notes: &'a mut Vec<String>,
}

type Result<T> = std::result::Result<T, Defect>;

/// `data` of `file` as one YAML document; the first, where there are several.
pub(super) fn document(file: &str, data: &[u8]) -> Result<Node> {
    let text = std::str::from_utf8(data).map_err(|_| Defect { file: file.to_owned(), at: None, problem: Problem::NotText })?;
    let documents = yaml::parse_with(text, Dialect::Go, Limits::default()).map_err(|error| Defect {
        file: file.to_owned(),
        at: error.at,
        problem: Problem::Yaml(error.problem),
    })?;
    Ok(documents.into_iter().next().unwrap_or_else(Node::null))
}

/// Chart.yaml before validation. `notes` gets what a person should know.
pub(crate) fn chart_yaml(file: &str, data: &[u8], notes: &mut Vec<String>) -> Result<Metadata> {
    let node = document(file, data)?;
    Reader { file, notes }.metadata(&node)
}

/// The dependencies of a requirements.yaml.
pub(crate) fn requirements(file: &str, data: &[u8], notes: &mut Vec<String>) -> Result<Option<Vec<Dependency>>> {
    let node = document(file, data)?;
    let mut reader = Reader { file, notes };
    reader.fields(&node, "requirements.yaml")?;
    reader.dependencies(field(&node, "dependencies"), "dependencies")
}

/// The value of `key`, whatever the case of its letters; an exact match goes first.
pub(super) fn field<'a>(node: &'a Node, key: &str) -> Option<&'a Node> {
    let entries = node.entries()?;
    let exact = entries.iter().find(|entry| entry.key == key);
    exact
        .or_else(|| entries.iter().rfind(|entry| entry.key.eq_ignore_ascii_case(key)))
        .map(|entry| &entry.value)
        .filter(|node| !node.is_null())
}

impl<'a> Reader<'a> {
    pub(super) const fn new(file: &'a str, notes: &'a mut Vec<String>) -> Self {
        Self { file, notes }
    }

    pub(super) fn defect(&self, node: &Node, problem: Problem) -> Defect {
        Defect { file: self.file.to_owned(), at: node.at, problem }
    }

    fn wrong_type(&self, node: &Node, key: &str, expected: &'static str) -> Defect {
        self.defect(node, Problem::Type { key: key.to_owned(), expected, found: node.type_name() })
    }

    /// Refuses what is not a mapping; null is an empty one.
    pub(super) fn fields(&self, node: &Node, what: &str) -> Result<()> {
        if node.is_null() || node.entries().is_some() { Ok(()) } else { Err(self.wrong_type(node, what, "a mapping")) }
    }

    fn metadata(&mut self, node: &Node) -> Result<Metadata> {
        self.fields(node, "the document")?;
        Ok(Metadata {
            name: self.text(node, "name")?,
            home: self.text(node, "home")?,
            sources: self.texts(node, "sources")?,
            version: self.text(node, "version")?,
            description: self.text(node, "description")?,
            keywords: self.texts(node, "keywords")?,
            maintainers: self.maintainers(node)?,
            icon: self.text(node, "icon")?,
            api_version: self.text(node, "apiVersion")?,
            condition: self.text(node, "condition")?,
            tags: self.text(node, "tags")?,
            app_version: self.text(node, "appVersion")?,
            deprecated: self.flag(node, "deprecated")?,
            annotations: self.annotations(node)?,
            kube_version: self.text(node, "kubeVersion")?,
            dependencies: self.dependencies(field(node, "dependencies"), "dependencies")?,
            kind: self.text(node, "type")?,
        })
    }

    pub(super) fn text(&mut self, parent: &Node, key: &str) -> Result<String> {
        field(parent, key).map_or_else(|| Ok(String::new()), |node| self.scalar(node, key))
    }

    fn scalar(&mut self, node: &Node, key: &str) -> Result<String> {
        if node.is_null() {
            return Ok(String::new());
        }
        let text = node.as_go_string().ok_or_else(|| self.wrong_type(node, key, "text"))?;
        if let Kind::Number(_, written) = &node.kind
            && **written != *text
        {
            let file = self.file;
            self.notes.push(format!("{file}: {key} {written} is a number in YAML, which helm reads as \"{text}\"; put it in quotes"));
        }
        Ok(text)
    }

    fn flag(&self, parent: &Node, key: &str) -> Result<bool> {
        match field(parent, key) {
            None => Ok(false),
            Some(Node { kind: Kind::Bool(flag), .. }) => Ok(*flag),
            Some(other) => Err(self.wrong_type(other, key, "true or false")),
        }
    }

    pub(super) fn items<'n>(&self, node: Option<&'n Node>, key: &str) -> Result<&'n [Node]> {
        node.map_or(Ok(&[]), |node| node.items().ok_or_else(|| self.wrong_type(node, key, "a list")))
    }

    fn texts(&mut self, parent: &Node, key: &str) -> Result<Vec<String>> {
        self.items(field(parent, key), key)?.iter().map(|item| self.scalar(item, key)).collect()
    }

    fn annotations(&mut self, parent: &Node) -> Result<std::collections::BTreeMap<String, String>> {
        let Some(node) = field(parent, "annotations") else { return Ok(std::collections::BTreeMap::new()) };
        self.fields(node, "annotations")?;
        node.entries()
            .unwrap_or_default()
            .iter()
            .map(|e| Ok((e.key.clone(), self.scalar(&e.value, &format!("annotations.{}", e.key))?)))
            .collect()
    }

    fn maintainers(&mut self, parent: &Node) -> Result<Vec<Maintainer>> {
        let mut maintainers = Vec::new();
        for (index, item) in self.items(field(parent, "maintainers"), "maintainers")?.iter().enumerate() {
            self.item(item, &format!("maintainers[{index}]"))?;
            maintainers.push(Maintainer { name: self.text(item, "name")?, email: self.text(item, "email")?, url: self.text(item, "url")? });
        }
        Ok(maintainers)
    }

    fn item(&self, item: &Node, key: &str) -> Result<()> {
        if item.is_null() {
            return Err(self.defect(item, Problem::EmptyItem { key: key.to_owned() }));
        }
        self.fields(item, key)
    }

    pub(super) fn dependencies(&mut self, node: Option<&Node>, key: &str) -> Result<Option<Vec<Dependency>>> {
        if node.is_none() {
            return Ok(None);
        }
        let mut dependencies = Vec::new();
        for (index, item) in self.items(node, key)?.iter().enumerate() {
            self.item(item, &format!("{key}[{index}]"))?;
            dependencies.push(Dependency {
                name: self.text(item, "name")?,
                version: self.text(item, "version")?,
                repository: self.text(item, "repository")?,
                condition: self.text(item, "condition")?,
                tags: self.texts(item, "tags")?,
                enabled: self.flag(item, "enabled")?,
                import_values: self
                    .items(field(item, "import-values"), "import-values")?
                    .iter()
                    .map(|node| sorted(node.to_json()))
                    .collect(),
                alias: self.text(item, "alias")?,
            });
        }
        Ok(Some(dependencies))
    }
}

/// Go keeps maps in no order and writes them sorted.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let map: std::collections::BTreeMap<_, _> = map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            Value::Object(map.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_text_as_in_helm_and_are_noted() {
        let mut notes = Vec::new();
        let data = b"apiVersion: v2\nNAME: x\nversion: 1.0\nappVersion: 1.10\ndescription: null\nunknown: 1\nkubeVersion: yes\n";
        let metadata = chart_yaml("Chart.yaml", data, &mut notes).expect("decodes");
        assert_eq!((metadata.name.as_str(), metadata.version.as_str(), metadata.app_version.as_str()), ("x", "1", "1.1"));
        assert_eq!(metadata.kube_version, "true");
        assert_eq!(notes[0], "Chart.yaml: version 1.0 is a number in YAML, which helm reads as \"1\"; put it in quotes");
        assert_eq!(notes.len(), 2);
    }

    #[test]
    fn wrong_types_name_key_and_line() {
        for (data, message) in [
            ("name: [a]\n", "Chart.yaml line 1: name is a list, expected text"),
            ("name: a\nmaintainers:\n- null\n", "Chart.yaml line 3: maintainers[0] holds an empty item; remove it or fill it in"),
            ("name: a\ndependencies: {}\n", "Chart.yaml line 2: dependencies is an object, expected a list"),
            ("deprecated: \"true\"\n", "Chart.yaml line 1: deprecated is a string, expected true or false"),
            ("- a\n", "Chart.yaml line 1: the document is a list, expected a mapping"),
            ("name: a\nname: b\n", "Chart.yaml line 2: not YAML: key 'name' is given twice, first at line 1; keep one"),
        ] {
            let defect = chart_yaml("Chart.yaml", data.as_bytes(), &mut Vec::new()).expect_err(data);
            assert_eq!(defect.to_string(), message);
        }
    }
}
