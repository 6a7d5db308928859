//! docker-build by buildah for a user without rights: with a range of user ids, with one id, and where user namespaces are forbidden.
//!
//! The user is given or denied these things in a mount namespace of the test, so nothing of the machine changes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::builders::{BUSYBOX, Builder, job, processes_with};
use crate::support::registry::Registry;
use crate::support::runner::{Invocation, Run, Runner};
use crate::support::tools;

/// The user of the runner's container image.
const USER: &str = "65532";
/// What everybody has on `PATH`.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

macro_rules! require_users {
    () => {
        require_tools!("buildah", "runc", "busybox", "newuidmap", "setpriv", "unshare");
        if !nix::unistd::geteuid().is_root() || !["buildah", "runc"].iter().any(|name| Path::new("/usr/bin").join(name).exists()) {
            not_run!("becoming a user without rights needs root, and that user a buildah that everybody can read");
        }
    };
}

/// What the user may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rights {
    /// A range of ids for its namespaces.
    Range,
    /// Namespaces with its own id alone.
    One,
    /// The same where a part of `/proc` is hidden, as container engines do it, and so no `/proc` can be mounted.
    Contained,
    /// A range, and a state folder on an overlay, which cannot carry another one.
    Overlay,
    /// No namespaces.
    None,
}

/// Runs a job by buildah as that user.
fn run(runner: &Runner, rights: Rights, job: &Value) -> Invocation {
    through(runner, rights, Builder::Buildah.run(runner, job))
}

/// Gives the folder and everything in it to a user.
fn give(folder: &Path, user: &str) {
    let whose = format!("{user}:{user}");
    tools::run(tools::command("chown").args(["--no-dereference", "-R", &whose]).arg(folder));
}

/// Makes the user the owner of all that is the runner's, and of a run.
fn through(runner: &Runner, rights: Rights, run: Invocation) -> Invocation {
    let work = runner.work();
    let place = work.parent().unwrap();
    let put = |name: &str, content: String| {
        fs::write(place.join(name), content).unwrap();
    };
    put("passwd", format!("{}runner:x:{USER}:{USER}::/:/bin/sh\n", fs::read_to_string("/etc/passwd").unwrap()));
    put("ids", if matches!(rights, Rights::Range | Rights::Overlay) { "runner:200000:65536\n".to_owned() } else { String::new() });
    fs::create_dir_all(place.join("root")).unwrap();
    // A process in another root folder than its namespace's may make no user namespaces (user_namespaces(7)).
    let change = match rights {
        Rights::None => "mount --rbind / root && set -- chroot root \"$@\"",
        Rights::Contained => "mount --bind /dev/null /proc/interrupts",
        // Which fails where the folder is on one already.
        Rights::Overlay => {
            "mkdir -p state upper below && chown 65532 state upper && \
             { mount -t overlay -o lowerdir=state,upperdir=upper,workdir=below overlay state || true; }"
        }
        Rights::Range | Rights::One => ":",
    };
    let script = format!(
        "set -e; cd {place}; mount --bind passwd /etc/passwd; for kind in uid gid; do mount --bind ids /etc/sub$kind; done; {change}; \
         exec \"$@\"",
        place = place.display()
    );
    // The file itself may lie where only its owner can go.
    let binary = place.join("build-runner");
    let file = env!("CARGO_BIN_EXE_build-runner");
    if !binary.exists() && fs::hard_link(file, &binary).is_err() {
        fs::copy(file, &binary).unwrap();
    }
    for name in ["work", "tmp", "home"] {
        give(&place.join(name), USER);
    }
    std::os::unix::fs::chown(place, Some(USER.parse().unwrap()), None).unwrap();
    let user = format!("--reuid={USER}");
    let group = format!("--regid={USER}");
    // setpriv starts the link or copy in place of the file, whose name is the first argument.
    let start = format!("shift; cd {}; exec {} \"$@\"", work.display(), binary.display());
    let wrapper = ["unshare", "--mount", "--propagation=private", "sh", "-c", &script, "sh", "setpriv", &user, &group, "--clear-groups"];
    run.through(wrapper.into_iter().chain(["sh", "-c", &start, "sh"])).env("PATH", PATH)
}

/// A root build of the same job in a place of its own.
fn as_root(dockerfile: &str) -> Value {
    let runner = Runner::new();
    Builder::Buildah.run(&runner, &job(&runner, dockerfile)).done().succeeded()
}

fn digest(receipt: &Value) -> &Value {
    &receipt["outputs"]["artifacts"][0]["digest"]
}

/// Steps that leave files of other users, and what an overlay keeps notes about: replaced folders, removed files, files of layers below.
const STEPS: &str = "RUN mkdir -p /d/e && echo x > /d/e/f && echo y > /note && chown 5:6 /note && mkdir -m 700 /sealed && touch /sealed/x\n\
                     RUN rm -rf /d && mkdir /d && echo new > /d/new && rm /note && mv /sealed /moved && chmod 711 /bin\n\
                     RUN --mount=type=cache,target=/cache mkdir -m 700 /cache/x && chown 7:7 /cache/x\n\
                     USER 1000:1000\nWORKDIR /home/x\nRUN touch a\n";

#[test]
fn the_digest_is_that_of_root_and_nothing_is_left() {
    require_users!();
    let dockerfile = format!("{BUSYBOX}{STEPS}");
    let runner = Runner::new();
    let job = job(&runner, &dockerfile);
    let first = run(&runner, Rights::Range, &job).done();
    assert!(first.stderr().contains("without root, with the user ids of /etc/subuid"), "{}", first.stderr());
    let first = first.succeeded();
    assert_eq!(digest(&first), digest(&as_root(&dockerfile)));
    let again = run(&runner, Rights::Range, &job).done().succeeded();
    assert_eq!((digest(&again), again["outputs"]["steps"]["cached"].as_u64() > Some(5)), (digest(&first), true));
    let store = runner.state().join("cache/docker-build/buildah/0");
    assert!(store.join("root").is_dir() && !store.join("tmp").exists() && !store.join("owner").exists());
    assert!(runner.leftovers().is_empty(), "{:?}", runner.leftovers());

    // Files of ids that are taken away again are nobody's who may remove them.
    let failure = run(&runner, Rights::One, &job).done().failed(1, "Io");
    assert!(
        failure["message"].as_str().unwrap().contains("buildah/0' has files of users that this runner does not have any more"),
        "{failure}"
    );
}

#[test]
fn one_user_id_is_enough_for_what_is_roots() {
    require_users!();
    require_tools!("docker-registry");
    let registry = Registry::start();
    let other = Runner::new();
    let mut base = job(&other, &format!("{BUSYBOX}RUN echo x > /theirs && chown 5:6 /theirs\n"));
    let base_image = registry.repository("base");
    base["plan"]["dst_registry"] = serde_json::json!({"RegistryType": "private_oci", "Repository": base_image, "PlainHTTP": true});
    Builder::Buildah.run(&other, &base).done().succeeded();

    let dockerfile = format!("FROM {base_image}:1\nRUN mkdir /d && echo y > /d/ours\nRUN rm -rf /d && mkdir /d\n");
    let runner = Runner::new();
    let plan = job(&runner, &dockerfile);
    let done = run(&runner, Rights::One, &plan).done();
    assert!(done.stderr().contains("files of other users than root become root's"), "{}", done.stderr());
    assert_eq!(digest(&done.succeeded()), digest(&as_root(&dockerfile)));

    give(&runner.work(), "0");
    let plan = job(&runner, &format!("{BUSYBOX}USER 1000\nWORKDIR /home/x\n"));
    let failure = run(&runner, Rights::One, &plan).done().failed(1, "ToolFailed");
    assert!(failure["message"].as_str().unwrap().contains("a range in /etc/subuid and /etc/subgid"), "{failure:#}");
    assert!(runner.leftovers().is_empty(), "{:?}", runner.leftovers());
}

#[test]
fn steps_run_with_one_user_id_in_a_container() {
    require_users!();
    let runner = Runner::new();
    let dockerfile = format!("{BUSYBOX}RUN id && mkdir /d && echo x > /d/ours\nRUN chown 5:6 /d/ours\n");
    let mut plan = job(&runner, &dockerfile);
    plan["plan"]["docker_build_plan"]["network"] = "host".into();
    let failure = run(&runner, Rights::Contained, &plan).done().failed(1, "ToolFailed");
    let message = failure["message"].as_str().unwrap();
    assert!(message.contains("Dockerfile:5: 'RUN chown 5:6 /d/ours'") && message.contains("capabilities SETUID and SETGID"), "{message}");
    assert!(!message.contains("level=warning"), "{message}");
    let dockerfile = dockerfile.replace("chown 5:6", "cat");
    give(&runner.work(), "0");
    job(&runner, &dockerfile);
    run(&runner, Rights::Contained, &plan).done().succeeded();
    assert!(runner.leftovers().is_empty(), "{:?}", runner.leftovers());
}

#[test]
fn a_store_that_mounts_nothing_is_kept_as_copies() {
    require_users!();
    let runner = Runner::new();
    // What buildah takes an overlay to be possible with, whether or not there is a /dev/fuse.
    let programs = runner.work().parent().unwrap().join("programs");
    fs::create_dir_all(&programs).unwrap();
    let program = programs.join("fuse-overlayfs");
    fs::write(&program, "#!/bin/sh\necho fuse: device not found >&2\nexit 1\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let plan = job(&runner, &format!("{BUSYBOX}RUN echo x > /x\n"));
    let done = run(&runner, Rights::Overlay, &plan).env("PATH", format!("{}:{PATH}", programs.display())).done();
    assert!(done.stderr().contains("kept as copies (vfs), for overlay does not work here"), "{}", done.stderr());
    done.succeeded();
}

#[test]
fn a_volume_that_root_gave_is_a_state_folder() {
    require_users!();
    let runner = Runner::new();
    let state = runner.state();
    let doctor = || {
        let doctor = runner.command(["doctor", "--output", "json"]).arg("--state-dir").arg(&state);
        through(&runner, Rights::One, doctor)
    };
    fs::create_dir_all(&state).unwrap();
    for (mode, ready) in [(0o777, true), (0o1777, false), (0o755, false)] {
        let doctor = doctor();
        give(&state, "0");
        fs::set_permissions(&state, fs::Permissions::from_mode(mode)).unwrap();
        let rows: Vec<Value> = serde_json::from_str(doctor.done().stdout()).unwrap();
        assert_eq!(rows[0]["ready"], ready, "{mode:o}: {}", rows[0]);
    }
    assert_eq!(fs::metadata(state.join("cache")).unwrap().permissions().mode() & 0o7777, 0o700);
}

#[test]
fn without_user_namespaces_doctor_says_so_before_a_job_does() {
    require_users!();
    let runner = Runner::new();
    let failure = run(&runner, Rights::None, &job(&runner, BUSYBOX)).done().failed(1, "ToolMissing");
    let message = failure["message"].as_str().unwrap();
    assert!(message.contains("user 65532 may make none") && message.contains("sysctls user.max_user_namespaces"), "{message}");
    let doctor = runner.command(["doctor", "--output", "json", "--docker-backend", "buildah"]).arg("--state-dir").arg(runner.state());
    let rows: Run = through(&runner, Rights::None, doctor).done();
    let rows: Vec<Value> = serde_json::from_str(rows.stdout()).unwrap();
    let row = rows.iter().find(|row| row["name"] == "docker-build").unwrap();
    assert_eq!(row["ready"], false, "{row}");
    assert!(row["detail"].as_str().unwrap().contains("user namespaces") && row["remedy"].as_str().unwrap().contains("seccomp"), "{row}");
}

#[test]
fn a_cancelled_and_a_killed_build_leave_nothing_behind() {
    require_users!();
    let seconds = 200_000 + std::process::id();
    let sleep = format!("sleep {seconds}");
    let hanging = format!(
        "{BUSYBOX}RUN --mount=type=cache,target=/c trap '' TERM INT HUP; mkdir -m 700 /c/x; chown 5:5 /c/x; setsid {sleep} & echo hanging-$((1+1)); \
         while true; do {sleep}; done\n"
    );
    let runner = Runner::new();
    let store = runner.state().join("cache/docker-build/buildah/0");
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        give(&runner.work(), "0");
        let spawned = run(&runner, Rights::Range, &job(&runner, &hanging)).spawn();
        spawned.line("hanging-2");
        assert!(!processes_with(&sleep).is_empty());
        spawned.signal(signal);
        if signal == Signal::SIGTERM {
            assert_eq!(spawned.done().receipt()["outcome"], "cancelled");
        } else {
            drop(spawned);
            give(&runner.work(), "0");
            // The next start sweeps, and the next build finds its store clean.
            run(&runner, Rights::Range, &job(&runner, &format!("{BUSYBOX}RUN echo built\n"))).done().succeeded();
        }
        assert_eq!(processes_with(&sleep), [0; 0], "{signal}");
        assert!(!store.join("tmp").exists() && !store.join("owner").exists(), "{signal}");
        assert!(runner.leftovers().is_empty(), "{:?}", runner.leftovers());
    }
}
