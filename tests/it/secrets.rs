//! Planted credentials — a clone URL's token, a registry's password, a variable — are found nowhere after a whole run, however it ends.

use std::path::Path;

use base64::Engine as _;
use serde_json::json;

use crate::git_local::{git, write};
use crate::support::git_server::{self, GitServer};
use crate::support::registry::{Options, PASSWORD, Registry, USER};
use crate::support::runner::{Run, Runner};

pub(crate) const TOKEN: &str = "ghs_Pl4ntedT0kenOfACloneUrl";

/// A server with one private repository that holds a chart, and the URL with the token in it.
pub(crate) fn private_chart(folder: &Path) -> (GitServer, String) {
    let work = folder.join("work");
    write(&work, "charts/app/Chart.yaml", "apiVersion: v2\nname: app\nversion: 1.2.3\n");
    write(&work, "charts/app/values.yaml", "replicas: 1\n");
    git(&work, &["init", "-q"]);
    git(&work, &["add", "."]);
    git(&work, &["commit", "-qm", "one"]);
    git(folder, &["clone", "-q", "--bare", "work", "served/app.git"]);
    let password = Some(("x-access-token".to_owned(), TOKEN.to_owned()));
    let options = git_server::Options { password, secret: TOKEN.to_owned(), ..git_server::Options::default() };
    let server = GitServer::start(&folder.join("served"), options);
    let url = server.url_as("x-access-token", TOKEN, "app.git");
    (server, url)
}

/// Nothing that was printed or kept has a secret in it, bare or encoded.
fn assert_no_trace(runner: &Runner, run: &Run, secrets: &[&str]) {
    let base64 = |text: String| base64::engine::general_purpose::STANDARD.encode(text);
    let mut needles: Vec<String> = secrets.iter().map(ToString::to_string).collect();
    needles.extend(secrets.iter().map(|secret| base64((*secret).to_owned())));
    needles.extend([base64(format!("{USER}:{PASSWORD}")), base64(format!("x-access-token:{TOKEN}"))]);
    let mut places = vec![("standard output".to_owned(), run.stdout().to_owned()), ("standard error".to_owned(), run.stderr().to_owned())];
    files(&runner.state(), &mut places);
    for (place, text) in &places {
        for needle in &needles {
            assert!(!text.contains(needle.as_str()), "{needle} in {place}:\n{text}");
        }
    }
    assert!(places.len() > 2, "the state folder has something in it to search");
}

pub(crate) fn files(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push((path.display().to_string(), String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned()));
        }
    }
}

#[test]
fn a_run_that_succeeds_leaves_no_trace_of_its_credentials() {
    require_tools!("docker-registry", "crane");
    let folder = tempfile::tempdir().unwrap();
    let (server, url) = private_chart(folder.path());
    let registry = Registry::with(&Options { tls: true, auth: true, ..Options::default() });
    let runner = Runner::new();
    let job = json!({"type": "helm-chart-build", "plan": {
        "git_source": {"url": url, "ref": "main", "path": "charts/app"}, "helm_build_plan": {},
        "dst_registry": {"RegistryType": "private_oci", "Repository": registry.repository("charts/app"),
                         "OCIAuth": {"Username": USER, "Password": PASSWORD}}}});
    let run = runner
        .job(&job)
        .arg("--ca-file")
        .arg(registry.ca().unwrap())
        .args(["--log-level", "trace"])
        .env("AWS_SECRET_ACCESS_KEY", "Pl4ntedAwsKeyOfTheEnvironment")
        .done();
    let receipt = run.succeeded();
    assert_eq!(receipt["outputs"]["artifacts"][0]["tag"], "1.2.3");
    assert!(run.stderr().contains("app.git"), "the log says where the source is from:\n{}", run.stderr());
    assert_no_trace(&runner, &run, &[TOKEN, PASSWORD, "Pl4ntedAwsKeyOfTheEnvironment"]);
    assert_eq!(server.seen().leaks, [""; 0], "arguments and environments of all processes, while git asked the server");
    assert!(!server.seen().authorizations.is_empty(), "and yet git was let in");
}

#[test]
fn runs_that_are_refused_leave_no_trace_of_what_was_refused() {
    require_tools!("docker-registry");
    let folder = tempfile::tempdir().unwrap();
    let (server, _) = private_chart(folder.path());
    let registry = Registry::with(&Options { tls: true, auth: true, ..Options::default() });
    let wrong = "wr0ng-but-still-a-s3cret";
    let job = |url: &str| {
        json!({"type": "helm-chart-build", "plan": {
            "git_source": {"url": url, "path": "charts/app"}, "helm_build_plan": {},
            "dst_registry": {"RegistryType": "private_oci", "Repository": registry.repository("charts/app"),
                             "OCIAuth": {"Username": USER, "Password": wrong}}}})
    };
    let runner = Runner::new();
    let run = runner.job(&job(&server.url_as("x-access-token", wrong, "app.git"))).done();
    let failure = run.failed(1, "AuthDenied");
    assert_eq!(failure["fault"], "user");
    assert_no_trace(&runner, &run, &[wrong]);

    let runner = Runner::new();
    runner.write("chart/charts/app/Chart.yaml", "apiVersion: v2\nname: app\nversion: 1.2.3\n");
    let run = runner.job(&job("chart")).arg("--ca-file").arg(registry.ca().unwrap()).done();
    let failure = run.failed(1, "AuthDenied");
    let message = failure["message"].as_str().unwrap();
    assert!(message.contains("denies push on 'charts/app' with the user name and password of OCIAuth of the plan"), "{message}");
    assert_no_trace(&runner, &run, &[wrong]);
}

#[test]
fn a_password_in_the_docker_file_is_used_and_not_shown() {
    require_tools!("docker-registry");
    let registry = Registry::with(&Options { tls: true, auth: true, ..Options::default() });
    let runner = Runner::new();
    runner.write("app/Chart.yaml", "apiVersion: v2\nname: app\nversion: 1.2.3\n");
    let job = json!({"type": "helm-chart-build", "plan": {
        "git_source": {"url": "app"}, "helm_build_plan": {},
        "dst_registry": {"RegistryType": "private_oci", "Repository": registry.repository("charts/app")}}});
    let run = runner
        .job(&job)
        .env("DOCKER_CONFIG", registry.docker_config())
        .env("BUILD_RUNNER_HOST_CA_FILES", format!("{}={}", registry.host(), registry.ca().unwrap().display()))
        .done();
    run.succeeded();
    assert_no_trace(&runner, &run, &[PASSWORD]);
    let without = runner.job(&job).arg("--ca-file").arg(registry.ca().unwrap()).done();
    let message = without.failed(1, "AuthDenied")["message"].as_str().unwrap().to_owned();
    assert!(message.contains("to anonymous clients"), "{message}");
}
