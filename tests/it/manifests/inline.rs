//! Text in the plan: what is published, and what other tools make of it.

use std::{fs, path::Path};

use serde_json::json;

use super::{as_argo_reads, config_map, inline_job, into_registry, job, pushed};
use crate::support::{registry::Registry, runner::Runner, tools};

const TEXT: &str = "# the shop\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\n  namespace: shop\nspec:\n  replicas: 2\n--- # two in a list\napiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: a, namespace: shop}\n  data: {mode: \"0755\", flag: \"yes\"}\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: b}\n";

#[test]
fn objects_are_listed_and_published_for_flux_and_argo() {
    let runner = Runner::new();
    let mut job = inline_job(TEXT);
    job["plan"]["kubernetes_manifest_build_plan"]["labels"] = json!({"component_id": "cmp1"});
    let outputs = runner.job(&job).done().succeeded()["outputs"].take();
    assert_eq!(
        outputs["resources"],
        json!([
            {"api_version": "v1", "kind": "Namespace", "name": "shop"},
            {"api_version": "apps/v1", "kind": "Deployment", "namespace": "shop", "name": "web"},
            {"api_version": "v1", "kind": "ConfigMap", "namespace": "shop", "name": "a"},
            {"api_version": "v1", "kind": "ConfigMap", "name": "b"},
        ])
    );
    assert_eq!(outputs["kinds"], json!({"Namespace": 1, "Deployment": 1, "ConfigMap": 2}));
    assert_eq!(outputs["source"], json!({"kind": "inline"}));
    let (manifest, text) = pushed(&runner.work().join("out"));
    assert_eq!(outputs["image"]["digest"], outputs["artifacts"][0]["digest"]);
    assert_eq!(outputs["image"]["size"], serde_json::to_vec(&manifest).unwrap().len());
    assert_eq!(manifest["annotations"]["component_id"], "cmp1");
    assert_eq!(manifest["annotations"]["org.opencontainers.image.created"], "1970-01-01T00:00:00Z");
    assert!(text.starts_with("# the shop\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\napiVersion: apps/v1\n"), "{text}");
    assert!(text.ends_with("---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: b\n"), "{text}");
    assert!(text.contains("flag: \"yes\"\n  mode: \"0755\"\n"), "{text}");
    assert_eq!(runner.leftovers(), Vec::<std::path::PathBuf>::new());

    let again = Runner::new();
    let second = again.job(&job).done().succeeded()["outputs"].take();
    assert_eq!(second["artifacts"][0]["digest"], outputs["artifacts"][0]["digest"], "the same on every machine");
}

#[test]
fn flux_and_oras_pull_it_from_a_registry() {
    require_tools!("docker-registry", "flux", "oras", "kubectl");
    let (runner, registry) = (Runner::new(), Registry::start());
    let repository = registry.repository("shop/manifests");
    let outputs = runner.job(&into_registry(inline_job(TEXT), &repository)).done().succeeded()["outputs"].take();
    let reference = format!("{repository}:test");
    let flux = runner.work().join("flux");
    fs::create_dir(&flux).unwrap();
    tools::run(
        tools::command("flux")
            .args(["pull", "artifact", &format!("oci://{reference}"), "--insecure-registry", "--output"])
            .arg(&flux)
            .env("HOME", runner.work()),
    );
    let files: Vec<_> = fs::read_dir(&flux).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files, ["manifest.yaml"]);
    let manifest = tools::run(tools::command("oras").args(["manifest", "fetch", "--plain-http", &reference]));
    let blob = |digest: &serde_json::Value| {
        let file = runner.work().join("blob");
        let reference = format!("{repository}@{}", digest.as_str().unwrap());
        tools::run(tools::command("oras").args(["blob", "fetch", "--plain-http", "--output"]).arg(&file).arg(reference));
        fs::read(file).unwrap()
    };
    let text = as_argo_reads(&serde_json::from_str(&manifest).unwrap(), blob);
    assert_eq!(fs::read_to_string(flux.join("manifest.yaml")).unwrap(), text);
    assert_eq!(outputs["artifacts"][0]["repository"], repository);
    assert_eq!(super::objects(&runner.work().join("oracle"), &text).len(), 4);
    let saved = runner.work().join("saved");
    tools::run(tools::command("oras").args(["pull", "--plain-http", &reference, "-o"]).arg(&saved));
    assert!(saved.join("manifest.tar.gz").is_file());
}

#[test]
fn a_text_that_no_cluster_takes_is_refused_with_its_place() {
    let a = config_map("a");
    for (text, kind, message) in [
        ("a: [1\n", "InvalidSource", "inline_manifest: document 1, line 1, column 4: not YAML: unclosed bracket '['; check indentation, quotes and brackets up to here".to_owned()),
        (&format!("{a}---\nhello\n"), "InvalidSource", "inline_manifest: document 2, line 6: is a string, not an object with apiVersion, kind and metadata.name".to_owned()),
        (&format!("{a}---\n\n{a}"), "InvalidSource", "v1 ConfigMap 'a' is there twice, in inline_manifest: document 1, line 1 and in inline_manifest: document 2, line 7; keep one".to_owned()),
        ("# nothing here\n---\n", "InvalidSource", "inline_manifest: there is no object in it; an artifact needs at least one".to_owned()),
        (&format!("a: &a [x]\nb: &b [{0}]\nc: &c [{1}]\nd: &d [{2}]\ne: [{3}]\n", vec!["*a"; 99].join(","), vec!["*b"; 99].join(","), vec!["*c"; 99].join(","), vec!["*d"; 99].join(",")), "LimitExceeded", "inline_manifest: document 1, line 4, column 23: more than 1000000 values, aliases expanded; split the file or leave out what is not needed".to_owned()),
    ] {
        let runner = Runner::new();
        let failure = runner.job(&inline_job(text)).done().failed(1, kind);
        if kind == "InvalidSource" {
            assert_eq!(failure["message"], message);
        } else {
            assert!(failure["message"].as_str().unwrap().contains("more than 1000000 values"), "{failure}");
        }
        assert_eq!((&failure["step"], &failure["fault"]), (&json!("parse"), &json!("user")));
        assert!(!runner.work().join("out/index.json").exists() || !fs::read_to_string(runner.work().join("out/index.json")).unwrap().contains("digest"));
        assert_eq!(runner.leftovers(), Vec::<std::path::PathBuf>::new());
    }
}

#[test]
fn a_job_without_a_tag_is_refused_before_anything_is_fetched() {
    let runner = Runner::new();
    let mut job = job(&json!({"url": "does-not-exist"}), &json!({"source_type": "kustomize", "kustomize_path": "."}));
    job["plan"]["dst_tag"] = serde_json::Value::Null;
    let run = runner.job(&job).done();
    assert_eq!(run.code(), 2, "{}", run.stdout());
    assert!(run.stderr().contains("plan.dst_tag: required key is missing; add the tag to push"), "{}", run.stderr());
}

#[test]
fn the_plan_of_the_checkout_gives_the_same_digest_twice() {
    require_tools!("kustomize");
    let plan = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans/kubernetes-manifest-build.json");
    let digest = || {
        let runner = Runner::new();
        let run = runner.run(&plan).args(["--destination", "oci-layout:out:1.0.0"]).done();
        run.succeeded()["outputs"]["artifacts"][0]["digest"].clone()
    };
    assert_eq!(digest(), digest());
}
