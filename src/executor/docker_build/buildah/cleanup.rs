//! Leaving nothing behind: working containers, mounts, control groups, and more layers than the cache may have.

use std::{path::Path, sync::Arc};

use nix::{
    mount::{MntFlags, umount2},
    sys::statvfs::statvfs,
    unistd::geteuid,
};

use super::{
    Buildah,
    files::Files,
    invocation::Invocation,
    pool::Store,
    sandbox::{self, Sandbox},
};
use crate::{
    executor::{Context, docker_build::Handle, shared::blocking},
    job::Failure,
    process::Output,
};

/// A cache is given up when less than this is free on its disk.
const MIN_FREE: u64 = 1 << 30;

/// Removes whatever the build of `handle` left outside its workspace.
pub(super) async fn cleanup(backend: &Buildah, cx: &Context, handle: &Handle) -> Result<(), Failure> {
    let (pool, owner) = (backend.pool.clone(), handle.name.clone());
    if let Some(store) = blocking(move || Store::left_by(&pool, &owner)).await?? {
        let store = Arc::new(store);
        scrub(cx, &store, handle).await?;
        keep(backend, cx, &store).await?;
    }
    let handle = handle.clone();
    blocking(move || sandbox::remove_cgroups(&handle)).await?
}

/// Removes what a build that did not end well left in its store.
pub(super) async fn scrub(cx: &Context, store: &Arc<Store>, handle: &Handle) -> Result<(), Failure> {
    let (here, handle) = (Arc::clone(store), handle.clone());
    blocking(move || {
        unmount_below(here.folder());
        // Counts of mounts that are no more.
        remove_tree(&here.run())?;
        sandbox::remove_cgroups(&handle)
    })
    .await??;
    let Some(driver) = store.driver() else { return Ok(()) };
    let files = Files::bare(&cx.workspace.folder("buildah")?, store, driver)?;
    let invocation = Invocation { cx, sandbox: Sandbox::none(), files: &files };
    let removed = invocation.store(&["rm", "--all"]).stdout(Output::Quiet).run(&cx.cancel, &cx.log).await?;
    if !removed.exit.is_success() {
        cx.log.warn("the store of the build is broken: giving it up, and the steps that were cached in it");
        wipe(cx, store, geteuid().is_root()).await?;
    }
    let here = Arc::clone(store);
    blocking(move || unmount_below(here.folder())).await
}

/// Leaves the store to the next build, unless the cache is too large or the disk too full.
pub(super) async fn keep(backend: &Buildah, cx: &Context, store: &Arc<Store>) -> Result<(), Failure> {
    let (here, pool) = (Arc::clone(store), backend.pool.clone());
    let (taken, free) = blocking(move || -> std::io::Result<(u64, u64)> {
        let disk = statvfs(here.folder())?;
        Ok((here.measure(&pool)?, disk.blocks_available().saturating_mul(disk.fragment_size())))
    })
    .await??;
    if taken > backend.cache_limit || free < MIN_FREE {
        let (taken, free) = (taken >> 20, free >> 20);
        cx.log.info(format_args!("dropping the cache of steps: it has {taken} MiB, and {free} MiB are free on its disk"));
        wipe(cx, store, geteuid().is_root()).await?;
    }
    let (here, pool) = (Arc::clone(store), backend.pool.clone());
    blocking(move || {
        here.measure(&pool)?;
        here.disown()
    })
    .await??;
    Ok(())
}

/// Empties a store. Without privileges, its files belong to users that exist only in buildah's user namespace.
pub(super) async fn wipe(cx: &Context, store: &Store, root: bool) -> Result<(), Failure> {
    let folders = [store.root(), store.run()];
    if !root && folders[0].exists() {
        let remove = cx.workspace.command("buildah").args(["unshare", "rm", "-rf"]).args(&folders);
        remove.stdout(Output::Quiet).run(&cx.cancel, &cx.log).await?.success()?;
    }
    blocking(move || folders.iter().try_for_each(|folder| remove_tree(folder))).await??;
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
