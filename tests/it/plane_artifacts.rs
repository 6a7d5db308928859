//! A fleet that builds artifacts: every kind of build through the control plane, on two runners, one of them killed in the middle.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::plane_journeys::line;
use crate::support::plane::{Agent, Plane, until};
use crate::support::registry::Registry;
use crate::support::runner::Runner;
use crate::support::tools;

/// Jobs of each type.
const EACH: usize = 3;
/// Takes its time, so that there is a middle to be killed in.
const SLOW: &str = "#!/bin/sh\ncase \" $* \" in *version*) ;; *) echo \"at work\" >&2; sleep 1;; esac\nexec SELF \"$@\"\n";

/// One job of each type, each to a repository of its own; `image` is what container images are copied from.
fn jobs(registry: &Registry, image: &str, number: usize) -> Vec<Value> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let job = |job_type: &str, source: Option<&str>, key: &str, plan: Value| {
        let repository = registry.repository(&format!("{job_type}/{number}"));
        let mut whole =
            json!({"dst_registry": {"RegistryType": "private_oci", "Repository": repository, "PlainHTTP": true}, "dst_tag": "1.0.0"});
        if let Some(source) = source {
            whole["git_source"] = json!({"url": fixtures.join(source)});
        }
        whole[key] = plan;
        json!({"type": job_type, "plan": whole})
    };
    let manifest = json!({"source_type": "kustomize", "kustomize_path": "overlay"});
    let (image, tag) = image.rsplit_once(':').unwrap();
    let pull = json!({"image": image, "tag": tag});
    vec![
        job("docker-build", Some("docker/hello"), "docker_build_plan", json!({"build_args": {"GREETING": "hello"}})),
        job("container-image-build", None, "container_image_pull_plan", pull),
        job("helm-chart-build", Some("charts/sample"), "helm_build_plan", json!({})),
        job("terraform-module-build", Some("terraform/module"), "terraform_build_plan", json!({})),
        job("kubernetes-manifest-build", Some("kustomize"), "kubernetes_manifest_build_plan", manifest),
    ]
}

/// The one digest that a finished job reports, after a look at what the registry has there.
fn digest(registry: &Registry, job: &Value) -> String {
    let artifact = &job["outputs"]["artifacts"][0];
    let (repository, digest) = (artifact["repository"].as_str().unwrap(), artifact["digest"].as_str().unwrap());
    let name = format!("{repository}:{}", artifact["tag"].as_str().unwrap());
    let stored = tools::run(registry.command("crane").args(["digest", "--insecure", &name]));
    assert_eq!(stored.trim(), digest, "{name}");
    digest.to_owned()
}

/// Processes of this machine that belong to a folder: by their arguments, environment or working folder.
fn processes_of(folder: &Path) -> Vec<String> {
    let needle = folder.to_str().unwrap().as_bytes();
    let contains = |bytes: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let of_it = entries.filter(|entry| {
        let read = |name: &str| std::fs::read(entry.path().join(name)).unwrap_or_default();
        let cwd = std::fs::read_link(entry.path().join("cwd")).unwrap_or_default();
        contains(&read("cmdline")) || contains(&read("environ")) || cwd.starts_with(folder)
    });
    of_it.map(|entry| String::from_utf8_lossy(&std::fs::read(entry.path().join("cmdline")).unwrap_or_default()).into_owned()).collect()
}

fn mounts_below(folder: &Path) -> Vec<String> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    mounts.lines().filter(|line| line.contains(folder.to_str().unwrap())).map(str::to_owned).collect()
}

#[test]
fn every_kind_of_build_survives_the_death_of_a_runner() {
    require_tools!("docker-registry", "crane", "oras", "kustomize", "buildah");
    let (registry, plane) = (Registry::start(), Plane::start());
    let image = registry.repository("upstream:1");
    let layer = tempfile::NamedTempFile::new().unwrap();
    tools::run(
        registry
            .command("oras")
            .args(["push", "--plain-http", &image, "--disable-path-validation"])
            .arg(format!("{}:text/plain", layer.path().display())),
    );

    // The fleet signs with one key, whose public half somebody else checks with.
    let auditor = Runner::new();
    let public = auditor.command(["keys", "public", "--state-dir"]).arg(auditor.state()).done();
    let (signing_key, public) = (auditor.state().join("signing-key.pem"), auditor.write("public.pem", public.stdout()));
    let agent = |id: &str| {
        let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures");
        let agent = Agent::of(&plane, id).args(&["--local-root", fixtures, "--slots", "4", "--docker-backend", "buildah"]);
        let agent = agent.args(&["--signing-key", signing_key.to_str().unwrap()]);
        agent.program("kustomize", SLOW).program("buildah", SLOW)
    };
    let (mut mortal, mut other) = (agent("mortal").started(), agent("other"));
    let submitted: Vec<(String, String)> = (0..EACH)
        .flat_map(|number| jobs(&registry, &image, number))
        .map(|job| (job["type"].as_str().unwrap().to_owned(), plane.submit(&job)))
        .collect();
    // Alone until it is at work, so that it is certain to have something to die over.
    let (_, slow) = submitted.iter().find(|(job_type, _)| job_type == "docker-build").unwrap();
    line(&plane, slow, "at work");
    other.start();
    mortal.kill();
    mortal.start();

    let (mut digests, mut interrupted) = (BTreeMap::<&str, String>::new(), 0);
    for (job_type, id) in &submitted {
        let mut job = plane.ended(id);
        if job["status"] == "failed" {
            interrupted += 1;
            let told = &plane.job(id)["result"]["error_metadata"];
            assert_eq!(
                (&told["kind"], &told["fault"], &told["retryable"]),
                (&json!("Interrupted"), &json!("agent"), &json!("true")),
                "{job:#}"
            );
            assert_eq!(plane.operator("POST", &format!("/v1/jobs/{id}/retry"), None).0, 200);
            job = plane.ended(id);
        }
        assert_eq!(job["status"], "finished", "{job_type}: {job:#}\n{:#?}", plane.follow(id).0);
        let found = digest(&registry, &job);
        let repository = job["outputs"]["artifacts"][0]["repository"].as_str().unwrap();
        let verified = auditor.command(["verify", &format!("{repository}@{found}"), "--key"]).arg(&public).done();
        assert_eq!(verified.code(), 0, "{job_type}: {}", verified.stderr());
        assert_eq!(digests.entry(job_type).or_insert_with(|| found.clone()), &found, "{job_type}: the same input gives the same digest");
    }
    assert!(interrupted > 0, "nothing was under way when the runner was killed");
    assert_eq!(digests.len(), 5);
    println!("{} jobs, {interrupted} interrupted and run again", submitted.len());

    for agent in [&mut mortal, &mut other] {
        let done = agent.drained();
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        assert_eq!(agent.leftovers(), Vec::<PathBuf>::new());
        let folder = agent.state().parent().unwrap().to_owned();
        until("the end of its processes", || processes_of(&folder).is_empty());
        assert_eq!(mounts_below(&folder), [""; 0]);
    }
}
