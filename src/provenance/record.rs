//! What an executor knows about how its artifacts came to be.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{digest::Digest, oci::Repository};

/// Something that went into an artifact: a `ResourceDescriptor` of in-toto (`resolvedDependencies` of SLSA provenance v1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Material {
    /// Where it is from: `git+https://host/repo@ref`, `oci://host/name:tag`, the URL of an archive. Without credentials.
    pub uri: String,
    /// Its digests: algorithm (`sha256`, `gitCommit`) to lower-case hex.
    pub digest: BTreeMap<String, String>,
    /// What it was to the build (`source`, `base image`, `dependency`), for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Material {
    /// A commit of a repository.
    #[must_use]
    pub fn commit(url: &str, git_ref: Option<&str>, commit: &str) -> Self {
        let at = git_ref.map(|name| format!("@{name}")).unwrap_or_default();
        Self {
            uri: format!("git+{url}{at}"),
            digest: [("gitCommit".to_owned(), commit.to_owned())].into(),
            name: Some("source".to_owned()),
        }
    }

    /// Something of that content at `uri`.
    #[must_use]
    pub fn content(uri: impl Into<String>, digest: &Digest, name: impl Into<String>) -> Self {
        let digest = [(digest.algorithm().as_str().to_owned(), digest.hex().to_owned())].into();
        Self { uri: uri.into(), digest, name: Some(name.into()) }
    }
}

/// A list of what is inside an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sbom {
    /// Its format: `application/spdx+json` or `application/vnd.cyclonedx+json`.
    pub media_type: String,
    /// The document.
    pub content: Bytes,
    /// The manifest it is about, when that is not the first artifact (one image of an index).
    pub subject: Option<Digest>,
}

/// How artifacts came to be, without what everybody knows (job, runner, times).
#[derive(Debug, Clone)]
pub struct Record {
    /// Where the artifacts were pushed, with the credentials that pushed them.
    pub repository: Repository,
    /// What the job asked for (`externalParameters`): plan keys that decide about the content, never a secret.
    pub parameters: Map<String, Value>,
    /// What went in, source first.
    pub materials: Vec<Material>,
    /// Lists of contents that the build made or the plan names.
    pub sboms: Vec<Sbom>,
}

impl Record {
    /// A record of nothing but where the artifacts are.
    #[must_use]
    pub fn new(repository: Repository) -> Self {
        Self { repository, parameters: Map::new(), materials: Vec::new(), sboms: Vec::new() }
    }

    /// Adds a parameter; null and empty values are left out.
    #[must_use]
    pub fn parameter(mut self, key: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        let empty = match &value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            _ => false,
        };
        if !empty {
            self.parameters.insert(key.to_owned(), value);
        }
        self
    }

    /// Adds what went in.
    #[must_use]
    pub fn material(mut self, material: impl IntoIterator<Item = Material>) -> Self {
        self.materials.extend(material);
        self
    }
}
