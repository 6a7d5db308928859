//! What was pushed into a real registry, used by the real helm.

use serde_json::json;

use super::{chart, folder_job, helm, into_registry, sample};
use crate::support::registry::{Options, PASSWORD, Registry, USER};
use crate::support::runner::Runner;
use crate::support::tools;

#[test]
fn helm_pulls_shows_and_renders_it() {
    require_tools!("docker-registry", "helm");
    let (registry, runner) = (Registry::start(), Runner::new());
    let repository = registry.repository("charts/sample");
    let receipt = runner.job(&into_registry(folder_job(sample().to_str().unwrap()), &repository)).done().succeeded();
    let artifact = &receipt["outputs"]["artifacts"][0];
    assert_eq!((&artifact["repository"], &artifact["tag"]), (&json!(repository), &json!("0.1.0")));
    assert_eq!(receipt["outputs"]["chart"], json!({"name": "sample", "version": "0.1.0", "app_version": "1.27"}));
    assert_eq!(receipt["outputs"]["dependencies"][0]["version"], "0.2.4");

    let reference = format!("oci://{repository}");
    let run = |args: &[&str]| tools::run(helm(&runner.work()).args(args).arg("--plain-http"));
    let shown = run(&["show", "chart", &reference, "--version", "0.1.0"]);
    assert!(shown.contains("name: sample") && shown.contains("version: 0.1.0"), "{shown}");
    run(&["pull", &reference, "--version", "~0.1.0"]);
    assert!(runner.work().join("sample-0.1.0.tgz").is_file());
    let rendered = run(&["template", "x", &reference, "--version", "0.1.0"]);
    assert!(rendered.contains("name: x-sample") && rendered.contains("size: \"64Mi\""), "{rendered}");
    let digest = artifact["digest"].as_str().unwrap();
    run(&["template", "x", &format!("{reference}@{digest}")]);

    let again = runner.job(&into_registry(folder_job(sample().to_str().unwrap()), &repository)).done().succeeded();
    assert_eq!(again["outputs"]["artifacts"], receipt["outputs"]["artifacts"]);
}

#[test]
fn a_plus_in_the_version_is_an_underscore_in_the_tag() {
    require_tools!("docker-registry", "helm");
    let (registry, runner) = (Registry::start(), Runner::new());
    chart(&runner.work().join("chart"), "web", "1.0.0+b.7", &[("templates/a.yaml", "a: b\n")]);
    let repository = registry.repository("web");
    let receipt = runner.job(&into_registry(folder_job("chart"), &repository)).done().succeeded();
    assert_eq!(receipt["outputs"]["artifacts"][0]["tag"], "1.0.0_b.7");
    tools::run(helm(&runner.work()).args(["template", "x", &format!("oci://{repository}"), "--version", "1.0.0+b.7", "--plain-http"]));
}

#[test]
fn a_private_registry_with_tls() {
    require_tools!("docker-registry", "helm");
    let registry = Registry::with(&Options { tls: true, auth: true, ..Options::default() });
    let runner = Runner::new();
    let mut job = into_registry(folder_job(sample().to_str().unwrap()), &registry.repository("sample"));
    job["plan"]["dst_registry"] = json!({"RegistryType": "private_oci", "Repository": registry.repository("sample"), "OCIAuth": {"Username": USER, "Password": PASSWORD}});
    let run = runner.job(&job).env("SSL_CERT_FILE", registry.ca().unwrap()).done();
    run.succeeded();
    assert!(!run.stderr().contains(PASSWORD) && !run.stdout().contains(PASSWORD));
    let mut pull = registry.command("helm");
    pull.env("HELM_REGISTRY_CONFIG", registry.docker_config().join("config.json")).current_dir(runner.work());
    tools::run(
        pull.args(["pull", &format!("oci://{}", registry.repository("sample")), "--version", "0.1.0", "--ca-file"])
            .arg(registry.ca().unwrap()),
    );

    job["plan"]["dst_registry"]["OCIAuth"]["Password"] = json!("wrong-password-71");
    let run = runner.job(&job).env("SSL_CERT_FILE", registry.ca().unwrap()).done();
    run.failed(1, "AuthDenied");
    assert!(!run.stderr().contains("wrong-password-71"));
}
