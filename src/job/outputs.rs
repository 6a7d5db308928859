//! What an execution made.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// Operating system and architecture of an image (`platform` of the OCI image index).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Platform {
    /// `linux`, `windows` …
    pub os: String,
    /// `amd64`, `arm64` … as Go names them.
    pub architecture: String,
    /// `v7`, `v8` …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Windows build number and the like.
    #[serde(rename = "os.version", default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

/// One thing that was pushed, by the digest that the place it was pushed to says it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Artifact {
    /// `host/name` of a registry, or the absolute path of a layout folder.
    pub repository: String,
    /// The tag it was pushed under.
    pub tag: String,
    /// Digest of the manifest or index.
    pub digest: Digest,
    /// Media type of the manifest or index.
    pub media_type: String,
    /// Bytes of the manifest and of everything it refers to, each blob counted once.
    pub size: u64,
    /// Platform, when the artifact has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

/// What an execution reports when it succeeds.
///
/// `details` carries the keys that only one job type has (`outputs.source`, `outputs.resources` …); they stand beside
/// `artifacts` in JSON.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Outputs {
    /// Everything that was pushed, the main artifact first.
    pub artifacts: Vec<Artifact>,
    /// Keys of one job type.
    #[serde(flatten)]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub details: serde_json::Map<String, serde_json::Value>,
}

impl Outputs {
    /// Outputs of one artifact.
    #[must_use]
    pub fn of(artifact: Artifact) -> Self {
        Self { artifacts: vec![artifact], details: serde_json::Map::new() }
    }

    /// Adds a key of one job type.
    #[must_use]
    pub fn with(mut self, key: &str, value: serde_json::Value) -> Self {
        self.details.insert(key.to_owned(), value);
        self
    }
}
