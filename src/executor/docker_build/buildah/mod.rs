//! buildah: images without a daemon.
//!
//! ```text
//!  store of the pool (locked) ─► private configuration ─► [own mount and pid namespace] buildah build ─► push to a layout ─► times replaced
//! ```
//!
//! Inputs: a [`Request`]. Outputs: a layout; base images by digest. Invariants: no file of the machine's container configuration is
//! read but its signature policy; the store is used by one build at a time, so whatever a dead build left in it is nobody else's; what a build mounts
//! and starts lives in namespaces that end with it, where the runner may make such.
//!
//! # Reproducibility
//! With `--timestamp` buildah dates files, and reuses cached steps that bear another date: the result would depend on what this machine built
//! before. So every build is dated [`super::MARK`], which lets layers keep their digests from commit to commit, and the configuration is dated by the source afterwards.
//!
//! Called by the executor.

mod build;
mod cleanup;
mod dialect;
mod export;
mod failure;
mod files;
mod invocation;
mod platform;
mod pool;
mod progress;
mod sandbox;
mod trial;

use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::{Backend, Built, Handle, Request, choice};
use crate::{
    executor::{Context, Readiness, Settings, Tool},
    job::Failure,
    logs::JobLog,
    process::Environment,
    shutdown::Cancel,
};
use sandbox::{Forbidden, Users};

/// Builds with buildah.
#[derive(Debug, Clone)]
pub(super) struct Buildah {
    /// Where stores are.
    pool: PathBuf,
    /// Most bytes they may hold between builds.
    cache_limit: u64,
}

impl Buildah {
    /// A backend with these settings.
    pub(super) fn new(settings: &Settings) -> Self {
        let pool = choice::cache_folder(&settings.state_dir).join("buildah");
        // buildah refuses relative paths.
        Self { pool: std::path::absolute(&pool).unwrap_or(pool), cache_limit: settings.docker.cache_limit }
    }
}

#[async_trait]
impl Backend for Buildah {
    fn name(&self) -> &'static str {
        "buildah"
    }

    async fn probe(&self) -> Readiness {
        let not_ready = |reason: String, remedy: &str| Readiness::NotReady { reason, remedy: remedy.to_owned() };
        let found = match Tool::BUILDAH.look().await {
            Ok(found) => found,
            Err(unusable) => return not_ready(unusable.to_string(), Tool::BUILDAH.install),
        };
        let environment = Environment::of_runner(Path::new("/"), Path::new("/tmp"));
        match trial::sandbox(&environment, &Cancel::new(), &JobLog::discard()).await {
            Ok(Ok(sandbox)) => Readiness::Ready(match sandbox.users {
                Users::All => found.version,
                users => format!("{}, {users}", found.version),
            }),
            Ok(Err(forbidden)) => not_ready(forbidden.to_string(), Forbidden::REMEDY),
            Err(cancelled) => not_ready(cancelled.to_string(), "try again"),
        }
    }

    async fn build(&self, cx: &Context, request: &Request, handle: &Handle) -> Result<Built, Failure> {
        build::build(self, cx, request, handle).await
    }

    async fn cleanup(&self, cx: &Context, handle: &Handle) -> Result<(), Failure> {
        cleanup::cleanup(self, cx, handle).await
    }
}
