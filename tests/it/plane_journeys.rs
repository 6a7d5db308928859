//! What a team sees: jobs submitted to a real control plane, run by real runners, followed, cancelled, drained.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::git_local::git;
use crate::support::plane::{Agent, Plane, until};
use crate::support::runner::Runner;

/// The sample chart, into a layout of its own.
fn chart(root: &Path, name: &str) -> Value {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/charts/sample");
    json!({"type": "helm-chart-build", "plan": {
        "git_source": {"url": chart},
        "helm_build_plan": {},
        "dst_registry": {"RegistryType": "oci_layout", "Repository": root.join(name)},
        "dst_tag": "0.1.0"}})
}

/// A job whose git never ends; see [`stubborn`].
fn endless() -> Value {
    json!({"type": "helm-chart-build", "plan": {
        "git_source": {"url": "https://example.invalid/repo.git", "ref": "main"},
        "helm_build_plan": {},
        "dst_registry": {"RegistryType": "private_oci", "Repository": "127.0.0.1:1/never", "PlainHTTP": true},
        "dst_tag": "1"}})
}

/// A git that ignores SIGTERM, says its pid, starts a child that does the same, and never ends.
const STUBBORN: &str = "#!/bin/sh\ntrap '' TERM INT\n(trap '' TERM INT; while :; do sleep 1; done) &\n\
                        echo \"pid $$ child $!\" >&2\nwhile :; do sleep 1; done\n";

fn alive(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.rsplit(") ").next().unwrap().starts_with('Z'))
}

/// Waits until the log of a job has a line with `needle`, and gives it.
pub(crate) fn line(plane: &Plane, id: &str, needle: &str) -> String {
    let mut found = None;
    until(needle, || {
        let (_, page) = plane.operator("GET", &format!("/v1/jobs/{id}/logs"), None);
        let records = page["records"].as_array().cloned().unwrap_or_default();
        found = records.iter().filter_map(|record| record["text"].as_str()).find(|text| text.contains(needle)).map(str::to_owned);
        found.is_some()
    });
    found.unwrap()
}

#[test]
fn fifty_charts_on_two_runners_once_each_with_one_digest() {
    let plane = Plane::start();
    let out = tempfile::tempdir().unwrap();
    let roots = ["--local-root", env!("CARGO_MANIFEST_DIR"), "--local-root", out.path().to_str().unwrap()];
    let mut agents = ["one", "two"].map(|id| Agent::of(&plane, id).args(&roots).started());
    let jobs: Vec<String> = (0..50).map(|number| plane.submit(&chart(out.path(), &number.to_string()))).collect();
    let mut digests = std::collections::BTreeSet::new();
    for id in &jobs {
        let (records, job) = plane.follow(id);
        assert_eq!((&job["status"], &job["execution_count"]), (&json!("finished"), &json!(1)), "{job:#}");
        assert!(!records.is_empty());
        digests.insert(job["outputs"]["artifacts"][0]["digest"].to_string());
    }
    assert_eq!(digests.len(), 1, "{digests:?}");
    for agent in &mut agents {
        let done = agent.drained();
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        assert_eq!(agent.leftovers(), Vec::<PathBuf>::new());
    }
}

#[test]
fn a_cancelled_job_whose_process_ignores_sigterm_leaves_nothing() {
    let plane = Plane::start();
    let mut agent = Agent::of(&plane, "one").args(&["--kill-grace", "500ms"]).program("git", STUBBORN).started();
    let id = plane.submit(&endless());
    let pids = line(&plane, &id, "pid ");
    let from = Instant::now();
    assert_eq!(plane.operator("POST", &format!("/v1/jobs/{id}/cancel"), None).0, 202);
    until("the end of its processes", || pids.split(' ').skip(1).step_by(2).all(|pid| !alive(pid)));
    let job = plane.ended(&id);
    println!("cancelled, {:?} after it was asked for", from.elapsed());
    assert!(from.elapsed() < Duration::from_secs(10), "{:?}", from.elapsed());
    assert_eq!(job["status"], "cancelled", "{job:#}");
    assert_eq!(agent.drained().code, Some(0));
    assert_eq!(agent.leftovers(), Vec::<PathBuf>::new());
}

#[test]
fn a_drain_ends_what_runs_and_begins_nothing() {
    let plane = Plane::start();
    let gate = tempfile::tempdir().unwrap();
    let script = format!(
        "#!/bin/sh\ncase \" $* \" in *' fetch '*) echo waiting >&2; while [ ! -e {}/open ]; do sleep 0.02; done;; esac\nexec SELF \"$@\"\n",
        gate.path().display()
    );
    let repository = gate.path().join("repository");
    std::fs::create_dir_all(&repository).unwrap();
    git(&repository, &["init", "-q"]);
    std::fs::write(repository.join("Chart.yaml"), "apiVersion: v2\nname: app\nversion: 1.0.0\n").unwrap();
    git(&repository, &["add", "."]);
    git(&repository, &["commit", "-qm", "chart"]);
    let mut agent =
        Agent::of(&plane, "one").args(&["--slots", "3", "--local-root", gate.path().to_str().unwrap()]).program("git", &script).started();
    let job = |name: &str| {
        json!({"type": "helm-chart-build", "plan": {
            "git_source": {"url": repository, "ref": "main"}, "helm_build_plan": {}, "dst_tag": "1",
            "dst_registry": {"RegistryType": "oci_layout", "Repository": gate.path().join(name)}}})
    };
    let running: Vec<String> = ["a", "b", "c"].iter().map(|name| plane.submit(&job(name))).collect();
    for id in &running {
        line(&plane, id, "waiting");
    }
    let waiting = plane.submit(&job("d"));
    agent.process().signal(Signal::SIGTERM);
    agent.process().stderr_line("SIGTERM");
    std::fs::write(gate.path().join("open"), "").unwrap();
    let done = agent.ended();
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    for id in &running {
        assert_eq!(plane.job(id)["status"], "finished", "{:#}", plane.job(id));
    }
    let job = plane.job(&waiting);
    assert_eq!((&job["status"], job["execution_count"].as_u64().unwrap_or(0)), (&json!("available"), 0), "{job:#}");
    assert_eq!(agent.leftovers(), Vec::<PathBuf>::new());
}

#[test]
fn a_second_signal_aborts_and_still_tells_the_truth() {
    let plane = Plane::start();
    let mut agent = Agent::of(&plane, "one").args(&["--kill-grace", "200ms"]).program("git", STUBBORN).started();
    let id = plane.submit(&endless());
    let pids = line(&plane, &id, "pid ");
    agent.process().signal(Signal::SIGTERM);
    agent.process().stderr_line("SIGTERM");
    let done = agent.drained();
    let job = plane.job(&id);
    assert_eq!(job["status"], "cancelled", "{job:#}\n{}", done.stderr);
    assert!(pids.split(' ').skip(1).step_by(2).all(|pid| !alive(pid)), "{pids}");
    assert_eq!(agent.leftovers(), Vec::<PathBuf>::new());
}

#[test]
fn the_commands_of_the_tour() {
    let plane = Plane::start();
    let out = tempfile::tempdir().unwrap();
    let _agent = Agent::of(&plane, "one").args(&["--local-root", "/"]).started();
    let desk = Runner::new();
    let file = desk.write("chart.json", chart(out.path(), "tour").to_string());
    let token = plane.token_file("operator");
    let jobs = |arguments: &[&str]| {
        let mut words = vec!["jobs"];
        words.extend(arguments);
        let url = plane.url();
        words.extend(["--server", url.as_str(), "--token-file", token.to_str().unwrap()]);
        desk.command(words).done()
    };
    let submitted = jobs(&["submit", file.to_str().unwrap()]);
    assert_eq!(submitted.code(), 0, "{}", submitted.stderr());
    let id = submitted.stdout().trim_end().rsplit(' ').next().unwrap().to_owned();
    let followed = jobs(&["logs", "-f", &id]);
    assert_eq!(followed.code(), 0, "{}", followed.stderr());
    assert!(followed.stdout().contains("chart sample 0.1.0"), "{}", followed.stdout());
    assert!(followed.stderr().contains("sha256:"), "{}", followed.stderr());
    let shown = jobs(&["show", &id, "--output", "json"]);
    let shown: Value = serde_json::from_str(shown.stdout()).unwrap();
    assert_eq!((&shown["id"], &shown["status"], &shown["execution_count"]), (&json!(id), &json!("finished"), &json!(1)), "{shown:#}");
    assert!(shown["outputs"]["artifacts"][0]["digest"].as_str().unwrap().starts_with("sha256:"), "{shown:#}");
    let listed = jobs(&["list", "--output", "json"]);
    let listed: Value = serde_json::from_str(listed.stdout()).unwrap();
    assert_eq!((listed.as_array().map(Vec::len), &listed[0]["id"], &listed[0]["type"]), (Some(1), &json!(id), &json!("helm-chart-build")));
    let wrong = jobs(&["show", "job-that-is-not"]);
    assert_ne!(wrong.code(), 0);
    assert!(wrong.stderr().contains("job-that-is-not"), "{}", wrong.stderr());
}
