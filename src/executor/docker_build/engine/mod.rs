//! The Docker engine: images by a daemon that somebody else runs.
//!
//! ```text
//!  pull base images ─► docker build (BuildKit in the engine, or its first builder) ─► docker save ─► layers dated, compressed ─► layout
//! ```
//!
//! Inputs: a [`Request`]. Outputs: a layout; base images by digest. Invariants: the client reads no configuration but one with the job's
//! credentials; every base image is pulled with these, so one that another job was allowed to pull is of no use without; nothing of the
//! build stays in the engine but its cache of steps and the base images; the result does not depend on when it was built.
//!
//! Called by the executor.

mod build;
mod convert;
mod failure;
mod invocation;
mod progress;

use async_trait::async_trait;

use super::{Backend, Built, Handle, Request};
use crate::{
    executor::{Context, Readiness, Settings, Tool},
    job::Failure,
    logs::JobLog,
    process::{Command, Environment, Output},
    shutdown::Cancel,
};

/// Where the engine listens unless told otherwise.
const SOCKET: &str = "unix:///var/run/docker.sock";
/// How long it may take to answer a probe.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(3);

/// Builds with a Docker engine.
#[derive(Debug, Clone)]
pub(super) struct Engine {
    host: String,
}

impl Engine {
    /// A backend with these settings.
    pub(super) fn new(settings: &Settings) -> Self {
        Self { host: settings.docker.docker_host.clone().unwrap_or_else(|| SOCKET.to_owned()) }
    }

    fn unusable(&self, reason: String) -> Readiness {
        let remedy = format!("start a Docker engine at {}, or set docker_host to where one listens", self.host);
        Readiness::NotReady { reason, remedy }
    }
}

#[async_trait]
impl Backend for Engine {
    fn name(&self) -> &'static str {
        "docker"
    }

    async fn probe(&self) -> Readiness {
        if let Some(socket) = self.host.strip_prefix("unix://")
            && !std::path::Path::new(socket).exists()
        {
            return self.unusable(format!("no Docker engine listens at {}", self.host));
        }
        if let Err(unusable) = Tool::DOCKER.look().await {
            return Readiness::NotReady { reason: unusable.to_string(), remedy: Tool::DOCKER.install.to_owned() };
        }
        let nowhere = std::path::Path::new("/nonexistent");
        let environment = Environment::of_runner(nowhere, nowhere);
        let capture = Output::Capture { limit: 1 << 16 };
        let version = Command::new("docker", &environment).args(["--host", &self.host, "version", "--format", "{{.Server.Version}}"]);
        let (cancel, log) = (Cancel::new(), JobLog::discard());
        let asked = version.stdout(capture).stderr(capture).cwd("/").run(&cancel, &log);
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(done)) if done.exit.is_success() => Readiness::Ready(format!("Docker engine {} at {}", done.text(), self.host)),
            Ok(Ok(done)) => self.unusable(String::from_utf8_lossy(&done.stderr).trim().to_owned()),
            Ok(Err(error)) => self.unusable(error.to_string()),
            Err(_) => self.unusable(format!("the Docker engine at {} does not answer", self.host)),
        }
    }

    async fn build(&self, cx: &Context, request: &Request, handle: &Handle) -> Result<Built, Failure> {
        build::build(&self.host, cx, request, handle).await
    }

    async fn cleanup(&self, cx: &Context, handle: &Handle) -> Result<(), Failure> {
        build::remove(&self.host, cx, handle).await
    }
}
