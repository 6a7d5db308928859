//! docker-build by buildah: reproducible, private, and read by other tools.

use std::fs;

use serde_json::{Value, json};

use crate::support::builders::{BUSYBOX, Builder, commit, job};
use crate::support::process;
use crate::support::registry::Registry;
use crate::support::runner::Runner;
use crate::support::tools;

const BUILDER: Builder = Builder::Buildah;

fn digest(receipt: &Value) -> String {
    receipt["outputs"]["artifacts"][0]["digest"].as_str().unwrap().to_owned()
}

/// A document of the layout `out` by its digest.
fn document(runner: &Runner, digest: &str) -> Value {
    let file = runner.work().join("out/blobs/sha256").join(digest.trim_start_matches("sha256:"));
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

#[test]
fn what_was_built_before_does_not_change_the_digest_and_layers_outlive_commits() {
    require_tools!("buildah", "runc", "busybox");
    let dockerfile = format!("{BUSYBOX}RUN echo built > /note\nCMD [\"/bin/cat\", \"/note\"]\n");
    let (used, fresh) = (Runner::new(), Runner::new());
    let plan = job(&used, &dockerfile);
    let first = BUILDER.run(&used, &plan).done().succeeded();
    let again = BUILDER.run(&used, &plan).done().succeeded();
    assert_eq!(digest(&again), digest(&first));
    assert!(again["outputs"]["steps"]["cached"].as_u64().unwrap() >= 4, "{again:#}");

    commit(&used.work().join("src"), "2025-01-02T03:04:05Z");
    let cached = BUILDER.run(&used, &plan).done().succeeded();
    let plan = job(&fresh, &dockerfile);
    commit(&fresh.work().join("src"), "2025-01-02T03:04:05Z");
    let anew = BUILDER.run(&fresh, &plan).done().succeeded();
    // Commits differ in their parents' times, and so in their annotations; the images do not.
    let manifests = [(&used, &first), (&used, &cached), (&fresh, &anew)].map(|(runner, receipt)| document(runner, &digest(receipt)));
    assert_eq!(manifests[1]["config"], manifests[2]["config"], "the cache of another commit changes nothing");
    assert_eq!(manifests[1]["layers"], manifests[2]["layers"]);
    assert_eq!(manifests[0]["layers"], manifests[1]["layers"], "layers are those of the commit before");
    let config = document(&used, manifests[1]["config"]["digest"].as_str().unwrap());
    assert_eq!(config["created"], "2025-01-02T03:04:05Z");
    assert!(config["history"].as_array().unwrap().iter().all(|step| step["created"] == "2025-01-02T03:04:05Z"), "{config:#}");
}

#[test]
fn platforms_arguments_labels_targets_secrets_and_ignore_files_are_honoured() {
    require_tools!("buildah", "runc", "busybox", "docker-registry", "crane");
    let registry = Registry::start();
    let runner = Runner::new();
    let dockerfile = format!(
        "{BUSYBOX}FROM scratch AS wanted\nCOPY --from=0 / /\nARG WHO\nARG TARGETARCH\nCOPY . /context/\n\
         RUN --mount=type=secret,id=token echo \"$WHO $(cat /run/secrets/token | wc -c)\" > /note; cat /run/secrets/token\n\
         FROM scratch\nCOPY nothere /\n"
    );
    let mut job = job(&runner, &dockerfile);
    let src = runner.work().join("src");
    fs::create_dir(src.join("docker")).unwrap();
    fs::rename(src.join("Dockerfile"), src.join("docker/App.Dockerfile")).unwrap();
    fs::write(src.join("docker/App.Dockerfile.dockerignore"), "hidden\n").unwrap();
    fs::write(src.join("hidden"), "x").unwrap();
    commit(&src, "2024-05-06T07:08:09Z");
    let plan = &mut job["plan"];
    plan["docker_build_plan"] = json!({"dockerfile": "docker/App.Dockerfile", "target": "wanted", "build_args": {"WHO": "world, \"you\""}, "network": "none",
        "labels": {"com.example.a": "b=c, d"}, "platforms": ["linux/arm64", "linux/amd64"], "secrets": {"token": {"value": "s3cret-t0ken"}}});
    plan["dst_registry"] = json!({"RegistryType": "private_oci", "Repository": registry.repository("app"), "PlainHTTP": true});
    let done = BUILDER.run(&runner, &job).done();
    assert!(!format!("{}{}", done.stdout(), done.stderr()).contains("s3cret-t0ken"));
    let receipt = done.succeeded();

    let image = format!("{}@{}", registry.repository("app"), digest(&receipt));
    let crane = |args: &[&str]| tools::run(registry.command("crane").args(["--insecure"]).args(args));
    let index: Value = serde_json::from_str(&crane(&["manifest", &image])).unwrap();
    let platforms: Vec<_> = index["manifests"].as_array().unwrap().iter().map(|entry| entry["platform"]["architecture"].clone()).collect();
    assert_eq!(platforms, ["arm64", "amd64"], "as the plan lists them");
    let config: Value = serde_json::from_str(&crane(&["config", "--platform", "linux/amd64", &image])).unwrap();
    assert_eq!((&config["architecture"], &config["config"]["Labels"]["com.example.a"]), (&json!("amd64"), &json!("b=c, d")));
    crane(&["export", "--platform", "linux/amd64", &image, runner.work().join("root.tar").to_str().unwrap()]);
    let mut archive = tar::Archive::new(fs::File::open(runner.work().join("root.tar")).unwrap());
    let mut seen = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        if name.ends_with("note") {
            assert_eq!(std::io::read_to_string(&mut entry).unwrap(), "world, \"you\" 12\n");
        }
        seen.push(name);
    }
    assert!(seen.iter().any(|name| name.ends_with("context/busybox")) && !seen.iter().any(|name| name.ends_with("hidden")), "{seen:?}");
}

#[test]
fn cached_steps_of_one_platform_are_not_taken_for_those_of_another() {
    require_tools!("buildah", "runc", "busybox");
    let runner = Runner::new();
    let mut job = job(&runner, "FROM scratch AS First\nCOPY busybox /\nFROM scratch\nCOPY nothere /\n");
    let src = runner.work().join("src");
    let odd = "a, \"b\" Dockerfile";
    fs::rename(src.join("Dockerfile"), src.join(odd)).unwrap();
    commit(&src, "2024-05-06T07:08:09Z");
    let mut build = |platforms: Value| {
        job["plan"]["docker_build_plan"] = json!({"dockerfile": odd, "target": "first", "network": "none", "platforms": platforms});
        let receipt = BUILDER.run(&runner, &job).done().succeeded();
        let found = receipt["outputs"]["platforms"].as_array().unwrap().iter().map(|entry| entry["platform"].clone()).collect::<Vec<_>>();
        (json!(found), digest(&receipt))
    };
    let alone = build(json!(["linux/arm64"]));
    assert_eq!(alone.0, json!(["linux/arm64"]));
    assert_eq!(build(json!(["linux/amd64", "linux/arm64"])).0, json!(["linux/amd64", "linux/arm64"]));
    assert_eq!(build(json!(["linux/arm/v7"])).0, json!(["linux/arm/v7"]));
    assert_eq!(build(json!(["linux/arm64"])), alone);
}

#[test]
fn stages_named_in_other_letters_are_not_pulled_as_images() {
    require_tools!("buildah", "busybox");
    let runner = Runner::new();
    let job = job(&runner, "FROM scratch AS Tools\nCOPY busybox /\nFROM scratch\nCOPY --from=tools / /\n");
    let failure = BUILDER.run(&runner, &job).done().failed(1, "InvalidSource");
    assert!(failure["message"].as_str().unwrap().starts_with("Dockerfile:4: buildah would pull an image 'tools'"), "{failure:#}");
}

#[test]
fn short_names_of_images_are_those_of_docker_hub_whatever_the_machine_says() {
    require_tools!("buildah");
    // Debian's shortnames.conf, for one, has it at Fedora's own registry.
    let runner = Runner::new();
    let done = BUILDER.run(&runner, &job(&runner, "FROM fedora-minimal:none\n")).done();
    assert!(done.stderr().contains("docker.io/library/fedora-minimal:none"), "{}", done.stderr());
    assert!(!done.stderr().contains("fedoraproject"), "{}", done.stderr());
}

#[test]
fn steps_reach_the_ssh_agent_however_long_the_name_of_the_state_folder_is() {
    require_tools!("buildah", "runc", "busybox", "ssh-agent");
    let runner = Runner::new();
    let mut job = job(&runner, &format!("{BUSYBOX}RUN --mount=type=ssh test -S \"$SSH_AUTH_SOCK\" && echo agent-is-there\n"));
    job["plan"]["docker_build_plan"]["ssh"] = json!(true);
    let socket = runner.work().join("agent");
    let agent = process::spawn(tools::command("ssh-agent").arg("-D").arg("-a").arg(&socket));
    agent.stdout_line("SSH_AUTH_SOCK");
    runner.write("job.json", job.to_string());
    let state = "l".repeat(100);
    let args = [
        "run",
        "--job-file",
        "job.json",
        "--output",
        "json",
        "--docker-backend",
        "buildah",
        "--docker-ssh-agent",
        "agent",
        "--state-dir",
        &state,
    ];
    let done = runner.command(args).env("TMPDIR", runner.work()).done();
    done.succeeded();
    assert!(done.stderr().contains("agent-is-there"), "{}", done.stderr());
    let short =
        fs::read_dir(runner.work()).unwrap().filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("br-"));
    assert_eq!(short.count(), 0, "the short name is gone");
}

#[test]
fn a_shell_of_the_dockerfile_runs_its_steps_and_here_documents_are_not_misread() {
    require_tools!("buildah", "runc", "busybox");
    let runner = Runner::new();
    // With -x it tells what it runs; the usual one would not.
    let plan = job(&runner, &format!("{BUSYBOX}SHELL [\"/bin/busybox\", \"sh\", \"-xec\"]\nRUN echo by this shell\n"));
    let done = BUILDER.run(&runner, &plan).done();
    assert!(done.stderr().contains("+ echo by this shell"), "{}", done.stderr());
    let receipt = done.succeeded();
    assert_eq!(receipt["outputs"]["artifacts"][0]["media_type"], "application/vnd.oci.image.manifest.v1+json");

    let runner = Runner::new();
    let plan = job(&runner, &format!("{BUSYBOX}RUN <<EOF\necho a here-document\nEOF\n"));
    let done = BUILDER.run(&runner, &plan).done();
    if done.code() == 0 {
        assert!(done.stderr().contains("a here-document"), "{}", done.stderr());
    } else {
        let message = done.failed(1, "ToolMissing")["message"].as_str().unwrap().to_owned();
        assert!(message.contains("does not know here-documents: install buildah 1.33.0 or newer, or BuildKit"), "{message}");
    }
}

#[test]
fn a_build_sees_nothing_of_the_runner() {
    require_tools!("buildah", "runc", "busybox");
    let runner = Runner::new();
    let look =
        "env; cat /proc/*/environ | tr '\\0' '\\n'; cat /proc/*/cmdline | tr '\\0' ' '; ls -a /root /home /run/secrets 2>/dev/null; true";
    let job = job(&runner, &format!("{BUSYBOX}RUN {look}\n"));
    let run = BUILDER.run(&runner, &job).env("RUNNER_API_TOKEN", "t0ps3cret-t0ken").env("https_proxy", "http://me:pr0xypass@127.0.0.1:1");
    let done = run.done();
    let log = format!("{}{}", done.stdout(), done.stderr());
    done.succeeded();
    assert!(log.contains("PATH="), "{log}");
    for secret in ["t0ps3cret", "pr0xypass", "RUNNER_API_TOKEN", "https_proxy", "BUILD_RUNNER_EXECUTION"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}

#[test]
fn the_cache_keeps_within_its_limit() {
    require_tools!("buildah", "runc", "busybox");
    let runner = Runner::new();
    let job = job(&runner, BUSYBOX);
    let store = runner.state().join("cache/docker-build/buildah/0");
    let run = |limit: &str| BUILDER.run(&runner, &job).args(["--docker-cache-limit", limit]).done().succeeded();
    run("1GiB");
    assert!(store.join("root").is_dir());
    assert!(fs::read_to_string(store.join("size")).unwrap().parse::<u64>().unwrap() > 1 << 20);
    let log = BUILDER.run(&runner, &job).args(["--docker-cache-limit", "1"]).done();
    assert!(log.stderr().contains("dropping the cache of steps"), "{}", log.stderr());
    assert!(!store.join("root").exists());
    assert_eq!(run("1GiB")["outputs"]["steps"]["cached"], 0);
}
