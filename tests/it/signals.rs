//! Ctrl-C: the first cancels, cleans up and says so; the second aborts, and the next start sweeps.

use std::{net::TcpListener, os::unix::fs::PermissionsExt as _};

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::runner::Runner;

/// A chart repository that takes connections and never answers.
fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/charts", listener.local_addr().unwrap());
    (listener, url)
}

fn chart_from(url: &str) -> serde_json::Value {
    json!({"type": "helm-chart-build", "plan": {
        "helm_build_plan": {"HelmRepoConfig": {"RepoURL": url, "Chart": "app", "Version": "1.0.0"}},
        "dst_registry": {"RegistryType": "oci_layout", "Repository": "out"}}})
}

#[test]
fn the_first_signal_cancels_cleans_up_and_says_so() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let runner = Runner::new();
        let (listener, url) = silent();
        let run = runner.job(&chart_from(&url)).spawn();
        // The job waits for an answer that never comes.
        let _connection = listener.accept().unwrap();
        run.signal(signal);
        let done = run.done();
        assert_eq!(done.code(), 130, "{}", done.stderr());
        assert_eq!(done.receipt()["outcome"], "cancelled");
        assert!(done.stderr().contains(&format!("{signal}: cancelling the job and cleaning up")), "{}", done.stderr());
        assert!(runner.leftovers().is_empty(), "{:?}", runner.leftovers());
        assert!(!runner.work().join("out").exists());
    }
}

#[test]
fn the_jobs_behind_a_cancelled_one_are_cancelled_too() {
    let runner = Runner::new();
    let (listener, url) = silent();
    let first = runner.write("first.json", chart_from(&url).to_string());
    runner.write("second.json", r#"{"type": "noop", "plan": {}, "id": "second"}"#);
    let run = runner.run(&first).args(["--job-file", "second.json"]).spawn();
    let _connection = listener.accept().unwrap();
    run.signal(Signal::SIGINT);
    let done = run.done();
    let outcomes: Vec<_> = done.receipts().iter().map(|receipt| receipt["outcome"].clone()).collect();
    assert_eq!((done.code(), outcomes), (130, vec![json!("cancelled"), json!("cancelled")]));
}

#[test]
fn the_deadline_ends_with_124_and_names_the_step() {
    let runner = Runner::new();
    let (_listener, url) = silent();
    let mut job = chart_from(&url);
    job["timeouts"] = json!({"execution": "300ms"});
    let run = runner.job(&job).done();
    let failure = run.failed(124, "DeadlineExceeded");
    assert_eq!(run.receipt()["outcome"], "timed-out");
    assert!(!failure["step"].as_str().unwrap().is_empty(), "{failure}");
    assert!(runner.leftovers().is_empty(), "{:?}", runner.leftovers());
}

/// A git that ignores SIGTERM, as a hook or helper of it might.
fn stubborn_git(runner: &Runner) -> String {
    let git = runner.write("bin/git", "#!/bin/sh\ntrap '' TERM INT\necho stubborn git $$ >&2\nwhile :; do sleep 1; done\n");
    std::fs::set_permissions(&git, std::fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:{}", git.parent().unwrap().display(), std::env::var("PATH").unwrap())
}

/// Whether a process runs; one that is dead and waits for its parent to notice does not.
fn alive(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.rsplit(") ").next().unwrap().starts_with('Z'))
}

fn pid_in(line: &str) -> i32 {
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

fn from_git(runner: &Runner) -> serde_json::Value {
    std::fs::create_dir_all(runner.work().join("repo/.git")).unwrap();
    json!({"type": "helm-chart-build", "plan": {
        "git_source": {"url": "http://127.0.0.1:9/repo.git", "ref": "main"}, "helm_build_plan": {},
        "dst_registry": {"RegistryType": "oci_layout", "Repository": "out"}}})
}

#[test]
fn a_process_that_ignores_sigterm_is_killed_after_the_grace() {
    let runner = Runner::new();
    let path = stubborn_git(&runner);
    let run = runner.job(&from_git(&runner)).args(["--kill-grace", "200ms"]).env("PATH", path).spawn();
    let pid = pid_in(&run.line("stubborn git"));
    run.signal(Signal::SIGINT);
    let done = run.done();
    assert_eq!((done.code(), alive(pid)), (130, false), "{}", done.stderr());
    assert!(runner.leftovers().is_empty(), "{:?}", runner.leftovers());
}

#[test]
fn the_second_signal_aborts_and_the_next_start_sweeps() {
    let runner = Runner::new();
    let path = stubborn_git(&runner);
    let run = runner.job(&from_git(&runner)).args(["--kill-grace", "10m"]).env("PATH", &path).spawn();
    let pid = pid_in(&run.line("stubborn git"));
    run.signal(Signal::SIGINT);
    run.line("cancelling the job");
    run.signal(Signal::SIGINT);
    let done = run.done();
    assert_eq!((done.code(), alive(pid)), (130, false), "{}", done.stderr());
    let next = runner.job(&json!({"type": "noop", "plan": {}})).done();
    next.succeeded();
    assert!(runner.leftovers().is_empty(), "{:?}", runner.leftovers());
}

#[test]
fn what_a_killed_runner_leaves_is_swept_at_the_next_start() {
    let runner = Runner::new();
    let path = stubborn_git(&runner);
    let run = runner.job(&from_git(&runner)).env("PATH", &path).spawn();
    let pid = pid_in(&run.line("stubborn git"));
    run.signal(Signal::SIGKILL);
    drop(run);
    runner.job(&json!({"type": "noop", "plan": {}})).done().succeeded();
    assert!(!alive(pid), "its processes are stopped too");
    assert!(runner.leftovers().is_empty(), "{:?}", runner.leftovers());
}
