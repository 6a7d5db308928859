//! Job files as people write them.

use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::*;

fn parsed(text: &str, name: &str) -> Vec<JobFile> {
    parse(text, Path::new(name), Path::new("/base")).unwrap_or_else(|rejected| panic!("{rejected}"))
}

fn refused(text: &str, name: &str) -> String {
    parse(text, Path::new(name), Path::new("/base")).map_or_else(|rejected| rejected.to_string(), |_| String::new())
}

#[test]
fn the_envelope_is_read_in_full() {
    let text = r#"{"type": "noop", "id": "job-1", "operation": "exec", "metadata": {"team": "a"}, "timeouts": {"execution": "90s", "overall": 600000000000}}"#;
    let job = parsed(text, "a.json").remove(0);
    assert_eq!((job.id.map(String::from), job.operation, job.metadata["team"].as_str()), (Some("job-1".into()), Operation::Exec, "a"));
    assert_eq!(job.timeouts.execution.map(|d| d.get().as_secs()), Some(90));
    assert_eq!(job.timeouts.overall.map(|d| d.to_string()), Some("10m0s".into()));
    assert_eq!((job.base, job.path), (PathBuf::from("/base"), PathBuf::from("a.json")));
}

#[test]
fn defaults_fit_the_type() {
    let jobs = parsed("type: noop-build\n---\ntype: health-check\nid: null\nplan: null\n---\n", "a.yaml");
    assert_eq!(jobs.iter().map(|job| job.operation).collect::<Vec<_>>(), [Operation::Build, Operation::Exec]);
    assert_eq!((jobs[0].id.as_ref(), jobs[0].timeouts), (None, Timeouts::default()));
}

#[test]
fn content_decides_between_json_and_yaml() {
    assert_eq!(parsed("\u{feff}{\"type\": \"noop\"}", "a.txt").len(), 1);
    assert_eq!(parsed("{type: noop}\n---\n{type: noop}\n", "a.yml").len(), 2);
    assert_eq!(parsed("type: noop", "a.json").len(), 1);
    assert!(refused("{type: noop}", "a.json").starts_with("a.json:1:2: not JSON: key must be a string"));
    assert!(refused("{type: noop", "-").starts_with("<stdin>:1:2: not JSON"));
}

#[test]
fn secrets_come_from_files_beside_the_job_file() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("token"), "hunter2\r\n").expect("writes");
    std::fs::write(folder.path().join("job.yaml"), "type: flatpak-upload\nplan:\n  flatpak_upload_plan:\n    server: https://h\n    repo: r\n    build_id: 1\n    token: {file: token}\n").expect("writes");
    let job = read(&folder.path().join("job.yaml")).expect("reads").remove(0);
    assert_eq!(job.base, folder.path());
    assert_eq!(job.secrets.iter().map(ExposeSecret::expose_secret).collect::<Vec<_>>(), ["hunter2"]);
    assert!(!format!("{job:?}").contains("hunter2"));
    let big = vec![b'x'; 300 << 10];
    for (content, problem) in [(&b"\n"[..], "it is empty"), (b"\xff", "it is not UTF-8 text"), (&big[..], "it is bigger than 262144 bytes")]
    {
        std::fs::write(folder.path().join("token"), content).expect("writes");
        let message = read(&folder.path().join("job.yaml")).expect_err("refused").to_string();
        assert!(message.contains(problem), "{message}");
    }
}

#[test]
fn what_is_sent_elsewhere_has_absolute_paths_and_the_secrets_of_files() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("token"), "hunter2\n").expect("writes");
    let text = "type: docker-build\nmetadata: {file: token}\nplan:\n  git_source: {url: ../src}\n  docker_build_plan:\n    build_args: {VERSION: 1.10, file: token}\n    secrets: {npm: {file: token}}\n  dst_registry: {registry_type: oci_layout, repository: out}\n";
    std::fs::write(folder.path().join("job.yaml"), text).expect("writes");
    let job = read(&folder.path().join("job.yaml")).expect("reads").remove(0);
    let sent = job.portable.to_json(|path| format!("/abs/{path}"));
    assert_eq!(
        sent,
        serde_json::json!({"type": "docker-build", "metadata": {"file": "token"}, "plan": {
            "git_source": {"url": "/abs/../src"},
            "docker_build_plan": {"build_args": {"VERSION": "1.10", "file": "token"}, "secrets": {"npm": {"value": "hunter2"}}},
            "dst_registry": {"registry_type": "oci_layout", "repository": "/abs/out"},
        }})
    );
    assert!(!format!("{job:?}").contains("hunter2"));
}

#[test]
fn files_that_are_no_text_are_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("job.json");
    let message = |content: &[u8]| {
        std::fs::write(&file, content).expect("writes");
        read(&file).expect_err("refused").to_string().replace(&folder.path().display().to_string(), "")
    };
    assert_eq!(message(b"{\"type\": \"\xff\"}"), "/job.json: is not UTF-8 text from byte 10 on; save it as UTF-8");
    assert_eq!(message(&vec![b' '; (8 << 20) + 1]), "/job.json: is bigger than 8388608 bytes; a job file holds plans, not content");
    assert_eq!(message(b""), "/job.json: holds no job; write an object with type and plan");
    let missing = read(&folder.path().join("none")).expect_err("refused").to_string();
    assert!(missing.ends_with("/none: cannot be read: entity not found; check the path and its permissions"), "{missing}");
}

#[test]
fn mistakes_of_all_files_come_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).expect("writes");
        folder.path().join(name)
    };
    let files =
        [write("a.json", "{\"type\": \"nop\"}"), write("b.yaml", "type: noop\nid: x\ncolour: 1\n"), write("c.yaml", "type: noop\nid: x\n")];
    assert_eq!(read_all(&files).expect_err("refused").iter().count(), 2);
    let twice = [write("b.yaml", "type: noop\nid: x\n"), files[2].clone()];
    assert!(
        read_all(&twice)
            .expect_err("refused")
            .to_string()
            .ends_with("c.yaml:2:5: id: 'x' is the id of more than one job; give each its own or leave it out")
    );
}

#[test]
fn a_missing_destination_is_said_where_the_plan_is() {
    let text = "type: terraform-module-build\nplan:\n  git_source: {url: .}\n  terraform_build_plan: {}\n";
    let mut job = parsed(text, "a.yaml").remove(0);
    let message = job.check_destination().expect_err("no destination").to_string();
    assert_eq!(
        message,
        "a.yaml:3:3: plan.dst_registry: required key is missing; add an object with RegistryType and Repository, or pass --destination"
    );
    let registry = || crate::plan::Registry::new(crate::plan::RegistryType::OciLayout, "out");
    assert!(job.plan.set_destination(registry(), None));
    let message = job.check_destination().expect_err("no tag").to_string();
    assert_eq!(message, "a.yaml:3:3: plan.dst_tag: required key is missing; add the tag to push, or pass --destination with a tag");
    assert!(job.plan.set_destination(registry(), Some("1".into())));
    job.check_destination().expect("has one now");
    assert_eq!(job.plan.destination().and_then(|(_, tag)| tag), Some("1"));
}

proptest! {
    #[test]
    fn no_text_panics(text in "(type: (noop|oci-sync|pipeline-run)\n)?(plan:\n)?[ \\n:{}\\[\\]\"',a-z&*<!-]{0,80}") {
        let _ = parse(&text, Path::new("a.yaml"), Path::new("/base"));
        let _ = parse(&text, Path::new("a.json"), Path::new("/base"));
    }
}
