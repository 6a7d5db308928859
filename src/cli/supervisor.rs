//! From the configuration to a supervisor: the same one for job files and for a control plane's jobs.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use crate::{
    agent::{Executors, Options, Supervisor},
    config::{Config, HostSettings},
    executor,
    logs::LogPolicy,
    oci,
    provenance::KeySource,
    workspace::{self, git},
};

/// Makes the state folder usable.
///
/// # Errors
/// One sentence with the remedy.
pub(super) fn open_state(state: &Path) -> Result<(), String> {
    workspace::open_state(state)
        .map_err(|error| format!("state folder {}: {error}; set --state-dir to a folder this user may write to", state.display()))
}

/// The client of registries.
///
/// # Errors
/// One sentence with the remedy: a bundle of certificates that the configuration names cannot be used.
pub(super) fn oci_client(config: &Config, environment: &BTreeMap<String, String>) -> Result<oci::Client, String> {
    let unusable = |error| format!("ca_file or host_ca_files: {error}; name a bundle of PEM certificates that can be read");
    oci::Client::new(oci_settings(config, environment)).map_err(unusable)
}

/// A supervisor for the state folder, which is open and rid of what a killed runner left there.
///
/// # Errors
/// One sentence with the remedy.
pub(super) fn supervisor(config: &Config, client: oci::Client) -> Result<Supervisor, String> {
    let state = &config.state_dir;
    open_state(state)?;
    let swept = workspace::sweep(state).map_err(|error| error.to_string())?;
    for name in swept.removed {
        tracing::info!(execution = name, "removed what a killed runner left behind");
    }
    for (execution, problem) in swept.failed {
        tracing::warn!(execution, problem, "what a killed runner left behind cannot be removed");
    }
    let options = Options {
        state_dir: state.clone(),
        log_policy: LogPolicy { head: config.job_log_head, tail: config.job_log_tail, ..LogPolicy::default() },
        execution_timeout: config.execution_timeout,
        kill_grace: config.kill_grace,
        git: Arc::new(git_options(config)),
        disk: workspace::Minimum { bytes: config.min_free_disk, inodes: config.min_free_inodes },
    };
    let executors = Executors::new(executor_settings(config));
    let executors = if config.no_provenance { executors } else { executors.signing_with(key_source(config)) };
    Ok(Supervisor::new(executors, Arc::new(client), options))
}

/// What executors are told by the configuration.
pub(super) fn executor_settings(config: &Config) -> executor::Settings {
    let docker = executor::DockerSettings {
        backend: config.docker_backend,
        buildkit_address: config.buildkit_address.clone(),
        docker_host: config.docker_host.clone(),
        ssh_agent: config.docker_ssh_agent.clone(),
        cache_limit: config.docker_cache_limit,
    };
    executor::Settings {
        state_dir: config.state_dir.clone(),
        kustomize_remote_bases: config.kustomize_remote_bases,
        docker,
        trusted_root: config.trusted_root.clone(),
    }
}

/// The key that signs provenance.
pub(super) fn key_source(config: &Config) -> KeySource {
    config.signing_key.clone().map_or_else(|| KeySource::State(config.state_dir.clone()), KeySource::File)
}

fn git_options(config: &Config) -> git::Options {
    let ssh =
        config.git_ssh_key.clone().map(|key| git::Ssh { key: Some(key), known_hosts: config.git_ssh_known_hosts.clone(), agent: None });
    git::Options { ssh, ca_file: config.ca_file.clone(), ..git::Options::default() }
}

/// How registries are reached.
pub(super) fn oci_settings(config: &Config, environment: &BTreeMap<String, String>) -> oci::Settings {
    let host = |settings: &HostSettings| oci::HostSettings { plain_http: settings.plain_http, ca_file: settings.ca_file.clone() };
    oci::Settings {
        ca_file: config.ca_file.clone(),
        hosts: config.hosts.iter().map(|(name, settings)| (name.clone(), host(settings))).collect(),
        docker_config: match &config.docker_config {
            None => oci::DockerConfig::UsualPlaces,
            Some(path) if path.as_os_str() == "none" => oci::DockerConfig::None,
            Some(path) => oci::DockerConfig::File(path.clone()),
        },
        environment: environment.clone(),
        concurrency: config.transfer_concurrency,
        ..oci::Settings::default()
    }
}
