//! Adopting orphans: grandchildren whose parents died become children of the runner, are found there, and are reaped.
//!
//! A runner that is process 1 of a container inherits every orphan anyway; without reaping, the process table fills with the dead.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use nix::{
    errno::Errno,
    sys::{
        signal::Signal,
        wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid},
    },
    unistd::Pid,
};

use super::leftovers::{self, Leftover};

static ADOPTING: AtomicBool = AtomicBool::new(false);

/// Children started by [`super::Command`]: tokio waits for them, nobody else may. Held while one is being started, so that a child
/// that dies at once is not taken for an orphan.
static CHILDREN: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

pub(super) fn children() -> MutexGuard<'static, BTreeSet<i32>> {
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes this process the one that orphans of its children fall to, for the rest of its life. Called once by `main`; from then on every child of
/// this process has to be started by [`super::Command`].
///
/// # Errors
/// When the kernel refuses.
pub fn adopt_orphans() -> std::io::Result<()> {
    nix::sys::prctl::set_child_subreaper(true)?;
    ADOPTING.store(true, Ordering::Relaxed);
    Ok(())
}

/// What the kernel says of all children at once, without waiting for any.
fn any_child() -> nix::Result<WaitStatus> {
    waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT | WaitPidFlag::__WALL)
}

/// Whether nothing lives that this process started, and nothing that those started in turn. Known only to a process that adopts orphans: there,
/// whoever survives its parent is a child. One system call, where looking through `/proc` takes milliseconds.
#[must_use]
pub fn is_childless() -> bool {
    ADOPTING.load(Ordering::Relaxed) && any_child() == Err(Errno::ECHILD)
}

/// Waits for dead orphans, if this process adopts them. Does not block.
pub(super) fn reap() {
    if !ADOPTING.load(Ordering::Relaxed) || matches!(any_child(), Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD)) {
        return;
    }
    let own = children();
    for pid in leftovers::children_of_this_process(true).into_iter().map(|child| child.pid).filter(|pid| !own.contains(pid)) {
        let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
    }
}

/// Kills adopted orphans that nothing else finds: they left the session, cleared their environment and lost their parent. Whose
/// they are can be told only while no command but the one led by `leader` is running; otherwise the last one to end gets them.
pub(super) fn kill_strays(leader: i32) -> Vec<Leftover> {
    if !ADOPTING.load(Ordering::Relaxed) {
        return Vec::new();
    }
    // Held until they are dead: nothing is started meanwhile, so a child between fork and exec is not taken for one.
    let own = children();
    if own.iter().any(|pid| *pid != leader) {
        return Vec::new();
    }
    let mut strays = leftovers::children_of_this_process(false);
    strays.retain(|stray| stray.pid != leader);
    leftovers::signal(&strays, Signal::SIGKILL);
    strays
}
