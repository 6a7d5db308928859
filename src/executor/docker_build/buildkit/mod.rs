//! The `BuildKit` backend: `buildctl` talks to a daemon of this machine, to one that the configuration names, or to a private one that lives as long
//! as the build.
//!
//! ```text
//!  Request ─► arguments ─► buildctl ──rawjson──► progress ─► log lines, steps, base images, the step that failed ─► failure
//!               DOCKER_CONFIG of the job ┘  └─tar─► export ─► layout folder ─► attestations (SBOMs) taken out
//!  daemon: setting, else the usual sockets, else (root) buildkitd in namespaces of its own under <state>/cache/docker-build/buildkit
//! ```
//!
//! Invariants: buildctl sees the environment of every tool (allow-list) and a docker configuration of nothing but the job's registries; a
//! cancelled buildctl cancels its solve in the daemon; a private daemon does not outlive the build, whatever happens to the runner's task.

mod address;
mod arguments;
mod attestations;
mod credentials;
mod daemon;
mod diagnosis;
mod event;
mod export;
mod failure;
mod generator;
mod progress;
mod steps;

use std::{
    path::Path,
    sync::{Arc, OnceLock},
};

use async_trait::async_trait;

use super::{Backend, Built, Handle, Request};
use crate::{
    executor::{Context, Readiness, Settings, shared::blocking},
    job::{Failure, FailureKind},
    process::{Output, Tap},
};

use address::Place;
use daemon::Daemon;
use generator::Generator;
use progress::Progress;

/// What to do where there is no buildctl.
const INSTALL: &str = "install buildctl and buildkitd (https://github.com/moby/buildkit/releases)";

/// Builds with `BuildKit`.
#[derive(Debug, Clone)]
pub(crate) struct BuildKit {
    settings: Settings,
    /// Address and version of the daemon that a probe has found: asking again takes a process.
    found: Arc<OnceLock<(String, String)>>,
}

impl BuildKit {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self { settings: settings.clone(), found: Arc::default() }
    }

    /// The version of the daemon at `address`.
    async fn version(&self, address: &str, cwd: &Path) -> Option<String> {
        if let Some((_, version)) = self.found.get().filter(|(at, _)| at == address) {
            return Some(version.clone());
        }
        address::version(address, cwd).await
    }

    /// Lets the daemon at `address` build.
    async fn solve(&self, cx: &Context, request: &Request, address: &str) -> Result<Built, Failure> {
        let config = credentials::write(cx, &request.registries)?;
        let progress = Arc::new(Progress::new(cx));
        let seen = Arc::clone(&progress);
        let (export, exported) = std::io::pipe()?;
        let out = request.out.clone();
        let unpack = blocking(move || export::unpack(export, &out));
        let command = cx
            .workspace
            .command("buildctl")
            .remedy(INSTALL)
            .env("DOCKER_CONFIG", &config)
            .args(arguments::build(request, address))
            .stdout(Output::Quiet)
            .stderr(Output::Quiet)
            .fd(exported.into(), arguments::EXPORT_FD)
            .tap(Tap::new(move |_, line| seen.line(line)));
        let running = async { Ok(command.run(&cx.cancel, &cx.log).await?) };
        let version = async { Ok(self.version(address, cx.workspace.root()).await) };
        // Without a buildctl nothing more comes: nobody waits for the rest of its export.
        let (done, unpacked, version) = tokio::try_join!(running, unpack, version)?;
        let mut summary = progress.finish();
        match (done.exit.is_success(), unpacked) {
            (true, unpacked) => unpacked?,
            // It could not write on, because there was no room for what it wrote.
            (false, Err(failure)) if failure.kind == FailureKind::DiskFull => return Err(failure),
            (false, _) => return Err(failure::of(cx, request, &done, &summary)),
        }
        let mut sboms = Vec::new();
        if let Some(generator) = &request.sbom_generator {
            let (out, generator, several) = (request.out.clone(), Generator::of(generator), request.platforms.len() > 1);
            let taken = cx.cancel.run(blocking(move || attestations::take(&out, &generator, several))).await???;
            summary.materials.extend(taken.generator);
            sboms = taken.sboms;
        }
        Ok(Built {
            layout: request.out.clone(),
            materials: summary.materials,
            sboms,
            steps: summary.steps,
            version: version.unwrap_or_default(),
        })
    }
}

#[async_trait]
impl Backend for BuildKit {
    fn name(&self) -> &'static str {
        "buildkit"
    }

    fn scans(&self) -> bool {
        true
    }

    async fn probe(&self) -> Readiness {
        match address::find(&self.settings.docker).await {
            Ok(Place::At(address)) => match address::version(&address, Path::new("/")).await {
                Some(version) => {
                    let detail = format!("buildkitd {version} at {address}");
                    // A second probe finds the same.
                    let _ = self.found.set((address, version));
                    Readiness::Ready(detail)
                }
                None => Readiness::NotReady {
                    reason: format!("buildkitd at {address} does not answer"),
                    remedy: "start it again, or check who may connect to it".to_owned(),
                },
            },
            Ok(Place::Private) => Readiness::Ready("a private buildkitd for each build".to_owned()),
            Err(address::Unusable { reason, remedy }) => Readiness::NotReady { reason, remedy },
        }
    }

    async fn build(&self, cx: &Context, request: &Request, handle: &Handle) -> Result<Built, Failure> {
        match cx.cancel.run(address::find(&self.settings.docker)).await? {
            Ok(Place::At(address)) => self.solve(cx, request, &address).await,
            Ok(Place::Private) => {
                let daemon = Daemon::new(cx, &self.settings, request, handle).await?;
                Box::pin(daemon.while_it_runs(cx, self.solve(cx, request, daemon::ADDRESS))).await
            }
            Err(address::Unusable { reason, remedy }) => Err(Failure::new(FailureKind::ToolMissing, format!("{reason}: {remedy}"))),
        }
    }

    async fn cleanup(&self, cx: &Context, handle: &Handle) -> Result<(), Failure> {
        daemon::clean_up(cx, &self.settings, handle).await
    }
}
