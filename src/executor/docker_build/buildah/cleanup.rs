//! Leaving nothing behind: working containers, mounts, control groups, and more layers than the cache may have.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use nix::{
    mount::{MntFlags, umount2},
    sys::statvfs::statvfs,
};

use super::{
    super::short,
    Buildah,
    files::Files,
    invocation::Invocation,
    pool::Store,
    sandbox::{self, Sandbox, Users},
};
use crate::{
    executor::{Context, docker_build::Handle, shared::blocking},
    job::{Failure, FailureKind},
    process::Output,
};

/// A cache is given up when less than this is free on its disk.
const MIN_FREE: u64 = 1 << 30;

/// Removes whatever the build of `handle` left outside its workspace.
pub(super) async fn cleanup(backend: &Buildah, cx: &Context, handle: &Handle) -> Result<(), Failure> {
    let (pool, owner) = (backend.pool.clone(), handle.name.clone());
    if let Some(store) = blocking(move || Store::left_by(&pool, &owner)).await?? {
        let (store, sandbox) = (Arc::new(store), Sandbox::find(cx).await?);
        scrub(cx, &sandbox, &store, handle).await?;
        keep(backend, cx, &sandbox, &store).await?;
    }
    let handle = handle.clone();
    blocking(move || {
        // Only builds with an agent have it.
        let _ = std::fs::remove_file(short::name(&handle));
        sandbox::remove_cgroups(&handle)
    })
    .await?
}

/// Removes what a build that did not end well left in its store.
pub(super) async fn scrub(cx: &Context, sandbox: &Sandbox, store: &Arc<Store>, handle: &Handle) -> Result<(), Failure> {
    let (here, handle) = (Arc::clone(store), handle.clone());
    blocking(move || {
        unmount_below(here.folder());
        sandbox::remove_cgroups(&handle)
    })
    .await??;
    // With counts of mounts that are no more.
    remove(cx, sandbox, &[store.run(), store.tmp()]).await?;
    let Some(driver) = store.driver() else { return Ok(()) };
    let files = Files::bare(&cx.workspace.folder("buildah")?, store, driver, &sandbox.users)?;
    let invocation = Invocation { cx, sandbox: sandbox.of_store(), files: &files };
    let removed = invocation.store(&["rm", "--all"]).stdout(Output::Quiet).run(&cx.cancel, &cx.log).await?;
    if !removed.exit.is_success() {
        cx.log.warn("the store of the build is broken: giving it up, and the steps that were cached in it");
        wipe(cx, sandbox, store).await?;
    }
    let here = Arc::clone(store);
    blocking(move || unmount_below(here.folder())).await
}

/// Leaves the store to the next build, unless the cache is too large or the disk too full.
pub(super) async fn keep(backend: &Buildah, cx: &Context, sandbox: &Sandbox, store: &Arc<Store>) -> Result<(), Failure> {
    remove(cx, sandbox, &[store.tmp()]).await?;
    let (here, pool) = (Arc::clone(store), backend.pool.clone());
    let (taken, free) = blocking(move || -> std::io::Result<(u64, u64)> {
        let disk = statvfs(here.folder())?;
        Ok((here.measure(&pool)?, disk.blocks_available().saturating_mul(disk.fragment_size())))
    })
    .await??;
    if taken > backend.cache_limit || free < MIN_FREE {
        let (taken, free) = (taken >> 20, free >> 20);
        cx.log.info(format_args!("dropping the cache of steps: it has {taken} MiB, and {free} MiB are free on its disk"));
        wipe(cx, sandbox, store).await?;
    }
    let (here, pool) = (Arc::clone(store), backend.pool.clone());
    blocking(move || {
        here.measure(&pool)?;
        here.disown()
    })
    .await??;
    Ok(())
}

/// Empties a store.
pub(super) async fn wipe(cx: &Context, sandbox: &Sandbox, store: &Store) -> Result<(), Failure> {
    let Err(mut failure) = remove(cx, sandbox, &[store.root(), store.run(), store.tmp()]).await else { return Ok(()) };
    if sandbox.users != Users::All && failure.kind == FailureKind::ToolFailed {
        let text = format!("'{}' has files of users that this runner does not have any more; remove it as root", store.folder().display());
        failure = Failure { evidence: failure.evidence, ..Failure::new(FailureKind::Io, text) };
    }
    Err(failure)
}

/// Removes folders of a store. Without privileges, what is in them may belong to users that exist only in a user namespace.
async fn remove(cx: &Context, sandbox: &Sandbox, folders: &[PathBuf]) -> Result<(), Failure> {
    let there: Vec<PathBuf> = folders.iter().filter(|folder| folder.exists()).cloned().collect();
    if there.is_empty() {
        return Ok(());
    }
    if sandbox.users == Users::All {
        return Ok(blocking(move || there.iter().try_for_each(|folder| remove_tree(folder))).await??);
    }
    let rm = sandbox.of_store().command("rm", |program| cx.workspace.command(program)).args(["-rf", "--"]).args(there);
    rm.stdout(Output::Quiet).stderr(Output::Quiet).run(&cx.cancel, &cx.log).await?.success()?;
    Ok(())
}

/// Unmounts everything below `folder`, the innermost first (proc(5), `/proc/pid/mountinfo`, field 5).
fn unmount_below(folder: &Path) {
    let table = fs_err::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(unescape);
    let mut below: Vec<String> = points.filter(|point| Path::new(point).starts_with(folder)).collect();
    below.sort_by_key(|point| std::cmp::Reverse(point.len()));
    for point in below {
        let _ = umount2(point.as_str(), MntFlags::MNT_DETACH);
    }
}

/// `\040` is a space, `\011` a tab, `\012` a new line, `\134` a backslash.
fn unescape(field: &str) -> String {
    field.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

fn remove_tree(folder: &Path) -> std::io::Result<()> {
    match fs_err::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
