//! `container-image-build`: images of others, copied from and to real registries and layouts, pinned by digest.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::support::{
    fake_registry::{Fake, Fault, Options as FakeOptions, What},
    registry::{Options, PASSWORD, Program, Registry, USER},
    runner::Runner,
    tools,
};

/// The checked-in image of two platforms.
pub(crate) const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/images/hello");
/// Its digest.
pub(crate) const HELLO: &str = "sha256:c873e71e980b7cf920e551c3e632cb8b04950c8c6224d9c35dbbd99ab8b8bd23";
/// A digest of nothing.
const OTHER: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

pub(crate) fn layout(folder: &str) -> Value {
    json!({"RegistryType": "oci_layout", "Repository": folder})
}

pub(crate) fn public(repository: &str) -> Value {
    json!({"RegistryType": "public_oci", "Repository": repository})
}

fn private(repository: &str, password: &str) -> Value {
    json!({"RegistryType": "private_oci", "Repository": repository, "OCIAuth": {"Username": USER, "Password": password}})
}

/// A job that copies into a destination under the tag `bld-1`.
pub(crate) fn job(to: &Value, pull: &Value) -> Value {
    json!({"type": "container-image-build", "plan": {"dst_registry": to, "dst_tag": "bld-1", "container_image_pull_plan": pull}})
}

/// Puts the fixture into a registry under these tags.
pub(crate) fn seed(registry: &Registry, name: &str, tags: &[&str]) {
    for tag in tags {
        let to = format!("docker://{}:{tag}", registry.repository(name));
        let copy = ["copy", "--insecure-policy", "--all", "--preserve-digests", "--dest-tls-verify=false", "--quiet"];
        tools::run(registry.command("skopeo").args(copy).arg(format!("oci:{FIXTURE}:1.0.0")).arg(to));
    }
}

/// The digest a tag names, by another tool.
pub(crate) fn digest(registry: &Registry, name: &str, tag: &str) -> String {
    tools::run(registry.command("crane").args(["digest", "--insecure", &format!("{}:{tag}", registry.repository(name))])).trim().to_owned()
}

#[test]
fn the_plan_of_the_checkout_gives_the_same_digest_each_time() {
    let runner = Runner::new();
    let plan: Value = serde_json::from_str(&fs::read_to_string("plans/container-image-build.json").unwrap()).unwrap();
    let pull = &plan["plan"]["container_image_pull_plan"];
    let source = Path::new("plans").join(pull["repo_config"]["Repository"].as_str().unwrap());
    assert_eq!(source.canonicalize().unwrap(), Path::new(FIXTURE));
    for out in ["out-1", "out-2", "out-2"] {
        let mut pull = pull.clone();
        pull["repo_config"] = layout(FIXTURE);
        let receipt = runner.job(&job(&layout(out), &pull)).arg("--no-provenance").done().succeeded();
        let (artifact, source) = (&receipt["outputs"]["artifacts"][0], &receipt["outputs"]["source"]);
        assert_eq!((artifact["digest"].as_str(), artifact["tag"].as_str()), (Some(HELLO), Some("bld-1")));
        assert_eq!(artifact["media_type"], "application/vnd.oci.image.index.v1+json");
        assert_eq!((source["digest"].as_str(), source["resolved_tag"].as_str()), (Some(HELLO), Some("1.0.0")));
        assert_eq!((&source["ref"], &source["no_op"]), (&json!(format!("{FIXTURE}:1.0.0")), &json!(false)));
        assert_eq!(source["media_type"], artifact["media_type"]);
        assert!(source["resolved_at"].as_str().is_some_and(|at| at.parse::<jiff::Timestamp>().is_ok()));
        assert_eq!(receipt["outputs"]["image"]["digest"], HELLO);
        assert_eq!(fs::read_dir(runner.work().join(out).join("blobs/sha256")).unwrap().count(), 7, "both platforms");
    }
    assert_eq!(runner.leftovers(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn the_fixture_is_what_its_script_makes() {
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("hello");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/fixture-image");
    assert_eq!(tools::run(std::process::Command::new(script).arg(&made)).trim(), HELLO);
    tools::run(std::process::Command::new("diff").arg("-r").arg(FIXTURE).arg(&made));
}

#[test]
fn a_policy_chooses_the_newest_tag_in_range() {
    require_tools!("docker-registry", "skopeo", "crane");
    let (registry, runner) = (Registry::start(), Runner::new());
    seed(&registry, "up/app", &["latest", "1", "1.9.0", "v1.10.0", "2.0.0-rc.1", "1.11.0_build.2"]);
    let (image, to) = (registry.repository("up/app"), public(&registry.repository("own/app")));
    let run = runner.job(&job(&to, &json!({"image": image, "tag": "latest", "update_policy": "~1.10"}))).done();
    let source = &run.succeeded()["outputs"]["source"];
    assert_eq!((&source["resolved_tag"], &source["ref"]), (&json!("v1.10.0"), &json!(format!("{image}:v1.10.0"))));
    assert_eq!(digest(&registry, "own/app", "bld-1"), HELLO);
    for line in [
        "tag 'latest' of the plan is not looked at, because update_policy goes before it",
        &format!("{image}: update_policy '~1.10' chooses v1.10.0 of 4 versions"),
        &format!("{image}:v1.10.0 is {HELLO} (application/vnd.oci.image.index.v1+json)"),
    ] {
        assert!(run.stderr().contains(line), "{line}\n{}", run.stderr());
    }
    for (range, chosen) in [("*", "1.11.0_build.2"), (">=2.0.0-0", "2.0.0-rc.1"), ("1.9 - 1.9", "1.9.0")] {
        let receipt = runner.job(&job(&to, &json!({"image": image, "update_policy": range}))).done().succeeded();
        assert_eq!(receipt["outputs"]["source"]["resolved_tag"], chosen, "{range}");
    }
    let failure = runner.job(&job(&to, &json!({"image": image, "update_policy": "^2"}))).done().failed(1, "SourceNotFound");
    let expected = format!("{image} has no version that fits update_policy '^2'; it has 2.0.0-rc.1, 1.11.0_build.2, v1.10.0, 1.9.0");
    assert_eq!((failure["message"].as_str(), failure["step"].as_str()), (Some(expected.as_str()), Some("resolve")));
}

#[test]
fn what_does_not_exist_is_named() {
    require_tools!("docker-registry", "skopeo");
    let (registry, runner) = (Registry::start(), Runner::new());
    seed(&registry, "app", &["latest"]);
    let (app, missing) = (registry.repository("app"), registry.repository("nothing"));
    for (pull, message) in [
        (json!({"image": app, "tag": "9"}), format!("tag '9' does not exist in {app}")),
        (json!({"image": missing, "tag": "1"}), format!("tag '1' does not exist in {missing}")),
        (json!({"image": missing, "update_policy": "*"}), format!("the repository does not exist in {missing}")),
        (json!({"image": format!("{app}@{OTHER}")}), format!("manifest {OTHER} does not exist in {app}")),
        (
            json!({"image": app, "update_policy": "*"}),
            format!("{app} has no version for update_policy '*'; none of its 1 tags is a whole version like 1.2.3 or v1.2.3"),
        ),
        (
            json!({"image": "x", "tag": "1", "repo_config": layout("nowhere")}),
            format!("{}: no such OCI layout folder", runner.work().join("nowhere").display()),
        ),
    ] {
        let failure = runner.job(&job(&layout("out"), &pull)).done().failed(1, "SourceNotFound");
        assert_eq!(failure["message"], message, "{pull}");
    }
    assert!(!runner.work().join("out").exists(), "nothing was copied");
}

#[test]
fn a_private_source_takes_the_credentials_of_the_plan_and_keeps_them_secret() {
    require_tools!("docker-registry", "skopeo", "crane");
    let registry = Registry::with(&Options { auth: true, ..Options::default() });
    let runner = Runner::new();
    seed(&registry, "up/app", &["1.0.0"]);
    let (up, own) = (registry.repository("up/app"), registry.repository("own/app"));
    let pull = |password: &str| json!({"image": "app", "tag": "1.0.0", "repo_config": private(&up, password)});
    let run = runner.job(&job(&private(&own, PASSWORD), &pull(PASSWORD))).done();
    let receipt = run.succeeded();
    assert_eq!(receipt["outputs"]["artifacts"][0]["repository"], own.as_str());
    assert_eq!(receipt["outputs"]["blobs"], json!({"uploaded": 0, "mounted": 4, "present": 0, "bytes": 0}), "the same registry mounts");
    assert_eq!(digest(&registry, "own/app", "bld-1"), HELLO);

    let wrong = runner.job(&job(&layout("out"), &pull("wrong-horse"))).done();
    let failure = wrong.failed(1, "AuthDenied");
    let without = runner.job(&job(&layout("out"), &json!({"image": up, "tag": "1.0.0"}))).done();
    without.failed(1, "AuthDenied");
    assert!(failure["message"].as_str().unwrap().contains(&registry.host()), "{failure}");
    for run in [&run, &wrong, &without] {
        for secret in [PASSWORD, "wrong-horse"] {
            assert!(!run.stdout().contains(secret) && !run.stderr().contains(secret), "{}{}", run.stdout(), run.stderr());
        }
    }
    assert!(!runner.work().join("out").exists());
}

#[test]
fn what_is_about_an_image_comes_along() {
    require_tools!("docker-registry", "registry3", "referrers-registry", "skopeo", "crane", "oras");
    for program in [Program::Distribution3, Program::Referrers] {
        let (up, own) = (Registry::with(&Options { program, ..Options::default() }), Registry::start());
        let runner = Runner::new();
        let digest_tag = format!("{}.sig", HELLO.replace(':', "-"));
        seed(&up, "app", &["1.0.0", &digest_tag]);
        let image = up.repository("app");
        fs::write(runner.work().join("sbom.json"), "{}").unwrap();
        let attach = ["attach", "--plain-http", "--artifact-type", "application/spdx+json"];
        tools::run(up.command("oras").args(attach).arg(format!("{image}@{HELLO}")).arg("sbom.json").current_dir(runner.work()));
        let receipt = runner.job(&job(&public(&own.repository("app")), &json!({"image": image, "tag": "1.0.0"}))).done().succeeded();
        let referrers = receipt["outputs"]["referrers"].as_array().unwrap();
        assert_eq!(referrers.len(), 2, "{referrers:#?}");
        assert!(referrers.iter().any(|one| one["artifact_type"] == "application/spdx+json"));
        assert_eq!(digest(&own, "app", &digest_tag), HELLO, "the digest tag");
        let found = tools::run(
            own.command("oras").args(["discover", "--plain-http", "--format", "json"]).arg(format!("{}@{HELLO}", own.repository("app"))),
        );
        assert!(found.contains("application/spdx+json"), "{found}");
    }
}

#[test]
fn what_the_last_build_copied_only_gets_another_tag() {
    require_tools!("docker-registry", "skopeo", "crane");
    let (up, own, runner) = (Registry::start(), Registry::start(), Runner::new());
    seed(&up, "app", &["1.0.0"]);
    let pull = |previous: &str| json!({"image": up.repository("app"), "tag": "1.0.0", "previous_source_digest": previous});
    let to = public(&own.repository("app"));
    let no_op = |receipt: &Value| receipt["outputs"]["source"]["no_op"].as_bool();

    // It says so and is wrong about the destination: the image has to get there all the same.
    let receipt = runner.job(&job(&to, &pull(HELLO))).done().succeeded();
    assert_eq!((no_op(&receipt), digest(&own, "app", "bld-1").as_str()), (Some(true), HELLO));
    let receipt = runner.job(&job(&to, &pull(OTHER))).done().succeeded();
    assert_eq!(no_op(&receipt), Some(false));

    let (before, pushed) = (up.requests().len(), own.requests().len());
    let mut next = job(&to, &pull(HELLO));
    next["plan"]["dst_tag"] = json!("bld-2");
    let receipt = runner.job(&next).done().succeeded();
    assert_eq!((no_op(&receipt), digest(&own, "app", "bld-2").as_str()), (Some(true), HELLO));
    let blobs = fs::read_dir(format!("{FIXTURE}/blobs/sha256")).unwrap();
    let size: u64 = blobs.map(|blob| blob.unwrap().metadata().unwrap().len()).sum();
    assert_eq!(receipt["outputs"]["artifacts"][0]["size"], size);
    let asked: Vec<_> = up.requests()[before..].iter().map(|request| format!("{} {}", request.method, request.path)).collect();
    assert_eq!(
        asked.iter().filter(|line| line.contains("/manifests/")).collect::<Vec<_>>(),
        ["HEAD /v2/app/manifests/1.0.0"],
        "{asked:#?}"
    );
    // Of a registry that takes its time the blobs are asked for meanwhile (POST); none is sent.
    let put: Vec<_> =
        own.requests()[pushed..].iter().filter(|request| matches!(request.method.as_str(), "PUT" | "PATCH")).cloned().collect();
    assert_eq!(put.iter().map(|request| request.path.as_str()).collect::<Vec<_>>(), ["/v2/app/manifests/bld-2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_that_moves_meanwhile_changes_nothing() {
    let (up, runner) = (Fake::start(FakeOptions::default()).await, Runner::new());
    let old = up.image("app", "latest", &[b"old".to_vec()]);
    up.fault(Fault::once("GET", "/manifests/sha256:", What::Late(500)));
    let image = format!("{}/app", up.host);
    let run = runner.job(&job(&layout("out"), &json!({"image": image, "tag": "latest"}))).spawn();
    up.seen("GET", "/manifests/sha256:").await;
    let new = up.image("app", "latest", &[b"new".to_vec()]);
    assert_ne!(old, new);
    let receipt = tokio::task::spawn_blocking(|| run.done().succeeded()).await.unwrap();
    assert_eq!(receipt["outputs"]["artifacts"][0]["digest"], old.as_str());
    assert_eq!(receipt["outputs"]["source"]["digest"], old.as_str());
    assert_eq!(receipt["outputs"]["image"]["platform"], json!({"architecture": "amd64", "os": "linux"}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_takes_a_moment_to_know_an_image_gets_its_provenance() {
    let (up, own, runner) = (Fake::start(FakeOptions::default()).await, Fake::start(FakeOptions::default()).await, Runner::new());
    let image = up.image("app", "1", &[b"layer".to_vec()]);
    // Before that the copy asks once whether it is there.
    own.fault(Fault::once("HEAD", format!("/manifests/{image}"), What::Status(404)).after(1).times(2));
    let pull = json!({"image": format!("{}/app", up.host), "tag": "1"});
    let run = runner.job(&job(&public(&format!("{}/app", own.host)), &pull)).spawn();
    let receipt = tokio::task::spawn_blocking(|| run.done().succeeded()).await.unwrap();
    assert!(receipt["outputs"]["provenance"]["digest"].is_string(), "{receipt:#}");
    assert_eq!(own.count("HEAD", &format!("/manifests/{image}")), 4, "{:#?}", own.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_that_is_listed_and_gone_is_named_with_the_policy_that_chose_it() {
    let (up, runner) = (Fake::start(FakeOptions::default()).await, Runner::new());
    for tag in ["1.0.0", "1.1.0"] {
        up.image("app", tag, &[b"layer".to_vec()]);
    }
    up.fault(Fault::once("", "/manifests/1.1.0", What::Status(404)).always());
    let image = format!("{}/app", up.host);
    let run = runner.job(&job(&layout("out"), &json!({"image": image, "update_policy": "^1"}))).spawn();
    let failure = tokio::task::spawn_blocking(|| run.done().failed(1, "SourceNotFound")).await.unwrap();
    let expected = format!(
        "update_policy '^1' chooses tag '1.1.0', which {image} lists and does not have: it was deleted just now, or in part; delete the tag as \
         well, or leave it out of the range"
    );
    assert_eq!((failure["message"].as_str(), failure["step"].as_str()), (Some(expected.as_str()), Some("resolve")));
}
