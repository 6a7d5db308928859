//! Artifacts of others: pulled, read whatever their form, and published in ours.

use std::{fs, path::Path};

use base64::Engine as _;
use serde_json::{Value, json};

use super::{config_map, job, pushed};
use crate::support::{
    registry::{Options, PASSWORD, Registry, USER},
    runner::Runner,
    tools,
};

fn artifact_job(url: &str, tag: &str) -> Value {
    job(&Value::Null, &json!({"source_type": "oci_artifact", "oci_artifact_source": {"url": url, "tag": tag}}))
}

/// `oras push` of files below `folder`, by arguments.
fn oras_push(folder: &Path, reference: &str, args: &[&str]) {
    tools::run(tools::command("oras").current_dir(folder).args(["push", "--plain-http", reference]).args(args));
}

/// A deterministic-looking tar+gzip of everything in `folder`, under names that begin with `prefix`.
fn archive(folder: &Path, prefix: &str, to: &Path) {
    let file = flate2::write::GzEncoder::new(fs::File::create(to).unwrap(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(file);
    tar.append_dir_all(prefix, folder).unwrap();
    tar.into_inner().unwrap().finish().unwrap();
}

fn write(folder: &Path, name: &str, text: &str) {
    let file = folder.join(name);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

#[test]
fn every_form_is_read_and_published_in_ours() {
    require_tools!("docker-registry", "oras", "flux");
    let (runner, registry) = (Runner::new(), Registry::start());
    let host = registry.host();
    let work = runner.work().join("src");
    for name in ["a", "b"] {
        write(&work.join("flat"), &format!("{name}.yaml"), &config_map(name));
    }
    write(&work.join("flat"), ".hidden.yaml", "not: read\n");
    write(&work.join("flat"), "notes.md", "not read\n");
    archive(&work.join("flat"), "", &work.join("flat.tar.gz"));
    write(&work, "one.yaml", &format!("{}---\n{}", config_map("a"), config_map("b")));
    write(&work, "nested/apps/a.yaml", &config_map("a"));
    write(&work, "nested/infra/b.yaml", &config_map("b"));
    archive(&work.join("nested/apps"), "apps", &work.join("apps.tar.gz"));
    archive(&work.join("nested/infra"), "infra", &work.join("infra.tar.gz"));
    archive(&work.join("nested/infra"), "", &work.join("bare.tar.gz"));

    let mut flux = tools::command("flux");
    flux.current_dir(&work).env("HOME", &work).args(["push", "artifact", &format!("oci://{host}/app:flux"), "--path", "flat"]);
    tools::run(flux.args([
        "--source",
        "https://git.example.com/r",
        "--revision",
        "main@sha1:0123",
        "--insecure-registry",
        "--reproducible",
    ]));
    oras_push(&work, &format!("{host}/app:argo"), &["flat.tar.gz:application/vnd.oci.image.layer.v1.tar+gzip"]);
    oras_push(&work, &format!("{host}/app:yaml"), &["one.yaml:application/yaml"]);
    // The hosted control plane's archives: a layer for each file …
    let nested = work.join("nested");
    fs::write(work.join("empty.json"), "{}").unwrap();
    oras_push(
        &nested,
        &format!("{host}/app:files"),
        &[
            "--config",
            "../empty.json:artifact/nuon",
            "--disable-path-validation",
            "apps/a.yaml:application/x-yaml",
            "infra/b.yaml:application/x-yaml",
        ],
    );
    // … and one for each top-level folder, which says that it is to be unpacked.
    let layer = |file: &str| format!("{file}:application/vnd.nuon.archive.layer.v1.tar+gzip");
    let titles = |one: &str, two: &str| {
        let unpack = |title: &str| json!({"org.opencontainers.image.title": title, "io.deis.oras.content.unpack": "true"});
        json!({"apps.tar.gz": unpack(one), "infra.tar.gz": unpack(two), "bare.tar.gz": unpack(two)}).to_string()
    };
    fs::write(work.join("titles.json"), titles("apps", "infra")).unwrap();
    let config = ["--config", "empty.json:artifact/nuon", "--annotation-file", "titles.json"];
    oras_push(&work, &format!("{host}/app:folders"), &[&config[..], &[&layer("apps.tar.gz"), &layer("infra.tar.gz")]].concat());
    oras_push(&work, &format!("{host}/app:bare"), &[&config[..], &[&layer("apps.tar.gz"), &layer("bare.tar.gz")]].concat());

    let wanted = format!("{}---\n{}", config_map("a"), config_map("b"));
    for tag in ["flux", "argo", "yaml", "files", "folders", "bare"] {
        let outputs = runner.job(&artifact_job(&format!("oci://{host}/app"), tag)).done().succeeded()["outputs"].take();
        let (manifest, text) = pushed(&runner.work().join("out"));
        assert_eq!(text, wanted, "{tag}");
        let digest = tools::run(tools::command("oras").args(["resolve", "--plain-http", &format!("{host}/app:{tag}")]));
        assert_eq!(outputs["source"]["digest"], digest.trim(), "{tag}");
        assert_eq!((&outputs["source"]["kind"], &outputs["source"]["reference"]), (&json!("oci_artifact"), &json!(tag)));
        if tag == "flux" {
            assert_eq!(manifest["annotations"]["org.opencontainers.image.revision"], "main@sha1:0123");
            let mut by_digest = artifact_job(&format!("{host}/app"), "ignored");
            by_digest["plan"]["kubernetes_manifest_build_plan"]["oci_artifact_source"]["digest"] = json!(digest.trim());
            let again = runner.job(&by_digest).done().succeeded();
            assert_eq!(again["outputs"]["artifacts"][0]["digest"], outputs["artifacts"][0]["digest"], "tag or digest");
        }
        assert_eq!(runner.leftovers(), Vec::<std::path::PathBuf>::new());
    }

    // What was published here is a source like any other, and does not change by it.
    let ours = super::into_registry(artifact_job(&format!("{host}/app"), "flux"), &format!("{host}/ours"));
    let first = runner.job(&ours).done().succeeded()["outputs"]["artifacts"][0]["digest"].clone();
    let again = super::into_registry(artifact_job(&format!("{host}/ours"), "test"), &format!("{host}/again"));
    assert_eq!(runner.job(&again).done().succeeded()["outputs"]["artifacts"][0]["digest"], first);
}

#[test]
fn an_artifact_with_a_kustomization_is_built_as_flux_would() {
    require_tools!("docker-registry", "flux", "kustomize");
    let (runner, registry) = (Runner::new(), Registry::start());
    let work = runner.work().join("src");
    write(&work.join("k"), "cm.yaml", &config_map("a"));
    write(&work.join("k"), "kustomization.yaml", "resources: [cm.yaml]\nnamePrefix: p-\n");
    let push = |tag: &str| {
        let mut flux = tools::command("flux");
        flux.current_dir(&work).env("HOME", &work).args([
            "push",
            "artifact",
            &format!("oci://{}/kust:{tag}", registry.host()),
            "--path",
            "k",
        ]);
        tools::run(flux.args(["--source", "s", "--revision", "r", "--insecure-registry"]));
    };
    push("1");
    let url = format!("oci://{}/kust", registry.host());
    runner.job(&artifact_job(&url, "1")).done().succeeded();
    assert_eq!(pushed(&runner.work().join("out")).1, config_map("p-a"));
    write(&work.join("k"), "kustomization.yaml", "resources: [\"https://example.com/x.yaml\"]\n");
    push("2");
    let failure = runner.job(&artifact_job(&url, "2")).args(["--kustomize-remote-bases", "allow"]).done().failed(1, "InvalidSource");
    assert!(
        failure["message"]
            .as_str()
            .unwrap()
            .starts_with("kustomization.yaml:1: resources: 'https://example.com/x.yaml' is fetched from elsewhere"),
        "{failure}"
    );
}

#[test]
fn credentials_of_the_plan_are_used_and_never_shown() {
    require_tools!("docker-registry", "oras");
    let registry = Registry::with(&Options { auth: true, tls: true, ..Options::default() });
    let runner = Runner::new();
    let url = format!("oci://{}/private", registry.host());
    runner.write("cm.yaml", config_map("a"));
    let mut push = registry.command("oras");
    push.current_dir(runner.work()).args(["push", "--registry-config"]).arg(registry.docker_config().join("config.json"));
    push.arg("--ca-file").arg(registry.ca().unwrap()).arg(format!("{}/private:1", registry.host())).arg("cm.yaml:application/yaml");
    tools::run(&mut push);
    let auth = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let with = |content: &Value| {
        let mut job = artifact_job(&url, "1");
        job["plan"]["kubernetes_manifest_build_plan"]["oci_artifact_source"]["credentials_ref"] = json!({"value": content.to_string()});
        runner.job(&job).arg("--ca-file").arg(registry.ca().unwrap()).done()
    };
    let run = with(&json!({"auths": {registry.host(): {"auth": auth}}}));
    run.succeeded();
    for secret in [PASSWORD, &auth] {
        assert!(!run.stdout().contains(secret) && !run.stderr().contains(secret));
    }
    for (content, kind, message) in [
        (json!({"auths": {"other.example.com": {"auth": auth}}}), "InvalidPlan", format!("oci_artifact_source.credentials_ref has no credentials for {0}; add auths['{0}']", registry.host())),
        (json!({"credsStore": "evil"}), "InvalidPlan", "oci_artifact_source.credentials_ref names a credential helper, which is a program of another machine; give user name and password".to_owned()),
        (json!("some-secret-name"), "InvalidPlan", "oci_artifact_source.credentials_ref is not the content of a docker credentials file (line 1, column 18); write {\"auths\": {\"HOST\": {\"auth\": …}}}".to_owned()),
    ] {
        let run = with(&content);
        assert_eq!(run.failed(1, kind)["message"], message);
        assert!(!run.stderr().contains("some-secret-name"));
    }
    let wrong = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:wrong-password"));
    let run = with(&json!({"auths": {registry.host(): {"auth": wrong}}}));
    let failure = run.failed(1, "AuthDenied");
    assert!(
        !failure.to_string().contains("wrong-password") && failure["message"].as_str().unwrap().contains("credentials_ref of the plan"),
        "{failure}"
    );
}

#[test]
fn what_holds_no_manifests_is_refused() {
    require_tools!("docker-registry", "oras", "helm");
    let (runner, registry) = (Runner::new(), Registry::start());
    let (host, work) = (registry.host(), runner.work().join("src"));
    write(&work, "chart/Chart.yaml", "apiVersion: v2\nname: demo\nversion: 0.1.0\n");
    let mut helm = tools::command("helm");
    tools::run(helm.current_dir(&work).env("HOME", &work).args(["package", "chart"]));
    let mut helm = tools::command("helm");
    tools::run(helm.current_dir(&work).env("HOME", &work).args([
        "push",
        "demo-0.1.0.tgz",
        &format!("oci://{host}/charts"),
        "--plain-http",
    ]));
    write(&work, "bad.yaml", "kind: Pod\n");
    write(&work, "a.txt", "x");
    write(&work, "b.txt", "x");
    fs::write(work.join("broken.tgz"), b"\x1f\x8bbroken").unwrap();
    fs::write(work.join("empty.tar"), [0; 1024]).unwrap();
    fs::write(work.join("evil.json"), json!({"bad.yaml": {"org.opencontainers.image.title": "../../evil.yaml"}}).to_string()).unwrap();
    oras_push(&work, &format!("{host}/x:bad"), &["bad.yaml:application/yaml"]);
    oras_push(&work, &format!("{host}/x:text"), &["a.txt", "b.txt"]);
    oras_push(&work, &format!("{host}/x:broken"), &["broken.tgz:application/vnd.oci.image.layer.v1.tar+gzip"]);
    oras_push(&work, &format!("{host}/x:evil"), &["--annotation-file", "evil.json", "bad.yaml:application/yaml"]);
    oras_push(&work, &format!("{host}/x:empty"), &["empty.tar:application/vnd.oci.image.layer.v1.tar"]);
    for (name, tag, kind, message) in [
        (
            "charts/demo",
            "0.1.0",
            "InvalidSource",
            format!("{host}/charts/demo:0.1.0 is a Helm chart, not manifests; build it with helm-chart-build"),
        ),
        ("x", "bad", "InvalidSource", "bad.yaml: document 1, line 1: apiVersion is missing; every object needs it".to_owned()),
        ("x", "text", "InvalidSource", "the artifact has no .yaml, .yml or .json file in it".to_owned()),
        ("x", "empty", "InvalidSource", "the artifact has no .yaml, .yml or .json file in it".to_owned()),
        ("x", "broken", "InvalidSource", format!("{host}/x:broken: layer 1: the archive cannot be read: ")),
        ("x", "evil", "InvalidSource", format!("{host}/x:evil: layer 1 has a title that is no path inside of the artifact")),
        ("x", "none", "SourceNotFound", format!("tag 'none' does not exist in {host}/x")),
    ] {
        let failure = runner.job(&artifact_job(&format!("{host}/{name}"), tag)).done().failed(1, kind);
        let said = failure["message"].as_str().unwrap();
        assert!(said.starts_with(&message), "{said}\n{message}");
        assert_eq!(runner.leftovers(), Vec::<std::path::PathBuf>::new());
    }
}
