//! What an executor knows about how its artifacts came to be.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
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

/// What tells lists of contents apart.
#[derive(Debug, Deserialize)]
struct Head {
    #[serde(rename = "spdxVersion")]
    version: Option<Value>,
    #[serde(rename = "@context")]
    context: Option<Value>,
    #[serde(rename = "bomFormat")]
    format: Option<Value>,
}

impl Sbom {
    /// The media type of a document: SPDX 2 names its version, SPDX 3 its context, `CycloneDX` itself; `None` for anything else.
    ///
    /// # Errors
    /// When it is not JSON.
    pub fn media_type_of(document: &[u8]) -> Result<Option<&'static str>, serde_json::Error> {
        let Head { version, context, format } = match serde_json::from_slice(document) {
            Ok(head) => head,
            // A list, or a text.
            Err(error) if error.is_data() => return Ok(None),
            Err(error) => return Err(error),
        };
        let is_spdx = |version: Value| version.as_str().is_some_and(|version| !version.is_empty());
        if version.is_some_and(is_spdx) || context.is_some_and(|context| context.to_string().contains("spdx.org/rdf/")) {
            return Ok(Some("application/spdx+json"));
        }
        Ok(Some("application/vnd.cyclonedx+json").filter(|_| format.is_some_and(|format| format == "CycloneDX")))
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_contents_say_what_they_are() {
        let spdx = Some("application/spdx+json");
        for (document, expected) in [
            (r#"{"spdxVersion": "SPDX-2.3", "packages": [{}]}"#, spdx),
            (r#"{"@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld", "@graph": []}"#, spdx),
            (r#"{"bomFormat": "CycloneDX", "specVersion": "1.6"}"#, Some("application/vnd.cyclonedx+json")),
            (r#"{"@context": "https://schema.org"}"#, None),
            (r#"{"spdxVersion": ""}"#, None),
            (r#"{"bomFormat": 1}"#, None),
            ("[1]", None),
        ] {
            assert_eq!(Sbom::media_type_of(document.as_bytes()).expect(document), expected, "{document}");
        }
        assert!(Sbom::media_type_of(b"<bom/>").is_err());
    }
}
