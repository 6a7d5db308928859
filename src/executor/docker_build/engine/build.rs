//! One build, from pulled base images to a finished layout.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    super::dockerfile::{self, Dockerfile},
    convert::{self, Dates},
    failure,
    invocation::{Invocation, tag},
    progress::Progress,
};
use crate::{
    digest::Digest,
    executor::{
        Context,
        docker_build::{Built, Handle, MARK, Request},
        shared::blocking,
    },
    job::{Failure, FailureKind},
    process::Output,
    provenance::Material,
};

/// Most bytes of an answer of the engine that are read.
const ANSWER: usize = 4 << 20;

/// What is known of base images.
#[derive(Debug, Default)]
struct Bases {
    digests: BTreeMap<String, Digest>,
    layers: BTreeSet<String>,
}

/// Builds, exports, and takes the image out of the engine.
pub(super) async fn build(host: &str, cx: &Context, request: &Request, handle: &Handle) -> Result<Built, Failure> {
    if request.platforms.len() > 1 {
        let text = "platforms: the Docker engine builds for one platform at a time; name one, or build with BuildKit or buildah";
        return Err(Failure::new(FailureKind::InvalidPlan, text));
    }
    if request.cache.export.is_some() {
        cx.log.warn("the Docker engine cannot put its cache of steps into a registry: cache.to is not used");
    }
    let docker = Invocation::new(cx, host)?;
    docker.log_in(request)?;
    let versions =
        docker.docker(&["version", "--format", "{{.Client.Version}} {{.Server.Version}}"]).stdout(Output::Capture { limit: ANSWER });
    let versions = versions.run(&cx.cancel, &cx.log).await?.success()?.text();
    let (client, server) = versions.split_once(' ').unwrap_or((&versions, &versions));
    let buildkit = has_buildkit(&docker, client).await?;

    let dockerfile = {
        let file = request.dockerfile.clone();
        blocking(move || Dockerfile::read(&file)).await?
    };
    let images = if buildkit {
        dockerfile.images_of(&request.build_args, request.target.as_deref())
    } else {
        dockerfile.images(&request.build_args)
    };
    let mut bases = pull(&docker, request, &dockerfile, &images).await?;

    let progress = Progress::new(&cx.log);
    let done = docker.build(request, handle, buildkit)?.tap(progress.tap()).run(&cx.cancel, &cx.log).await?;
    if !done.exit.is_success() {
        return Err(failure::of_build(request, &dockerfile, &progress, &done));
    }
    for (image, digest) in progress.bases() {
        bases.digests.entry(dockerfile::canonical(&image)).or_insert(digest);
    }

    let archive = cx.workspace.root().join("image.tar");
    let save = docker.docker(&["save", "--output"]).arg(&archive).arg(tag(handle)).stdout(Output::Quiet);
    save.run(&cx.cancel, &cx.log).await?.success()?;
    let dates = Dates { mark: MARK.min(request.epoch), epoch: request.epoch, base_layers: bases.layers };
    let (out, cancel) = (request.out.clone(), cx.cancel.clone());
    let work = move || {
        convert::convert(&archive, &out, &dates, &cancel)?;
        Ok::<_, Failure>(fs_err::remove_file(&archive)?)
    };
    cx.cancel.run(blocking(work)).await???;
    remove(host, cx, handle).await?;
    let materials = bases.digests.iter().map(|(image, digest)| Material::content(format!("oci://{image}"), digest, "base image")).collect();
    Ok(Built { layout: request.out.clone(), materials, sboms: Vec::new(), steps: progress.steps(), version: server.to_owned() })
}

/// Whether the client can use BuildKit: it is built in up to version 22, and a plugin since.
async fn has_buildkit(docker: &Invocation<'_>, client: &str) -> Result<bool, Failure> {
    let major: u32 = client.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0);
    if major < 23 {
        return Ok(true);
    }
    let asked = docker.docker(&["buildx", "version"]).stdout(Output::Quiet).stderr(Output::Quiet);
    Ok(asked.run(&docker.cx.cancel, &docker.cx.log).await?.exit.is_success())
}

/// Pulls every base image with the job's own credentials, and asks what it is.
async fn pull(docker: &Invocation<'_>, request: &Request, dockerfile: &Dockerfile, images: &[String]) -> Result<Bases, Failure> {
    let (cancel, log) = (&docker.cx.cancel, &docker.cx.log);
    let mut bases = Bases::default();
    for image in images {
        let platform = request.platforms.first().map(|platform| format!("--platform={platform}"));
        let pull = docker.docker(&["pull", "--quiet"]).args(platform).arg(image).stdout(Output::Quiet);
        let done = pull.run(cancel, log).await?;
        if !done.exit.is_success() {
            return Err(failure::of_pull(request, dockerfile, image, &done));
        }
        let inspect = docker.docker(&["image", "inspect", "--format", "{{json .}}"]).arg(image).stdout(Output::Capture { limit: ANSWER });
        let inspected = inspect.run(cancel, log).await?.success()?;
        let inspected: Value = serde_json::from_slice(&inspected.stdout).unwrap_or_default();
        let texts = |value: &Value| value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>();
        bases.layers.extend(texts(&inspected["RootFS"]["Layers"]));
        let name = dockerfile::canonical(image);
        let repository = name.split('@').next().unwrap_or(&name);
        let repository = repository.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).map_or(repository, |(repository, _)| repository);
        let of_repository = |digest: &String| {
            let (from, digest) = digest.split_once('@')?;
            let from = dockerfile::canonical(from);
            (from.trim_end_matches(":latest") == repository).then(|| digest.parse().ok())?
        };
        let pinned = name.split_once('@').and_then(|(_, digest)| digest.parse().ok());
        if let Some(digest) = pinned.or_else(|| texts(&inspected["RepoDigests"]).iter().find_map(of_repository)) {
            bases.digests.insert(name, digest);
        }
    }
    Ok(bases)
}

/// Takes the image of that build out of the engine, and with it every layer that nothing else uses.
pub(super) async fn remove(host: &str, cx: &Context, handle: &Handle) -> Result<(), Failure> {
    let docker = Invocation::new(cx, host)?;
    let done = docker.docker(&["image", "rm", "--force", &tag(handle)]).stdout(Output::Quiet).stderr(Output::Quiet);
    let done = done.run(&cx.cancel, &cx.log).await?;
    if done.exit.is_success() || done.tail.iter().any(|line| line.contains("No such image")) {
        return Ok(());
    }
    Ok(done.success().map(drop)?)
}
