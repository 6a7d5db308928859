//! `helm-chart-build` against the real helm: packages, pulls, repositories, dependencies, hostile charts.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{process, tools};

mod dependencies;
mod hostile;
mod package;
mod pull;
mod repository;

/// helm with nobody's configuration.
fn helm(home: &Path) -> Command {
    let mut command = tools::command("helm");
    for (name, folder) in [("HELM_CONFIG_HOME", "config"), ("HELM_CACHE_HOME", "cache"), ("HELM_DATA_HOME", "data")] {
        command.env(name, home.join("helm").join(folder));
    }
    command.env("HOME", home).current_dir(home);
    command
}

/// A job that packages `folder` (relative to the job file) into the layout `out` under the tag `test`.
fn folder_job(folder: &str) -> Value {
    job(&json!({"url": folder}), &Value::Null)
}

/// A job that takes a chart out of a repository.
fn repository_job(url: &str, chart: &str, version: Option<&str>) -> Value {
    job(&Value::Null, &json!({"RepoURL": url, "Chart": chart, "Version": version}))
}

fn job(git_source: &Value, repository: &Value) -> Value {
    json!({"type": "helm-chart-build", "plan": {
        "git_source": git_source,
        "dst_registry": {"RegistryType": "oci_layout", "Repository": "out"},
        "dst_tag": "test",
        "helm_build_plan": {"Labels": {"component_id": "cmp1"}, "HelmRepoConfig": repository},
    }})
}

/// The same job, into a registry and under the tag of the chart's version.
fn into_registry(mut job: Value, repository: &str) -> Value {
    job["plan"]["dst_registry"] = json!({"RegistryType": "public_oci", "Repository": repository, "PlainHTTP": true});
    job["plan"]["dst_tag"] = Value::Null;
    job
}

/// What a layout folder holds under a tag.
struct Pushed {
    layout: PathBuf,
    manifest: Value,
}

impl Pushed {
    fn read(layout: &Path, tag: &str) -> Self {
        let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
        let tagged = |entry: &&Value| entry["annotations"]["org.opencontainers.image.ref.name"] == tag;
        let digest = index["manifests"].as_array().unwrap().iter().find(tagged).unwrap()["digest"].clone();
        let manifest = serde_json::from_slice(&blob(layout, &digest)).unwrap();
        Self { layout: layout.to_owned(), manifest }
    }

    fn layer(&self) -> Vec<u8> {
        assert_eq!(self.manifest["layers"].as_array().unwrap().len(), 1);
        blob(&self.layout, &self.manifest["layers"][0]["digest"])
    }

    fn config(&self) -> Vec<u8> {
        blob(&self.layout, &self.manifest["config"]["digest"])
    }

    /// Names in the chart's package.
    fn names(&self) -> Vec<String> {
        listing(&self.layer()).into_iter().map(|entry| entry.0).collect()
    }
}

fn blob(layout: &Path, digest: &Value) -> Vec<u8> {
    let (algorithm, hex) = digest.as_str().unwrap().split_once(':').unwrap();
    fs::read(layout.join("blobs").join(algorithm).join(hex)).unwrap()
}

/// Name, mode, owner and content of every entry of a packaged chart, in its order.
fn listing(archive: &[u8]) -> Vec<(String, u32, u64, Vec<u8>)> {
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(archive));
    let entries = tar.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut data = Vec::new();
        entry.read_to_end(&mut data).unwrap();
        let header = entry.header();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        (name, header.mode().unwrap(), header.uid().unwrap() + header.gid().unwrap(), data)
    });
    entries.collect()
}

/// Writes a chart's files below `folder`: `Chart.yaml` of that name and version, and others.
fn chart(folder: &Path, name: &str, version: &str, more: &[(&str, &str)]) {
    let yaml = format!("apiVersion: v2\nname: {name}\nversion: {version}\n");
    let values = [("Chart.yaml", yaml.as_str())];
    for (file, data) in values.iter().chain(more) {
        let path = folder.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, data).unwrap();
    }
}

/// Packages a chart with the real helm into `folder` and gives the archive's path.
fn helm_package(home: &Path, chart: &Path, folder: &Path) -> PathBuf {
    let out = tools::run(helm(home).arg("package").arg(chart).arg("-d").arg(folder));
    PathBuf::from(out.rsplit_once(": ").unwrap().1.trim())
}

/// The sample chart of this repository.
fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/charts/sample")
}

/// Annotations of a manifest, without the plan's label.
fn annotations(manifest: &Value) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> = serde_json::from_value(manifest["annotations"].clone()).unwrap();
    assert_eq!(all.remove("component_id").as_deref(), Some("cmp1"), "labels of the plan are annotations");
    all
}

/// Runs a tool that has to fail and gives what it said.
fn refused(command: &mut Command) -> String {
    let done = process::output(command);
    assert!(!done.success(), "{}", done.stdout);
    done.stderr
}
