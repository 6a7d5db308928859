//! One build, from a locked store to a finished layout.

use std::{path::Path, sync::Arc};

use serde_json::Value;

use super::{
    super::{
        dockerfile::{self, Dockerfile},
        layout::{self, Layout, Times},
        short,
    },
    Buildah,
    cleanup::{self, scrub},
    dialect, export,
    failure::Evidence,
    files::Files,
    invocation::Invocation,
    platform,
    pool::Store,
    progress::Progress,
    sandbox::{Isolation, Sandbox, Users},
};
use crate::{
    digest::Digest,
    executor::{
        Context,
        docker_build::{Built, Handle, MARK, Network, Request, Steps},
        shared::blocking,
    },
    job::{Failure, FailureKind, Platform},
    oci::Descriptor,
    process::Output,
    provenance::Material,
};

/// Most bytes of a list of images that are read.
const LIST: usize = 4 << 20;

/// Builds, exports, and leaves the store as a cache.
pub(super) async fn build(backend: &Buildah, cx: &Context, request: &Request, handle: &Handle) -> Result<Built, Failure> {
    let sandbox = Sandbox::find(cx).await?;
    if request.network == Network::None && sandbox.isolation == Isolation::Chroot {
        let text = "network: steps without a network need a container runtime (runc or crun) and the right to use it on this runner";
        return Err(Failure::new(FailureKind::ToolMissing, text));
    }
    tell(cx, request, &sandbox);
    let (pool, owner) = (backend.pool.clone(), handle.name.clone());
    let (store, before) = blocking(move || Store::take(&pool, &owner)).await??;
    let store = Arc::new(store);
    if let Some(before) = before {
        cx.log.info("cleaning up after a build that was killed");
        scrub(cx, &sandbox, &store, &Handle { name: before }).await?;
        fs_err::write(store.folder().join("owner"), &handle.name)?;
    }
    if !store.is_of(sandbox.users.key()) {
        cx.log.info("dropping the cache of steps: builds had other user ids when it was made");
        cleanup::wipe(cx, &sandbox, &store).await?;
    }
    store.note_users(sandbox.users.key())?;
    let driver = driver(cx, &sandbox, &store).await?;
    let dockerfile = {
        let file = request.dockerfile.clone();
        blocking(move || Dockerfile::read(&file)).await?
    };
    let images = dockerfile.images(&request.build_args);
    let mut files = Files::bare(&cx.workspace.folder("buildah")?, &store, driver, &sandbox.users)?;
    files.fill(request, &images)?;
    let invocation = Invocation { cx, sandbox, files: &files };

    let version = invocation.store(&["--version"]).stdout(Output::Capture { limit: LIST }).run(&cx.cancel, &cx.log).await?.text();
    let version = version_of(&version);
    dialect::check(request, &dockerfile, &version)?;

    if request.ssh_agent.is_some() {
        fs_err::os::unix::fs::symlink(&files.tmp, short::name(handle))?;
    }
    let mark = MARK.min(request.epoch);
    let platforms: Vec<Option<&str>> =
        if request.platforms.is_empty() { vec![None] } else { request.platforms.iter().map(|platform| Some(platform.as_str())).collect() };
    let mut steps = Steps::default();
    for (number, platform) in platforms.iter().enumerate() {
        if let Some(platform) = platform.filter(|_| platforms.len() > 1) {
            cx.log.info(format_args!("building for {platform}"));
        }
        let progress = Progress::new(&cx.log);
        let done = invocation.build(request, handle, &dockerfile, *platform, mark).tap(progress.tap()).run(&cx.cancel, &cx.log).await?;
        if !done.exit.is_success() {
            return Err(invocation.sandbox.explain(Evidence::of(request, &dockerfile, &progress, &done).failure()));
        }
        progress.finish();
        steps.total += progress.steps().total;
        steps.cached += progress.steps().cached;
        let image = fs_err::read_to_string(files.path("iid"))?;
        let image = image.trim().trim_start_matches("sha256:");
        export::image(&invocation, request, handle, image, number).await?;
    }
    let materials = materials(&invocation, &images).await?;
    let (out, epoch, platforms) = (request.out.clone(), request.epoch, platform::of(request, &dockerfile));
    cx.cancel.run(blocking(move || finish(&out, mark, epoch, &platforms))).await???;
    cleanup::keep(backend, cx, &invocation.sandbox, &store).await?;
    Ok(Built { layout: request.out.clone(), materials, sboms: Vec::new(), steps, version })
}

/// Says how the steps will run, and what of the request cannot be had.
fn tell(cx: &Context, request: &Request, sandbox: &Sandbox) {
    let network = if request.network == Network::None { "no network" } else { "the machine's network" };
    cx.log.info(format_args!("isolation of steps: {sandbox}, {network}"));
    if let Users::One(why) = &sandbox.users {
        cx.log.warn(format_args!(
            "files of other users than root become root's, so layers may differ from those that other runners build, because builds have one user id here: {why}"
        ));
    }
    if request.cache.import.len() > 1 {
        cx.log.warn("buildah takes cached steps from one repository: only the first of cache.from is used");
    }
}

/// The driver of the store: overlay where the kernel takes it, which has no copies of whole layers.
async fn driver(cx: &Context, sandbox: &Sandbox, store: &Store) -> Result<&'static str, Failure> {
    if let Some(driver) = store.driver() {
        return Ok(driver);
    }
    let files = Files::bare(&cx.workspace.folder("buildah")?, store, "overlay", &sandbox.users)?;
    let invocation = Invocation { cx, sandbox: sandbox.of_store(), files: &files };
    let trial = invocation.store(&["info"]).stdout(Output::Quiet).stderr(Output::Quiet).run(&cx.cancel, &cx.log).await?;
    if trial.exit.is_success() {
        return Ok("overlay");
    }
    let reason = trial.tail.last().map_or("", String::as_str);
    cx.log.info(format_args!("layers are kept as copies (vfs), for overlay does not work here: {reason}"));
    cleanup::wipe(cx, sandbox, store).await?;
    Ok("vfs")
}

/// The base images that the store has, by the digest that their registry gave them.
async fn materials(invocation: &Invocation<'_>, images: &[String]) -> Result<Vec<Material>, Failure> {
    if images.is_empty() {
        return Ok(Vec::new());
    }
    let list = invocation.store(&["images", "--json"]).stdout(Output::Capture { limit: LIST });
    let list = list.run(&invocation.cx.cancel, &invocation.cx.log).await?.success()?;
    let list: Value = serde_json::from_slice(&list.stdout).map_err(|error| layout::unreadable("list of images", &error))?;
    let digest_of = |name: &str| {
        let has = |entry: &&Value| entry["names"].as_array().into_iter().flatten().any(|found| found.as_str() == Some(name));
        list.as_array()?.iter().find(has)?["digest"].as_str()?.parse::<Digest>().ok()
    };
    let material = |image: &String| {
        let name = dockerfile::canonical(image);
        let pinned = name.split_once('@').and_then(|(_, digest)| digest.parse().ok());
        Some(Material::content(format!("oci://{name}"), &pinned.or_else(|| digest_of(&name))?, "base image"))
    };
    Ok(images.iter().filter_map(material).collect())
}

/// Replaces the times in what buildah exported, and writes down the platforms. Blocking.
fn finish(out: &Path, mark: u64, epoch: u64, platforms: &[Platform]) -> Result<(), Failure> {
    const NAME: &str = "org.opencontainers.image.ref.name";
    let index = layout::read_json(&out.join("index.json"))?;
    let mut exported: Vec<Descriptor> =
        serde_json::from_value(index["manifests"].clone()).map_err(|error| layout::unreadable("index", &error))?;
    exported.sort_by_key(|entry| entry.annotations.get(NAME).and_then(|name| name.parse::<usize>().ok()));
    let layout = Layout::at(out)?;
    let mut images = Vec::new();
    for (number, entry) in exported.iter().enumerate() {
        let manifest = export::manifest(&layout, entry)?;
        let config = export::descriptor(&manifest["config"])?;
        let layers: Result<Vec<_>, _> = manifest["layers"].as_array().into_iter().flatten().map(export::descriptor).collect();
        let layers = layers?;
        let mut config = layout.json(&config.digest)?;
        if let Some(platform) = platforms.get(number) {
            platform::write(&mut config, platform);
        }
        images.push(layout.image(config, &layers, Times::Marked(mark), epoch)?);
    }
    layout.finish(images)
}

/// `1.28.2` of `buildah version 1.28.2 (image-spec 1.1.0-rc2, …)`.
fn version_of(said: &str) -> String {
    said.split_whitespace().nth(2).unwrap_or(said).to_owned()
}
