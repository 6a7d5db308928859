//! One line of `--progress=rawjson`: BuildKit's `SolveStatus` (buildkit `client/graph.go`), as much of it as is shown.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde::Deserialize;

/// What changed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Event {
    pub(super) vertexes: Vec<Vertex>,
    pub(super) logs: Vec<Chunk>,
    pub(super) warnings: Vec<Warning>,
}

/// A step as it stands now.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Vertex {
    pub(super) digest: String,
    pub(super) name: String,
    pub(super) started: Option<Timestamp>,
    pub(super) completed: Option<Timestamp>,
    pub(super) cached: bool,
    pub(super) error: String,
}

/// Output of a step.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Chunk {
    pub(super) vertex: String,
    /// 1 is standard output, 2 standard error.
    pub(super) stream: u8,
    data: String,
}

/// Something about the Dockerfile.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Warning {
    short: String,
}

impl Event {
    /// `None` for a line that is none: buildctl's own messages and the excerpt of the Dockerfile at the end.
    pub(super) fn parse(line: &str) -> Option<Self> {
        if line.starts_with('{') { serde_json::from_str(line).ok() } else { None }
    }
}

impl Chunk {
    pub(super) fn bytes(&self) -> Vec<u8> {
        STANDARD.decode(&self.data).unwrap_or_default()
    }
}

impl Warning {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&STANDARD.decode(&self.short).unwrap_or_default()).into_owned()
    }
}
