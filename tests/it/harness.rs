//! The harness itself: a test that cannot trust it proves nothing.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::http_files::HttpFiles;
use crate::support::proxy::{Cut, Faults, Proxy};
use crate::support::registry::{Options, PASSWORD, Program, Registry, USER};
use crate::support::runner::Runner;
use crate::support::{process, tools};

#[test]
fn a_registry_serves_and_logs_its_requests() {
    require_tools!("docker-registry", "crane");
    let registry = Registry::start();
    let layer = tempfile::NamedTempFile::new().unwrap();
    tar::Builder::new(layer.as_file()).finish().unwrap();
    let reference = registry.repository("a/b:1");
    tools::run(registry.command("crane").args(["append", "--insecure", "--new_tag", &reference, "--new_layer"]).arg(layer.path()));
    assert_eq!(tools::run(registry.command("crane").args(["ls", "--insecure", &registry.repository("a/b")])).trim(), "1");
    let requests = registry.requests();
    let put = requests.iter().filter(|request| request.method == "PUT" && request.path == "/v2/a/b/manifests/1");
    assert_eq!(put.map(|request| request.status).collect::<Vec<_>>(), [201]);
    assert_eq!(registry.requests(), requests, "reading the log adds nothing to it");
    assert!(registry.storage().join("docker/registry/v2/repositories/a/b").is_dir());
    assert_eq!((registry.ca(), registry.url()), (None, format!("http://{}", registry.host())));
}

#[test]
fn a_registry_with_tls_wants_its_authority_and_its_password() {
    require_tools!("registry3", "crane");
    let registry = Registry::with(&Options { program: Program::Distribution3, tls: true, auth: true, config: "" });
    let list = |command: &mut std::process::Command| process::output(command.args(["catalog", &registry.host()]));
    assert!(list(&mut registry.command("crane")).success());
    let stranger = list(registry.command("crane").env_remove("SSL_CERT_FILE"));
    assert!(stranger.stderr.contains("certificate signed by unknown authority"), "{}", stranger.stderr);
    let nobody = list(registry.command("crane").env_remove("DOCKER_CONFIG"));
    assert!(nobody.stderr.contains("UNAUTHORIZED"), "{}", nobody.stderr);
}

#[test]
fn a_registry_knows_its_referrers() {
    require_tools!("referrers-registry", "oras");
    let registry = Registry::with(&Options { program: Program::Referrers, ..Options::default() });
    let oras = |args: &[&str]| tools::run(registry.command("oras").args(args).arg("--plain-http"));
    let image = registry.repository("a:1");
    oras(&["push", &image, "--artifact-type", "test/image"]);
    oras(&["attach", &image, "--artifact-type", "test/note", "-a", "a=b"]);
    assert!(oras(&["discover", &image]).contains("a: b"));
    assert!(registry.requests().iter().any(|request| request.path.starts_with("/v2/a/referrers/sha256:") && request.status == 200));
    assert!(!registry.requests().iter().any(|request| request.path.contains("/manifests/sha256-")), "no fallback tag is needed");
}

#[test]
fn files_are_served_to_whoever_knows_the_password() {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("index.yaml"), "entries: {}").unwrap();
    let open = HttpFiles::serve(root.path());
    assert!(get(&open.url(), "/index.yaml", "").ends_with("entries: {}"));
    assert!(get(&open.url(), "/no", "").starts_with("HTTP/1.1 404"));
    assert!(get(&open.url(), "/../index.yaml", "").starts_with("HTTP/1.1 400"));
    assert_eq!(open.requests(), ["GET /index.yaml", "GET /no", "GET /../index.yaml"]);
    let locked = HttpFiles::serve_with_password(root.path(), USER, PASSWORD);
    assert!(get(&locked.url(), "/index.yaml", "").starts_with("HTTP/1.1 401"));
    let known = format!("Authorization: Basic {}\r\n", "cnVubmVyOmNvcnJlY3QtaG9yc2UtOWYyYw==");
    assert!(get(&locked.url(), "/index.yaml", &known).ends_with("entries: {}"));
}

#[test]
fn a_proxy_delays_and_cuts() {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("big"), vec![b'x'; 100_000]).unwrap();
    let files = HttpFiles::serve(root.path());
    let server = files.url().strip_prefix("http://").unwrap().parse().unwrap();

    let slow = Proxy::start(server, Faults { latency: Duration::from_millis(30), cut: None });
    let start = Instant::now();
    assert!(get(&slow.host(), "/big", "").len() > 100_000);
    assert!(start.elapsed() >= Duration::from_millis(60), "{:?}", start.elapsed());

    let cutting = Proxy::start(server, Faults { cut: Some(Cut { upload: false, after: 50_000, times: 1 }), ..Faults::default() });
    assert!(get(&cutting.host(), "/big", "").len() <= 50_000);
    assert!(get(&cutting.host(), "/big", "").len() > 100_000);
    assert_eq!((cutting.cuts(), cutting.connections()), (1, 2));
}

#[test]
fn a_child_is_awaited_line_by_line_and_killed_when_dropped() {
    let shell = |script: &str| {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", script]);
        command
    };
    let child = process::spawn(&mut shell("trap 'echo bye; exit 3' TERM; echo ready >&2; while :; do sleep 0.01; done"));
    assert_eq!(child.stderr_line("ready"), "ready");
    child.signal(Signal::SIGTERM);
    let done = child.wait();
    assert_eq!((done.code, done.stdout.as_str()), (Some(3), "bye\n"));

    let child = process::spawn(&mut shell("exec sleep 1000"));
    let pid = child.pid();
    drop(child);
    assert!(nix::sys::signal::kill(pid, None).is_err(), "it is gone, and reaped");
}

#[test]
fn the_binary_runs_in_a_place_of_its_own() {
    let runner = Runner::new();
    let version = runner.command(["version"]).env("RUST_BACKTRACE", "1").done();
    assert_eq!(version.code(), 0, "{}", version.stderr());
    assert!(version.stdout().contains(env!("CARGO_PKG_VERSION")), "{}", version.stdout());

    let receipt = runner.job(&json!({"id": "j1", "type": "noop", "plan": {}})).done().succeeded();
    assert_eq!((&receipt["id"], &receipt["type"]), (&json!("j1"), &json!("noop")));
    assert_eq!(runner.leftovers(), Vec::<std::path::PathBuf>::new());
}

/// The raw answer of one request on a connection of its own, as far as it came.
fn get(server: &str, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(server.trim_start_matches("http://")).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\n{headers}\r\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}
