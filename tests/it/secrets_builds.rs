//! What builds are trusted with — a build secret, the password of a base image, of the destination, the key that signs — is found
//! nowhere after a whole run, nor in anybody's arguments and environment while it lasts.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use serde_json::{Value, json};

use super::secrets::files;
use crate::support::registry::{Options, PASSWORD, Registry, USER};
use crate::support::runner::{Run, Runner};
use crate::support::tools;

/// A secret that a step of the build mounts, shows, and uses.
pub(super) const BUILD_SECRET: &str = "Pl4nted-Build-Secret-77ab";
/// Something of the runner's own environment that is no business of a build.
const OF_THE_RUNNER: &str = "Pl4nted-Variable-Of-The-Runner";

/// Looks at the arguments and environments of all processes until it is told to stop; what it saw of the needles.
fn watch(needles: &[String], over: &AtomicBool) -> Vec<String> {
    let mut seen = Vec::new();
    while !over.load(Ordering::Relaxed) {
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            for file in ["cmdline", "environ"] {
                let text = String::from_utf8_lossy(&fs::read(entry.path().join(file)).unwrap_or_default()).into_owned();
                seen.extend(needles.iter().filter(|needle| text.contains(needle.as_str())).map(|needle| format!("{needle} in {text}")));
            }
        }
    }
    seen
}

fn base64(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// Runs a job while arguments and environments of all processes are looked at, and searches whatever was printed, kept and pushed
/// for what it was trusted with.
fn leaves_no_trace(runner: &Runner, registry: &Registry, job: &Value, secrets: &[&str]) -> Run {
    let mut needles: Vec<String> = secrets.iter().flat_map(|secret| [(*secret).to_owned(), base64(secret)]).collect();
    needles.push(base64(&format!("{USER}:{PASSWORD}")));
    let over = AtomicBool::new(false);
    let (run, seen) = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(&needles, &over));
        let run = runner
            .job(job)
            .args(["--log-level", "trace", "--docker-backend", "buildah", "--ca-file"])
            .arg(registry.ca().unwrap())
            .env("RUNNER_OWN_VARIABLE", OF_THE_RUNNER)
            .done();
        over.store(true, Ordering::Relaxed);
        (run, watcher.join().unwrap())
    });
    run.succeeded();
    assert_eq!(seen, [""; 0], "arguments and environments of all processes during the build");

    let mut places = vec![("standard output".to_owned(), run.stdout().to_owned()), ("standard error".to_owned(), run.stderr().to_owned())];
    files(&runner.state(), &mut places);
    // Whatever the destination was given: content, configuration, provenance.
    files(&registry.storage(), &mut places);
    assert!(places.len() > 6, "{:?}", places.iter().map(|(place, _)| place).collect::<Vec<_>>());
    let key = runner.state().join("signing-key.pem");
    let with_keys: Vec<&str> = places.iter().filter(|(_, text)| text.contains("PRIVATE KEY")).map(|(place, _)| place.as_str()).collect();
    assert_eq!(with_keys, [key.to_str().unwrap()], "the key that signs is in its file and nowhere else");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    needles.extend(fs::read_to_string(&key).unwrap().lines().filter(|line| !line.starts_with('-')).map(str::to_owned));
    needles.push(OF_THE_RUNNER.to_owned());
    for (place, text) in places.iter().filter(|(place, _)| *place != key.display().to_string()) {
        for needle in &needles {
            assert!(!text.contains(needle.as_str()), "{needle} in {place}:\n{text}");
        }
    }
    run
}

/// A Dockerfile with a step that shows the secret `token` in every way it can. Its base image lies in `registry`, as `base:1`.
pub(super) fn shows_its_secret(registry: &Registry) -> String {
    let base = registry.repository("base:1");
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("root/bin")).unwrap();
    fs::copy(tools::find("busybox").unwrap(), folder.path().join("root/bin/busybox")).unwrap();
    std::os::unix::fs::symlink("busybox", folder.path().join("root/bin/sh")).unwrap();
    let layer = folder.path().join("layer.tar");
    tools::run(std::process::Command::new("tar").arg("-cf").arg(&layer).arg("-C").arg(folder.path().join("root")).arg("."));
    tools::run(registry.command("crane").args(["append", "--new_tag", &base, "--new_layer"]).arg(&layer));
    let step = "RUN --mount=type=secret,id=token sh -c 'busybox cat /run/secrets/token; busybox base64 /run/secrets/token; \
                busybox env; busybox sha256sum /run/secrets/token > /sum; busybox sleep 1'";
    format!("FROM {base}\n{step}\n")
}

#[test]
fn an_image_build_leaves_no_trace_of_what_it_was_trusted_with() {
    require_tools!("docker-registry", "buildah", "busybox", "crane");
    if !nix::unistd::geteuid().is_root() {
        not_run!("steps of a build with chroot isolation need root here");
    }
    let registry = Registry::with(&Options { tls: true, auth: true, ..Options::default() });
    let runner = Runner::new();
    runner.write("source/Dockerfile", shows_its_secret(&registry));
    runner.write("token", BUILD_SECRET);
    let private = json!({"RegistryType": "private_oci", "Repository": registry.repository("base"), "OCIAuth": {"Username": USER, "Password": PASSWORD}});
    let job = json!({"type": "docker-build", "plan": {
        "git_source": {"url": "source"},
        "docker_build_plan": {"secrets": {"token": {"file": "token"}}, "registries": [private]},
        "dst_registry": {"RegistryType": "private_oci", "Repository": registry.repository("made"), "OCIAuth": {"Username": USER, "Password": PASSWORD}},
        "dst_tag": "1"}});
    let run = leaves_no_trace(&runner, &registry, &job, &[BUILD_SECRET, PASSWORD]);
    assert!(run.stderr().contains("***"), "the step showed its secret:\n{}", run.stderr());
}

#[test]
fn credentials_for_a_manifest_artifact_leave_no_trace() {
    require_tools!("docker-registry");
    let registry = Registry::with(&Options { tls: true, auth: true, ..Options::default() });
    let destination = |name: &str| json!({"RegistryType": "private_oci", "Repository": registry.repository(name), "OCIAuth": {"Username": USER, "Password": PASSWORD}});
    let runner = Runner::new();
    let manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
    let made = json!({"type": "kubernetes-manifest-build", "plan": {
        "kubernetes_manifest_build_plan": {"source_type": "inline", "inline_manifest": manifest},
        "dst_registry": destination("upstream"), "dst_tag": "1"}});
    leaves_no_trace(&runner, &registry, &made, &[PASSWORD]);
    let auths = json!({"auths": {registry.host(): {"auth": base64(&format!("{USER}:{PASSWORD}"))}}}).to_string();
    let again = json!({"type": "kubernetes-manifest-build", "plan": {
        "kubernetes_manifest_build_plan": {"source_type": "oci_artifact", "oci_artifact_source": {
            "url": registry.repository("upstream"), "tag": "1", "credentials_ref": {"value": auths}}},
        "dst_registry": destination("ours"), "dst_tag": "1"}});
    let runner = Runner::new();
    leaves_no_trace(&runner, &registry, &again, &[PASSWORD]);
}
