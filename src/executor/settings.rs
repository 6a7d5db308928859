//! What executors are told by the runner's configuration.

use std::path::PathBuf;

use super::kubernetes_manifest_build::RemoteBases;

/// Settings of all executors; each takes its own out of it.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The runner's state folder; what an executor keeps between jobs goes into `<state>/cache/<job type>`.
    pub state_dir: PathBuf,
    /// Whether kustomizations may fetch what they are made of.
    pub kustomize_remote_bases: RemoteBases,
}
