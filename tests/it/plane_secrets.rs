//! A planted credential of a polled job is found nowhere: not in journal, outbox, the plane's database, logs, metrics, or `ps`.

use base64::Engine as _;
use serde_json::json;

use super::secrets::{TOKEN, files, private_chart};
use super::secrets_builds::{BUILD_SECRET, shows_its_secret};
use crate::support::plane::{Agent, Plane};
use crate::support::registry::{Options, PASSWORD, Registry, USER};

/// Every usual way to write a secret.
fn needles(plane: &Plane) -> Vec<String> {
    let base64 = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let tokens = [plane.token("runner"), plane.token("operator")];
    let mut needles = vec![base64(&format!("{USER}:{PASSWORD}")), base64(&format!("x-access-token:{TOKEN}"))];
    for secret in [TOKEN, PASSWORD].into_iter().chain(tokens.iter().map(String::as_str)) {
        needles.extend([secret.to_owned(), base64(secret)]);
    }
    needles
}

/// Searches whatever runner, plane and job have shown and kept, while both run and after the runner's end.
fn leaves_no_trace(plane: &Plane, agent: &mut Agent, id: &str, needles: &[String]) {
    let (records, job) = plane.follow(id);
    assert_eq!(job["status"], "finished", "{job:#}\n{records:#?}");
    assert!(records.iter().any(|record| record["text"].as_str().unwrap().contains("***")), "the tool tried: {records:#?}");

    let (_, metrics) = plane.as_runner("GET", "/metrics", None);
    let mut places = vec![("the job".to_owned(), job.to_string()), ("metrics".to_owned(), metrics.to_string())];
    places.push(("the log".to_owned(), format!("{records:?}")));
    // While both run: journal and write-ahead log are not compacted yet.
    files(&agent.state(), &mut places);
    files(&plane.data(), &mut places);
    let done = agent.drained();
    files(&agent.state(), &mut places);
    places.extend([("the runner's messages".to_owned(), done.stderr), ("the runner's output".to_owned(), done.stdout)]);
    places.push(("the plane's messages".to_owned(), plane.process().stdout() + &plane.process().stderr()));
    let mut searched = 0;
    for (place, text) in &places {
        if std::path::Path::new(place).extension().is_some_and(|extension| extension == "token") {
            continue;
        }
        searched += 1;
        for needle in needles {
            assert!(!text.contains(needle.as_str()), "{needle} in {place}");
        }
    }
    assert!(searched > 8, "{:?}", places.iter().map(|(place, _)| place).collect::<Vec<_>>());
}

fn runner(plane: &Plane, registry: &Registry) -> Agent {
    let ca = registry.ca().unwrap().to_str().unwrap();
    Agent::of(plane, "one").args(&["--log-level", "trace", "--ca-file", ca, "--admin-address", "127.0.0.1:0"])
}

#[test]
fn a_polled_job_leaves_no_trace_of_its_credentials() {
    require_tools!("docker-registry");
    let folder = tempfile::tempdir().unwrap();
    let (server, url) = private_chart(folder.path());
    let registry = Registry::with(&Options { tls: true, auth: true, ..Options::default() });
    let plane = Plane::with(&["--log-level", "trace"]);
    let leak = format!("#!/bin/sh\nprintf '%s\\n' '{TOKEN}' '{PASSWORD}' '{}' >&2\nexec SELF \"$@\"\n", base64_of(PASSWORD));
    let mut agent = runner(&plane, &registry).program("git", &leak).started();
    let id = plane.submit(&json!({"type": "helm-chart-build", "plan": {
        "git_source": {"url": url, "ref": "main", "path": "charts/app"}, "helm_build_plan": {},
        "dst_registry": {"RegistryType": "private_oci", "Repository": registry.repository("charts/app"),
                         "OCIAuth": {"Username": USER, "Password": PASSWORD}}}}));
    leaves_no_trace(&plane, &mut agent, &id, &needles(&plane));
    assert_eq!(server.seen().leaks, [""; 0], "arguments and environments of all processes, while git asked the server");
}

#[test]
fn a_polled_image_build_leaves_no_trace_of_what_it_was_trusted_with() {
    require_tools!("docker-registry", "buildah", "busybox", "crane");
    if !nix::unistd::geteuid().is_root() {
        not_run!("steps of a build with chroot isolation need root here");
    }
    let registry = Registry::with(&Options { tls: true, auth: true, ..Options::default() });
    let plane = Plane::with(&["--log-level", "trace"]);
    let mut agent = runner(&plane, &registry).args(&["--docker-backend", "buildah"]);
    let folder = agent.state().parent().unwrap().join("source");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("Dockerfile"), shows_its_secret(&registry)).unwrap();
    agent = agent.args(&["--local-root", folder.to_str().unwrap()]).started();
    let at = |name: &str| {
        json!({"RegistryType": "private_oci", "Repository": registry.repository(name),
               "OCIAuth": {"Username": USER, "Password": PASSWORD}})
    };
    let id = plane.submit(&json!({"type": "docker-build", "plan": {
        "git_source": {"url": folder},
        "docker_build_plan": {"secrets": {"token": BUILD_SECRET}, "registries": [at("base")]},
        "dst_registry": at("made"), "dst_tag": "1"}}));
    let mut needles = needles(&plane);
    needles.extend([BUILD_SECRET.to_owned(), base64_of(BUILD_SECRET)]);
    leaves_no_trace(&plane, &mut agent, &id, &needles);
}

fn base64_of(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}
