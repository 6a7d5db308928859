//! The tools that build images, each on sockets and roots of its own, and sources for them to build.

use std::fs;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, umount2};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::{self, Running};
use super::runner::{Invocation, Runner};
use super::tools;

/// The beginning of every Dockerfile here: a root with busybox and nothing else.
pub(crate) const BUSYBOX: &str = "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\n";

/// A backend of docker-build.
#[derive(Debug)]
pub(crate) enum Builder {
    /// buildah, which has no daemon.
    Buildah,
    /// A Docker engine of the test's own.
    Docker(Daemon),
    /// A BuildKit daemon of the test's own.
    BuildKit(Daemon),
}

/// A daemon that ends, with everything it mounted, when it is dropped.
#[derive(Debug)]
pub(crate) struct Daemon {
    process: Option<Running>,
    folder: TempDir,
    address: String,
}

impl Daemon {
    /// Starts it with its state in `root`, or in a temporary folder.
    fn start(program: &str, socket: &str, ready: &str, args: impl FnOnce(&Path, &str) -> Vec<String>) -> Self {
        let folder = tempfile::Builder::new().prefix("builder-").tempdir().unwrap();
        let address = format!("unix://{}", folder.path().join(socket).display());
        let mut command = tools::command(program);
        command.args(args(folder.path(), &address));
        let process = process::spawn(&mut command);
        process.stderr_line(ready);
        Self { process: Some(process), folder, address }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            process.signal(Signal::SIGTERM);
            process.wait();
        }
        for mount in mounts_below(self.folder.path()) {
            let _ = umount2(mount.as_path(), MntFlags::MNT_DETACH);
        }
    }
}

impl Builder {
    /// A Docker engine without a network of its own.
    pub(crate) fn docker() -> Self {
        Self::Docker(Daemon::start("dockerd", "d.sock", "API listen on", |folder, address| {
            let below = |name: &str| folder.join(name).display().to_string();
            let mut args = vec!["--host".to_owned(), address.to_owned(), "--data-root".to_owned(), below("root")];
            args.extend(["--exec-root".to_owned(), below("exec"), "--pidfile".to_owned(), below("pid")]);
            args.extend(["--iptables=false".to_owned(), "--bridge=none".to_owned()]);
            args
        }))
    }

    /// A BuildKit daemon with the runc worker.
    pub(crate) fn buildkit() -> Self {
        Self::BuildKit(Daemon::start("buildkitd", "b.sock", "running server on", |folder, address| {
            let mut args = vec!["--addr".to_owned(), address.to_owned(), "--root".to_owned(), folder.join("root").display().to_string()];
            args.extend(["--oci-worker-binary=runc".to_owned(), "--containerd-worker=false".to_owned()]);
            args
        }))
    }

    /// Its name in the setting `docker_backend`.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Buildah => "buildah",
            Self::Docker(_) => "docker",
            Self::BuildKit(_) => "buildkit",
        }
    }

    /// A run of that job with this backend.
    pub(crate) fn run(&self, runner: &Runner, job: &Value) -> Invocation {
        let run = runner.job(job).args(["--docker-backend", self.name()]);
        match self {
            Self::Buildah => run,
            Self::Docker(daemon) => run.args(["--docker-host", &daemon.address]),
            Self::BuildKit(daemon) => run.args(["--buildkit-address", &daemon.address]),
        }
    }

    /// The folder where its daemon keeps everything, if it has one.
    pub(crate) fn folder(&self) -> Option<&Path> {
        match self {
            Self::Buildah => None,
            Self::Docker(daemon) | Self::BuildKit(daemon) => Some(daemon.folder.path()),
        }
    }

    /// Where its daemon listens.
    pub(crate) fn address(&self) -> &str {
        match self {
            Self::Buildah => "",
            Self::Docker(daemon) | Self::BuildKit(daemon) => &daemon.address,
        }
    }
}

/// Writes a repository `src` with that Dockerfile and a busybox, committed at a fixed time; returns a job that builds it into the layout `out`.
pub(crate) fn job(runner: &Runner, dockerfile: &str) -> Value {
    let repository = runner.work().join("src");
    fs::create_dir_all(&repository).unwrap();
    fs::copy(tools::find("busybox").unwrap(), repository.join("busybox")).unwrap();
    fs::write(repository.join("Dockerfile"), dockerfile).unwrap();
    commit(&repository, "2024-05-06T07:08:09Z");
    json!({"type": "docker-build", "plan": {
        "git_source": {"url": "src", "ref": "main"},
        "docker_build_plan": {"network": "none"},
        "dst_registry": {"RegistryType": "oci_layout", "Repository": "out"},
        "dst_tag": "1"}})
}

/// Commits everything in `repository` at that time.
pub(crate) fn commit(repository: &Path, time: &str) {
    let git = |args: &[&str]| {
        let mut git = tools::command("git");
        git.current_dir(repository).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_COMMITTER_DATE", time).env("GIT_AUTHOR_DATE", time);
        tools::run(git.args(["-c", "user.name=t", "-c", "user.email=t@example.com"]).args(args));
    };
    git(&["-c", "init.defaultBranch=main", "init", "-q"]);
    git(&["add", "-A"]);
    git(&["commit", "-q", "-m", "a commit", "--allow-empty"]);
}

/// What is mounted below `folder`, the innermost first.
pub(crate) fn mounts_below(folder: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut all: Vec<PathBuf> = table.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from).collect();
    all.retain(|point| point.starts_with(folder) && point != folder);
    all.sort_by_key(|point| std::cmp::Reverse(point.as_os_str().len()));
    all
}

/// Ids of the processes whose command line has `needle` in it.
pub(crate) fn processes_with(needle: &str) -> Vec<i32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let has = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).replace('\0', " ").contains(needle)
    };
    pids.filter(has).collect()
}

/// Bytes of all files below `folder`, and how many there are.
pub(crate) fn usage(folder: &Path) -> (u64, u64) {
    let mut sum = (0, 0);
    let Ok(entries) = fs::read_dir(folder) else { return sum };
    for entry in entries.flatten() {
        let Ok(found) = entry.metadata() else { continue };
        let (bytes, files) = if found.is_dir() { usage(&entry.path()) } else { (found.len(), 1) };
        sum = (sum.0 + bytes, sum.1 + files);
    }
    sum
}
