//! The container image of the `Dockerfile`: built with buildah, compiled in it, and run as the user it names.
//!
//! A build in a test has no network. The base images are Debian roots made of packages (`scripts/base-image`); the compiler
//! and cargo's registry are this machine's, mounted read-only. The image's target folder is kept beside the tools, so that
//! only the first build compiles the dependencies.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::statfs::{OVERLAYFS_SUPER_MAGIC, statfs};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::tools;

const CHECKOUT: &str = env!("CARGO_MANIFEST_DIR");
/// The user of the image.
const RUNNER: u32 = 65532;
/// Quick to compile rather than quick to run: the steps are those of a real build.
const CARGO_FLAGS: &str = "--offline --config profile.release.lto=false --config profile.release.opt-level=1 \
                           --config profile.release.codegen-units=16 --config profile.release.incremental=true";

#[test]
fn the_image_is_built_and_runs_without_rights() {
    require_tools!("buildah", "mmdebstrap");
    if !nix::unistd::geteuid().is_root() {
        not_run!("building an image with chroot isolation needs root");
    }
    let buildah = Buildah::new();
    let image = buildah.build();

    let config: Value = serde_json::from_str(&buildah.run(["inspect", "--type", "image", &image])).unwrap();
    let config = &config["OCIv1"]["config"];
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["Entrypoint"], serde_json::json!(["/usr/local/bin/build-runner"]));
    let size = buildah.run(["images", "--format", "{{.Size}}", &image]);
    println!("size of the image: {}", size.trim());

    let container = buildah.run(["from", "--pull-never", &image]).trim().to_owned();
    let inside = |volumes: &[String], args: &[&str]| buildah.run_inside(&container, volumes, args);
    assert_eq!(inside(&[], &["id", "-u"]).trim(), "65532");
    assert!(inside(&[], &["build-runner", "version"]).starts_with(&format!("build-runner {}", env!("CARGO_PKG_VERSION"))));
    assert!(inside(&[], &["git", "--version"]).starts_with("git version 2."));
    let doctor: Value = serde_json::from_str(&inside(&[], &["build-runner", "doctor", "--output", "json"])).unwrap();
    let state = doctor.as_array().unwrap().iter().find(|row| row["name"] == "state folder").unwrap();
    assert_eq!((&state["ready"], &state["detail"]), (&Value::Bool(true), &Value::from("/var/lib/build-runner/state")));

    let jobs = buildah.root.path().join("jobs");
    fs::create_dir(&jobs).unwrap();
    let plan = serde_json::json!({"git_source": {"url": "/fixtures/charts/sample"}, "helm_build_plan": {}});
    fs::write(jobs.join("job.json"), serde_json::json!({"type": "helm-chart-build", "plan": plan}).to_string()).unwrap();
    chown(&jobs, Some(RUNNER), Some(RUNNER)).unwrap();
    let volumes = [format!("{}:/jobs", jobs.display()), format!("{CHECKOUT}/fixtures:/fixtures:ro")];
    let run = ["build-runner", "run", "--job-file", "/jobs/job.json", "--destination", "oci-layout:/jobs/chart", "--output", "json"];
    let receipt: Value = serde_json::from_str(&inside(&volumes, &run)).unwrap();
    assert_eq!(receipt["outcome"], "succeeded", "{receipt}");
    let digest = receipt["outputs"]["artifacts"][0]["digest"].as_str().unwrap();
    assert!(jobs.join("chart/blobs/sha256").join(digest.trim_start_matches("sha256:")).is_file(), "{receipt}");
}

/// buildah with a storage of its own, gone with this.
struct Buildah {
    root: TempDir,
    policy: PathBuf,
}

impl Buildah {
    fn new() -> Self {
        let root = tempfile::Builder::new().prefix("image-").tempdir().unwrap();
        let dir = root.path();
        // Layers that need no copies, except where the folder is on an overlay itself.
        let driver = if statfs(dir).unwrap().filesystem_type() == OVERLAYFS_SUPER_MAGIC { "vfs" } else { "overlay" };
        let storage = format!("[storage]\ndriver = \"{driver}\"\nrunroot = \"{0}/run\"\ngraphroot = \"{0}/graph\"\n", dir.display());
        fs::write(dir.join("storage.conf"), storage).unwrap();
        let policy = dir.join("policy.json");
        fs::write(&policy, r#"{"default": [{"type": "insecureAcceptAnything"}]}"#).unwrap();
        Self { root, policy }
    }

    fn command(&self) -> Command {
        let mut command = tools::command("buildah");
        command.env("CONTAINERS_STORAGE_CONF", self.root.path().join("storage.conf")).env("BUILDAH_ISOLATION", "chroot");
        command.env("TMPDIR", self.root.path());
        command
    }

    fn run<const N: usize>(&self, args: [&str; N]) -> String {
        finished(self.command().args(args))
    }

    /// Builds the Dockerfile as it stands, and gives the image's id.
    fn build(&self) -> String {
        let runtime = self.base_image(["runtime", "ca-certificates", "git"]);
        let builder = self.base_image(["builder", "gcc", "libc6-dev"]);
        let cache = tools::tools_bin().with_file_name("image-target");
        fs::create_dir_all(&cache).unwrap();
        let mut command = self.command();
        command.args(["build", "--quiet", "--layers=false", "--pull-never", "--signature-policy"]).arg(&self.policy);
        command.args(["--build-arg", &format!("BUILDER_IMAGE={builder}"), "--build-arg", &format!("RUNTIME_IMAGE={runtime}")]);
        command.args(["--build-arg", &format!("CARGO_FLAGS={CARGO_FLAGS}")]);
        for part in ["bin", "lib"] {
            command.args(["--volume", &format!("{}/{part}:/usr/local/cargo/{part}:ro", sysroot().display())]);
        }
        command.args(["--build-arg", "CARGO_HOME=/usr/local/cargo/home"]);
        command.args(["--volume", &format!("{}:/usr/local/cargo/home/registry:ro", cargo_registry().display())]);
        command.args(["--volume", &format!("{}:/src/target", cache.display())]);
        finished(command.arg(CHECKOUT)).trim().to_owned()
    }

    /// The id of the base image that `scripts/base-image` makes of these packages.
    fn base_image<const N: usize>(&self, args: [&str; N]) -> String {
        let mut script = Command::new(Path::new(CHECKOUT).join("scripts/base-image"));
        let archive = finished(script.args(args).env("PATH", tools::path()));
        let policy = self.policy.to_str().unwrap();
        self.run(["pull", "--quiet", "--signature-policy", policy, archive.trim()]).trim().to_owned()
    }

    fn run_inside(&self, container: &str, volumes: &[String], args: &[&str]) -> String {
        let mut command = self.command();
        command.arg("run");
        for volume in volumes {
            command.args(["--volume", volume]);
        }
        finished(command.args([container, "--"]).args(args))
    }
}

impl Drop for Buildah {
    fn drop(&mut self) {
        // What is still mounted keeps the folder from being removed.
        let _ = self.command().args(["rm", "--all"]).output();
    }
}

/// The toolchain that this test was compiled with.
fn sysroot() -> PathBuf {
    finished(Command::new("rustc").args(["--print", "sysroot"]).current_dir(CHECKOUT)).trim().into()
}

fn cargo_registry() -> PathBuf {
    let home = std::env::var_os("CARGO_HOME").map_or_else(|| Path::new(&std::env::var_os("HOME").unwrap()).join(".cargo"), PathBuf::from);
    home.join("registry")
}

/// Standard output of a command that may take minutes: the first build compiles everything.
fn finished(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{stdout}{stderr}", output.status);
    stdout.into_owned()
}
