//! docker-build with a generator of SBOMs: an image that follows BuildKit's scanning protocol, behind a password; referrers that other tools
//! find; and an image whose digest does not know of it.

use serde_json::{Value, json};

use crate::support::builders::{BUSYBOX, Builder, job};
use crate::support::registry::{Options, PASSWORD, Program, Registry, USER};
use crate::support::runner::{Run, Runner};
use crate::support::tools;

const SPDX: &str = "application/spdx+json";

macro_rules! require_buildkit {
    ($($tool:literal),*) => {
        require_tools!("buildctl", "buildkitd", "runc", "busybox", "docker-registry" $(, $tool)*);
        if !nix::unistd::geteuid().is_root() {
            not_run!("a buildkitd of the test's own needs root");
        }
    };
}

/// A scanner that writes what it finds in `/` of the image into one document, and says so.
const SCANNER: &str = r#"#!/bin/sh
set -e
files=""
for file in $(cd "$BUILDKIT_SCAN_SOURCE" && ls); do files="$files{\"SPDXID\": \"SPDXRef-$file\", \"fileName\": \"$file\"},"; done
echo "scanned $(basename "$BUILDKIT_SCAN_SOURCE")"
cat >"$BUILDKIT_SCAN_DESTINATION/$(basename "$BUILDKIT_SCAN_SOURCE").spdx.json" <<END
{"_type": "https://in-toto.io/Statement/v0.1", "predicateType": "https://spdx.dev/Document", "subject": [],
 "predicate": {"spdxVersion": "SPDX-2.3", "SPDXID": "SPDXRef-DOCUMENT", "name": "made by the test", "files": [${files%,}]}}
END
"#;

/// A registry with a password that has scanners in it.
struct Scanners {
    registry: Registry,
    builder: Builder,
}

impl Scanners {
    fn new() -> Self {
        Self { registry: Registry::with(&Options { auth: true, ..Options::default() }), builder: Builder::buildkit() }
    }

    fn access(&self, name: &str, password: &str) -> Value {
        json!({"RegistryType": "private_oci", "Repository": self.registry.repository(name), "PlainHTTP": true,
               "OCIAuth": {"Username": USER, "Password": password}})
    }

    /// Pushes a scanner and returns its reference.
    fn scanner(&self, tag: &str, script: &str) -> String {
        let runner = Runner::new();
        runner.write("src/scan.sh", script);
        let mut job = job(&runner, &format!("{BUSYBOX}COPY scan.sh /scan.sh\nENTRYPOINT [\"/bin/sh\", \"/scan.sh\"]\n"));
        job["plan"]["dst_registry"] = self.access("scanner", PASSWORD);
        job["plan"]["dst_tag"] = json!(tag);
        self.builder.run(&runner, &job).done().succeeded();
        self.registry.repository(&format!("scanner:{tag}"))
    }

    /// Builds with that scanner, or with none.
    fn build(&self, runner: &Runner, job: &Value, scanner: Option<&str>, password: &str) -> Run {
        let mut job = job.clone();
        job["plan"]["docker_build_plan"]["sbom_generator"] = json!(scanner);
        job["plan"]["docker_build_plan"]["registries"] = json!([self.access("scanner", password)]);
        self.builder.run(runner, &job).done()
    }
}

fn digest(receipt: &Value) -> String {
    receipt["outputs"]["artifacts"][0]["digest"].as_str().unwrap().to_owned()
}

/// The referrers of a reference that oras finds: digest and type.
fn discovered(registry: &Registry, reference: &str) -> Vec<(String, String)> {
    let found = tools::run(registry.command("oras").args(["discover", "--plain-http", "--format", "json", reference]));
    let found: Value = serde_json::from_str(&found).unwrap();
    let text = |one: &Value, key: &str| one[key].as_str().unwrap().to_owned();
    found["referrers"].as_array().unwrap().iter().map(|one| (text(one, "digest"), text(one, "artifactType"))).collect()
}

#[test]
fn the_sbom_of_a_private_generator_is_a_referrer_of_the_image_it_is_about_and_the_image_is_the_same() {
    require_buildkit!("oras", "cosign", "referrers-registry");
    let scanners = Scanners::new();
    let scanner = scanners.scanner("1", SCANNER);
    let runner = Runner::new();
    let bare = job(&runner, "FROM scratch\nCOPY busybox /busybox\n");
    let without = digest(&scanners.build(&runner, &bare, None, PASSWORD).succeeded());

    // What the plan names is attached as well.
    let mut job = bare;
    let listed = r#"{"bomFormat": "CycloneDX", "specVersion": "1.6"}"#;
    runner.write("src/bom.json", listed);
    crate::support::builders::commit(&runner.work().join("src"), "2024-05-06T07:08:09Z");
    job["plan"]["docker_build_plan"]["sbom"] = json!("bom.json");
    for program in [Program::Distribution2, Program::Referrers] {
        let registry = Registry::with(&Options { program, ..Options::default() });
        let mut into = |name: &str| {
            job["plan"]["dst_registry"] =
                json!({"RegistryType": "private_oci", "Repository": registry.repository(name), "PlainHTTP": true});
            job.clone()
        };
        let bare = digest(&scanners.build(&runner, &into("bare"), None, PASSWORD).succeeded());
        let job = into("app");
        let run = scanners.build(&runner, &job, Some(&scanner), PASSWORD);
        let receipt = run.succeeded();
        assert_eq!(digest(&receipt), bare);
        assert_ne!(bare, without, "another commit");
        let said = if program == Program::Distribution2 { "scanned sbom" } else { "generating sbom using" };
        assert!(run.stderr().contains(said), "{}", run.stderr());
        assert!(!run.stderr().contains(PASSWORD) && !run.stdout().contains(PASSWORD));
        assert_eq!(receipt["outputs"]["steps"]["total"], 1, "a scan is no instruction: {receipt:#}");
        let sboms = receipt["outputs"]["sboms"].as_array().unwrap();
        let kinds: Vec<_> = sboms.iter().map(|sbom| sbom["media_type"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["application/vnd.cyclonedx+json", SPDX], "{receipt:#}");
        assert_eq!(sboms[1]["subject"], bare);

        let pinned = registry.repository(&format!("app@{bare}"));
        let sbom = sboms[1]["digest"].as_str().unwrap();
        let found = discovered(&registry, &pinned);
        let ours = found.iter().filter(|(digest, kind)| digest == sbom && (kind == SPDX || program == Program::Referrers));
        assert_eq!((ours.count(), found.len()), (1, 3), "{found:?}");
        let fetch = |what: &str, reference: &str| {
            tools::run(registry.command("oras").args([what, "fetch", "--plain-http", "--output", "-", &registry.repository(reference)]))
        };
        let manifest: Value = serde_json::from_str(&fetch("manifest", &format!("app@{sbom}"))).unwrap();
        assert_eq!((&manifest["artifactType"], &manifest["subject"]["digest"]), (&json!(SPDX), &json!(bare)));
        let document = fetch("blob", &format!("app@{}", manifest["layers"][0]["digest"].as_str().unwrap()));
        let document: Value = serde_json::from_str(&document).unwrap();
        assert_eq!((&document["spdxVersion"], &document["name"]), (&json!("SPDX-2.3"), &json!("made by the test")));
        assert_eq!(document["files"][0]["fileName"], "busybox");

        // The statement names the generator and the digest it had.
        let key = runner.write("runner.pub", runner.command(["keys", "public", "--state-dir"]).arg(runner.state()).done().stdout());
        let mut cosign = registry.command("cosign");
        cosign.args(["verify-attestation", "--type", "slsaprovenance1", "--insecure-ignore-tlog=true", "--allow-http-registry", "--key"]);
        tools::run(cosign.arg(&key).arg(&pinned));
        let verified = runner.command(["verify", &pinned, "--output", "json", "--key"]).arg(&key).done().receipts().remove(0);
        let material = verified["materials"].as_array().unwrap().iter().find(|one| one["name"] == "SBOM generator").unwrap();
        assert_eq!(material["uri"], format!("oci://{scanner}"), "{verified:#}");
        assert_eq!(material["digest"]["sha256"].as_str().unwrap().len(), 64);

        // The step is cached now, so the document is the same and nothing is added.
        let again = scanners.build(&runner, &job, Some(&scanner), PASSWORD).succeeded();
        assert_eq!(again["outputs"]["sboms"], receipt["outputs"]["sboms"]);
    }
}

#[test]
fn each_platform_has_its_own_sbom_also_in_a_layout() {
    require_buildkit!();
    let scanners = Scanners::new();
    let scanner = scanners.scanner("1", SCANNER);
    let runner = Runner::new();
    let mut job = job(&runner, "FROM scratch\nARG TARGETARCH\nCOPY busybox /busybox-$TARGETARCH\n");
    job["plan"]["docker_build_plan"]["platforms"] = json!(["linux/amd64", "linux/arm64"]);
    let without = digest(&scanners.build(&runner, &job, None, PASSWORD).succeeded());
    let outputs = scanners.build(&runner, &job, Some(&scanner), PASSWORD).succeeded()["outputs"].take();
    assert_eq!(outputs["artifacts"][0]["digest"], without);
    let of = |list: &str, key: &str| -> Vec<String> {
        outputs[list].as_array().unwrap().iter().map(|entry| entry[key].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(of("sboms", "subject"), of("platforms", "digest"), "{outputs:#}");
    assert_eq!(of("sboms", "media_type"), [SPDX, SPDX]);
    // One platform alone is no index, with an SBOM as without.
    job["plan"]["docker_build_plan"]["platforms"] = json!(["linux/arm64"]);
    let outputs = scanners.build(&runner, &job, Some(&scanner), PASSWORD).succeeded()["outputs"].take();
    assert_eq!(outputs["artifacts"][0]["media_type"], "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(outputs["artifacts"][0]["digest"], digest(&scanners.build(&runner, &job, None, PASSWORD).succeeded()));
    assert_eq!(outputs["sboms"][0]["subject"], outputs["artifacts"][0]["digest"]);
}

#[test]
fn a_generator_that_cannot_be_had_or_is_none_is_named_by_its_key() {
    require_buildkit!();
    let scanners = Scanners::new();
    let runner = Runner::new();
    let job = job(&runner, "FROM scratch\nCOPY busybox /busybox\n");
    let write = |text: &str| format!("echo '{text}' >$BUILDKIT_SCAN_DESTINATION/sbom.spdx.json");
    let statement = |predicate: &str| format!(r#"{{"predicateType": "https://spdx.dev/Document", "predicate": {predicate}}}"#);
    for (tag, script, text) in [
        ("silent", "true".to_owned(), "wrote no SBOM: a generator writes an in-toto statement"),
        ("failing", "echo bad luck >&2; exit 3".to_owned(), "failed with exit code 3: bad luck"),
        ("garbage", write("hello"), "cannot decode in-toto statement"),
        ("bare", write(r#"{"spdxVersion": "SPDX-2.3"}"#), "a generator writes an in-toto statement"),
        ("other", write(&statement(r#"{"hello": 1}"#)), "wrote something of type application/spdx+json that is none"),
        ("folder", "mkdir $BUILDKIT_SCAN_DESTINATION/sbom.spdx.json".to_owned(), "not a regular file"),
    ] {
        let scanner = scanners.scanner(tag, &script);
        let failure = scanners.build(&runner, &job, Some(&scanner), PASSWORD).failed(1, "ToolFailed");
        let message = failure["message"].as_str().unwrap();
        assert!(message.starts_with("sbom_generator: ") && message.contains(text) && message.contains(&scanner), "{message}");
        assert_eq!(failure["tool"], "sbom_generator", "{failure:#}");
    }
    let refused = scanners.build(&runner, &job, Some(&scanners.registry.repository("scanner:silent")), "wr0ng-password");
    let none = scanners.build(&runner, &job, Some(&scanners.registry.repository("scanner:none")), PASSWORD);
    let nowhere = scanners.build(&runner, &job, Some("127.0.0.1:1/scanner"), PASSWORD);
    for (run, kind) in [(refused, "AuthDenied"), (none, "SourceNotFound"), (nowhere, "RegistryUnavailable")] {
        let failure = run.failed(1, kind);
        let message = failure["message"].as_str().unwrap();
        assert!(message.starts_with("sbom_generator: ") && message.contains("127.0.0.1:"), "{message}");
        assert!(!run.stderr().contains("wr0ng-password") && !run.stdout().contains("wr0ng-password"));
    }
    assert!(!runner.work().join("out").exists() && runner.leftovers().is_empty(), "{:?}", runner.leftovers());
}

#[test]
fn only_buildkit_runs_generators_and_nothing_is_built_without_it() {
    require_tools!("busybox");
    let runner = Runner::new();
    let mut job = job(&runner, "FROM scratch\nCOPY busybox /busybox\n");
    job["plan"]["docker_build_plan"]["sbom_generator"] = json!("127.0.0.1:1/scanner:1");
    for backend in ["buildah", "docker"] {
        let run = runner.job(&job).args(["--docker-backend", backend]).done();
        let failure = run.failed(1, "InvalidPlan");
        let message = failure["message"].as_str().unwrap();
        assert!(message.starts_with("sbom_generator: only BuildKit runs '127.0.0.1:1/scanner:1'"), "{message}");
        assert!(message.contains("docker_backend buildkit"), "{message}");
        assert!(!run.stderr().contains("building"), "{}", run.stderr());
    }
    // A daemon that does not answer is not ready, whatever else is.
    let dead = runner.job(&job).args(["--docker-backend", "auto", "--buildkit-address", "unix:///nonexistent/buildkitd.sock"]).done();
    assert!(dead.failed(1, "InvalidPlan")["message"].as_str().unwrap().contains("docker_backend buildkit"));
    let dead = runner.job(&job).args(["--docker-backend", "buildkit", "--buildkit-address", "unix:///nonexistent/buildkitd.sock"]).done();
    dead.failed(1, "ToolMissing");
    assert!(!runner.work().join("out").exists() && runner.leftovers().is_empty(), "{:?}", runner.leftovers());
}
