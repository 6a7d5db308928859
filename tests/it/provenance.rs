//! Provenance: attached by the built command, read by cosign, oras and the command itself, and refused when anything about it is wrong.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::fake_registry::{Fake, Fault, Options as FakeOptions, What};
use crate::support::registry::{Options, PASSWORD, Program, Registry, USER};
use crate::support::runner::{Invocation, Run, Runner};
use crate::support::tools;

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// A job that packs the sample chart, or one beside it, for a registry without TLS.
fn job(repository: &str) -> Value {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/charts/sample");
    json!({"type": "helm-chart-build", "plan": {"git_source": {"url": chart}, "helm_build_plan": {},
           "dst_registry": {"RegistryType": "private_oci", "Repository": repository, "PlainHTTP": true}}})
}

/// The same for the folder `charts` of the runner.
fn layout_job() -> Value {
    let mut job = job("");
    job["plan"]["dst_registry"] = json!({"RegistryType": "oci_layout", "Repository": "charts"});
    job
}

/// `repository@digest` of what was pushed.
fn pinned(receipt: &Value) -> String {
    let artifact = &receipt["outputs"]["artifacts"][0];
    format!("{}@{}", artifact["repository"].as_str().unwrap(), artifact["digest"].as_str().unwrap())
}

/// The command with this runner's state folder.
fn own(runner: &Runner, args: &[&str]) -> Invocation {
    runner.command(args).arg("--state-dir").arg(runner.state())
}

/// The runner's public key, in a file.
fn public_key(runner: &Runner) -> PathBuf {
    let run = own(runner, &["keys", "public"]).done();
    assert_eq!(run.code(), 0, "{}", run.stderr());
    runner.write("runner.pub", run.stdout())
}

fn verify(runner: &Runner, reference: &str, key: &Path) -> Run {
    runner.command(["verify", reference, "--output", "json", "--key"]).arg(key).done()
}

/// What `verify` says to an artifact that it does not accept.
fn refusal(run: &Run) -> Value {
    assert_eq!(run.code(), 1, "{}{}", run.stdout(), run.stderr());
    let answer = run.receipts().remove(0);
    assert_eq!(answer["verified"], false, "{answer:#}");
    answer
}

fn openssl(folder: &Path, args: &[&str]) {
    tools::run(Command::new("openssl").current_dir(folder).args(args));
}

fn cosign(registry: &Registry, reference: &str, key: &Path) -> Command {
    let mut command = registry.command("cosign");
    command.args(["verify-attestation", "--type", "slsaprovenance1", "--insecure-ignore-tlog=true", "--allow-http-registry", "--key"]);
    command.arg(key).arg(reference);
    command
}

/// Bundles that oras finds.
fn discovered(registry: &Registry, reference: &str) -> usize {
    let found = tools::run(registry.command("oras").args(["discover", "--plain-http", "--format", "json", reference]));
    let found: Value = serde_json::from_str(&found).unwrap();
    found["referrers"].as_array().map_or(0, |referrers| referrers.iter().filter(|one| one["artifactType"] == BUNDLE).count())
}

#[test]
fn cosign_oras_and_the_command_itself_accept_what_is_attached_to_any_registry() {
    require_tools!("docker-registry", "referrers-registry", "cosign", "oras");
    for program in [Program::Distribution2, Program::Referrers] {
        let registry = Registry::with(&Options { program, ..Options::default() });
        let runner = Runner::new();
        let receipt = runner.job(&job(&registry.repository("charts/sample"))).done().succeeded();
        let (artifact, key) = (pinned(&receipt), public_key(&runner));
        let provenance = &receipt["outputs"]["provenance"];
        assert_eq!(provenance["media_type"], BUNDLE, "{receipt:#}");

        let accepted = cosign(&registry, &artifact, &key).output().unwrap();
        assert!(accepted.status.success(), "{program:?}: {}", String::from_utf8_lossy(&accepted.stderr));
        let stranger = Runner::new();
        let refused = cosign(&registry, &artifact, &public_key(&stranger)).output().unwrap();
        assert!(!refused.status.success(), "{program:?}: another key");

        let answer = verify(&runner, &artifact, &key).receipts().remove(0);
        assert_eq!((&answer["verified"], &answer["bundle"]), (&json!(true), &provenance["digest"]), "{answer:#}");
        assert_eq!(answer["key_id"], provenance["key_id"]);
        assert_eq!(answer["build_type"], "https://build-runner.dev/build-types/helm-chart-build/v1");
        assert_eq!(answer["builder"]["id"], "https://build-runner.dev/runner");
        let by_tag = own(&runner, &["verify", &format!("{}:0.1.0", registry.repository("charts/sample"))]).done();
        assert!(by_tag.code() == 0 && by_tag.stdout().contains("is verified"), "{}{}", by_tag.stdout(), by_tag.stderr());
        let other = refusal(&verify(&runner, &artifact, &public_key(&stranger)));
        assert!(other["reason"].as_str().unwrap().contains("it is signed by another key"), "{other:#}");

        let again = runner.job(&job(&registry.repository("charts/sample"))).done().succeeded();
        assert_eq!(again["outputs"], receipt["outputs"], "the second run adds nothing");
        if program == Program::Distribution2 {
            assert_eq!(discovered(&registry, &artifact), 1);
        }
    }
}

#[test]
fn runners_that_attach_at_the_same_time_lose_nothing() {
    require_tools!("docker-registry", "oras");
    let registry = Registry::start();
    let runners: Vec<_> = (0..4).map(|_| Runner::new()).collect();
    let job = job(&registry.repository("charts/sample"));
    let receipt = runners[0].job(&job).arg("--no-provenance").done().succeeded();
    let running: Vec<_> = runners.iter().map(|runner| runner.job(&job).spawn()).collect();
    for run in running {
        run.done().succeeded();
    }
    assert_eq!(discovered(&registry, &pinned(&receipt)), 4);
    for runner in &runners {
        assert_eq!(verify(runner, &pinned(&receipt), &public_key(runner)).code(), 0);
    }
}

#[test]
fn what_is_changed_missing_or_of_another_key_is_refused_with_the_reason() {
    let runner = Runner::new();
    let receipt = runner.job(&layout_job()).arg("--no-provenance").done().succeeded();
    assert_eq!(receipt["outputs"].get("provenance"), None);
    assert!(!runner.state().join("signing-key.pem").exists(), "no key is made when nothing is signed");
    let key = public_key(&runner);
    let none = refusal(&verify(&runner, "oci-layout:charts:0.1.0", &key));
    assert_eq!(none["reason"], "there is no attestation");

    let receipt = runner.job(&layout_job()).done().succeeded();
    let artifact = format!("oci-layout:charts@{}", receipt["outputs"]["artifacts"][0]["digest"].as_str().unwrap());
    for reference in ["oci-layout:charts", "oci-layout:charts:0.1.0", "./charts", &pinned(&receipt), &artifact] {
        assert_eq!(verify(&runner, reference, &key).code(), 0, "{reference}");
    }

    // Another payload under the same signature, first under the digest it had before, then under its own.
    let blobs = runner.work().join("charts/blobs/sha256");
    let blob = |digest: &Value| blobs.join(digest.as_str().unwrap().strip_prefix("sha256:").unwrap());
    let carrier = blob(&receipt["outputs"]["provenance"]["digest"]);
    let manifest: Value = serde_json::from_slice(&fs::read(&carrier).unwrap()).unwrap();
    let bundle = blob(&manifest["layers"][0]["digest"]);
    let good = fs::read(&bundle).unwrap();
    let mut changed: Value = serde_json::from_slice(&good).unwrap();
    let payload = STANDARD.decode(changed["dsseEnvelope"]["payload"].as_str().unwrap()).unwrap();
    let payload = String::from_utf8(payload).unwrap().replace("helm-chart-build", "helm-chart-built");
    changed["dsseEnvelope"]["payload"] = json!(STANDARD.encode(payload));
    fs::write(&bundle, changed.to_string()).unwrap();
    let damaged = refusal(&verify(&runner, &artifact, &key));
    assert!(damaged["reason"].as_str().unwrap().contains("it is damaged"), "{damaged:#}");

    fs::write(&bundle, &good).unwrap();
    assert_eq!(verify(&runner, &artifact, &key).code(), 0);
    for (reference, part) in [
        ("nonsense", "'nonsense' does not name an artifact: it names no registry"),
        ("127.0.0.1:1/a", "add :TAG or @DIGEST"),
        ("a.b/c@sha256:0", "not a digest"),
    ] {
        let run = verify(&runner, reference, &key);
        assert!(run.code() == 2 && run.stderr().contains(part), "{reference}: {}", run.stderr());
    }
    let absent = refusal(&verify(&runner, "oci-layout:charts:9", &key));
    assert!(absent["reason"].as_str().unwrap().contains("tag '9' does not exist"), "{absent:#}");
    let run = verify(&runner, &artifact, Path::new("no.pub"));
    assert!(run.code() == 2 && run.stderr().contains("no.pub"), "{}", run.stderr());
}

#[test]
fn given_keys_sign_and_unusable_ones_are_refused() {
    require_tools!("openssl");
    let runner = Runner::new();
    let work = runner.work();
    openssl(&work, &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "p256.pem"]);
    openssl(&work, &["genpkey", "-algorithm", "ED25519", "-out", "ed25519.pem"]);
    openssl(&work, &["ecparam", "-name", "prime256v1", "-genkey", "-out", "sec1.pem"]);
    openssl(&work, &["genpkey", "-algorithm", "RSA", "-out", "rsa.pem"]);
    openssl(&work, &["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024", "-out", "short.pem"]);
    openssl(&work, &["pkey", "-in", "short.pem", "-pubout", "-out", "short.pub"]);
    openssl(&work, &["pkcs8", "-topk8", "-in", "p256.pem", "-passout", "pass:x", "-out", "encrypted.pem"]);
    for name in ["p256", "ed25519", "sec1"] {
        let (key, public) = (format!("{name}.pem"), format!("{name}.pub"));
        openssl(&work, &["pkey", "-in", &key, "-pubout", "-out", &public]);
        runner.job(&layout_job()).args(["--signing-key", &key]).done().succeeded();
        let run = verify(&runner, "oci-layout:charts", &work.join(&public));
        assert_eq!(run.code(), 0, "{name}: {}{}", run.stdout(), run.stderr());
        let shown = own(&runner, &["keys", "public", "--signing-key", &key]).done();
        assert_eq!(shown.stdout(), fs::read_to_string(work.join(&public)).unwrap(), "{name}");
    }
    let run = verify(&runner, "oci-layout:charts", &work.join("short.pub"));
    assert!(run.code() == 2 && run.stderr().contains("RSA of 2048 to 8192 bits"), "{}", run.stderr());
    for (name, part) in [
        ("rsa.pem", "is not an ECDSA P-256 or Ed25519 key"),
        ("encrypted.pem", "is encrypted"),
        ("p256.pub", "holds a public key"),
        ("none.pem", "No such file"),
    ] {
        let run = runner.job(&layout_job()).args(["--signing-key", name]).done();
        assert_eq!(run.code(), 1, "{}", run.stdout());
        let failure = &run.receipt()["failure"];
        let message = failure["message"].as_str().unwrap();
        assert!(message.contains(name) && message.contains(part) && failure["step"] == "attest", "{failure:#}");
        assert_eq!(failure["fault"], "agent", "{failure:#}");
        assert!(!run.stderr().contains("chart sample"), "nothing is built that cannot be signed: {}", run.stderr());
    }
    assert!(!runner.state().join("signing-key.pem").exists());
    fs::set_permissions(work.join("p256.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    let run = runner.job(&layout_job()).args(["--signing-key", "p256.pem"]).done();
    run.succeeded();
    assert!(run.stderr().contains("can be read by others than its owner"), "{}", run.stderr());
}

#[test]
fn the_key_is_private_and_secrets_of_a_plan_are_not_in_the_statement() {
    require_tools!("docker-registry");
    let registry = Registry::with(&Options { auth: true, ..Options::default() });
    let runner = Runner::new();
    let mut job = job(&registry.repository("charts/sample"));
    job["plan"]["dst_registry"]["OCIAuth"] = json!({"Username": USER, "Password": PASSWORD});
    job["plan"]["helm_build_plan"]["labels"] = json!({"note": format!("pushed with {PASSWORD}")});
    let receipt = runner.job(&job).done().succeeded();
    let docker_config = registry.docker_config().join("config.json");
    let run = own(&runner, &["verify", &pinned(&receipt), "--output", "json"]).arg("--docker-config").arg(docker_config).done();
    let answer = run.receipts().remove(0);
    assert!(answer["verified"] == true && answer["parameters"]["labels"]["note"].is_string(), "{answer:#}");
    assert!(!answer.to_string().contains(PASSWORD), "{answer:#}");
    let key = runner.state().join("signing-key.pem");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(fs::read_to_string(&key).unwrap().starts_with("-----BEGIN PRIVATE KEY-----"));
}

#[test]
fn a_switch_from_anywhere_leaves_none() {
    let runner = Runner::new();
    let settings = runner.write("c.toml", "no_provenance = true\n");
    let without = [
        runner.job(&layout_job()).arg("--no-provenance"),
        runner.job(&layout_job()).env("BUILD_RUNNER_NO_PROVENANCE", "true"),
        runner.job(&layout_job()).arg("--config").arg(&settings),
    ];
    for invocation in without {
        assert_eq!(invocation.done().succeeded()["outputs"].get("provenance"), None);
    }
    let with = runner.job(&layout_job()).env("BUILD_RUNNER_NO_PROVENANCE", "false").arg("--config").arg(&settings).done().succeeded();
    assert!(with["outputs"]["provenance"]["digest"].is_string());
    let wrong = runner.job(&layout_job()).env("BUILD_RUNNER_NO_PROVENANCE", "yes").done();
    assert!(wrong.code() == 2 && wrong.stderr().contains("'yes' is none of true, false"), "{}", wrong.stderr());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_killed_between_push_and_attestation_is_completed_by_the_next() {
    let fake = Fake::start(FakeOptions { referrers: true, ..FakeOptions::default() }).await;
    let runner = Runner::new();
    let job = job(&format!("{}/charts/sample", fake.host));
    fake.fault(Fault::once("GET", "/referrers/", What::Hang));
    let cut_off = runner.job(&job).spawn();
    fake.seen("GET", "/referrers/").await;
    cut_off.signal(Signal::SIGKILL);
    drop(cut_off);
    assert!(fake.tag("charts/sample", "0.1.0").is_some(), "pushed");
    let receipt = runner.job(&job).done().succeeded();
    let run = verify(&runner, &pinned(&receipt), &public_key(&runner));
    assert_eq!(run.code(), 0, "{}{}", run.stdout(), run.stderr());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_refuses_referrers_fails_the_job_and_names_the_way_around() {
    let fake = Fake::start(FakeOptions { referrers: true, ..FakeOptions::default() }).await;
    fake.fault(Fault::once("PUT", "/manifests/sha256:", What::Status(400)).always());
    let runner = Runner::new();
    let job = job(&format!("{}/charts/sample", fake.host));
    let failure = runner.job(&job).done().failed(1, "RegistryRefused");
    assert_eq!((&failure["step"], &failure["retryable"]), (&json!("attest"), &json!(false)), "{failure:#}");
    assert!(failure["message"].as_str().unwrap().contains("--no-provenance"), "{failure:#}");
    runner.job(&job).arg("--no-provenance").done().succeeded();
}
