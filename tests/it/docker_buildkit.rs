//! `docker-build` with BuildKit: a private daemon for each build, real registries, other tools as readers.

use std::{fs, path::Path};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::process;
use crate::support::registry::{Options, PASSWORD, Registry, USER};
use crate::support::runner::{Invocation, Runner};
use crate::support::tools;

/// An image that has a shell, made of one static program.
const SHELL: &str = "FROM scratch AS shell\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\",\"--install\",\"-s\",\"/bin\"]\n";

macro_rules! require_buildkit {
    () => {
        require_tools!("buildctl", "buildkitd", "runc", "busybox", "crane");
        if !nix::unistd::geteuid().is_root() {
            not_run!("a private buildkitd needs root");
        }
    };
}

/// A runner whose source folder `src` has busybox and `dockerfile` in it.
fn runner(dockerfile: &str) -> Runner {
    let runner = Runner::new();
    runner.write("src/busybox", fs::read(tools::find("busybox").unwrap()).unwrap());
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(runner.work().join("src/busybox"), mode).unwrap();
    runner.write("src/Dockerfile", dockerfile);
    runner
}

fn layout() -> Value {
    json!({"RegistryType": "oci_layout", "Repository": "out"})
}

fn build(runner: &Runner, plan: &Value, destination: &Value) -> Invocation {
    let plan = json!({"git_source": {"url": "src"}, "dst_registry": destination, "dst_tag": "1", "docker_build_plan": plan});
    runner.job(&json!({"type": "docker-build", "plan": plan})).args(["--docker-backend", "buildkit"])
}

/// The file `name` of the image `reference`.
fn file(registry: &Registry, reference: &str, name: &str) -> String {
    let export = tools::run(
        registry.command("crane").args(["export", &registry.repository(reference), "image.tar"]).current_dir(registry.docker_config()),
    );
    assert_eq!(export, "");
    tools::run(tools::command("tar").arg("-xOf").arg(registry.docker_config().join("image.tar")).arg(name))
}

#[test]
fn the_sample_plan_gives_the_same_digest_twice_and_says_what_was_cached() {
    require_buildkit!();
    let runner = Runner::new();
    let plan = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans/docker-build.json");
    let run = || runner.run(&plan).args(["--docker-backend", "buildkit", "--destination", "oci-layout:out:1.0.0"]).done();
    let (first, second) = (run(), run());
    let (mut one, two) = (first.succeeded()["outputs"].take(), second.succeeded()["outputs"].take());
    assert_eq!(one["artifacts"], two["artifacts"]);
    assert_eq!((&one["steps"]["cached"], &two["steps"]), (&json!(0), &json!({"total": 1, "cached": 1})));
    assert!(second.stderr().contains("COPY hello.txt /hello.txt CACHED"), "{}", second.stderr());
    assert_eq!(one["artifacts"][0]["platform"]["os"], "linux");
    assert_eq!(one["backend"].take()["name"], "buildkit");
    assert!(runner.leftovers().is_empty(), "{:?}", runner.leftovers());
}

#[test]
fn everything_of_the_plan_reaches_the_image_and_nothing_else_does() {
    require_buildkit!();
    let registry = Registry::start();
    let runner = runner("");
    runner.write("src/app/kept.txt", "kept");
    runner.write("src/app/ignored.txt", "ignored");
    runner.write("src/app/.dockerignore", "ignored.txt\n");
    let secret = "s3cret-of-the-build";
    runner.write("src/Dockerfile", "FROM scratch AS never\nRUN false\n");
    runner.write(
        "src/app.Dockerfile",
        "FROM scratch AS shell\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\",\"--install\",\"-s\",\"/bin\"]\n\
               ARG GREETING=none\nCOPY . /app\n\
               RUN --mount=type=secret,id=token echo \"$GREETING\" >/greeting && cat /run/secrets/token && wc -c </run/secrets/token >/length && env >/env\n\
               FROM shell AS wanted\nFROM shell AS last\nRUN false\n",
    );
    fs::copy(runner.work().join("src/busybox"), runner.work().join("src/app/busybox")).unwrap();
    let plan = json!({"context": "app", "dockerfile": "../app.Dockerfile", "target": "wanted", "labels": {"team": "a b"},
                      "build_args": {"GREETING": "hello, world", "UNSET": null}, "secrets": {"token": {"value": secret}}});
    let destination = json!({"RegistryType": "private_oci", "Repository": registry.repository("app"), "PlainHTTP": true});
    let run = build(&runner, &plan, &destination).env("CI_TOKEN", "of-the-runner").env("DOCKER_CONFIG", "/nowhere").done();
    let artifact = run.succeeded()["outputs"]["artifacts"][0].take();
    assert_eq!(tools::run(registry.command("crane").args(["digest", &registry.repository("app:1")])).trim(), artifact["digest"]);
    assert_eq!(file(&registry, "app:1", "greeting").trim(), "hello, world");
    assert_eq!(file(&registry, "app:1", "length").trim(), secret.len().to_string());
    let env = file(&registry, "app:1", "env");
    assert!(!env.contains("of-the-runner") && !env.contains("BUILD_RUNNER") && !env.contains("nowhere"), "{env}");
    let names = tools::run(tools::command("tar").arg("-tf").arg(registry.docker_config().join("image.tar")));
    assert!(names.contains("app/kept.txt") && !names.contains("ignored.txt"), "{names}");
    let config: Value =
        serde_json::from_str(&tools::run(registry.command("crane").args(["config", &registry.repository("app:1")]))).unwrap();
    assert_eq!(config["config"]["Labels"]["team"], "a b");
    assert!(!config.to_string().contains(secret) && !run.stderr().contains(secret) && !run.stdout().contains(secret), "{}", run.stderr());
}

#[test]
fn several_platforms_make_an_index_that_is_the_same_everywhere() {
    require_buildkit!();
    let registry = Registry::start();
    let runner = runner("FROM scratch\nCOPY busybox /b\n");
    let plan = json!({"platforms": ["linux/amd64", "linux/arm64"]});
    let destination = json!({"RegistryType": "private_oci", "Repository": registry.repository("multi"), "PlainHTTP": true});
    let outputs = build(&runner, &plan, &destination).done().succeeded()["outputs"].take();
    let platforms: Vec<_> = outputs["platforms"].as_array().unwrap().iter().map(|entry| entry["platform"].as_str().unwrap()).collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
    assert_eq!(outputs["artifacts"][0]["media_type"], "application/vnd.oci.image.index.v1+json");
    let again = build(&runner, &plan, &layout()).done().succeeded()["outputs"]["artifacts"][0]["digest"].take();
    assert_eq!(again, outputs["artifacts"][0]["digest"]);
}

#[test]
fn a_private_base_image_is_pulled_with_the_credentials_of_the_plan_alone() {
    require_buildkit!();
    let registry = Registry::with(&Options { auth: true, ..Options::default() });
    let repository = registry.repository("base");
    let credentials = |password: &str| {
        json!({"RegistryType": "private_oci", "Repository": repository, "PlainHTTP": true,
               "OCIAuth": {"Username": USER, "Password": password}})
    };
    let base = runner(SHELL);
    build(&base, &json!({}), &credentials(PASSWORD)).done().succeeded();

    let job = runner(&format!("FROM {repository}:1\nRUN echo built >/note\n"));
    let failure = build(&job, &json!({}), &layout()).done().failed(1, "AuthDenied");
    assert!(failure["message"].as_str().unwrap().starts_with("Dockerfile:1: "), "{failure:#}");
    assert!(failure["message"].as_str().unwrap().contains(&registry.host()), "{failure:#}");
    let wrong = json!({"registries": [credentials("wr0ng-password")]});
    let refused = build(&job, &wrong, &layout()).done();
    refused.failed(1, "AuthDenied");
    assert!(!refused.stderr().contains("wr0ng-password") && !refused.stdout().contains("wr0ng-password"));
    let right = json!({"registries": [credentials(PASSWORD)]});
    let run = build(&job, &right, &layout()).done();
    run.succeeded();
    assert!(!run.stderr().contains(PASSWORD), "{}", run.stderr());
    // The daemon keeps the layers, not the permission.
    build(&job, &json!({}), &layout()).done().failed(1, "AuthDenied");
}

#[test]
fn a_cache_in_a_registry_serves_daemons_that_have_none() {
    require_buildkit!();
    let registry = Registry::with(&Options { auth: true, ..Options::default() });
    let login = json!([{"RegistryType": "private_oci", "Repository": registry.repository("cache"), "PlainHTTP": true,
                        "OCIAuth": {"Username": USER, "Password": PASSWORD}}]);
    let steps = |cache: Value, registries: &Value| {
        let fresh = runner(&format!("{SHELL}RUN echo built >/note\n"));
        build(&fresh, &json!({"cache": cache, "registries": registries}), &layout()).done()
    };
    let (kept, none) = (registry.repository("cache:1"), json!([]));
    assert_eq!(steps(json!({"to": kept}), &login).succeeded()["outputs"]["steps"]["cached"], 0);
    assert_eq!(steps(json!({"from": [kept]}), &login).succeeded()["outputs"]["steps"], json!({"total": 3, "cached": 3}));
    // A cache that cannot be had costs time and nothing else; one that cannot be kept is a broken promise.
    for (from, login) in [(registry.repository("cache:none"), &login), (kept.clone(), &none)] {
        assert_eq!(steps(json!({"from": [from]}), login).succeeded()["outputs"]["steps"]["cached"], 0);
    }
    let refused = steps(json!({"to": kept}), &none).failed(1, "AuthDenied");
    assert!(refused["message"].as_str().unwrap().starts_with("cache.to: "), "{refused:#}");
}

#[test]
fn steps_reach_the_ssh_agent_of_the_runner_if_plan_and_setting_agree() {
    require_buildkit!();
    require_tools!("ssh-agent");
    let job = runner(&format!("{SHELL}RUN --mount=type=ssh test -S \"$SSH_AUTH_SOCK\" && echo agent-at-$SSH_AUTH_SOCK\n"));
    let socket = job.work().join("agent");
    let ask = || build(&job, &json!({"ssh": true}), &layout()).args(["--docker-ssh-agent", socket.to_str().unwrap()]).done();
    let missing = ask().failed(1, "Io");
    assert!(missing["message"].as_str().unwrap().contains("docker_ssh_agent"), "{missing:#}");
    let agent = process::spawn(tools::command("ssh-agent").arg("-D").arg("-a").arg(&socket));
    agent.stdout_line("SSH_AUTH_SOCK");
    let done = ask();
    done.succeeded();
    assert!(done.stderr().contains("agent-at-/run/"), "{}", done.stderr());
    assert!(job.leftovers().is_empty(), "{:?}", job.leftovers());
}

#[test]
fn long_names_of_folders_and_much_output_are_no_trouble_and_no_layers_is_a_list() {
    require_buildkit!();
    let runner = runner(&format!("{SHELL}RUN yes 0123456789abcdef | head -c 4000000; echo the last words\nFROM scratch\nLABEL a=b\n"));
    let state = "l".repeat(100);
    let run = |plan: Value| {
        let plan = json!({"git_source": {"url": "src"}, "dst_registry": layout(), "dst_tag": "1", "docker_build_plan": plan});
        runner.write("job.json", json!({"type": "docker-build", "plan": plan}).to_string());
        let args = ["run", "--job-file", "job.json", "--output", "json", "--docker-backend", "buildkit", "--state-dir", &state];
        runner.command(args).env("TMPDIR", runner.work()).done()
    };
    let done = run(json!({"target": "shell"}));
    done.succeeded();
    assert!(done.stderr().contains("the last words"), "cut off at 2 MiB");
    let receipt = run(json!({})).succeeded();
    let digest = receipt["outputs"]["artifacts"][0]["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
    let manifest: Value = serde_json::from_slice(&fs::read(runner.work().join("out/blobs/sha256").join(digest)).unwrap()).unwrap();
    assert_eq!(manifest["layers"], json!([]));
    let short =
        fs::read_dir(runner.work()).unwrap().filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("br-"));
    assert_eq!(short.count(), 0, "the folder of sockets is gone");
}

#[test]
fn what_fails_is_named_with_its_line_and_its_last_words() {
    require_buildkit!();
    let runner = runner(&format!("{SHELL}RUN echo first >&2; echo last words >&2; exit 7\n"));
    let failure = build(&runner, &json!({}), &layout()).done().failed(1, "ToolFailed");
    assert_eq!(failure["exit_code"], 7);
    let message = failure["message"].as_str().unwrap();
    assert!(message.starts_with("Dockerfile:4: RUN echo first") && message.ends_with("failed with exit code 7: last words"), "{message}");
    for (dockerfile, plan, kind, text) in [
        ("FROM scratch\nFOO bar\n", json!({}), "InvalidSource", "Dockerfile:2: dockerfile parse error"),
        ("FROM scratch\nCOPY none /\n", json!({}), "InvalidSource", "\"/none\": not found in the context"),
        ("FROM scratch\nCOPY busybox /\n", json!({"target": "nope"}), "InvalidPlan", "target: "),
        ("FROM scratch\n", json!({"dockerfile": "docker/None"}), "SourceNotFound", "the source has Dockerfile"),
        ("FROM scratch\n", json!({"ssh": true}), "InvalidPlan", "docker_ssh_agent"),
        ("FROM 127.0.0.1:1/none:1\n", json!({}), "RegistryUnavailable", "127.0.0.1:1"),
    ] {
        runner.write("src/Dockerfile", dockerfile);
        let failure = build(&runner, &plan, &layout()).done().failed(1, kind);
        assert!(failure["message"].as_str().unwrap().contains(text), "{failure:#}");
    }
    assert!(!runner.work().join("out").exists() && runner.leftovers().is_empty(), "{:?}", runner.leftovers());
}

/// Command lines of all processes with `needle` in them.
fn processes(needle: &str) -> Vec<String> {
    let all = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    all.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).filter(|line| line.contains(needle)).collect()
}

fn groups(execution: &str) -> bool {
    let name = format!("build-runner-{execution}");
    let controllers = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|entry| entry.path().join(&name));
    controllers.chain([Path::new("/sys/fs/cgroup").join(&name)]).any(|group| group.exists())
}

#[test]
fn a_cancelled_and_a_killed_build_leave_no_process_mount_or_group() {
    require_buildkit!();
    let seconds = format!("98{}", std::process::id());
    let runner = runner(&format!("{SHELL}RUN trap '' TERM; echo ready $((0 + 1)); sleep {seconds}\n"));
    let sleeping = format!("sleep {seconds}");
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let run = build(&runner, &json!({}), &layout()).spawn();
        run.line("ready 1");
        // The shell has said so and starts it next.
        while !processes(&sleeping).iter().any(|line| line.starts_with("sleep")) {
            std::thread::yield_now();
        }
        let workspaces = fs::read_dir(runner.state().join("workspaces")).unwrap().flatten();
        let mut names = workspaces.map(|entry| entry.file_name().into_string().unwrap());
        let execution = names.find(|name| !name.starts_with('.')).unwrap();
        run.signal(signal);
        if signal == Signal::SIGTERM {
            let done = run.done();
            assert_eq!((done.code(), done.receipt()["outcome"].take()), (130, json!("cancelled")), "{}", done.stderr());
        } else {
            drop(run);
            // The next start sweeps, whatever it is for; the next build removes the group.
            runner.write("src/Dockerfile", "FROM scratch\nCOPY busybox /\n");
            build(&runner, &json!({}), &layout()).done().succeeded();
        }
        assert_eq!(processes(&sleeping), [""; 0]);
        let state = runner.state().display().to_string();
        assert_eq!(processes(&state), [""; 0]);
        assert!(!fs::read_to_string("/proc/self/mountinfo").unwrap().contains(&state));
        assert!(!groups(&execution), "{signal}");
        assert!(runner.leftovers().is_empty(), "{:?}", runner.leftovers());
    }
}
