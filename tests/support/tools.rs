//! Finds and runs the real tools that tests compare with.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::process;

/// The folder that `scripts/tools` installs into.
pub(crate) fn tools_bin() -> PathBuf {
    let default = || {
        let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let home = || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cache");
        cache.unwrap_or_else(home).join("build-runner-tools")
    };
    let root = env::var_os("BUILD_RUNNER_TOOLS").map_or_else(default, PathBuf::from);
    root.join("bin")
}

/// `PATH` with the folder of the tools in front.
pub(crate) fn path() -> std::ffi::OsString {
    let inherited = env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    env::join_paths([tools_bin()].into_iter().chain(env::split_paths(&inherited)).chain(sbin)).unwrap()
}

/// Where a tool is, if it is here.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    env::split_paths(&path()).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// A command of a tool that [`find`] has found, with the tools on its `PATH`, no input, and no other tool's settings.
///
/// # Panics
/// Where the tool is missing: the test has to ask with `require_tools!` first.
pub(crate) fn command(name: &str) -> Command {
    let file = find(name).unwrap_or_else(|| panic!("{name} is not installed; begin the test with require_tools!(\"{name}\")"));
    let mut command = Command::new(file);
    command.env("PATH", path()).stdin(Stdio::null());
    for setting in ["DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "HELM_REGISTRY_CONFIG", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"]
    {
        command.env_remove(setting);
    }
    command
}

/// Runs a tool to its end and gives its standard output.
///
/// # Panics
/// When it fails, with everything it printed, or takes longer than two minutes.
pub(crate) fn run(command: &mut Command) -> String {
    let done = process::output(command);
    assert!(done.success(), "{command:?} failed ({:?})\n{}{}", done.code, done.stdout, done.stderr);
    done.stdout
}
