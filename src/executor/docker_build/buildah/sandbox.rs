//! What the machine lets a build have: namespaces of its own, user ids, a container runtime, or no more than `chroot`.
//!
//! Inputs: what [`super::trial`] found out. Outputs: how `buildah` is started, and how its steps run. Invariants: without privileges buildah is
//! started in a user namespace and never makes one itself, for then it would keep its store in the home folder and refuse a user who
//! has no name.
//!
//! Called by the probe, by builds and by clean-up.

use std::path::Path;

use nix::unistd::{Uid, geteuid};

use super::trial;
use crate::{
    executor::{Context, docker_build::Handle},
    job::{Failure, FailureKind},
    process::Command,
};

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

/// The users that files of a build and its steps can have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Users {
    /// The machine's.
    All,
    /// The container's, in a user namespace that buildah makes: the runner is root there and may not mount.
    Contained,
    /// Root and a range of ids, mapped like this.
    Range(String),
    /// Root alone; why there is no range.
    One(String),
}

impl Users {
    /// What decides whether two builds can share a store: files made with one map of users are somebody else's with another.
    pub(super) fn key(&self) -> &str {
        match self {
            Self::All => "all",
            Self::Contained => "contained",
            Self::Range(map) => map,
            Self::One(_) => "one",
        }
    }

    /// Whether the runner can do with their files what it likes.
    pub(super) const fn are_roots(&self) -> bool {
        matches!(self, Self::All | Self::Contained)
    }
}

impl std::fmt::Display for Users {
    /// For the log and for `doctor`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::All => "as root",
            Self::Contained => "as root of a container",
            Self::Range(_) => "without root, with the user ids of /etc/subuid",
            Self::One(_) => "without root, with one user id",
        })
    }
}

/// Why there can be no build: what `unshare(1)` said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("buildah needs root or user namespaces, and user {user} may make none ({why})")]
pub(super) struct Forbidden {
    pub(super) user: Uid,
    pub(super) why: String,
}

impl Forbidden {
    /// What to do about it.
    pub(super) const REMEDY: &str = "allow user namespaces (in a container --security-opt seccomp=unconfined, in a pod \
         securityContext.seccompProfile {type: Unconfined}, or a profile that allows unshare and mount; on the machine the sysctls user.max_user_namespaces and \
         kernel.unprivileged_userns_clone or kernel.apparmor_restrict_unprivileged_userns), or set buildkit_address to a BuildKit daemon";
}

impl From<Forbidden> for Failure {
    fn from(forbidden: Forbidden) -> Self {
        Self::new(FailureKind::ToolMissing, format!("{forbidden}: {}", Forbidden::REMEDY))
    }
}

/// What was found.
#[derive(Debug, Clone)]
pub(super) struct Sandbox {
    /// Arguments of `unshare` that make the namespaces in which buildah runs; empty for those of the runner.
    pub(super) namespaces: Vec<&'static str>,
    /// Whose files and processes there are.
    pub(super) users: Users,
    /// How its steps run.
    pub(super) isolation: Isolation,
}

impl Sandbox {
    /// What can be had here.
    pub(super) async fn find(cx: &Context) -> Result<Self, Failure> {
        Ok(trial::sandbox(&cx.workspace.environment(), &cx.cancel, &cx.log).await??)
    }

    /// For work on the store: no steps run, and as root buildah has to see the mounts that were left behind.
    pub(super) fn of_store(&self) -> Self {
        let namespaces = if self.users.are_roots() { Vec::new() } else { self.namespaces.clone() };
        Self { namespaces, users: self.users.clone(), isolation: Isolation::Chroot }
    }

    /// Whether the container runtime has to do without a process namespace, and so without a network of its own.
    pub(super) fn shares_processes(&self) -> bool {
        matches!(self.isolation, Isolation::Rootless(_)) && !self.namespaces.contains(&"--pid")
    }

    /// A command in the sandbox; `command` makes one of a program.
    pub(super) fn command(&self, program: &'static str, command: impl FnOnce(&'static str) -> Command) -> Command {
        if self.namespaces.is_empty() {
            return command(program);
        }
        let command = command("unshare").args(self.namespaces.iter().copied()).args(["--", program]);
        // So buildah (containers/storage, `pkg/unshare`) tells itself in a user namespace that it is not really root: signatures, short names
        // and what it knows about blobs are then looked for in the home folder instead of where only root may go.
        if self.users.are_roots() { command } else { command.env("_CONTAINERS_ROOTLESS_UID", geteuid().to_string()) }
    }

    /// Says what the failure of a build is probably due to.
    pub(super) fn explain(&self, mut failure: Failure) -> Failure {
        const WORDS: &[&str] = &["chown", "owner", "setgroups", "setgid", "setuid", "setegid", "seteuid"];
        let text = failure.message.to_ascii_lowercase();
        if let Users::One(why) = &self.users
            && WORDS.iter().any(|word| text.contains(word))
        {
            let message = failure.message;
            failure.message = format!(
                "{message}: this runner has one user id for builds ({why}); give its user a name in /etc/passwd and a range in /etc/subuid and /etc/subgid, \
                 and in a container or pod leave it the capabilities SETUID and SETGID and allow privilege escalation, without which newuidmap gives no ids"
            );
        }
        failure
    }
}

impl std::fmt::Display for Sandbox {
    /// How steps run, for the log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.isolation.as_str())?;
        if let Some(runtime) = self.isolation.runtime() {
            write!(f, " ({runtime})")?;
        }
        if self.users == Users::All { Ok(()) } else { write!(f, ", {}", self.users) }
    }
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
