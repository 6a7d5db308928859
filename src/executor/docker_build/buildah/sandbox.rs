//! What the machine lets a build have: namespaces of its own, a container runtime, or no more than `chroot`.

use std::path::Path;

use nix::unistd::{AccessFlags, access, geteuid};

use crate::{
    executor::{Context, docker_build::Handle},
    job::{Failure, FailureKind},
    process::{Command, Output},
};

/// Makes mounts and processes of a build end with it: `unshare(1)` dies with its child and the child with it, and a mount namespace with
/// the last process in it.
const WRAPPER: &[&str] = &["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"];
/// Folders where control groups can be made: version 2, or a controller of version 1.
const CGROUPS: &[&str] = &["/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/pids", "/sys/fs/cgroup/memory"];

/// How steps are kept apart from the machine (`buildah-build(1)`, `--isolation`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Isolation {
    /// A container of this runtime.
    Oci(&'static str),
    /// The same without privileges.
    Rootless(&'static str),
    /// Another root folder, in the namespaces of the build.
    Chroot,
}

impl Isolation {
    /// The word for it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Oci(_) => "oci",
            Self::Rootless(_) => "rootless",
            Self::Chroot => "chroot",
        }
    }

    /// The container runtime.
    pub(super) const fn runtime(self) -> Option<&'static str> {
        match self {
            Self::Oci(runtime) | Self::Rootless(runtime) => Some(runtime),
            Self::Chroot => None,
        }
    }
}

/// What was found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sandbox {
    /// Whether buildah runs in namespaces of its own.
    wrapped: bool,
    /// How its steps run.
    pub(super) isolation: Isolation,
}

impl Sandbox {
    /// Looks what can be had, in a few milliseconds.
    pub(super) async fn find(cx: &Context) -> Result<Self, Failure> {
        let root = geteuid().is_root();
        let environment = cx.workspace.environment();
        let runtime = ["crun", "runc"].into_iter().find(|runtime| environment.find(runtime).is_some());
        let wrapped = root && environment.find("unshare").is_some() && {
            let trial = cx.workspace.command("unshare").args(WRAPPER).arg("true").stdout(Output::Quiet).stderr(Output::Quiet);
            trial.run(&cx.cancel, &cx.log).await.is_ok_and(|done| done.exit.is_success())
        };
        cx.cancel.check()?;
        let isolation = match runtime {
            Some(runtime) if root && wrapped && cgroups_can_be_made() => Isolation::Oci(runtime),
            Some(runtime) if !root => Isolation::Rootless(runtime),
            _ => Isolation::Chroot,
        };
        Ok(Self { wrapped, isolation })
    }

    /// For clean-up: no steps run.
    pub(super) const fn none() -> Self {
        Self { wrapped: false, isolation: Isolation::Chroot }
    }

    /// A buildah command in the sandbox.
    pub(super) fn command(&self, cx: &Context) -> Command {
        if self.wrapped { cx.workspace.command("unshare").args(WRAPPER).arg("buildah") } else { cx.workspace.command("buildah") }
    }
}

fn cgroups_can_be_made() -> bool {
    let writable = |path: &str| access(Path::new(path), AccessFlags::W_OK).is_ok();
    CGROUPS.iter().copied().any(writable)
}

/// Removes the control groups of a build (`cgroup_parent`), which a killed runtime leaves behind. They have no processes any more.
pub(super) fn remove_cgroups(handle: &Handle) -> Result<(), Failure> {
    let top = Path::new("/sys/fs/cgroup");
    let hierarchies = fs_err::read_dir(top).into_iter().flatten().flatten().map(|entry| entry.path()).chain([top.to_owned()]);
    for group in hierarchies.map(|hierarchy| hierarchy.join(&handle.name)).filter(|group| group.is_dir()) {
        remove_group(&group, 4)?;
    }
    Ok(())
}

fn remove_group(group: &Path, depth: usize) -> Result<(), Failure> {
    if depth > 0 {
        for child in fs_err::read_dir(group)?.flatten().filter(|entry| entry.path().is_dir()) {
            remove_group(&child.path(), depth - 1)?;
        }
    }
    match fs_err::remove_dir(group) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::new(FailureKind::Io, format!("a control group of the build cannot be removed: {error}")))
        }
        _ => Ok(()),
    }
}
