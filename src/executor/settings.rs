//! What executors are told by the runner's configuration.

use std::path::PathBuf;

use super::kubernetes_manifest_build::RemoteBases;

/// Which tool builds images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DockerBackend {
    /// The first that is ready: BuildKit, buildah, the Docker engine.
    #[default]
    Auto,
    /// A `BuildKit` daemon.
    BuildKit,
    /// buildah.
    Buildah,
    /// The Docker engine.
    Docker,
}

impl DockerBackend {
    /// Every value with its name in the configuration.
    pub const NAMES: &'static [(&'static str, Self)] =
        &[("auto", Self::Auto), ("buildkit", Self::BuildKit), ("buildah", Self::Buildah), ("docker", Self::Docker)];
}

/// How images are built.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DockerSettings {
    /// The tool.
    pub backend: DockerBackend,
    /// Where the `BuildKit` daemon listens (`unix:///…`, `tcp://HOST:PORT`); its usual sockets when absent.
    pub buildkit_address: Option<String>,
    /// Where the Docker engine listens (`unix:///…`, `tcp://HOST:PORT`); its usual socket when absent.
    pub docker_host: Option<String>,
    /// Socket of an ssh agent that builds may use if their plan asks for it; none by default.
    pub ssh_agent: Option<PathBuf>,
    /// Most bytes that the cache of steps may take on this machine, where the runner keeps it itself.
    pub cache_limit: u64,
}

/// Settings of all executors; each takes its own out of it.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The runner's state folder; what an executor keeps between jobs goes into `<state>/cache/<job type>`.
    pub state_dir: PathBuf,
    /// Whether kustomizations may fetch what they are made of.
    pub kustomize_remote_bases: RemoteBases,
    /// How images are built.
    pub docker: DockerSettings,
    /// Whom to believe about identities and times where a plan does not say: a Sigstore `trusted_root.json`.
    pub trusted_root: Option<PathBuf>,
}
