//! Finding out what namespaces this user may make, by making some: versions and kernel parameters do not tell.
//!
//! Inputs: `unshare(1)`, `newuidmap(1)` and a container runtime on `PATH`, and the user who runs this. Outputs: the best [`Sandbox`] that works, or what
//! stands against any. Called by the probe, by builds and by clean-up; takes some ten milliseconds.

use std::path::Path;

use nix::unistd::{AccessFlags, access, geteuid};

use super::{
    super::runtime,
    sandbox::{Forbidden, Isolation, Sandbox, Users},
};
use crate::{
    logs::JobLog,
    process::{Command, Environment, Output},
    shutdown::{Cancel, Cancelled},
};

/// Makes mounts and processes of a build end with it: `unshare(1)` dies with its child and the child with it, and a mount namespace with
/// the last process in it.
const NAMESPACES: &[&str] = &["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
/// The same where `/proc` cannot be mounted, because something is mounted over parts of it, as in most containers.
const MOUNTS: &[&str] = &["--mount", "--fork", "--kill-child"];
/// Root inside is this user outside, and the other users are its ids of `/etc/subuid` and `/etc/subgid` (`newuidmap(1)`; util-linux 2.38).
const RANGE: &[&str] = &["--user", "--map-root-user", "--map-auto"];
/// Root inside is this user outside, and there are no others.
const ONE: &[&str] = &["--user", "--map-root-user"];
/// Prints which users there are (`user_namespaces(7)`): a few lines.
const MAP: &[&str] = &["cat", "/proc/self/uid_map"];
/// Folders where control groups can be made: version 2, or a controller of version 1.
const CGROUPS: &[&str] = &["/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/pids", "/sys/fs/cgroup/memory"];

/// What this user can have.
pub(super) async fn sandbox(environment: &Environment, cancel: &Cancel, log: &JobLog) -> Result<Result<Sandbox, Forbidden>, Cancelled> {
    let trial = Trial { environment, cancel, log };
    let user = geteuid();
    let found = if user.is_root() { trial.as_root().await } else { trial.without_root().await };
    cancel.check()?;
    Ok(found.map_err(|why| Forbidden { user, why }))
}

/// What trials need.
struct Trial<'a> {
    environment: &'a Environment,
    cancel: &'a Cancel,
    log: &'a JobLog,
}

impl Trial<'_> {
    async fn as_root(&self) -> Result<Sandbox, String> {
        let sandbox = |namespaces: &[&'static str], isolation| Sandbox { namespaces: namespaces.to_vec(), users: Users::All, isolation };
        if self.environment.find("unshare").is_none() {
            return Ok(sandbox(&[], Isolation::Chroot));
        }
        if self.unshare(NAMESPACES).await.is_ok() {
            let runtime = self.runtime().filter(|_| cgroups_can_be_made());
            return Ok(sandbox(NAMESPACES, runtime.map_or(Isolation::Chroot, Isolation::Oci)));
        }
        // Root that may not mount is root of a container; there buildah makes a user namespace with all of the container's users.
        if self.unshare(&["--mount"]).await.is_err() {
            self.unshare(&[ONE, &["--mount"]].concat()).await?;
        }
        Ok(sandbox(&[], Isolation::Chroot))
    }

    async fn without_root(&self) -> Result<Sandbox, String> {
        let mut reasons = Vec::new();
        for (users, apart) in [(RANGE, NAMESPACES), (RANGE, MOUNTS), (ONE, NAMESPACES), (ONE, MOUNTS)] {
            let namespaces = [users, apart].concat();
            match self.unshare(&namespaces).await {
                Ok(map) => {
                    let users = if users == RANGE { Users::Range(map) } else { Users::One(reasons.swap_remove(0)) };
                    let runtime = self.runtime().filter(|_| apart == NAMESPACES);
                    return Ok(Sandbox { namespaces, users, isolation: runtime.map_or(Isolation::Chroot, Isolation::Rootless) });
                }
                Err(reason) => reasons.push(reason),
            }
        }
        Err(reasons.pop().unwrap_or_default())
    }

    fn runtime(&self) -> Option<&'static str> {
        runtime::find(self.environment, ["crun", "runc"])
    }

    /// The map of users in such namespaces, or what stands against them.
    async fn unshare(&self, namespaces: &[&'static str]) -> Result<String, String> {
        let command = Command::new("unshare", self.environment).args(namespaces.iter().copied()).arg("--").args(MAP.iter().copied());
        let command = command.cwd("/").stdout(Output::Capture { limit: 64 << 10 }).stderr(Output::Quiet);
        let done = command.run(self.cancel, self.log).await.map_err(|error| error.to_string())?;
        if done.exit.is_success() {
            return Ok(done.text().split_whitespace().collect::<Vec<_>>().join(" "));
        }
        let said = done.tail.last().map_or("unshare failed without a word", String::as_str);
        // It adds what the kernel said last, whether or not that was it.
        Err(said.trim_start_matches("unshare: ").trim_end_matches(": Success").trim_end_matches('.').to_owned())
    }
}

fn cgroups_can_be_made() -> bool {
    let writable = |path: &str| access(Path::new(path), AccessFlags::W_OK).is_ok();
    CGROUPS.iter().copied().any(writable)
}
