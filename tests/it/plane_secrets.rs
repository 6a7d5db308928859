//! A planted credential of a polled job is found nowhere: not in journal, outbox, the plane's database, logs, metrics, or `ps`.

use base64::Engine as _;
use serde_json::json;

use super::secrets::{TOKEN, files, private_chart};
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

#[test]
fn a_polled_job_leaves_no_trace_of_its_credentials() {
    require_tools!("docker-registry");
    let folder = tempfile::tempdir().unwrap();
    let (server, url) = private_chart(folder.path());
    let registry = Registry::with(&Options { tls: true, auth: true, ..Options::default() });
    let plane = Plane::with(&["--log-level", "trace"]);
    let leak = format!("#!/bin/sh\nprintf '%s\\n' '{TOKEN}' '{PASSWORD}' '{}' >&2\nexec SELF \"$@\"\n", base64_of(PASSWORD));
    let mut agent = Agent::of(&plane, "one")
        .args(&["--log-level", "trace", "--ca-file", registry.ca().unwrap().to_str().unwrap(), "--admin-address", "127.0.0.1:0"])
        .program("git", &leak)
        .started();
    let id = plane.submit(&json!({"type": "helm-chart-build", "plan": {
        "git_source": {"url": url, "ref": "main", "path": "charts/app"}, "helm_build_plan": {},
        "dst_registry": {"RegistryType": "private_oci", "Repository": registry.repository("charts/app"),
                         "OCIAuth": {"Username": USER, "Password": PASSWORD}}}}));
    let (records, job) = plane.follow(&id);
    assert_eq!(job["status"], "finished", "{job:#}\n{records:#?}");
    assert!(records.iter().any(|record| record["text"].as_str().unwrap().contains("***")), "the tool tried: {records:#?}");
    assert_eq!(server.seen().leaks, [""; 0], "arguments and environments of all processes, while git asked the server");

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
    let needles = needles(&plane);
    let mut searched = 0;
    for (place, text) in &places {
        if std::path::Path::new(place).extension().is_some_and(|extension| extension == "token") {
            continue;
        }
        searched += 1;
        for needle in &needles {
            assert!(!text.contains(needle.as_str()), "{needle} in {place}");
        }
    }
    assert!(searched > 8, "{:?}", places.iter().map(|(place, _)| place).collect::<Vec<_>>());
}

fn base64_of(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}
