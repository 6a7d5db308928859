//! `doctor`: what is missing is named with the command that installs it, and what is there with its version.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::support::runner::Runner;

/// Programs that executors start.
const TOOLS: &[&str] = &["git", "git-lfs", "ssh", "kustomize", "helm", "buildctl", "buildah"];

/// The rows of a kind, by name.
fn rows(runner: &Runner, path: Option<&str>) -> Vec<Value> {
    let mut command = runner.command(["doctor", "--output", "json", "--state-dir", "s"]);
    if let Some(path) = path {
        command = command.env("PATH", path);
    }
    let run = command.done();
    assert_eq!(run.code(), 0, "the runner itself can work\n{}", run.stderr());
    let rows: Vec<Value> = serde_json::from_str(run.stdout()).unwrap();
    for row in &rows {
        let keys: Vec<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["kind", "name", "ready", "detail", "remedy"]);
        assert_eq!(row["ready"] == true, row["remedy"] == "", "{row}");
    }
    rows
}

fn row<'a>(rows: &'a [Value], kind: &str, name: &str) -> &'a Value {
    rows.iter().find(|row| row["kind"] == kind && row["name"] == name).unwrap_or_else(|| panic!("no {kind} {name}: {rows:#?}"))
}

#[test]
fn on_an_empty_path_every_tool_is_named_with_its_install_command() {
    let runner = Runner::new();
    let empty = runner.work().join("empty");
    fs::create_dir(&empty).unwrap();
    let rows = rows(&runner, Some(empty.to_str().unwrap()));
    let tools: Vec<&Value> = rows.iter().filter(|row| row["kind"] == "tool").collect();
    let names: Vec<&str> = tools.iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert!(TOOLS.iter().all(|tool| names.contains(tool)), "{names:?}");
    for row in tools {
        let name = row["name"].as_str().unwrap();
        assert!(row["detail"].as_str().unwrap().starts_with(&format!("{name} is not installed; needed for ")), "{row}");
        let remedy = row["remedy"].as_str().unwrap();
        assert!(["apt-get install ", "go install ", "see https://"].iter().any(|command| remedy.starts_with(command)), "{row}");
    }
    assert_eq!(row(&rows, "runner", "state folder")["ready"], true);
    for native in ["helm-chart-build", "oci-sync", "noop"] {
        assert_eq!(row(&rows, "job-type", native)["ready"], true);
    }
}

#[test]
fn what_is_installed_is_ready_with_its_version() {
    require_tools!("git-lfs", "kustomize", "helm", "buildctl", "buildah");
    let rows = rows(&Runner::new(), None);
    for name in TOOLS {
        let row = row(&rows, "tool", name);
        assert_eq!(row["ready"], true, "{row}");
        assert!(row["detail"].as_str().unwrap().contains(char::is_numeric), "no version: {row}");
    }
}

#[test]
fn a_tool_that_does_not_work_is_not_ready() {
    let runner = Runner::new();
    for (name, script) in [("kustomize", "echo no libc >&2; exit 127"), ("helm", "kill -9 $$"), ("git", "exec sleep 600")] {
        let file = runner.write(&format!("bin/{name}"), format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let rows = rows(&runner, Some(&format!("{}:/usr/bin:/bin", runner.work().join("bin").display())));
    for (name, why) in [("kustomize", "127: no libc"), ("helm", "SIGKILL"), ("git", "no answer in 5 s")] {
        let row = row(&rows, "tool", name);
        assert_eq!(row["ready"], false);
        let detail = row["detail"].as_str().unwrap();
        assert!(detail.starts_with(&format!("{name} does not answer ")) && detail.contains(why), "{row}");
    }
}
