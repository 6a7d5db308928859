//! A BuildKit daemon for one build: started in namespaces of its own, with a cache that the next build finds again.
//!
//! It runs under `unshare` as the first process of a process namespace and in a mount namespace: when it dies, however that happens, the kernel ends
//! every container and takes every mount with it. What is left then is a control group and runc's notes, which [`clean_up`] removes.
//!
//! Caches: `<state>/cache/docker-build/buildkit/<n>`, one daemon each at a time, held by a lock; builds side by side take different ones, and a
//! build after another the same one.

use std::{
    fmt::Write as _,
    future::Future,
    io,
    path::{Path, PathBuf},
    pin::pin,
    time::Duration,
};

use nix::sys::statvfs::statvfs;

use super::super::{Handle, Request, choice, dead::PREFIX, short};
use crate::{
    executor::{Context, Settings, shared::blocking},
    job::{CancelCause, Failure, FailureKind},
    logs::JobLog,
    process::{Command, Environment, Error, Output, is_childless, stop_execution},
    shutdown::Cancel,
};

/// Where the daemon listens: in the folder that it and buildctl run in, whose real path may be longer than a socket's name can be.
pub(super) const ADDRESS: &str = "unix:///proc/self/cwd/buildkitd.sock";
const SOCKET: &str = "buildkitd.sock";
/// Where it takes traces of steps.
const TRACES: &str = "otel.sock";
/// Most bytes of the path of a socket that buildkitd makes; unix(7) has three more.
const LONGEST_SOCKET: usize = 104;

/// How long the daemon may take to listen; a large cache on a slow disk takes its time.
const STARTING: Duration = Duration::from_mins(1);
/// How often is looked whether it does.
const LOOK: Duration = Duration::from_millis(10);
/// Caches are given up when less than this is free on their disk.
const MIN_FREE: u64 = 1 << 30;
/// Most builds side by side.
const MOST: usize = 256;
/// Where control groups are.
const GROUPS: &str = "/sys/fs/cgroup";
/// Where runc keeps its notes about containers of root.
const RUNC: &str = "/run/runc";

/// The container runtime that is there.
pub(super) fn runtime(environment: &Environment) -> Option<&'static str> {
    super::super::runtime::find(environment, ["runc", "crun"])
}

/// A daemon that is about to be started.
pub(super) struct Daemon {
    command: Command,
    socket: PathBuf,
    /// Nobody else uses the cache while this is held.
    _lock: fs_err::File,
}

impl Daemon {
    /// Takes a cache and writes the daemon's configuration.
    pub(super) async fn new(cx: &Context, settings: &Settings, request: &Request, handle: &Handle) -> Result<Self, Failure> {
        let folder = caches(&settings.state_dir);
        let state = settings.state_dir.clone();
        let taken = move || {
            sweep(&state);
            take(&folder)
        };
        let (root, lock) = blocking(taken).await??;
        let environment = cx.workspace.environment();
        let runtime = runtime(&environment).unwrap_or("runc");
        let workspace = cx.workspace.root();
        let config = workspace.join("buildkitd.toml");
        let sockets = sockets(workspace, request, handle)?;
        fs_err::write(&config, configuration(&root, runtime, settings.docker.cache_limit, request, handle, &sockets)?)?;
        let command = cx
            .workspace
            .command("unshare")
            .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--", "buildkitd", "--config"])
            .arg(config)
            // It would cut what a step prints to 2 MiB, and the last words of one that fails with it; the job's log has limits of its own.
            .env("BUILDKIT_STEP_LOG_MAX_SIZE", "-1")
            .env("BUILDKIT_STEP_LOG_MAX_SPEED", "-1")
            .stdout(Output::Quiet)
            .stderr(Output::Quiet);
        let command = if request.ssh_agent.is_some() { command.env("TMPDIR", sockets) } else { command };
        Ok(Self { command, socket: workspace.join(SOCKET), _lock: lock })
    }

    /// Runs the daemon while `work` is done, and ends it with it.
    pub(super) async fn while_it_runs<T>(self, cx: &Context, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let (stop, quiet) = (Cancel::new(), JobLog::discard());
        let mut running = pin!(self.command.run(&stop, &quiet));
        let socket = self.socket;
        let mut work = pin!(async {
            cx.cancel.run(listens(&socket)).await??;
            work.await
        });
        tokio::select! {
            // It ends by itself only when something is wrong with it.
            ended = &mut running => Err(died(ended.map(|done| done.tail))),
            result = &mut work => {
                stop.cancel(CancelCause::Shutdown);
                // Cancelled is what it is meant to be.
                let _ = running.await;
                result
            }
        }
    }
}

/// The folder where the daemon makes sockets that others find by their path: the workspace, or one with a short name.
fn sockets(workspace: &Path, request: &Request, handle: &Handle) -> io::Result<PathBuf> {
    use std::os::unix::fs::DirBuilderExt as _;
    let fits = workspace.join(TRACES).as_os_str().len() <= LONGEST_SOCKET;
    if fits && request.ssh_agent.is_none() {
        return Ok(workspace.to_owned());
    }
    let folder = short::name(handle);
    std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
    Ok(folder)
}

/// Resolves when the daemon listens.
async fn listens(socket: &Path) -> Result<(), Failure> {
    let appears = async {
        while !socket.exists() {
            tokio::time::sleep(LOOK).await;
        }
    };
    let late =
        |_| Failure::new(FailureKind::Io, format!("buildkitd did not listen within {} s", STARTING.as_secs())).with_tool("buildkitd", None);
    tokio::time::timeout(STARTING, appears).await.map_err(late)
}

fn died(ended: Result<Vec<String>, Error>) -> Failure {
    let tail = match ended {
        Ok(tail) => tail,
        Err(error) => return error.into(),
    };
    // What was wrong stands before the places in its source where it was.
    let said = tail.iter().rev().find(|line| line.starts_with("buildkitd: ")).or(tail.last()).cloned().unwrap_or_default();
    let failure = Failure::new(FailureKind::Io, format!("buildkitd ended in the middle of the build: {said}")).with_tool("buildkitd", None);
    tail.into_iter().fold(failure, |failure, line| failure.with_evidence("buildkitd", line))
}

fn caches(state: &Path) -> PathBuf {
    choice::cache_folder(state).join("buildkit")
}

/// The first cache that nobody uses. Blocking.
fn take(folder: &Path) -> io::Result<(PathBuf, fs_err::File)> {
    fs_err::create_dir_all(folder)?;
    let folder = fs_err::canonicalize(folder)?;
    for number in 0..MOST {
        let file = fs_err::OpenOptions::new().create(true).truncate(false).write(true).open(folder.join(format!("{number}.lock")))?;
        match file.file().try_lock() {
            Ok(()) => {
                let root = folder.join(number.to_string());
                forget_containers(&root);
                return Ok((root, file));
            }
            Err(std::fs::TryLockError::WouldBlock) => {}
            Err(std::fs::TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(io::Error::other(format!("{MOST} builds are running already")))
}

/// Removes the control groups of builds whose runner was killed and never came back for them: noted, and without a workspace. Blocking.
fn sweep(state: &Path) {
    for name in choice::all_noted(state, "buildkit") {
        let Some(execution) = name.strip_prefix(PREFIX) else { continue };
        if !state.join("workspaces").join(execution).exists() && remove_groups(Path::new(GROUPS), &name).is_ok() {
            // A note that stays is looked at again by the next build.
            let _ = choice::forget(state, &Handle { name });
        }
    }
}

/// Removes what containers of a killed daemon left in the cache `root`, which nobody uses, and in runc's notes. What is still mounted stays: it is not ours.
fn forget_containers(root: &Path) {
    let mounted = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    if mounted.contains(&*root.to_string_lossy()) {
        return;
    }
    let bundles = std::fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path().join("executor"));
    for entry in bundles.filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten() {
        let path = entry.path();
        if path.join("config.json").is_file() {
            let notes = Path::new(RUNC).join(entry.file_name());
            // Names are random and ours; what cannot be removed is in nobody's way.
            let _ = std::fs::remove_dir_all(&notes);
            let _ = std::fs::remove_dir_all(&path);
        }
    }
}

/// Gives up the caches that nobody uses when their disk is nearly full; says whether it was. A step that filled the disk leaves its files in the cache until
/// the daemon next collects garbage, and where nothing can be written it never gets that far. Blocking.
fn make_room(folder: &Path) -> io::Result<bool> {
    let disk = statvfs(folder)?;
    if disk.blocks_available().saturating_mul(disk.fragment_size()) >= MIN_FREE {
        return Ok(false);
    }
    let mounted = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for number in 0..MOST {
        let Ok(lock) = std::fs::File::open(folder.join(format!("{number}.lock"))) else { break };
        let root = folder.join(number.to_string());
        if lock.try_lock().is_ok() && root.is_dir() && !mounted.contains(&*root.to_string_lossy()) {
            fs_err::remove_dir_all(root)?;
        }
    }
    Ok(true)
}

/// `buildkitd.toml` (buildkit `docs/buildkitd.toml.md`). `maxUsedSpace` is the cap; `reservedSpace` alone is none.
fn configuration(root: &Path, runtime: &str, limit: u64, request: &Request, handle: &Handle, sockets: &Path) -> Result<String, Failure> {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let path = |path: &Path| {
        path.to_str()
            .map(quoted)
            .ok_or_else(|| Failure::new(FailureKind::Io, format!("'{}' is no text, as buildkitd wants its paths", path.display())))
    };
    let mut text = String::new();
    let mut line = |line: String| {
        let _ = writeln!(text, "{line}");
    };
    line(format!("root = {}", path(root)?));
    line("insecure-entitlements = [\"network.host\"]".to_owned());
    line(format!("[grpc]\naddress = [{}]", quoted(ADDRESS)));
    line(format!("[otel]\nsocketPath = {}", path(&sockets.join(TRACES))?));
    line(format!("[worker.oci]\nenabled = true\ngc = true\nbinary = {}", quoted(runtime)));
    line(format!("defaultCgroupParent = {}", quoted(&handle.name)));
    line(format!("maxUsedSpace = {limit}\nreservedSpace = {}", limit / 10));
    line("[worker.containerd]\nenabled = false".to_owned());
    let mut hosts: Vec<(&str, bool)> = request.registries.iter().map(|registry| (registry.host.as_str(), registry.plain_http)).collect();
    hosts.extend(
        request
            .plain_http_hosts
            .iter()
            .filter(|host| request.registries.iter().all(|known| known.host != **host))
            .map(|host| (host.as_str(), true)),
    );
    for (host, plain) in hosts {
        line(format!("[registry.{}]\nhttp = {plain}", quoted(host)));
        if let Some(file) = request.ca_file.as_deref().filter(|_| !plain) {
            line(format!("ca = [{}]", path(file)?));
        }
    }
    Ok(text)
}

/// Ends what is left of the daemon and its containers, and removes its control groups, and its cache when the disk is nearly full.
pub(super) async fn clean_up(cx: &Context, settings: &Settings, handle: &Handle) -> Result<(), Failure> {
    let (name, folder, short) = (handle.name.clone(), caches(&settings.state_dir), short::name(handle));
    // Of a build of this process's own, everybody would be a child.
    let nobody = handle.name.strip_prefix(PREFIX) == Some(cx.workspace.execution()) && is_childless();
    let dropped = blocking(move || -> Result<bool, Failure> {
        if let Some(execution) = name.strip_prefix(PREFIX).filter(|_| !nobody) {
            let left = stop_execution(execution);
            if !left.is_empty() {
                // A namespace dies with its first process; its control groups are empty a moment later.
                std::thread::sleep(Duration::from_millis(200));
            }
        }
        // Few builds have it.
        let _ = std::fs::remove_dir_all(short);
        let mut dropped = false;
        if folder.is_dir() {
            drop(take(&folder)?);
            dropped = make_room(&folder)?;
        }
        remove_groups(Path::new(GROUPS), &name)?;
        Ok(dropped)
    })
    .await??;
    if dropped {
        cx.log.info("dropping the cache of steps: its disk is nearly full");
    }
    Ok(())
}

/// Removes the control groups called `name`: directly below the root (version 2) and below each controller (version 1). Blocking.
fn remove_groups(root: &Path, name: &str) -> io::Result<()> {
    let controllers = std::fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path().join(name));
    for group in std::iter::once(root.join(name)).chain(controllers).filter(|group| group.is_dir()) {
        remove_group(&group)?;
    }
    Ok(())
}

/// A group goes when it is empty, innermost first; its files go with it.
fn remove_group(group: &Path) -> io::Result<()> {
    for entry in fs_err::read_dir(group)?.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_group(&entry.path())?;
        }
    }
    match fs_err::remove_dir(group) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
