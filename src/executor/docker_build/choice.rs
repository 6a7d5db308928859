//! Which backend builds: the one that the setting names, or the first that is ready.
//!
//! What was chosen is written beside the cache before anything is made, under the handle's name, so that after a crash the right backend cleans up.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{Backend, Handle, buildah::Buildah, buildkit::BuildKit, engine::Engine};
use crate::{
    executor::{DockerBackend, Readiness, Settings},
    job::{Failure, FailureKind},
};

/// Every backend of this build of the runner that the setting allows, in the order in which they are tried.
pub(crate) fn candidates(settings: &Settings) -> Vec<Box<dyn Backend>> {
    let all: Vec<(DockerBackend, Box<dyn Backend>)> = vec![
        (DockerBackend::BuildKit, Box::new(BuildKit::new(settings))),
        (DockerBackend::Buildah, Box::new(Buildah::new(settings))),
        (DockerBackend::Docker, Box::new(Engine::new(settings))),
    ];
    let wanted = settings.docker.backend;
    all.into_iter().filter(|(which, _)| wanted == DockerBackend::Auto || wanted == *which).map(|(_, backend)| backend).collect()
}

/// The first that is ready, with what it says about itself; or why none is.
pub(crate) async fn first_ready(candidates: Vec<Box<dyn Backend>>) -> Result<(Box<dyn Backend>, String), Readiness> {
    let (mut reasons, mut remedies) = (Vec::new(), Vec::new());
    for backend in candidates {
        match backend.probe().await {
            Readiness::Ready(detail) => return Ok((backend, detail)),
            Readiness::NotReady { reason, remedy } => {
                reasons.push(format!("{}: {reason}", backend.name()));
                remedies.push(remedy);
            }
        }
    }
    Err(Readiness::NotReady { reason: reasons.join("; "), remedy: remedies.join("; or ") })
}

/// The backend of a plan: the first that is ready and, where the plan names a generator of SBOMs, runs it.
pub(crate) async fn choose(settings: &Settings, sbom_generator: Option<&str>) -> Result<(Box<dyn Backend>, String), Failure> {
    let mut candidates = candidates(settings);
    let Some(generator) = sbom_generator else { return first_ready(candidates).await.map_err(none_ready) };
    candidates.retain(|backend| backend.scans());
    let why = match (settings.docker.backend, first_ready(candidates).await) {
        (_, Ok(ready)) => return Ok(ready),
        // The runner is set up for it; what is missing there is not the plan's fault.
        (DockerBackend::BuildKit, Err(not_ready)) => return Err(none_ready(not_ready)),
        (DockerBackend::Buildah | DockerBackend::Docker, _) => "this runner is set to another backend".to_owned(),
        (DockerBackend::Auto, Err(Readiness::Ready(text) | Readiness::NotReady { reason: text, .. })) => text,
    };
    let text = format!(
        "sbom_generator: only BuildKit runs '{generator}', and it does not build here ({why}); \
         use a runner with BuildKit (docker_backend buildkit or auto), or name a file of the source in sbom"
    );
    Err(Failure::new(FailureKind::InvalidPlan, text))
}

/// A job that finds no backend is told what to install; another runner may have one.
fn none_ready(readiness: Readiness) -> Failure {
    let text = match readiness {
        Readiness::Ready(detail) => detail,
        Readiness::NotReady { reason, remedy } => format!("no tool that builds images can be used on this machine ({reason}): {remedy}"),
    };
    Failure::new(FailureKind::ToolMissing, text)
}

/// Notes which backend works for `handle`.
pub(crate) fn note(state: &Path, handle: &Handle, backend: &str) -> io::Result<()> {
    let file = note_file(state, handle);
    if let Some(folder) = file.parent() {
        fs_err::create_dir_all(folder)?;
    }
    fs_err::write(file, backend)
}

/// The backend that was noted, if one was.
pub(crate) fn noted(state: &Path, handle: &Handle) -> io::Result<Option<String>> {
    match fs_err::read_to_string(note_file(state, handle)) {
        Ok(name) => Ok(Some(name)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Names of all handles for which `backend` was noted.
pub(crate) fn all_noted(state: &Path, backend: &str) -> Vec<String> {
    let notes = std::fs::read_dir(cache_folder(state).join("running")).into_iter().flatten().flatten();
    let of_backend = notes.filter(|note| std::fs::read_to_string(note.path()).is_ok_and(|noted| noted == backend));
    of_backend.filter_map(|note| note.file_name().into_string().ok()).collect()
}

/// Forgets the note.
pub(crate) fn forget(state: &Path, handle: &Handle) -> io::Result<()> {
    match fs_err::remove_file(note_file(state, handle)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Where everything that outlives a build is kept: the cache of steps, and these notes.
pub(crate) fn cache_folder(state: &Path) -> PathBuf {
    state.join("cache").join("docker-build")
}

fn note_file(state: &Path, handle: &Handle) -> PathBuf {
    cache_folder(state).join("running").join(&handle.name)
}
