//! Which daemon is used, and whether there is one.
//!
//! `BUILDKIT_HOST` of the runner's environment is not asked: what decides about builds stands in the configuration, where `config explain` shows it.

use std::{io, path::Path, time::Duration};

use tokio::net::UnixStream;

use super::{super::rights, INSTALL};
use crate::{
    executor::DockerSettings,
    logs::JobLog,
    process::{Command, Environment, Output},
    shutdown::Cancel,
};

/// How long a daemon may take to say who it is.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the daemon is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It listens there.
    At(String),
    /// One has to be started.
    Private,
}

/// Why there is none.
#[derive(Debug)]
pub(super) struct Unusable {
    pub(super) reason: String,
    pub(super) remedy: String,
}

/// The daemon of the setting; else the first that listens where daemons usually do; else a private one, if this user can run it.
pub(super) async fn find(settings: &DockerSettings) -> Result<Place, Unusable> {
    let nowhere = Path::new("/nonexistent");
    let environment = Environment::of_runner(nowhere, nowhere);
    let unusable = |reason: &str, remedy: &str| Err(Unusable { reason: reason.to_owned(), remedy: remedy.to_owned() });
    if environment.find("buildctl").is_none() {
        return unusable("buildctl is not installed", INSTALL);
    }
    if let Some(address) = &settings.buildkit_address {
        return Ok(Place::At(address.clone()));
    }
    let uid = nix::unistd::geteuid();
    for socket in ["/run/buildkit/buildkitd.sock".to_owned(), format!("/run/user/{uid}/buildkit/buildkitd.sock")] {
        match UnixStream::connect(&socket).await {
            Ok(_) => return Ok(Place::At(format!("unix://{socket}"))),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return unusable(
                    &format!("user {uid} may not connect to buildkitd at {socket}"),
                    "let the runner's group use the socket (buildkitd --group GID; in a pod securityContext.supplementalGroups), or set buildkit_address",
                );
            }
            Err(_) => {}
        }
    }
    let missing: Vec<_> = ["buildkitd", "unshare"].into_iter().filter(|name| environment.find(name).is_none()).collect();
    if !missing.is_empty() {
        return unusable(
            &format!("no buildkitd listens at its usual sockets, and none can be started: {} is not installed", missing.join(" and ")),
            "start buildkitd, set buildkit_address, or install buildkitd, runc and util-linux for a private one",
        );
    }
    if super::daemon::runtime(&environment).is_none() {
        return unusable("buildkitd needs runc or crun, and neither is installed", "apt-get install runc");
    }
    if !uid.is_root() || !rights::has(rights::MOUNT) {
        return unusable(
            "no buildkitd listens at its usual sockets, and this user may not start one (it needs root and the right to mount)",
            "start a rootless buildkitd (rootlesskit buildkitd), or set buildkit_address",
        );
    }
    Ok(Place::Private)
}

/// The version of the daemon at `address`, `None` when it does not answer. `folder` is where a relative address is looked for.
pub(super) async fn version(address: &str, folder: &Path) -> Option<String> {
    let nowhere = Path::new("/nonexistent");
    let capture = Output::Capture { limit: 64 << 10 };
    let command = Command::new("buildctl", &Environment::of_runner(nowhere, nowhere))
        .args(["--addr", address, "debug", "info"])
        .cwd(folder)
        .stdout(capture)
        .stderr(Output::Quiet);
    let (cancel, log) = (Cancel::new(), JobLog::discard());
    let done = tokio::time::timeout(PATIENCE, command.run(&cancel, &log)).await.ok()?.ok()?.success().ok()?;
    // "BuildKit:   github.com/moby/buildkit v0.33.1 <revision>"
    let text = done.text();
    let line = text.lines().find(|line| line.starts_with("BuildKit:"))?;
    line.split_whitespace().nth(2).map(str::to_owned)
}
