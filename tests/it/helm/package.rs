//! What is in a package, with `helm package` as oracle.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use serde_json::json;

use super::{Pushed, annotations, chart, folder_job, helm, helm_package, listing, refused, sample};
use crate::support::runner::Runner;
use crate::support::tools;

/// Builds the chart at `chart` in the runner's folder and compares the package with helm's, entry by entry.
fn same_as_helm(runner: &Runner) -> Pushed {
    let receipt = runner.job(&folder_job("chart")).done().succeeded();
    let pushed = Pushed::read(&runner.work().join("out"), "test");
    let oracle = helm_package(&runner.work(), &runner.work().join("chart"), &runner.work().join("oracle"));
    assert_eq!(listing(&pushed.layer()), listing(&fs::read(oracle).unwrap()));
    assert_eq!(runner.leftovers(), Vec::<std::path::PathBuf>::new());
    assert_eq!(receipt["outputs"]["source"]["kind"], "folder");
    pushed
}

fn copy_sample(runner: &Runner) {
    tools::run(std::process::Command::new("cp").arg("-r").arg(sample()).arg(runner.work().join("chart")));
}

#[test]
fn the_sample_is_packaged_as_helm_does() {
    require_tools!("helm");
    let runner = Runner::new();
    copy_sample(&runner);
    let pushed = same_as_helm(&runner);
    assert!(!pushed.names().iter().any(|name| name.contains("notes/")), "left out by .helmignore");
    let config = String::from_utf8(pushed.config()).unwrap();
    assert!(config.starts_with("{\"name\":\"sample\",\"home\":\"https://example.com/sample\",\"sources\":"), "{config}");
    assert_eq!(pushed.manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(pushed.manifest["config"]["mediaType"], "application/vnd.cncf.helm.config.v1+json");
    assert_eq!(pushed.manifest["layers"][0]["mediaType"], "application/vnd.cncf.helm.chart.content.v1.tar+gzip");
    let annotations = annotations(&pushed.manifest);
    assert_eq!(annotations["org.opencontainers.image.created"], "1970-01-01T00:00:00Z");
    assert_eq!(annotations["org.opencontainers.image.authors"], "Jo Example (jo@example.com)");
    assert_eq!(annotations["example.com/tier"], "frontend");
}

#[test]
fn every_oddity_is_packaged_as_helm_does() {
    require_tools!("helm");
    let runner = Runner::new();
    let folder = runner.work().join("chart");
    chart(
        &folder,
        "odd",
        "1.2.3-rc.1+build.5",
        &[
            ("values.yaml", "\u{feff}a: 1\n---\nb: 2\n"),
            ("templates/a.yaml", "x"),
            ("templates/.hidden.yaml", "x"),
            ("templates/sub/.kept.yaml", "x"),
            ("templates/sub/b.tpl", "x"),
            ("crds/crd.yaml", "x"),
            ("empty", ""),
            ("a.txt", "x"),
            ("a/b.txt", "x"),
            ("drop.bak", "x"),
            ("dir/drop.bak", "x"),
            ("cache/x", "x"),
            ("charts/_notes.md", "x"),
            ("charts/sub/Chart.yaml", "apiVersion: v1\nname: sub\nversion: 0.1.0\n"),
            ("charts/sub/.helmignore", "ignored-only-at-the-top\n"),
            ("charts/sub/ignored-only-at-the-top", "x"),
            (".helmignore", "\u{feff}# comment\n*.bak\ncache/\n/a.txt\n"),
        ],
    );
    let yaml = "# comments go\napiVersion: v2\nname: odd\nversion: 1.2.3-rc.1+build.5\nappVersion: 1.10\nunknown: gone\nkeywords: [\"yes\", '1.0', plain]\n\
                description: 'A very long description that goes on and on until it is well beyond the eighty columns: with a colon, too'\n\
                annotations:\n  b: |\n    two\n    lines\n  a10: x\n  a9: \"2026-01-02\"\nmaintainers:\n- name: A\n  url: https://example.com\n";
    fs::write(folder.join("Chart.yaml"), yaml).unwrap();
    fs::create_dir(folder.join("empty-folder")).unwrap();
    fs::set_permissions(folder.join("a/b.txt"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("a/b.txt", folder.join("link.txt")).unwrap();
    symlink("a", folder.join("linked")).unwrap();
    fs::write(folder.join("README.md"), "x".repeat(100_000)).unwrap();
    let pushed = same_as_helm(&runner);
    assert!(pushed.names().iter().any(|name| name == "odd/linked/b.txt"), "{:?}", pushed.names());
}

#[test]
fn a_chart_of_the_old_api_keeps_its_requirements() {
    require_tools!("helm");
    let runner = Runner::new();
    let folder = runner.work().join("chart");
    chart(
        &folder,
        "old",
        "0.1.0",
        &[
            ("requirements.yaml", "dependencies:\n- name: sub\n  version: ~0.1\n  repository: \"\"\n"),
            ("charts/sub/Chart.yaml", "name: sub\nversion: 0.1.0\n"),
            ("templates/a.yaml", "x"),
        ],
    );
    fs::write(folder.join("Chart.yaml"), "name: old\nversion: 0.1.0\n").unwrap();
    same_as_helm(&runner);
}

#[test]
fn the_same_chart_has_the_same_digest_wherever_and_whenever() {
    let (one, two) = (Runner::new(), Runner::new());
    for runner in [&one, &two] {
        copy_sample(runner);
    }
    chart(&one.work().join("chart/charts/zz"), "zz", "1.0.0", &[]);
    chart(&two.work().join("chart/charts/zz"), "zz", "1.0.0", &[]);
    let file = fs::File::options().write(true).open(two.work().join("chart/values.yaml")).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let digest = |runner: &Runner| runner.job(&folder_job("chart")).done().succeeded()["outputs"]["artifacts"][0]["digest"].clone();
    let first = digest(&one);
    assert_eq!(first, digest(&two));
    assert_eq!(first, digest(&one), "and again, over what is there");
}

#[test]
fn a_commit_gives_its_time_and_name() {
    require_tools!("git");
    let runner = Runner::new();
    chart(&runner.work().join("repo/charts/web"), "web", "1.0.0", &[("templates/a.yaml", "x")]);
    let git = |args: &[&str]| {
        let mut command = tools::command("git");
        command.current_dir(runner.work().join("repo")).env("GIT_CONFIG_GLOBAL", "/dev/null");
        command.env("GIT_COMMITTER_DATE", "2026-02-03T04:05:06+02:00").env("GIT_AUTHOR_DATE", "2026-02-03T04:05:06+02:00");
        tools::run(command.args(["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"]).args(args))
    };
    git(&["init", "-q"]);
    git(&["add", "."]);
    git(&["commit", "-qm", "one"]);
    let commit = git(&["rev-parse", "HEAD"]).trim().to_owned();
    chart(&runner.work().join("repo/charts/web"), "web", "9.9.9", &[]);
    let mut job = folder_job("repo");
    job["plan"]["git_source"] = json!({"url": "repo", "ref": "main", "path": "charts/web"});
    let receipt = runner.job(&job).done().succeeded();
    assert_eq!(receipt["outputs"]["chart"], json!({"name": "web", "version": "1.0.0"}));
    assert_eq!(receipt["outputs"]["source"]["commit"], *commit);
    let pushed = Pushed::read(&runner.work().join("out"), "test");
    let annotations = annotations(&pushed.manifest);
    assert_eq!(annotations["org.opencontainers.image.created"], "2026-02-03T02:05:06Z");
    assert_eq!(annotations["org.opencontainers.image.revision"], commit);
    assert!(!annotations.contains_key("org.opencontainers.image.source"), "a folder's name says nothing elsewhere");
    let layer = pushed.layer();
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(layer.as_slice()));
    assert!(tar.entries().unwrap().all(|entry| entry.unwrap().header().mtime().unwrap() == 1_770_084_306));
}

#[test]
fn what_helm_refuses_is_refused() {
    require_tools!("helm");
    for (file, data, message) in [
        (
            "Chart.yaml",
            "apiVersion: v2\nname: a\nversion: nope\n",
            "Chart.yaml: version 'nope' is not allowed; write it as SemVer, like 1.2.3 or 1.2.3-rc.1",
        ),
        ("values.yaml", "- a\n", "values.yaml line 1: the document is a list, expected a mapping"),
        ("values.schema.json", "{", "values.schema.json: not JSON: EOF while parsing an object at line 1 column 1"),
        (".helmignore", "a/**\n", ".helmignore line 1: 'a/**' uses '**', which helm does not support; use one '*' for each folder level"),
        (
            ".helmignore",
            "!templates\n",
            ".helmignore leaves out Chart.yaml; correct the rule (one that begins with '!' leaves out everything it does not match)",
        ),
        ("charts/README.md", "x", "'charts/README.md' lies in charts/, where only charts may be; move it, or let its name begin with '_'"),
        (
            "charts/x.tgz",
            "no archive at all",
            "charts/x.tgz: it is not a gzip-compressed tar archive, or is damaged: invalid gzip header; package it with 'helm package'",
        ),
    ] {
        let runner = Runner::new();
        let folder = runner.work().join("chart");
        chart(&folder, "a", "1.0.0", &[]);
        fs::create_dir_all(folder.join(file).parent().unwrap()).unwrap();
        fs::write(folder.join(file), data).unwrap();
        let failure = runner.job(&folder_job("chart")).done().failed(1, "InvalidSource");
        assert_eq!(failure["message"], message);
        assert_eq!((&failure["step"], &failure["fault"]), (&json!("load"), &json!("user")));
        assert!(
            !runner.work().join("out").join("index.json").exists()
                || fs::read_to_string(runner.work().join("out/index.json")).unwrap().contains("\"manifests\":[]")
        );
        assert_eq!(runner.leftovers(), Vec::<std::path::PathBuf>::new());
        refused(helm(&runner.work()).arg("package").arg(&folder));
    }
}
