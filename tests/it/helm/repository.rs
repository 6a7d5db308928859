//! Charts out of repositories: HTTP with an index, and OCI.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::{Pushed, chart, folder_job, helm, helm_package, into_registry, listing, repository_job};
use crate::support::http_files::HttpFiles;
use crate::support::registry::Registry;
use crate::support::runner::Runner;
use crate::support::tools;

/// A repository with two versions and a pre-release of chart `web`, made by helm below `root`.
fn repository(root: &Path) {
    let repo = root.join("repo");
    for version in ["1.2.0", "1.10.0", "2.0.0-rc.1"] {
        let folder = root.join(format!("src-{version}"));
        chart(&folder, "web", version, &[("templates/a.yaml", "a: b\n")]);
        helm_package(root, &folder, &repo);
    }
    tools::run(helm(root).args(["repo", "index"]).arg(&repo));
}

#[test]
fn the_newest_version_in_range_is_passed_on_byte_for_byte() {
    require_tools!("helm");
    let runner = Runner::new();
    repository(&runner.work());
    let server = HttpFiles::serve(&runner.work().join("repo"));
    for (wanted, expected) in [(None, "1.10.0"), (Some("~1.2"), "1.2.0"), (Some("1.2.0"), "1.2.0"), (Some(">=2.0.0-0"), "2.0.0-rc.1")] {
        let receipt = runner.job(&repository_job(&server.url(), "web", wanted)).done().succeeded();
        assert_eq!(receipt["outputs"]["chart"]["version"], expected, "{wanted:?}");
        let published = fs::read(runner.work().join(format!("repo/web-{expected}.tgz"))).unwrap();
        let pushed = Pushed::read(&runner.work().join("out"), "test");
        assert_eq!(pushed.layer(), published, "the layer has the digest that the index promises");
        assert_eq!(receipt["outputs"]["source"]["kind"], "repository");
        assert_eq!(receipt["outputs"]["source"]["digest"], pushed.manifest["layers"][0]["digest"]);
    }
}

#[test]
fn credentials_of_the_url_are_used_and_seen_nowhere() {
    require_tools!("helm");
    let runner = Runner::new();
    repository(&runner.work());
    let server = HttpFiles::serve_with_password(&runner.work().join("repo"), "reader", "s3cret-token-55");
    let url = |login: &str| server.url().replace("http://", &format!("http://{login}"));
    let run = runner.job(&repository_job(&url("reader:s3cret-token-55@"), "web", None)).done();
    run.succeeded();
    assert!(!run.stdout().contains("s3cret") && !run.stderr().contains("s3cret"), "{}{}", run.stdout(), run.stderr());
    let failure = runner.job(&repository_job(&url("reader:wrong@"), "web", None)).done().failed(1, "AuthDenied");
    let expected = format!(
        "{}/index.yaml may not be read (401); put the user name and password into the repository URL: https://USER:PASSWORD@host/…",
        server.url()
    );
    assert_eq!(failure["message"], expected);
}

#[test]
fn every_fault_of_a_repository_has_its_message() {
    require_tools!("helm");
    let runner = Runner::new();
    repository(&runner.work());
    let repo = runner.work().join("repo");
    let server = HttpFiles::serve(&repo);
    let fails = |chart: &str, version: Option<&str>, kind: &str| {
        runner.job(&repository_job(&server.url(), chart, version)).done().failed(1, kind)["message"].as_str().unwrap().to_owned()
    };
    let index = format!("{}/index.yaml", server.url());
    assert_eq!(fails("wep", None, "SourceNotFound"), format!("chart 'wep' is not in {index}; is 'web' meant?"));
    assert_eq!(
        fails("web", Some("^3"), "SourceNotFound"),
        format!("{index} has no version of chart 'web' that fits '^3'; it has 2.0.0-rc.1, 1.10.0, 1.2.0")
    );
    let good = fs::read(repo.join("web-1.10.0.tgz")).unwrap();
    fs::write(repo.join("web-1.10.0.tgz"), [good.as_slice(), b"x"].concat()).unwrap();
    assert!(fails("web", None, "DigestMismatch").contains("but the index of"));
    fs::remove_file(repo.join("web-1.10.0.tgz")).unwrap();
    assert_eq!(
        fails("web", None, "SourceNotFound"),
        format!("{}/web-1.10.0.tgz does not exist (404); check the repository URL", server.url())
    );
    fs::write(repo.join("index.yaml"), "<!DOCTYPE html><html></html>").unwrap();
    assert_eq!(
        fails("web", None, "InvalidSource"),
        format!("{index} is a web page, not the index of a chart repository; check the repository URL")
    );
    fs::write(repo.join("index.yaml"), "a: b").unwrap();
    assert_eq!(fails("web", None, "InvalidSource"), format!("{index} is not the index of a chart repository: apiVersion is missing"));
}

#[test]
fn a_chart_in_a_registry() {
    require_tools!("docker-registry", "helm");
    let (registry, runner) = (Registry::start(), Runner::new());
    for version in ["1.0.0", "1.1.0+b.1", "2.0.0"] {
        let folder = runner.work().join(format!("src-{version}"));
        chart(&folder, "web", version, &[("templates/a.yaml", "a: b\n")]);
        let archive = helm_package(&runner.work(), &folder, &runner.work());
        tools::run(helm(&runner.work()).arg("push").arg(archive).arg(format!("oci://{}", registry.repository("up"))).arg("--plain-http"));
    }
    let url = format!("oci://{}", registry.repository("up"));
    for (wanted, expected) in [(None, "2.0.0"), (Some("^1"), "1.1.0+b.1"), (Some("1.1.0+b.1"), "1.1.0+b.1"), (Some("1.0.0"), "1.0.0")] {
        let receipt = runner.job(&repository_job(&url, "web", wanted)).done().succeeded();
        assert_eq!(receipt["outputs"]["chart"]["version"], expected, "{wanted:?}");
    }
    let failure = runner.job(&repository_job(&url, "web", Some("^7"))).done().failed(1, "SourceNotFound");
    assert_eq!(
        failure["message"],
        format!("{} has no version that fits '^7'; it has 2.0.0, 1.1.0+b.1, 1.0.0", registry.repository("up/web"))
    );

    // What helm pushed and what is pushed here differ in annotations and mediaType alone.
    let copy = registry.repository("copy/web");
    let mut job = repository_job(&url, "web", Some("2.0.0"));
    job["plan"]["helm_build_plan"]["Labels"] = json!({});
    runner.job(&into_registry(job, &copy)).done().succeeded();
    let manifest = |repository: &str| -> serde_json::Value {
        serde_json::from_str(&tools::run(registry.command("crane").args(["manifest", "--insecure", &format!("{repository}:2.0.0")])))
            .unwrap()
    };
    if tools::find("crane").is_some() {
        let (theirs, ours) = (manifest(&registry.repository("up/web")), manifest(&copy));
        assert_eq!((&theirs["config"], &theirs["layers"]), (&ours["config"], &ours["layers"]));
    }
}

#[test]
fn an_image_is_no_chart() {
    require_tools!("docker-registry", "crane");
    let (registry, runner) = (Registry::start(), Runner::new());
    let layer = runner.work().join("layer.tar");
    tar::Builder::new(fs::File::create(&layer).unwrap()).finish().unwrap();
    let reference = registry.repository("up/web:1.0.0");
    tools::run(registry.command("crane").args(["append", "--insecure", "--new_tag", &reference, "--new_layer"]).arg(&layer));
    let url = format!("oci://{}", registry.repository("up"));
    let failure = runner.job(&repository_job(&url, "web", Some("1.0.0"))).done().failed(1, "InvalidSource");
    let message = failure["message"].as_str().unwrap();
    assert!(message.starts_with(&format!("oci://{reference} is no Helm chart: its config has the media type ")), "{message}");
}

#[test]
fn a_repository_goes_before_an_empty_git_source() {
    require_tools!("helm");
    let runner = Runner::new();
    repository(&runner.work());
    let server = HttpFiles::serve(&runner.work().join("repo"));
    let mut job = repository_job(&server.url(), "web", None);
    job["plan"]["git_source"] = json!({"url": "", "ref": "", "path": ""});
    runner.job(&job).done().succeeded();
    // A package that is not in one folder of its chart's name is made anew.
    let odd = runner.work().join("odd");
    chart(&odd.join("other-name"), "web", "3.0.0", &[]);
    tools::run(std::process::Command::new("tar").args(["czf", "repo/web-3.0.0.tgz", "-C", "odd", "other-name"]).current_dir(runner.work()));
    fs::write(runner.work().join("repo/index.yaml"), "apiVersion: v1\nentries:\n  web:\n  - {version: 3.0.0, urls: [web-3.0.0.tgz]}\n")
        .unwrap();
    runner.job(&job).done().succeeded();
    let pushed = Pushed::read(&runner.work().join("out"), "test");
    assert_eq!(listing(&pushed.layer())[0].0, "web/Chart.yaml");
    runner.job(&folder_job("odd/other-name")).done().succeeded();
}
