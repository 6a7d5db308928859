//! What scripts may rely on: commands, exit codes, receipts, settings.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::support::runner::Runner;

#[test]
fn a_receipt_has_the_promised_keys_and_stdout_nothing_else() {
    let runner = Runner::new();
    let receipt = runner.job(&json!({"type": "noop-build", "plan": {}, "id": "job-1"})).done().succeeded();
    let keys: Vec<_> = receipt.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["id", "type", "outcome", "started_at", "finished_at", "outputs"]);
    assert_eq!((&receipt["id"], &receipt["type"]), (&json!("job-1"), &json!("noop-build")));
    assert_eq!(receipt["outputs"], json!({"artifacts": []}));
    for key in ["started_at", "finished_at"] {
        assert!(receipt[key].as_str().unwrap().ends_with('Z'), "{receipt}");
    }
    assert_eq!(runner.leftovers(), [""; 0].map(std::path::PathBuf::from));
}

#[test]
fn the_receipt_is_kept_for_its_owner_alone() {
    let runner = Runner::new();
    let printed = runner.job(&json!({"type": "health-check", "plan": {}})).done().succeeded();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let kept: Vec<_> = std::fs::read_dir(runner.state().join("receipts")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(kept.len(), 1);
    assert_eq!((mode(&runner.state()), mode(&runner.state().join("receipts")), mode(&kept[0])), (0o700, 0o700, 0o600));
    assert_eq!(serde_json::from_slice::<Value>(&std::fs::read(&kept[0]).unwrap()).unwrap(), printed);
}

#[test]
fn run_may_be_left_out_and_several_jobs_run_one_after_the_other() {
    let runner = Runner::new();
    runner.write("a.json", r#"{"type": "noop", "plan": {}, "id": "a"}"#);
    runner.write("b.yaml", "type: noop-sync\nplan: {}\nid: b\n---\ntype: noop\nplan: {}\nid: c\n");
    let state = runner.state();
    let run = runner.command(["--job-file", "a.json", "b.yaml", "--output", "json", "--state-dir"]).arg(&state).done();
    assert_eq!(run.code(), 0, "{}", run.stderr());
    let ids: Vec<_> = run.receipts().iter().map(|receipt| receipt["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids, ["a", "b", "c"]);
}

#[test]
fn wrong_input_starts_nothing_and_is_named_all_at_once() {
    let runner = Runner::new();
    runner.write("good.json", r#"{"type": "noop", "plan": {}}"#);
    runner.write("typo.json", r#"{"type": "nop", "plan": {}}"#);
    runner.write("key.json", r#"{"type": "noop", "plan": {}, "colour": 1}"#);
    let run = runner.command(["run", "--job-file", "good.json", "typo.json", "key.json", "missing.json", "--output", "json"]).done();
    assert_eq!((run.code(), run.stdout()), (2, ""));
    for needle in ["typo.json:1:", "key.json:1:", "colour", "missing.json"] {
        assert!(run.stderr().contains(needle), "{needle} in {}", run.stderr());
    }
    let twice = runner.write("twice.yaml", "type: noop\nplan: {}\nid: x\n---\ntype: noop\nplan: {}\nid: x\n");
    let run = runner.run(&twice).done();
    assert_eq!(run.code(), 2);
    assert!(run.stderr().contains("id: 'x' is the id of more than one job"), "{}", run.stderr());
    let run = runner.command(["run"]).done();
    assert_eq!(run.code(), 2);
    assert!(run.stderr().contains("--job-file"), "{}", run.stderr());
    assert_eq!(runner.command(["frobnicate"]).done().code(), 2);
}

#[test]
fn a_destination_for_a_job_that_pushes_nothing_is_refused() {
    let runner = Runner::new();
    let job = runner.write("job.json", r#"{"type": "health-check", "plan": {}}"#);
    for (destination, needle) in [
        ("oci-layout:", "names no folder"),
        ("app:1", "names no registry"),
        ("https://user:hunter2@r.example.com/a", "leave out the scheme"),
    ] {
        let run = runner.run(&job).args(["--destination", destination]).done();
        assert_eq!(run.code(), 2);
        assert!(run.stderr().contains(needle), "{needle} in {}", run.stderr());
        assert!(!run.stderr().contains("hunter2"), "{}", run.stderr());
    }
}

#[test]
fn a_type_without_executor_is_refused_by_name() {
    let runner = Runner::new();
    let run = runner
        .job(&json!({"type": "pipeline-run", "plan": {
        "git_source": {"url": ".", "ref": ""},
        "pipeline_plan": {
            "pipeline_id": "p", "project": {"id": "1", "name": "n"}, "ref": {"name": "refs/heads/main", "sha": "0".repeat(40)},
            "definition": {"pipeline": {"steps": [{"name": "a", "image": "b", "commands": ["true"]}]}}
        }}}))
        .done();
    assert_eq!(run.receipt()["outcome"], "not-attempted", "{}", run.stderr());
    let failure = run.failed(3, "Unsupported");
    assert_eq!(failure["message"], "pipeline-run is not supported by this build of build-runner; `build-runner doctor` lists what is");
}

#[test]
fn a_disk_without_room_is_the_runners_fault() {
    let runner = Runner::new();
    let run = runner.job(&json!({"type": "noop", "plan": {}})).args(["--min-free-disk", "8000000TiB"]).done();
    let failure = run.failed(1, "DiskFull");
    assert_eq!((failure["fault"].as_str(), failure["retryable"].as_bool()), (Some("agent"), Some(true)));
}

#[test]
fn settings_come_from_flag_environment_and_file_in_that_order() {
    let runner = Runner::new();
    let file = runner.write("c.toml", "log_level = \"debug\"\nkill_grace = \"3s\"\nstate_dir = \"/from/file\"\n");
    let run = runner
        .command(["config", "explain", "--output", "json", "--kill-grace", "1s", "--config"])
        .arg(&file)
        .env("BUILD_RUNNER_LOG_LEVEL", "warn")
        .done();
    assert_eq!(run.code(), 0, "{}", run.stderr());
    let rows: Vec<Value> = serde_json::from_str(run.stdout()).unwrap();
    let row = |key: &str| {
        let row = rows.iter().find(|row| row["key"] == key).unwrap();
        format!("{} from {}", row["value"].as_str().unwrap(), row["origin"].as_str().unwrap())
    };
    assert_eq!(row("kill_grace"), "1s from flag --kill-grace");
    assert_eq!(row("log_level"), "warn from environment BUILD_RUNNER_LOG_LEVEL");
    assert_eq!(row("state_dir"), format!("/from/file from {}:3", file.display()));
    assert_eq!(row("job_log_head"), "64MiB from default");
}

#[test]
fn unknown_and_unusable_settings_are_errors_all_at_once() {
    let runner = Runner::new();
    let file = runner.write("c.toml", "log_levle = \"debug\"\nnonsense = 1\n");
    let run = runner.command(["doctor", "--config"]).arg(&file).done();
    assert_eq!(run.code(), 2);
    assert!(run.stderr().contains("c.toml:1: unknown setting 'log_levle'; did you mean 'log_level'?"), "{}", run.stderr());
    assert!(run.stderr().contains("c.toml:2: unknown setting 'nonsense'"), "{}", run.stderr());
    let run = runner.command(["doctor", "--kill-grace", "soon", "--log-level", "loud"]).done();
    assert_eq!((run.code(), run.stderr().lines().count()), (2, 2), "{}", run.stderr());
    assert_eq!(runner.command(["doctor", "--config", "missing.toml"]).done().code(), 2);
    for (flag, value) in [("--ca-file", "none.pem"), ("--host-ca-files", "r.example=none.pem")] {
        let run = runner.job(&json!({"type": "noop", "plan": {}})).args([flag, value]).done();
        assert_eq!(run.code(), 2, "{}", run.stderr());
        assert!(run.stderr().contains("ca_file or host_ca_files: ") && run.stderr().contains("none.pem"), "{}", run.stderr());
    }
}

#[test]
fn the_small_commands_say_what_they_should() {
    let runner = Runner::new();
    let says = |args: &[&str], needle: &str| {
        let run = runner.command(args).done();
        assert_eq!(run.code(), 0, "{args:?}: {}", run.stderr());
        assert!(run.stdout().contains(needle), "{args:?}: {}", run.stdout());
    };
    says(&["version"], concat!("build-runner ", env!("CARGO_PKG_VERSION")));
    says(&["--version"], concat!("build-runner ", env!("CARGO_PKG_VERSION")));
    says(&["man"], ".TH build-runner");
    says(&["completions", "bash"], "_build__runner()");
    says(&["schema"], "\"$schema\"");
    says(&["schema", "oci-sync"], "src_registry");
    says(&["doctor", "--state-dir", "s"], "helm-chart-build");
    says(&["--help"], "--job-file");
    let run = runner.command(["schema", "helm"]).done();
    assert_eq!(run.code(), 2);
    assert!(run.stderr().contains("unknown job type 'helm'; one of docker-build"), "{}", run.stderr());
}
