//! What the client has to know besides the job: trust, plain HTTP, credentials of the machine, limits.
//!
//! Filled in by `cli` from the configuration; [`Settings::default`] is what an empty configuration gives.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use crate::retry::Policy;

/// Settings of one registry host (`HOST` or `HOST:PORT`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostSettings {
    /// Spoken to over plain HTTP.
    pub plain_http: bool,
    /// PEM bundle trusted for it, besides the system's authorities.
    pub ca_file: Option<PathBuf>,
}

/// Where the machine's registry credentials are looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum DockerConfig {
    /// `$REGISTRY_AUTH_FILE`, `$XDG_RUNTIME_DIR/containers/auth.json`, `$XDG_CONFIG_HOME/containers/auth.json`,
    /// `$DOCKER_CONFIG/config.json`, `~/.docker/config.json`.
    #[default]
    UsualPlaces,
    /// This file alone.
    File(PathBuf),
    /// Nowhere.
    None,
}

/// How long to wait for a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// For the next byte of an answer, or for room for the next byte of an upload.
    pub idle: Duration,
    /// For the answer after the last byte of an upload: the registry may have to hash all of it first.
    pub commit: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(15), idle: Duration::from_mins(1), commit: Duration::from_mins(5) }
    }
}

/// Everything [`super::Client`] is made from.
#[derive(Clone)]
pub struct Settings {
    /// PEM bundle trusted besides the system's authorities.
    pub ca_file: Option<PathBuf>,
    /// Settings by registry host.
    pub hosts: BTreeMap<String, HostSettings>,
    /// The machine's registry credentials.
    pub docker_config: DockerConfig,
    /// The process's environment, as far as credentials are looked up in it (`AWS_*`, `AZURE_*`, `GOOGLE_*`, `DOCKER_CONFIG`,
    /// `HOME` …). A snapshot, so that tests need not change their own.
    pub environment: BTreeMap<String, String>,
    /// Most blobs in flight to one registry host.
    pub concurrency: usize,
    /// Timeouts.
    pub timeouts: Timeouts,
    /// How often a call is tried.
    pub retry: Policy,
}

/// A registry that throttles may ask for more patience than others get.
const RETRY: Policy = Policy { max_delay: Duration::from_mins(2), ..Policy::NETWORK };

impl fmt::Debug for Settings {
    /// Of the environment only the names: its values may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("ca_file", &self.ca_file)
            .field("hosts", &self.hosts)
            .field("docker_config", &self.docker_config)
            .field("environment", &self.environment.keys())
            .field("concurrency", &self.concurrency)
            .field("timeouts", &self.timeouts)
            .field("retry", &self.retry)
            .finish()
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ca_file: None,
            hosts: BTreeMap::new(),
            docker_config: DockerConfig::default(),
            environment: BTreeMap::new(),
            concurrency: 64,
            timeouts: Timeouts::default(),
            retry: RETRY,
        }
    }
}

impl Settings {
    /// A variable of the environment that is set and not empty.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}
