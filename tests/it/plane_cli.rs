//! The commands around a control plane: what they print, how they end, and what they say when something is wrong.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::plane::{Agent, Plane, until};
use crate::support::runner::{Invocation, Runner};

/// `build-runner jobs ARGS…` of an operator of `plane`.
fn jobs(desk: &Runner, plane: &Plane, arguments: &[&str]) -> Invocation {
    let command = desk.command(["jobs"].iter().chain(arguments));
    command.env("BUILD_RUNNER_SERVER", plane.url()).env("BUILD_RUNNER_TOKEN_FILE", plane.token_file("operator"))
}

/// A job file with the sample chart beside it, all paths relative.
fn chart_beside(desk: &Runner) -> Value {
    desk.write("chart/Chart.yaml", "apiVersion: v2\nname: app\nversion: 1.0.0\n");
    json!({"type": "helm-chart-build", "plan": {
        "git_source": {"url": "../chart"}, "helm_build_plan": {}, "dst_tag": "1.0.0",
        "dst_registry": {"RegistryType": "oci_layout", "Repository": "../out"}}})
}

fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn a_submitted_job_file_runs_elsewhere_as_it_does_here() {
    let (plane, desk) = (Plane::start(), Runner::new());
    let _agent = Agent::of(&plane, "one").args(&["--local-root", desk.work().to_str().unwrap()]).started();
    desk.write("jobs/chart.json", chart_beside(&desk).to_string());
    let waited = jobs(&desk, &plane, &["submit", "--wait", "jobs/chart.json"]).done();
    assert_eq!(waited.code(), 0, "{}{}", waited.stdout(), waited.stderr());
    let lines: Vec<_> = waited.stdout().lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("submitted helm-chart-build job"), "{lines:?}");
    assert!(waited.stderr().contains("chart app 1.0.0"), "{}", waited.stderr());
    let here = desk.run(Path::new("jobs/chart.json")).args(["--destination", "oci-layout:here:1.0.0"]).done().succeeded();
    let digest = here["outputs"]["artifacts"][0]["digest"].as_str().unwrap();
    assert!(lines[1].ends_with(&format!("/out@{digest}")), "{lines:?} {digest}");
    let again = jobs(&desk, &plane, &["submit", "--wait", "--output", "json", "jobs/chart.json"]).done();
    let again: Vec<Value> = serde_json::from_str(again.stdout()).unwrap();
    assert_eq!((again.len(), &again[0]["status"]), (1, &json!("finished")));
    assert_eq!(again[0]["outputs"]["artifacts"][0]["digest"], digest);
}

#[test]
fn a_waited_job_that_fails_says_why_and_exits_with_1() {
    let (plane, desk) = (Plane::start(), Runner::new());
    // No local root: the runner must not read what the job names.
    let _agent = Agent::of(&plane, "one").started();
    desk.write("jobs/chart.json", chart_beside(&desk).to_string());
    let waited = jobs(&desk, &plane, &["submit", "--wait", "jobs/chart.json"]).done();
    assert_eq!(waited.code(), 1, "{}", waited.stderr());
    assert!(waited.stderr().contains("error: InvalidPlan") && waited.stderr().contains("--local-root"), "{}", waited.stderr());
    let id = waited.stdout().lines().next().unwrap().rsplit(' ').next().unwrap().to_owned();
    assert_eq!(jobs(&desk, &plane, &["logs", "-f", &id]).done().code(), 1);
    let retried = jobs(&desk, &plane, &["retry", &id, "--output", "json"]).done();
    assert_eq!(serde_json::from_str::<Value>(retried.stdout()).unwrap()["id"], json!(id));
    assert_eq!(plane.ended(&id)["execution_count"], 2);
}

#[test]
fn a_key_never_makes_a_second_job_and_lists_are_filtered_and_paged() {
    let (plane, desk) = (Plane::start(), Runner::new());
    desk.write("two.yaml", "type: noop\n---\ntype: health-check\n");
    let submit = || jobs(&desk, &plane, &["submit", "--idempotency-key", "k", "two.yaml"]).done();
    let (first, second) = (submit(), submit());
    assert_eq!((first.code(), first.stdout()), (0, second.stdout()), "{}{}", first.stderr(), second.stderr());
    let list = |arguments: &[&str]| {
        let run = jobs(&desk, &plane, &[&["list", "--output", "json"][..], arguments].concat()).done();
        assert_eq!(run.code(), 0, "{}", run.stderr());
        let types = serde_json::from_str::<Vec<Value>>(run.stdout()).unwrap();
        (types.iter().map(|job| job["type"].as_str().unwrap().to_owned()).collect::<Vec<_>>(), run.stderr().to_owned())
    };
    assert_eq!(list(&[]).0, ["health-check", "noop"]);
    assert_eq!(list(&["--type", "noop"]).0, ["noop"]);
    assert!(list(&["--status", "finished"]).0.is_empty());
    assert_eq!(list(&["--status", "available", "--status", "finished"]).0.len(), 2);
    let (page, more) = list(&["--limit", "1"]);
    let cursor = more.trim_end().rsplit(' ').next().unwrap();
    assert_eq!((page[0].as_str(), list(&["--cursor", cursor]).0), ("health-check", vec!["noop".to_owned()]));
    let id = first.stdout().lines().next().unwrap().rsplit(' ').next().unwrap().to_owned();
    let cancelled = jobs(&desk, &plane, &["cancel", &id]).done();
    assert!(cancelled.stdout().contains("cancelled"), "{}", cancelled.stdout());
    assert_eq!(jobs(&desk, &plane, &["cancel", "job-that-is-not"]).done().code(), 2);
}

#[test]
fn a_log_is_followed_across_a_kill_of_the_control_plane() {
    let (mut plane, desk) = (Plane::start(), Runner::new());
    let id = plane.submit(&json!({"type": "noop"}));
    let following = jobs(&desk, &plane, &["logs", "-f", &id]).spawn();
    plane.kill();
    following.line("cannot be reached");
    plane.restart();
    let _agent = Agent::of(&plane, "one").started();
    let followed = following.done();
    assert_eq!((followed.code(), followed.stdout()), (0, "noop has nothing to do\n"), "{}", followed.stderr());
}

#[test]
fn wrong_input_sends_nothing_and_a_plane_that_is_away_is_told_in_one_line() {
    let (mut plane, desk) = (Plane::start(), Runner::new());
    desk.write("good.json", r#"{"type": "noop"}"#);
    desk.write("bad.json", r#"{"type": "nop"}"#);
    let bad = jobs(&desk, &plane, &["submit", "good.json", "bad.json"]).done();
    assert_eq!((bad.code(), bad.stdout()), (2, ""));
    assert!(bad.stderr().contains("bad.json:1:"), "{}", bad.stderr());
    assert!(plane.jobs().is_empty());
    let nowhere = desk.command(["jobs", "list"]).done();
    assert!(nowhere.code() == 2 && nowhere.stderr().contains("--server URL"), "{}", nowhere.stderr());
    let no_token = desk.command(["jobs", "list", "--server", &plane.url()]).done();
    assert!(no_token.code() == 2 && no_token.stderr().contains("--token-file FILE"), "{}", no_token.stderr());
    let token = desk.write("token", "hunter2\n");
    let refused = jobs(&desk, &plane, &["list"]).env("BUILD_RUNNER_TOKEN_FILE", &token).done();
    assert!(refused.code() == 2 && refused.stderr().contains("check --token-file"), "{}", refused.stderr());
    assert!(!refused.stderr().contains("hunter2"), "{}", refused.stderr());
    plane.kill();
    let away = jobs(&desk, &plane, &["list"]).env("BUILD_RUNNER_TOKEN_FILE", &token).done();
    assert_eq!((away.code(), away.stderr().lines().count()), (3, 1), "{}", away.stderr());
    assert!(away.stderr().contains("cannot be reached: Connection refused"), "{}", away.stderr());
}

#[test]
fn the_admin_port_tells_what_the_runner_does_and_no_secret() {
    let (plane, address) = (Plane::start(), free_port());
    let mut agent = Agent::of(&plane, "one").args(&["--admin-address", &address.to_string()]).started();
    until("readiness", || TcpStream::connect(address).is_ok() && get(address, "/readyz").starts_with("HTTP/1.1 200"));
    let id = plane.submit(&json!({"type": "noop"}));
    plane.ended(&id);
    until("the count", || get(address, "/metrics").contains(r#"build_runner_executions_total{type="noop",outcome="succeeded"} 1"#));
    assert!(get(address, "/livez").starts_with("HTTP/1.1 200"));
    let status = get(address, "/status");
    let status: Value = serde_json::from_str(status.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!((&status["phase"], &status["runner_id"], &status["slots"]["total"]), (&json!("Ready"), &json!("one"), &json!(4)));
    let everything = ["/status", "/metrics"].map(|path| get(address, path)).concat();
    assert!(!everything.contains(&plane.token("runner")) && !get(address, "/metrics").contains(&id), "{everything}");
    let command_line = std::fs::read(format!("/proc/{}/cmdline", agent.process().pid())).unwrap();
    assert!(!String::from_utf8_lossy(&command_line).contains(&plane.token("runner")));
    let second = Runner::new();
    let taken = second.command(["run", "--runner-id", "two", "--admin-address", &address.to_string(), "--state-dir", "state"]);
    let taken = taken.env("RUNNER_API_URL", plane.url()).env("RUNNER_API_TOKEN", plane.token("runner")).done();
    assert_eq!((taken.code(), taken.stderr().lines().count()), (3, 1), "{}", taken.stderr());
    assert!(taken.stderr().contains("admin_address") && taken.stderr().contains("cannot be listened on"), "{}", taken.stderr());
    assert_eq!(agent.drained().code, Some(0));
}

#[test]
fn a_runner_without_settings_names_all_of_them() {
    let desk = Runner::new();
    let run = desk.command(["run"]).done();
    assert_eq!((run.code(), run.stdout()), (2, ""));
    for needle in
        ["--api-url URL", "RUNNER_API_URL", "--runner-id ID", "RUNNER_ID", "--api-token-file FILE", "RUNNER_API_TOKEN", "--job-file FILE"]
    {
        assert!(run.stderr().contains(needle), "{needle} in {}", run.stderr());
    }
    // A token has no place among arguments, which everybody can see.
    assert_eq!(desk.command(["run", "--api-token", "hunter2"]).done().code(), 2);
}

#[test]
fn a_control_plane_ends_in_order_and_says_when_it_cannot_begin() {
    let (plane, desk) = (Plane::start(), Runner::new());
    let taken = desk.command(["control-plane", "--data-dir", "d", "--listen", &plane.address().to_string()]).done();
    assert_eq!((taken.code(), taken.stderr().lines().count()), (3, 1), "{}", taken.stderr());
    assert!(taken.stderr().contains("--listen") && taken.stderr().contains("in use"), "{}", taken.stderr());
    let wrong = desk.command(["control-plane", "--data-dir", "d", "--lease", "10ms"]).done();
    assert!(wrong.code() == 2 && wrong.stderr().contains("at least 1s"), "{}", wrong.stderr());
    let plane = desk.command(["control-plane", "--data-dir", "e", "--listen", "127.0.0.1:0"]).spawn();
    until("its tokens", || desk.work().join("e/runner.token").exists());
    plane.signal(Signal::SIGTERM);
    let done = plane.done();
    assert_eq!((done.code(), done.stdout().lines().count()), (0, 1), "{}", done.stderr());
    assert!(done.stdout().contains("http://127.0.0.1:") && done.stdout().contains("e/operator.token"), "{}", done.stdout());
}
