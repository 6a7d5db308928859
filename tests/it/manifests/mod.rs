//! `kubernetes-manifest-build` against the real kustomize, kubectl, helm, flux and oras, and against the rules of Argo CD's reader.

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::support::{runner::Runner, tools};

mod artifacts;
mod features;
mod inline;
mod kustomize;
mod refused;

/// A job whose destination is the layout `out`, tag `test`.
fn job(git_source: &Value, plan: &Value) -> Value {
    json!({"type": "kubernetes-manifest-build", "plan": {
        "git_source": git_source,
        "dst_registry": {"RegistryType": "oci_layout", "Repository": "out"},
        "dst_tag": "test",
        "kubernetes_manifest_build_plan": plan,
    }})
}

/// A job for the kustomization `path` of the folder `repo`.
fn kustomize_job(path: &str, config: &Value) -> Value {
    job(&json!({"url": "repo"}), &json!({"source_type": "kustomize", "kustomize_path": path, "kustomize_config": config}))
}

fn inline_job(text: &str) -> Value {
    job(&Value::Null, &json!({"source_type": "inline", "inline_manifest": text}))
}

/// The same job, into a registry.
fn into_registry(mut job: Value, repository: &str) -> Value {
    job["plan"]["dst_registry"] = json!({"RegistryType": "public_oci", "Repository": repository, "PlainHTTP": true});
    job
}

/// Writes files below `repo`.
fn repo(runner: &Runner, files: &[(&str, &str)]) {
    for (name, text) in files {
        runner.write(&format!("repo/{name}"), text);
    }
}

/// A `ConfigMap` of that name.
fn config_map(name: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n")
}

/// Manifest and `manifest.yaml` of what a layout folder has under `test`, after checking that Argo CD's reader would take it.
fn pushed(layout: &Path) -> (Value, String) {
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let tagged = |entry: &&Value| entry["annotations"]["org.opencontainers.image.ref.name"] == "test";
    let entry = index["manifests"].as_array().unwrap().iter().find(tagged).unwrap();
    let manifest: Value = serde_json::from_slice(&blob(layout, &entry["digest"])).unwrap();
    let text = as_argo_reads(&manifest, |digest| blob(layout, digest));
    (manifest, text)
}

fn blob(layout: &Path, digest: &Value) -> Vec<u8> {
    let (algorithm, hex) = digest.as_str().unwrap().split_once(':').unwrap();
    fs::read(layout.join("blobs").join(algorithm).join(hex)).unwrap()
}

/// Argo CD's rules (util/oci/client.go): an image manifest of at most ten layers, exactly one of which is an archive, of a type on the
/// default list; then only plain files and folders in it, at least one of them a manifest at the root.
fn as_argo_reads(manifest: &Value, blob: impl Fn(&Value) -> Vec<u8>) -> String {
    assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(manifest["artifactType"], "application/vnd.build-runner.manifests.v1");
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.oci.empty.v1+json");
    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!((layers.len(), &layers[0]["mediaType"]), (1, &json!("application/vnd.oci.image.layer.v1.tar+gzip")));
    let archive = blob(&layers[0]["digest"]);
    assert_eq!(archive.len(), usize::try_from(layers[0]["size"].as_u64().unwrap()).unwrap());
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(archive.as_slice()));
    let mut files = Vec::new();
    for entry in tar.entries().unwrap() {
        let mut entry = entry.unwrap();
        assert_eq!(entry.header().entry_type(), tar::EntryType::Regular);
        assert_eq!((entry.header().uid().unwrap(), entry.header().mtime().unwrap(), entry.header().mode().unwrap()), (0, 0, 0o644));
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        files.push((entry.path().unwrap().to_str().unwrap().to_owned(), text));
    }
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].0, "manifest.yaml");
    files.remove(0).1
}

/// The objects of a text, as the real kubectl reads them, by kind and name.
fn objects(folder: &Path, text: &str) -> BTreeMap<String, Value> {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("manifest.yaml"), text).unwrap();
    fs::write(folder.join("kustomization.yaml"), "resources: [manifest.yaml]\n").unwrap();
    let out = tools::run(tools::command("kubectl").arg("kustomize").arg(folder));
    build_runner::yaml::parse_with(&out, build_runner::yaml::Dialect::Go, build_runner::yaml::Limits::default())
        .unwrap()
        .iter()
        .map(|node| {
            let value = node.to_json();
            (format!("{} {} {}", value["kind"], value["metadata"]["namespace"], value["metadata"]["name"]), value)
        })
        .collect()
}

/// A folder for `PATH` with `kustomize` being this script, in front of or instead of the real tools.
fn fake_tool(runner: &Runner, name: &str, script: &str) -> PathBuf {
    let file = runner.write(&format!("bin/{name}"), format!("#!/bin/sh\n{script}\n"));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    file.parent().unwrap().to_owned()
}

/// A `PATH` with these tools and nothing else of ours.
fn path_with(runner: &Runner, names: &[&str]) -> String {
    let folder = runner.work().join("path");
    fs::create_dir_all(&folder).unwrap();
    for name in names {
        // There already when a test asks again.
        let _ = std::os::unix::fs::symlink(tools::find(name).unwrap(), folder.join(name));
    }
    folder.display().to_string()
}
