//! docker-build by a Docker engine; and images of every backend, pulled and run by the tools that users have.

use std::fs;

use serde_json::{Value, json};

use crate::support::builders::{BUSYBOX, Builder, job};
use crate::support::process;
use crate::support::registry::Registry;
use crate::support::runner::Runner;
use crate::support::tools;

fn docker(builder: &Builder, args: &[&str]) -> String {
    tools::run(tools::command("docker").args(["--host", builder.address()]).args(args))
}

fn digest(receipt: &Value) -> Value {
    receipt["outputs"]["artifacts"][0]["digest"].clone()
}

#[test]
fn the_same_source_gives_the_same_digest_and_nothing_stays_in_the_engine() {
    require_tools!("dockerd", "docker", "runc", "busybox");
    let engine = Builder::docker();
    let runner = Runner::new();
    let mut job = job(&runner, &format!("{BUSYBOX}RUN echo built > /note; date > /dev/null\n"));
    let first = engine.run(&runner, &job).done().succeeded();
    assert_eq!(first["outputs"]["backend"]["name"], "docker");
    assert_eq!(digest(&engine.run(&runner, &job).done().succeeded()), digest(&first), "from the cache");
    job["plan"]["docker_build_plan"]["cache"] = json!({"local": false});
    let anew = engine.run(&runner, &job).done().succeeded();
    assert_eq!(digest(&anew), digest(&first), "all steps done again");
    assert_eq!(anew["outputs"]["steps"]["cached"], 0, "{anew:#}");
    assert_eq!(docker(&engine, &["images", "--all", "--quiet"]), "", "no image is left");
    assert_eq!(docker(&engine, &["ps", "--all", "--quiet"]), "", "no container is left");

    job["plan"]["docker_build_plan"]["platforms"] = json!(["linux/amd64", "linux/arm64"]);
    let refused = engine.run(&runner, &job).done().receipt();
    assert_eq!(refused["failure"]["kind"], "InvalidPlan", "{refused:#}");
}

#[test]
fn only_the_stages_that_are_needed_have_their_base_images_pulled() {
    require_tools!("dockerd", "docker", "runc", "busybox");
    let engine = Builder::docker();
    let runner = Runner::new();
    let mut job = job(&runner, "FROM 127.0.0.1:1/none:1 AS docs\nFROM scratch AS App\nCOPY busybox /\nFROM app\nLABEL a=b\n");
    engine.run(&runner, &job).done().succeeded();
    job["plan"]["docker_build_plan"]["target"] = json!("Docs");
    let failure = engine.run(&runner, &job).done().failed(1, "RegistryUnavailable");
    assert!(failure["message"].as_str().unwrap().starts_with("Dockerfile:1: the base image '127.0.0.1:1/none:1'"), "{failure:#}");
}

#[test]
fn layers_of_a_base_image_stay_as_they_are() {
    require_tools!("dockerd", "docker", "runc", "busybox", "docker-registry", "crane");
    let engine = Builder::docker();
    let registry = Registry::start();
    let runner = Runner::new();
    let mut base = job(&runner, BUSYBOX);
    base["plan"]["dst_registry"] = json!({"RegistryType": "private_oci", "Repository": registry.repository("base"), "PlainHTTP": true});
    engine.run(&runner, &base).done().succeeded();
    let mut job = job(&runner, &format!("FROM {}:1\nRUN echo ours > /note\n", registry.repository("base")));
    job["plan"]["dst_registry"] = json!({"RegistryType": "private_oci", "Repository": registry.repository("app"), "PlainHTTP": true});
    engine.run(&runner, &job).done().succeeded();
    let layers = |name: &str| {
        let config = tools::run(registry.command("crane").args(["config", "--insecure", &format!("{}:1", registry.repository(name))]));
        let config: Value = serde_json::from_str(&config).unwrap();
        config["rootfs"]["diff_ids"].as_array().unwrap().clone()
    };
    let (below, all) = (layers("base"), layers("app"));
    assert_eq!((&all[..below.len()], all.len()), (&below[..], below.len() + 1));
}

#[test]
fn docker_buildah_and_skopeo_read_and_run_what_every_backend_makes() {
    require_tools!("dockerd", "docker", "buildkitd", "buildctl", "buildah", "runc", "busybox", "docker-registry", "skopeo");
    let registry = Registry::start();
    let engine = Builder::docker();
    let builders = [&Builder::Buildah, &engine, &Builder::buildkit()];
    let folder = tempfile::tempdir().unwrap();
    let storage = folder.path().join("storage.conf");
    let below = |name: &str| folder.path().join(name).display().to_string();
    let text = format!("[storage]\ndriver = \"vfs\"\nrunroot = \"{}\"\ngraphroot = \"{}\"\n", below("run"), below("root"));
    fs::write(&storage, text).unwrap();
    for builder in builders {
        let runner = Runner::new();
        let name = format!("app-{}", builder.name());
        let mut job = job(&runner, &format!("{BUSYBOX}RUN echo built-by-{} > /note\nCMD [\"/bin/cat\", \"/note\"]\n", builder.name()));
        job["plan"]["dst_registry"] = json!({"RegistryType": "private_oci", "Repository": registry.repository(&name), "PlainHTTP": true});
        let built = builder.run(&runner, &job).done().succeeded();
        let said = format!("built-by-{}\n", builder.name());
        let image = format!("{}@{}", registry.repository(&name), digest(&built).as_str().unwrap());

        assert_eq!(docker(&engine, &["run", "--rm", "--network", "none", &image]), said);
        let inspected = tools::run(registry.command("skopeo").args(["inspect", "--tls-verify=false", &format!("docker://{image}")]));
        assert_eq!(serde_json::from_str::<Value>(&inspected).unwrap()["Digest"], digest(&built));
        let buildah = |args: &[&str]| {
            let mut command = registry.command("buildah");
            let done = process::output(command.env("CONTAINERS_STORAGE_CONF", &storage).args(args));
            assert!(done.success(), "{args:?}\n{}", done.stderr);
            done.stdout.trim().to_owned()
        };
        let container = buildah(&["from", "--tls-verify=false", &image]);
        let ran = buildah(&["run", "--isolation", "chroot", &container, "--", "/bin/cat", "/note"]);
        buildah(&["rm", &container]);
        assert_eq!(ran, said.trim());
    }
}
