//! docker-build and what can go wrong with it, the same for every backend: Dockerfiles that fail, hang, fork and fill the disk; base images
//! that cannot be had; cancelled and killed runs. One typed failure each, and nothing left behind.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::builders::{BUSYBOX, Builder, job, mounts_below, processes_with, usage};
use crate::support::registry::{Options, PASSWORD, Registry, USER};
use crate::support::runner::Runner;

/// Every test for every backend that runs here.
macro_rules! for_each_builder {
    ($($test:ident),+ $(,)?) => {
        mod buildah {
            $(#[test]
            fn $test() {
                require_tools!("buildah", "runc", "busybox", "docker-registry");
                super::$test(&super::Builder::Buildah);
            })+
        }
        mod docker {
            $(#[test]
            fn $test() {
                require_tools!("dockerd", "docker", "runc", "busybox", "docker-registry");
                super::$test(&super::Builder::docker());
            })+
        }
        mod buildkit {
            $(#[test]
            fn $test() {
                require_tools!("buildkitd", "buildctl", "runc", "busybox", "docker-registry");
                super::$test(&super::Builder::buildkit());
            })+
        }
    };
}

for_each_builder!(
    dockerfiles_that_are_wrong_say_where,
    base_images_that_cannot_be_had_name_their_registry,
    daemons_of_a_step_end_with_it,
    a_cancelled_build_leaves_nothing_behind,
    a_killed_build_leaves_nothing_behind_after_the_next_start,
);

/// What is left of a build: processes, mounts, control groups.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    processes: usize,
    mounts: usize,
    groups: usize,
}

impl Left {
    /// Looks for processes with `needle` in their command line, for mounts, and for control groups of `executions`.
    fn count(runner: &Runner, builder: &Builder, needle: &str, executions: &[String]) -> Self {
        let hierarchies = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
        let hierarchies: Vec<_> = hierarchies.map(|entry| entry.path()).chain(["/sys/fs/cgroup".into()]).collect();
        let of = |execution: &String| hierarchies.iter().filter(|top| top.join(format!("build-runner-{execution}")).exists()).count();
        Self {
            processes: processes_with(needle).len(),
            mounts: mounts_below(&runner.state()).len() + builder.folder().map_or(0, step_mounts),
            groups: executions.iter().map(of).sum(),
        }
    }
}

/// The executions that have a workspace now.
fn executions(runner: &Runner) -> Vec<String> {
    let all = fs::read_dir(runner.state().join("workspaces")).unwrap().flatten();
    all.filter(|entry| entry.path().is_dir()).map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Mounts of steps below the root of a daemon; what it mounts for itself stays.
fn step_mounts(folder: &Path) -> usize {
    mounts_below(folder).iter().filter(|point| point.ends_with("merged") || point.ends_with("rootfs")).count()
}

/// Waits until nothing is left, for a daemon takes its time to notice that its client is gone.
fn await_nothing(runner: &Runner, builder: &Builder, needle: &str, executions: &[String]) -> Left {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let left = Left::count(runner, builder, needle, executions);
        if left == NOTHING || Instant::now() > deadline {
            return left;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

const NOTHING: Left = Left { processes: 0, mounts: 0, groups: 0 };

/// A number that is in no other command line on this machine.
fn seconds() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    100_000 + (std::process::id() % 50_000) * 10 + NEXT.fetch_add(1, Ordering::Relaxed) % 10
}

fn dockerfiles_that_are_wrong_say_where(builder: &Builder) {
    let runner = Runner::new();
    let fail = format!("{BUSYBOX}RUN echo to-the-user; echo and-here >&2; exit 7\n");
    for (dockerfile, target, kind, parts) in [
        (fail.as_str(), None, "ToolFailed", &["Dockerfile:4", "exit code 7", "RUN echo to-the-user"][..]),
        ("FROM scratch\nCOPPY a b\n", None, "InvalidSource", &["Dockerfile:2", "COPPY"]),
        ("FROM scratch\nCOPY nothere /\n", None, "InvalidSource", &["Dockerfile:2", "nothere"]),
        ("FROM scratch\nCOPY busybox /\n", Some("nostage"), "InvalidPlan", &["nostage", "Dockerfile"]),
    ] {
        let mut job = job(&runner, dockerfile);
        if let Some(target) = target {
            job["plan"]["docker_build_plan"]["target"] = json!(target);
        }
        let done = builder.run(&runner, &job).done();
        let failure = failure(&done.receipt(), kind);
        let message = failure["message"].as_str().unwrap();
        for part in parts {
            assert!(message.to_lowercase().contains(&part.to_lowercase()), "{}: {part:?} in {message}", builder.name());
        }
        assert_eq!(failure["retryable"], false, "{failure}");
        let lines = failure["evidence"].to_string();
        assert!(kind != "ToolFailed" || lines.contains("to-the-user") && lines.contains("and-here"), "{failure:#}");
        assert!(runner.leftovers().is_empty() && !runner.work().join("out").exists());
    }
}

/// The failure of a receipt, which has to be of that kind and to name what failed.
fn failure(receipt: &Value, kind: &str) -> Value {
    let failure = &receipt["failure"];
    assert_eq!((receipt["outcome"].as_str(), failure["kind"].as_str()), (Some("failed"), Some(kind)), "{receipt:#}");
    assert_eq!(failure["step"], "build", "{failure:#}");
    failure.clone()
}

fn base_images_that_cannot_be_had_name_their_registry(builder: &Builder) {
    let runner = Runner::new();
    let open = Registry::start();
    let closed = Registry::with(&Options { auth: true, ..Options::default() });
    let missing = format!("FROM {}\n", open.repository("no/such:1"));
    let private = format!("FROM {}\n", closed.repository("private/base:1"));
    for (dockerfile, host, kind) in [(missing, open.host(), "SourceNotFound"), (private, closed.host(), "AuthDenied")] {
        let done = builder.run(&runner, &job(&runner, &format!("{dockerfile}COPY busybox /\n"))).done();
        let failure = failure(&done.receipt(), kind);
        let message = failure["message"].as_str().unwrap();
        assert!(message.contains(&host), "{}: {message}", builder.name());
        assert_eq!(failure["retryable"], false, "{failure}");
    }
}

fn daemons_of_a_step_end_with_it(builder: &Builder) {
    let runner = Runner::new();
    let sleep = format!("sleep {}", seconds());
    let run = format!("{BUSYBOX}RUN setsid {sleep} >/dev/null 2>&1 & (setsid {sleep} &) ; echo started\n");
    let before = Left::count(&runner, builder, &sleep, &[]);
    let outputs = builder.run(&runner, &job(&runner, &run)).done().succeeded();
    assert_eq!(outputs["outputs"]["backend"]["name"], builder.name());
    let after = await_nothing(&runner, builder, &sleep, &[]);
    println!("{}, daemons: {before:?} before, {after:?} after", builder.name());
    assert_eq!((before, after), (NOTHING, NOTHING));
}

/// A step that hangs, ignores SIGTERM and has a daemon besides.
fn hanging(sleep: &str) -> String {
    format!("{BUSYBOX}RUN trap '' TERM INT HUP; setsid {sleep} & echo hanging-$((1+1)); while true; do {sleep}; done\n")
}

fn a_cancelled_build_leaves_nothing_behind(builder: &Builder) {
    let runner = Runner::new();
    let sleep = format!("sleep {}", seconds());
    let job = job(&runner, &hanging(&sleep));
    let before = Left::count(&runner, builder, &sleep, &[]);
    let run = builder.run(&runner, &job).spawn();
    run.line("hanging-2");
    let executions = executions(&runner);
    let during = Left::count(&runner, builder, &sleep, &executions);
    let begun = Instant::now();
    run.signal(Signal::SIGTERM);
    let done = run.done();
    let took = begun.elapsed();
    assert_eq!(done.receipt()["outcome"], "cancelled", "{}", done.stderr());
    let after = await_nothing(&runner, builder, &sleep, &executions);
    println!("{}, cancelled in {took:?}: {before:?} before, {during:?} during, {after:?} after", builder.name());
    assert!(during.processes > 0);
    assert_eq!((before, after), (NOTHING, NOTHING));
    assert!(took < Duration::from_secs(15), "{took:?}");
    assert!(runner.leftovers().is_empty(), "{:?}", runner.leftovers());
}

fn a_killed_build_leaves_nothing_behind_after_the_next_start(builder: &Builder) {
    let runner = Runner::new();
    let sleep = format!("sleep {}", seconds());
    // One build for the cache, so that what a killed one adds can be seen.
    builder.run(&runner, &job(&runner, &format!("{BUSYBOX}RUN echo filled\n"))).done().succeeded();
    let job = job(&runner, &hanging(&sleep));
    let cache = runner.state().join("cache");
    let before = (Left::count(&runner, builder, &sleep, &[]), usage(&cache));
    let mut disk = Vec::new();
    for _ in 0..2 {
        let run = builder.run(&runner, &job).spawn();
        run.line("hanging-2");
        let executions = executions(&runner);
        run.signal(Signal::SIGKILL);
        drop(run);
        // The next start sweeps, and the next build finds its store clean.
        builder.run(&runner, &self::job(&runner, &format!("{BUSYBOX}RUN echo filled\n"))).done().succeeded();
        let left = await_nothing(&runner, builder, &sleep, &executions);
        disk.push((left, usage(&cache)));
        // Back to the Dockerfile that hangs.
        self::job(&runner, &hanging(&sleep));
    }
    println!("{}, killed: {before:?} before, {disk:?} after", builder.name());
    assert!(disk.iter().all(|(left, _)| *left == NOTHING), "{disk:?}");
    assert_eq!(disk[0].1.1, disk[1].1.1, "the second killed build left no more files than the first: {disk:?}");
    assert!(runner.leftovers().is_empty(), "{:?}", runner.leftovers());
}

/// A small disk, unmounted when dropped.
struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    fn at(folder: &'a Path, mebibytes: u32) -> Self {
        fs::create_dir_all(folder).unwrap();
        mount(Some("tmpfs"), folder, Some("tmpfs"), MsFlags::empty(), Some(format!("size={mebibytes}m").as_str())).unwrap();
        Self(folder)
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = umount2(self.0, MntFlags::MNT_DETACH);
    }
}

#[test]
fn a_build_that_fills_the_disk_says_so_and_gives_the_space_back() {
    require_tools!("buildah", "buildctl", "buildkitd", "runc", "busybox");
    for backend in ["buildah", "buildkit"] {
        fills_the_disk(backend);
    }
}

fn fills_the_disk(backend: &str) {
    let runner = Runner::new();
    let state = runner.state();
    let _disk = Disk::at(&state, 64);
    let job = job(&runner, &format!("{BUSYBOX}RUN dd if=/dev/zero of=/fill bs=1M count=500\n"));
    let done = runner.job(&job).args(["--docker-backend", backend, "--min-free-disk", "0"]).done();
    let failure = failure(&done.receipt(), "DiskFull");
    assert_eq!((failure["retryable"].as_bool(), failure["fault"].as_str()), (Some(true), Some("agent")), "{failure:#}");
    let (bytes, files) = usage(&state);
    println!("disk: {bytes} bytes in {files} files are left of a build that filled 64 MiB");
    assert!(bytes < 8 << 20, "{bytes}");
    assert!(runner.leftovers().is_empty() && mounts_below(&state).is_empty());
}

#[test]
fn credentials_of_the_job_pull_a_private_base_image_and_nobody_elses_do() {
    require_tools!("buildah", "runc", "busybox", "docker-registry", "skopeo");
    let runner = Runner::new();
    let closed = Registry::with(&Options { auth: true, ..Options::default() });
    let base = closed.repository("private/base");
    let mut publish = job(&runner, BUSYBOX);
    let login =
        json!({"RegistryType": "private_oci", "Repository": base, "PlainHTTP": true, "OCIAuth": {"Username": USER, "Password": PASSWORD}});
    publish["plan"]["dst_registry"] = login.clone();
    let pushed = Builder::Buildah.run(&runner, &publish).done().succeeded();
    let digest = pushed["outputs"]["artifacts"][0]["digest"].clone();

    let mut with = job(&runner, &format!("FROM {base}:1\nRUN echo ours > /note\n"));
    let without = with.clone();
    with["plan"]["docker_build_plan"]["registries"] = json!([login]);
    let built = Builder::Buildah.run(&runner, &with).done();
    assert!(!format!("{}{}", built.stdout(), built.stderr()).contains(PASSWORD));
    built.succeeded();
    assert!(digest.as_str().unwrap().starts_with("sha256:"));
    // The base image lies in the store now, and still is nobody's who may not pull it.
    failure(&Builder::Buildah.run(&runner, &without).done().receipt(), "AuthDenied");
}
