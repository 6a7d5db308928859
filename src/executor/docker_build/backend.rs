//! What a backend is given and what it gives back: the seam between the executor and the tools that build images.
//!
//! A backend turns a [`Request`] into one OCI image layout in the workspace. Pushing, tags, digests at the destination and provenance are the
//! executor's; so the registry password of the destination never reaches a backend, unless a base image is on the same host.
//!
//! Implemented by one module for each tool; called by the executor.

use std::{collections::BTreeMap, path::PathBuf};

use async_trait::async_trait;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::{
    executor::{Context, Readiness},
    job::{ExecutionId, Failure},
    provenance::{Material, Sbom},
};

/// What everything an execution makes outside its workspace is called: containers, labels, control groups, storage folders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handle {
    /// `build-runner-<execution>`: letters, digits, `-`, `_` and `.`, as good a name for a container as for a folder.
    pub name: String,
}

impl Handle {
    /// The handle of that execution.
    #[must_use]
    pub fn of(execution: &ExecutionId) -> Self {
        Self { name: format!("build-runner-{execution}") }
    }
}

/// The network that `RUN` steps have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Network {
    /// What the backend gives by default: a network of its own with a way out, where it can make one.
    #[default]
    Default,
    /// None but loopback.
    None,
    /// The machine's.
    Host,
}

impl Network {
    /// The word for it that plans and all backends use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::None => "none",
            Self::Host => "host",
        }
    }
}

/// What may be reused, and where it is kept for others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CacheOptions {
    /// Whether steps that this machine did before may be reused.
    pub local: bool,
    /// Images or cache artifacts in registries whose steps may be reused, by reference.
    pub import: Vec<String>,
    /// Where to put this build's steps for others, by reference.
    pub export: Option<String>,
}

/// Credentials of one registry host, for base images and the cache.
#[derive(Debug, Clone)]
pub struct RegistryCredential {
    /// `HOST` or `HOST:PORT`; Docker Hub is `docker.io`.
    pub host: String,
    /// User name; empty when the host is to be spoken to without credentials.
    pub username: String,
    /// Password or token.
    pub password: SecretString,
    /// Whether the plan says that the host speaks HTTP without TLS.
    pub plain_http: bool,
}

/// One image to build. Every path is absolute, and everything the plan names is inside the checked-out source, links followed.
#[derive(Debug, Clone)]
pub struct Request {
    /// The folder that `COPY` and `ADD` read from.
    pub context: PathBuf,
    /// The Dockerfile; may be outside the context. Its own ignore file, if there is one, is beside it (`<Dockerfile>.dockerignore`).
    pub dockerfile: PathBuf,
    /// The Dockerfile as messages name it: relative to the root of the source.
    pub dockerfile_name: String,
    /// Arguments, sorted by name; `SOURCE_DATE_EPOCH` is among them.
    pub build_args: Vec<(String, String)>,
    /// The stage to build; the last one when absent.
    pub target: Option<String>,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// Platforms as `os/architecture[/variant]`; the machine's own when empty. More than one make an index.
    pub platforms: Vec<String>,
    /// Id and file (0600, in the workspace) of every secret that a step may mount.
    pub secrets: Vec<(String, PathBuf)>,
    /// Socket of the ssh agent that steps may mount as `default`, if the plan asks for it and the runner allows it.
    pub ssh_agent: Option<PathBuf>,
    /// The network that steps have.
    pub network: Network,
    /// What may be reused.
    pub cache: CacheOptions,
    /// Reference of an image that lists what is in the built one; only for a backend that [scans](Backend::scans).
    pub sbom_generator: Option<String>,
    /// Seconds since 1970 that every timestamp of the image is set to, so that the same source gives the same digest.
    pub epoch: u64,
    /// Credentials for base images and cache. No others may be used.
    pub registries: Vec<RegistryCredential>,
    /// Registry hosts that the runner's configuration has over plain HTTP.
    pub plain_http_hosts: Vec<String>,
    /// Certificate authorities the runner's configuration trusts besides the system's, in PEM.
    pub ca_file: Option<PathBuf>,
    /// Where the layout goes: a folder of the workspace that does not exist yet.
    pub out: PathBuf,
}

/// How many steps a build had, for the receipt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Steps {
    /// Instructions that were looked at.
    pub total: u64,
    /// Those of them that were not done again.
    pub cached: u64,
}

/// A built image.
#[derive(Debug)]
pub struct Built {
    /// An OCI image layout with exactly one root: an image manifest, or an index for several platforms. Its own name for the root does
    /// not matter.
    pub layout: PathBuf,
    /// Base images by digest, where the backend knows them.
    pub materials: Vec<Material>,
    /// Lists of what is in the image, each about the manifest of one platform as it is in the layout; no trace of them is in there.
    pub sboms: Vec<Sbom>,
    /// Steps done and reused.
    pub steps: Steps,
    /// Version of the tool, for the receipt.
    pub version: String,
}

/// A tool that builds images.
///
/// # Order of calls
/// `probe` at any time; `build` at most once for an execution; `cleanup` after it, always, also when `build` failed, was cancelled or dropped,
/// and once more with nothing but the handle when the runner was killed.
#[async_trait]
pub trait Backend: Send + Sync {
    /// Its name, as the setting `docker_backend` has it.
    fn name(&self) -> &'static str;

    /// Whether it runs the generator of SBOMs that a plan names.
    fn scans(&self) -> bool {
        false
    }

    /// Whether it can be used here. Takes a second at most.
    async fn probe(&self) -> Readiness;

    /// Builds the image. Selects on `cx.cancel` everywhere.
    ///
    /// # Errors
    /// The failing instruction with its last lines, a base image that cannot be had, a tool that cannot be reached.
    async fn build(&self, cx: &Context, request: &Request, handle: &Handle) -> Result<Built, Failure>;

    /// Removes everything outside the workspace that `build` may have left. Idempotent.
    ///
    /// # Errors
    /// When something cannot be removed.
    async fn cleanup(&self, cx: &Context, handle: &Handle) -> Result<(), Failure>;
}
