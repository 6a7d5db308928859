//! The command lines.

use std::{io::Write as _, path::PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};

use crate::{
    executor::{
        Context, Tool,
        docker_build::{Handle, Network, Request, flags::Flags},
    },
    job::{Failure, FailureKind},
    process::Command,
};

/// Docker Hub's name in credential files (`docker/cli`, `cli/config/configfile`).
const HUB: &str = "https://index.docker.io/v1/";

/// Commands of one build.
pub(super) struct Invocation<'a> {
    pub(super) cx: &'a Context,
    host: &'a str,
    config: PathBuf,
}

impl<'a> Invocation<'a> {
    /// A client that knows no credentials.
    pub(super) fn new(cx: &'a Context, host: &'a str) -> Result<Self, Failure> {
        let this = Self { cx, host, config: cx.workspace.folder("docker")? };
        this.write_config(&Map::new())?;
        Ok(this)
    }

    /// Gives the client the credentials of the request.
    pub(super) fn log_in(&self, request: &Request) -> Result<(), Failure> {
        let with_user = request.registries.iter().filter(|registry| !registry.username.is_empty());
        let auths = with_user
            .map(|registry| {
                let pair = format!("{}:{}", registry.username, registry.password.expose_secret());
                let host = if registry.host == "docker.io" { HUB } else { &registry.host };
                (host.to_owned(), json!({"auth": STANDARD.encode(pair)}))
            })
            .collect();
        self.write_config(&auths)
    }

    fn write_config(&self, auths: &Map<String, Value>) -> Result<(), Failure> {
        use fs_err::os::unix::fs::OpenOptionsExt as _;
        let mut file = fs_err::OpenOptions::new();
        let mut file = file.write(true).create(true).truncate(true).mode(0o600).open(self.config.join("config.json"))?;
        Ok(file.write_all(json!({ "auths": auths }).to_string().as_bytes())?)
    }

    /// `docker ARGS…` with a configuration of its own.
    pub(super) fn docker(&self, args: &[&str]) -> Command {
        let command = self.cx.workspace.command("docker").env("DOCKER_CONFIG", &self.config).remedy(Tool::DOCKER.install);
        command.args(["--host", self.host]).args(args)
    }

    /// Builds; the image is tagged with [`tag`].
    pub(super) fn build(&self, request: &Request, handle: &Handle, buildkit: bool) -> Result<Command, Failure> {
        let mut flags = Flags::default();
        flags.value("--tag", tag(handle));
        flags.value("--file", &request.dockerfile);
        if request.network != Network::Default {
            flags.value("--network", request.network.as_str());
        }
        if let Some(platform) = request.platforms.first() {
            flags.value("--platform", platform);
        }
        flags.wishes(request, request.target.as_deref(), |_| true);
        for import in &request.cache.import {
            flags.value("--cache-from", import);
        }
        if buildkit {
            flags.value("--progress", "plain");
            flags.mounts(request);
        } else if !request.secrets.is_empty() || request.ssh_agent.is_some() {
            let text = "secrets and ssh need BuildKit, for which the docker command here lacks its buildx plugin: install docker-buildx";
            return Err(Failure::new(FailureKind::ToolMissing, text));
        } else {
            flags.switch("--force-rm");
        }
        let switch = if buildkit { "1" } else { "0" };
        Ok(self.docker(&["build"]).args(flags).arg(&request.context).env("DOCKER_BUILDKIT", switch).env("BUILDX_CONFIG", &self.config))
    }
}

/// The name of a build's image until it has been taken out of the engine.
pub(super) fn tag(handle: &Handle) -> String {
    format!("build-runner:{}", handle.name)
}
