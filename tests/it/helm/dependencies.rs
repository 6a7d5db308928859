//! Dependencies: locks, HTTP repositories, registries, neighbours.

use std::fs;

use serde_json::json;

use super::{Pushed, chart, folder_job, helm, helm_package, listing};
use crate::support::http_files::HttpFiles;
use crate::support::registry::Registry;
use crate::support::runner::Runner;
use crate::support::tools;

/// A chart `chart` that depends on `lib` of `repository`, two versions of which lie packaged in `repo`.
fn charts(runner: &Runner, repository: &str, range: &str) {
    let yaml = format!(
        "apiVersion: v2\nname: app\nversion: 1.0.0\ndependencies:\n- name: lib\n  version: \"{range}\"\n  repository: {repository}\n"
    );
    chart(&runner.work().join("chart"), "app", "1.0.0", &[("Chart.yaml", &yaml), ("templates/a.yaml", "a: b\n")]);
}

fn libraries(runner: &Runner) {
    for version in ["1.0.0", "1.1.0"] {
        let folder = runner.work().join(format!("lib-{version}"));
        chart(&folder, "lib", version, &[("templates/l.yaml", &format!("version: {version}\n"))]);
        helm_package(&runner.work(), &folder, &runner.work().join("repo"));
    }
    tools::run(helm(&runner.work()).args(["repo", "index"]).arg(runner.work().join("repo")));
}

#[test]
fn a_lock_decides_and_the_package_is_helms() {
    require_tools!("helm");
    let runner = Runner::new();
    libraries(&runner);
    let server = HttpFiles::serve(&runner.work().join("repo"));
    charts(&runner, &server.url(), "1.0.x");
    tools::run(helm(&runner.work()).args(["dependency", "update", "chart"]));
    let yaml = fs::read_to_string(runner.work().join("chart/Chart.yaml")).unwrap();
    fs::remove_dir_all(runner.work().join("chart/charts")).unwrap();
    let before = server.requests().len();

    let receipt = runner.job(&folder_job("chart")).done().succeeded();
    let dependency = &receipt["outputs"]["dependencies"][0];
    assert_eq!((&dependency["name"], &dependency["version"], &dependency["pinned"]), (&json!("lib"), &json!("1.0.0"), &json!(true)));
    assert!(dependency["digest"].as_str().unwrap().starts_with("sha256:"));
    assert_eq!(server.requests().len() - before, 2, "index and archive, once each: {:?}", server.requests());
    assert!(!runner.work().join("chart/charts").exists(), "the user's folder stays as it is");

    let pushed = Pushed::read(&runner.work().join("out"), "test");
    tools::run(helm(&runner.work()).args(["repo", "add", "libs", &server.url()]));
    tools::run(helm(&runner.work()).args(["dependency", "build", "chart"]));
    let oracle = helm_package(&runner.work(), &runner.work().join("chart"), &runner.work().join("oracle"));
    assert_eq!(listing(&pushed.layer()), listing(&fs::read(oracle).unwrap()));

    fs::remove_dir_all(runner.work().join("chart/charts")).unwrap();
    fs::write(runner.work().join("chart/Chart.yaml"), yaml.replace("1.0.x", "1.1.x")).unwrap();
    let failure = runner.job(&folder_job("chart")).done().failed(1, "InvalidSource");
    assert_eq!(failure["message"], "Chart.lock is out of sync with Chart.yaml; run 'helm dependency update' and commit Chart.lock");
    assert_eq!(failure["step"], "dependencies");
}

#[test]
fn without_a_lock_it_is_said() {
    require_tools!("helm");
    let runner = Runner::new();
    libraries(&runner);
    let server = HttpFiles::serve_with_password(&runner.work().join("repo"), "reader", "s3cret-token-56");
    charts(&runner, &server.url().replace("http://", "http://reader:s3cret-token-56@"), "^1");
    let run = runner.job(&folder_job("chart")).done();
    let receipt = run.succeeded();
    assert_eq!(receipt["outputs"]["dependencies"][0]["version"], "1.1.0");
    assert_eq!(receipt["outputs"]["dependencies"][0]["pinned"], false);
    assert!(run.stderr().contains("there is no Chart.lock"), "{}", run.stderr());
    assert!(!run.stdout().contains("s3cret") && !run.stderr().contains("s3cret"), "{}{}", run.stdout(), run.stderr());
}

#[test]
fn a_dependency_out_of_a_registry() {
    require_tools!("docker-registry", "helm");
    let (registry, runner) = (Registry::start(), Runner::new());
    libraries(&runner);
    for version in ["1.0.0", "1.1.0"] {
        let archive = runner.work().join(format!("repo/lib-{version}.tgz"));
        tools::run(helm(&runner.work()).arg("push").arg(archive).arg(format!("oci://{}", registry.repository("libs"))).arg("--plain-http"));
    }
    charts(&runner, &format!("oci://{}", registry.repository("libs")), "~1.0");
    tools::run(helm(&runner.work()).args(["dependency", "update", "chart", "--plain-http"]));
    fs::remove_dir_all(runner.work().join("chart/charts")).unwrap();
    let receipt = runner.job(&folder_job("chart")).done().succeeded();
    assert_eq!(receipt["outputs"]["dependencies"][0]["version"], "1.0.0");
    let names = Pushed::read(&runner.work().join("out"), "test").names();
    assert!(names.contains(&"app/charts/lib/templates/l.yaml".to_owned()), "{names:?}");
}

#[test]
fn a_neighbour_of_the_chart_in_the_source() {
    let runner = Runner::new();
    charts(&runner, "file://../lib", "1.x");
    chart(&runner.work().join("lib"), "lib", "1.5.0", &[(".helmignore", "*.bak\n"), ("x.bak", "x")]);
    fs::create_dir(runner.work().join("source")).unwrap();
    for name in ["chart", "lib"] {
        fs::rename(runner.work().join(name), runner.work().join("source").join(name)).unwrap();
    }
    let mut job = folder_job("source");
    job["plan"]["git_source"]["path"] = json!("chart");
    runner.job(&job).done().succeeded();
    let names = Pushed::read(&runner.work().join("out"), "test").names();
    assert!(names.contains(&"app/charts/lib/Chart.yaml".to_owned()) && !names.contains(&"app/charts/lib/x.bak".to_owned()), "{names:?}");

    let failure = runner.job(&folder_job("source/chart")).done().failed(1, "SourceNotFound");
    let expected = "dependency 'lib': '../lib' is not a folder of the source; for a chart beside this one let git_source.url name the folder above \
                    both, and git_source.path this one";
    assert_eq!(failure["message"], expected);
}

#[test]
fn what_cannot_be_had_fails_the_job() {
    let runner = Runner::new();
    fs::create_dir(runner.work().join("repo")).unwrap();
    let server = HttpFiles::serve(&runner.work().join("repo"));
    charts(&runner, &server.url(), "^1");
    let failure = runner.job(&folder_job("chart")).done().failed(1, "SourceNotFound");
    assert_eq!(failure["message"], format!("dependency 'lib': {}/index.yaml does not exist (404); check the repository URL", server.url()));
}
