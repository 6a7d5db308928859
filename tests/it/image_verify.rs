//! `container-image-build` with `verification`: images that cosign has signed, and others that only look so.

use std::{fs, path::PathBuf, process::Command};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use build_runner::provenance::SigningKey;
use serde_json::{Value, json};

use crate::{
    image_build::{HELLO, digest, job, layout, public, seed},
    support::{
        fake_registry::{Fake, MANIFEST, Options as FakeOptions},
        registry::{Options, Program, Registry},
        runner::{Run, Runner},
        tools,
    },
};

/// A key pair of cosign's.
struct Key {
    private: PathBuf,
    public: PathBuf,
}

impl Key {
    fn new(runner: &Runner, name: &str) -> Self {
        let mut command = tools::command("cosign");
        command.args(["generate-key-pair", "--output-key-prefix", name]);
        tools::run(command.env("COSIGN_PASSWORD", "").current_dir(runner.work()));
        let file = |end: &str| runner.work().join(format!("{name}.{end}"));
        Self { private: file("key"), public: file("pub") }
    }

    /// The authority of a plan.
    fn authority(&self, name: &str) -> Value {
        json!({"name": name, "key": {"file": self.public}})
    }

    /// Signs `image@digest`; as a bundle among the referrers, or under the tag of before.
    fn sign(&self, runner: &Runner, registry: &Registry, image: &str, bundle: bool) {
        let mut command = cosign(registry);
        command.arg("sign").arg("--key").arg(&self.private).args(["--allow-http-registry", "--yes"]);
        if bundle {
            let config = runner.work().join("signing-config.json");
            tools::run(tools::command("cosign").args(["signing-config", "create", "--out"]).arg(&config));
            command.arg("--signing-config").arg(config);
        } else {
            command.args(["--new-bundle-format=false", "--use-signing-config=false", "--tlog-upload=false"]);
        }
        tools::run(command.arg(image).current_dir(runner.work()));
    }
}

fn cosign(registry: &Registry) -> Command {
    let mut command = registry.command("cosign");
    command.env("COSIGN_PASSWORD", "");
    command
}

/// Copies `image` if one of the authorities has signed it.
fn copy(runner: &Runner, image: &str, authorities: &[Value]) -> Run {
    runner.job(&job(&layout("out"), &json!({"image": image, "verification": {"authorities": authorities}}))).done()
}

/// What was refused: nothing was copied, and the evidence says why.
fn refused(runner: &Runner, image: &str, authorities: &[Value], message: &str, evidence: &[&str]) {
    let failure = copy(runner, image, authorities).failed(1, "SignatureInvalid");
    assert_eq!((failure["message"].as_str(), failure["step"].as_str()), (Some(message), Some("verify")));
    assert_eq!((&failure["fault"], &failure["retryable"]), (&json!("user"), &json!(false)));
    let found: Vec<_> = failure["evidence"].as_array().unwrap().iter().map(|one| one["text"].as_str().unwrap()).collect();
    for part in evidence {
        assert!(found.iter().any(|text| text.contains(part)), "{part}\n{found:#?}");
    }
    assert!(!runner.work().join("out").exists(), "nothing was copied");
}

#[test]
fn a_key_that_is_trusted_has_to_have_signed() {
    require_tools!("docker-registry", "referrers-registry", "skopeo", "crane", "cosign");
    for (program, bundle) in [(Program::Distribution2, false), (Program::Distribution2, true), (Program::Referrers, true)] {
        let (registry, runner) = (Registry::with(&Options { program, ..Options::default() }), Runner::new());
        let (ours, theirs) = (Key::new(&runner, "ours"), Key::new(&runner, "theirs"));
        seed(&registry, "app", &["1.0.0"]);
        let (place, image) = (registry.repository("app"), format!("{}@{HELLO}", registry.repository("app")));

        let unsigned = format!("{image} is not signed; verification wants a signature of release, so nothing was copied");
        refused(&runner, &image, &[ours.authority("release")], &unsigned, &["there is no signature"]);

        ours.sign(&runner, &registry, &image, bundle);
        let other = format!("{image} has a signature, which is not of security, release; nothing was copied");
        refused(&runner, &image, &[theirs.authority("security"), theirs.authority("release")], &other, &["it is not of this key"]);

        let run = copy(&runner, &format!("{place}:1.0.0"), &[theirs.authority("security"), ours.authority("release")]);
        let receipt = run.succeeded();
        assert_eq!(receipt["outputs"]["artifacts"][0]["digest"], HELLO);
        let by = &receipt["outputs"]["source"]["verified_by"];
        assert_eq!(by["authority"], "release", "{receipt:#}");
        assert!(by["signer"].as_str().unwrap().starts_with("ECDSA P-256 key "), "{by}");
        assert!(run.stderr().contains("signed by authority release (ECDSA P-256 key "), "{}", run.stderr());
        // A layout keeps what it takes to verify it.
        let from_layout = |key: &Key| json!({"image": "app", "tag": "bld-1", "repo_config": layout("out"), "verification": {"authorities": [key.authority("release")]}});
        runner.job(&job(&layout("out-2"), &from_layout(&ours))).done().succeeded();
        runner.job(&job(&layout("out-3"), &from_layout(&theirs))).done().failed(1, "SignatureInvalid");
        // What was copied can be verified again, by us and by cosign.
        let own = Registry::with(&Options { program, ..Options::default() });
        let verified = json!({"image": place, "tag": "1.0.0", "verification": {"authorities": [ours.authority("release")]}});
        runner.job(&job(&public(&own.repository("app")), &verified)).done().succeeded();
        assert_eq!(digest(&own, "app", "bld-1"), HELLO);
        // Beside a bundle, which our provenance is, cosign looks for no other form unless it is told to.
        let form = format!("--new-bundle-format={bundle}");
        let verify = ["verify", &form, "--insecure-ignore-tlog=true", "--allow-http-registry", "--key"];
        tools::run(cosign(&own).args(verify).arg(&ours.public).arg(format!("{}@{HELLO}", own.repository("app"))));
    }
}

#[test]
fn a_signature_of_something_else_does_not_count() {
    require_tools!("docker-registry", "skopeo", "crane", "cosign");
    let (registry, runner) = (Registry::start(), Runner::new());
    let key = Key::new(&runner, "ours");
    seed(&registry, "app", &["1.0.0"]);
    let place = registry.repository("app");
    // One image of the index is signed; its signature is put where that of the index would be.
    let signed =
        tools::run(registry.command("crane").args(["digest", "--insecure", "--platform", "linux/amd64", &format!("{place}:1.0.0")]));
    let signed = signed.trim();
    key.sign(&runner, &registry, &format!("{place}@{signed}"), false);
    let tag = |digest: &str| format!("{}.sig", digest.replace(':', "-"));
    tools::run(registry.command("crane").args(["tag", "--insecure", &format!("{place}:{}", tag(signed)), &tag(HELLO)]));
    let image = format!("{place}@{HELLO}");
    let unsigned = format!("{image} is not signed; verification wants a signature of release, so nothing was copied");
    refused(
        &runner,
        &image,
        &[key.authority("release")],
        &unsigned,
        &[&format!("tag {}, signature 1: it is about something else", tag(HELLO))],
    );
    copy(&runner, &format!("{place}@{signed}"), &[key.authority("release")]).succeeded();
}

#[test]
fn keys_and_identities_that_cannot_be_used_are_never_taken_for_fulfilled() {
    let runner = Runner::new();
    let identity = json!([{"issuer": "https://issuer.example", "subject": "dev@example.com"}]);
    for (authority, message) in [
        (
            json!({"name": "release", "key": "no key"}),
            "verification: key of authority release is not PEM: there is no '-----BEGIN' line in it",
        ),
        (
            json!({"keyless": {"identities": identity}}),
            "verification: authority 1 is keyless and there is no trust root; give keyless.trusted_root in the plan, or start the runner with \
             --trusted-root FILE (a Sigstore trusted_root.json)",
        ),
        (
            json!({"keyless": {"identities": identity, "trusted_root": "{}"}}),
            "verification: trusted_root of authority 1: has the media type '', and application/vnd.dev.sigstore.trustedroot+json;version=0.1 is wanted",
        ),
        (
            json!({"keyless": {"identities": [{"issuer_regexp": "(", "subject": "x"}], "trusted_root": "{}"}}),
            "verification: '(' of authority 1 is not a regular expression: unclosed group",
        ),
    ] {
        let pull = json!({"image": "127.0.0.1:1/app:1", "verification": {"authorities": [authority]}});
        let failure = runner.job(&job(&layout("out"), &pull)).done().failed(1, "InvalidPlan");
        assert_eq!(failure["message"], message, "{pull}");
    }
    let missing = runner.work().join("missing.json");
    let pull = json!({"image": "127.0.0.1:1/app:1", "verification": {"authorities": [{"keyless": {"identities": identity}}]}});
    let run = runner.job(&job(&layout("out"), &pull)).arg("--trusted-root").arg(&missing).done();
    let message = run.failed(1, "Io")["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("setting trusted_root: ") && message.contains("missing.json"), "{message}");
    assert!(fs::metadata(runner.work().join("out")).is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_bundles_of_somebody_hide_no_signature_under_the_tag() {
    const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
    let (up, runner) = (Fake::start(FakeOptions { referrers: true, ..FakeOptions::default() }).await, Runner::new());
    let image = up.image("app", "1", &[b"layer".to_vec()]);
    let config = up.descriptor("app", "application/vnd.oci.empty.v1+json", b"{}");
    for number in 0..101 {
        let layer = up.descriptor("app", BUNDLE, format!("junk {number}").as_bytes());
        let about = json!({"mediaType": MANIFEST, "digest": image.as_str(), "size": 1});
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": BUNDLE, "config": config, "layers": [layer], "subject": about});
        up.put_manifest("app", None, MANIFEST, &manifest);
    }
    let key = SigningKey::generate().unwrap();
    let payload = json!({"critical": {"image": {"docker-manifest-digest": image.as_str()}}}).to_string();
    let signature = STANDARD.encode(key.sign(payload.as_bytes()).unwrap());
    let mut layer = up.descriptor("app", "application/vnd.dev.cosign.simplesigning.v1+json", payload.as_bytes());
    layer["annotations"] = json!({"dev.cosignproject.cosign/signature": signature});
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
    up.put_manifest("app", Some(&format!("sha256-{}.sig", image.hex())), MANIFEST, &manifest);
    let verified = |folder: &str, key: &SigningKey| {
        let authorities = json!([{"name": "release", "key": key.public().to_pem()}]);
        let pull = json!({"image": format!("{}/app", up.host), "tag": "1", "verification": {"authorities": authorities}});
        runner.job(&job(&layout(folder), &pull)).spawn()
    };
    let run = verified("out", &key);
    let by = tokio::task::spawn_blocking(|| run.done().succeeded()["outputs"]["source"]["verified_by"].clone()).await.unwrap();
    assert_eq!(by["authority"], "release");
    // Whoever is refused learns that there was more.
    let run = verified("out-2", &SigningKey::generate().unwrap());
    let failure = tokio::task::spawn_blocking(|| run.done().failed(1, "SignatureInvalid")).await.unwrap();
    let evidence = failure["evidence"].as_array().unwrap();
    let more = "bundles: more signatures than the 100 that are looked at";
    assert!(evidence.iter().any(|one| one["text"] == more), "{evidence:#?}");
}
