//! Whole journeys with the tools that users have: the built command makes or moves something, other tools read it.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::support::process::{self, Running};
use crate::support::registry::{Options, PASSWORD, Program, Registry, USER};
use crate::support::runner::Runner;
use crate::support::tools;

fn registry(repository: &str) -> Value {
    json!({"RegistryType": "private_oci", "Repository": repository, "PlainHTTP": true})
}

fn sync(runner: &Runner, source: &Value, destination: &Value, tag: &str) -> Value {
    let plan = json!({"src_registry": source, "src_tag": tag, "dst_registry": destination, "dst_tag": tag});
    runner.job(&json!({"type": "oci-sync", "plan": plan})).done().succeeded()["outputs"].take()
}

#[test]
fn the_sample_chart_goes_through_a_layout_to_a_registry_with_tls_and_a_password_to_helm() {
    require_tools!("docker-registry", "helm", "crane");
    let runner = Runner::new();
    let plan = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans/helm-chart-build.json");
    let build =
        || runner.run(&plan).args(["--destination", "oci-layout:charts:0.1.0"]).done().succeeded()["outputs"]["artifacts"][0].take();
    let first = build();
    assert_eq!(build(), first, "twice the same, digest included");
    assert_eq!(first["repository"], runner.work().join("charts").to_str().unwrap());

    let target = Registry::with(&Options { tls: true, auth: true, ..Options::default() });
    let layout = json!({"RegistryType": "oci_layout", "Repository": "charts"});
    let destination = json!({"RegistryType": "private_oci", "Repository": target.repository("charts/sample"),
                             "OCIAuth": {"Username": USER, "Password": PASSWORD}});
    let plan = json!({"src_registry": layout, "src_tag": "0.1.0", "dst_registry": destination, "dst_tag": "0.1.0"});
    let run = runner.job(&json!({"type": "oci-sync", "plan": plan})).arg("--ca-file").arg(target.ca().unwrap()).done();
    assert_eq!(run.succeeded()["outputs"]["artifacts"][0]["digest"], first["digest"]);

    let chart = format!("oci://{}", target.repository("charts/sample"));
    let pull = ["pull", &chart, "--version", "0.1.0", "-d"];
    tools::run(target.command("helm").args(pull).arg(runner.work()).arg("--ca-file").arg(target.ca().unwrap()));
    let rendered = tools::run(tools::command("helm").args(["template", "x"]).arg(runner.work().join("sample-0.1.0.tgz")));
    assert!(rendered.contains("kind: Deployment"), "{rendered}");
    let digest = tools::run(target.command("crane").args(["digest", &target.repository("charts/sample:0.1.0")]));
    assert_eq!(digest.trim(), first["digest"].as_str().unwrap());
}

/// A BuildKit daemon of the test's own that may push to `registry` without TLS.
fn buildkit(folder: &Path, registry: &Registry) -> (Running, String) {
    let config = folder.join("buildkitd.toml");
    fs::write(&config, format!("[registry.\"{}\"]\n  http = true\n", registry.host())).unwrap();
    let address = format!("unix://{}", folder.join("buildkit.sock").display());
    let mut command = tools::command("buildkitd");
    command.args(["--addr", &address, "--oci-worker-binary=runc", "--oci-worker-snapshotter=native", "--containerd-worker=false"]);
    command.arg("--root").arg(folder.join("buildkit")).arg("--config").arg(&config);
    let daemon = process::spawn(&mut command);
    daemon.stderr_line("running server on");
    (daemon, address)
}

/// An index of two platforms with BuildKit's attestations, a cosign signature and an SBOM as referrers; returns its digest.
fn image_with_everything(folder: &Path, registry: &Registry, image: &str) -> String {
    fs::write(folder.join("Dockerfile"), "FROM scratch\nCOPY Dockerfile /\n").unwrap();
    let (_daemon, address) = buildkit(folder, registry);
    let context = format!("context={}", folder.display());
    let dockerfile = format!("dockerfile={}", folder.display());
    let mut build = registry.command("buildctl");
    build.args(["--addr", &address, "build", "--frontend", "dockerfile.v0", "--local", &context, "--local", &dockerfile]);
    build.args(["--opt", "platform=linux/amd64,linux/arm64", "--opt", "attest:provenance=mode=max"]);
    tools::run(build.args(["--output", &format!("type=image,name={image},push=true")]));

    let digest = tools::run(registry.command("crane").args(["digest", "--insecure", image])).trim().to_owned();
    let pinned = format!("{}@{digest}", image.rsplit_once(':').unwrap().0);
    let cosign = |args: &[&str]| tools::run(registry.command("cosign").current_dir(folder).env("COSIGN_PASSWORD", "").args(args));
    cosign(&["generate-key-pair"]);
    cosign(&["signing-config", "create", "--out", "signing.json"]);
    cosign(&["sign", "--key", "cosign.key", "--signing-config", "signing.json", "--allow-http-registry", "--yes", &pinned]);
    fs::write(folder.join("sbom.json"), r#"{"spdxVersion": "SPDX-2.3"}"#).unwrap();
    let attach = ["attach", "--plain-http", "--artifact-type", "application/spdx+json", &pinned, "sbom.json:application/spdx+json"];
    tools::run(registry.command("oras").current_dir(folder).args(attach));
    digest
}

#[test]
fn an_index_with_attestations_signature_and_sbom_travels_with_every_digest() {
    require_tools!(
        "docker-registry",
        "registry3",
        "referrers-registry",
        "buildkitd",
        "buildctl",
        "runc",
        "crane",
        "oras",
        "cosign",
        "skopeo"
    );
    let folder = tempfile::tempdir().unwrap();
    let a = Registry::start();
    let b = Registry::with(&Options { program: Program::Distribution3, ..Options::default() });
    let c = Registry::with(&Options { program: Program::Referrers, ..Options::default() });
    let digest = image_with_everything(folder.path(), &a, &a.repository("app:1"));

    let runner = Runner::new();
    let layout = json!({"RegistryType": "oci_layout", "Repository": "layout"});
    let at = [registry(&a.repository("app")), registry(&b.repository("app")), layout, registry(&c.repository("app"))];
    for hop in at.windows(2) {
        let outputs = sync(&runner, &hop[0], &hop[1], "1");
        assert_eq!(outputs["artifacts"][0]["digest"], *digest);
        assert_eq!(outputs["referrers"].as_array().unwrap().len(), 2, "signature and SBOM: {outputs:#}");
    }

    // Every manifest, as another tool reads it from both ends.
    let raw = |registry: &Registry, reference: &str| {
        tools::run(registry.command("crane").args(["manifest", "--insecure", &format!("{}{reference}", registry.repository("app"))]))
    };
    let index: Value = serde_json::from_str(&raw(&a, ":1")).unwrap();
    let children: Vec<_> = index["manifests"].as_array().unwrap().iter().map(|entry| entry["digest"].as_str().unwrap()).collect();
    assert_eq!(children.len(), 4, "two images, two attestations");
    for registry in [&b, &c] {
        assert_eq!(raw(registry, ":1"), raw(&a, ":1"));
        for child in &children {
            assert_eq!(raw(registry, &format!("@{child}")), raw(&a, &format!("@{child}")));
        }
        tools::run(registry.command("crane").args(["validate", "--insecure", "--remote", &registry.repository("app:1")]));
        let found = tools::run(registry.command("oras").args(["discover", "--plain-http", &registry.repository("app:1")]));
        // The second registry lists referrers under the type of their configuration, so the digests are what tells.
        assert_eq!((found.matches("sha256:").count(), found.contains("cosign/sign")), (3, true), "{found}");
    }
    let verify = ["verify", "--key", "cosign.pub", "--insecure-ignore-tlog=true", "--allow-http-registry"];
    tools::run(b.command("cosign").current_dir(folder.path()).args(verify).arg(format!("{}@{digest}", b.repository("app"))));
    let layout = format!("oci:{}:1", runner.work().join("layout").display());
    let inspected = tools::run(tools::command("skopeo").args(["inspect", "--raw", &layout]));
    assert_eq!(inspected, raw(&a, ":1"), "the layout has it byte for byte");
}
