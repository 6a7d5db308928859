//! The container images of the `Dockerfile`, slim and full: built with buildah, compiled in it, and run as the user they name.
//!
//! A build in a test has no network. The base images are Debian roots made of packages (`scripts/base-image`), that of the full image
//! with its tools; the compiler and cargo's registry are this machine's, mounted read-only. The image's target folder is kept
//! beside the tools, so that only the first build compiles the dependencies.

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

/// What the full image has and the slim one has not.
const TOOLS: &[&str] = &["git", "git-lfs", "ssh", "kustomize", "helm", "buildctl", "buildah"];

#[test]
fn both_images_are_built_and_run_without_rights() {
    require_tools!("buildah", "mmdebstrap", "kustomize", "helm", "buildctl");
    if !nix::unistd::geteuid().is_root() {
        not_run!("building an image with chroot isolation needs root");
    }
    let buildah = Buildah::new();
    let builder = buildah.base_image(&["builder", "gcc", "libc6-dev"]);
    let bare = buildah.base_image(&["slim", "ca-certificates"]);
    let tools = buildah.with_programs(&bare, &["kustomize", "helm", "buildctl"]);
    let slim = buildah.build("slim", &builder, &bare, &tools);
    let packages =
        ["full", "ca-certificates", "buildah", "fuse-overlayfs", "git", "git-lfs", "libcap2-bin", "openssh-client", "runc", "uidmap"];
    let full = buildah.build("full", &builder, &buildah.base_image(&packages), &tools);

    for (name, image) in [("slim", &slim), ("full", &full)] {
        let config: Value = serde_json::from_str(&buildah.run(["inspect", "--type", "image", image])).unwrap();
        let config = &config["OCIv1"]["config"];
        assert_eq!(config["User"], "65532:65532", "{name}");
        assert_eq!(config["Entrypoint"], serde_json::json!(["/usr/local/bin/build-runner"]), "{name}");
        println!("size of the {name} image: {}", buildah.run(["images", "--format", "{{.Size}}", image]).trim());
    }
    let container = buildah.container(&slim);
    container.is_nobody_special();
    for (name, row) in container.tools() {
        assert_eq!(row["ready"], false, "{row}");
        assert!(row["detail"].as_str().unwrap().starts_with(&format!("{name} is not installed")) && row["remedy"] != "", "{row}");
    }
    container.runs("helm-chart-build");

    let container = buildah.container(&full);
    container.is_nobody_special();
    for (_, row) in container.tools() {
        assert_eq!(row["ready"], true, "{row}");
    }
    container.runs("helm-chart-build");
    // With capabilities of their own they give ids to user namespaces in a container without CAP_SYS_ADMIN.
    for (program, capability) in [("newuidmap", "cap_setuid=ep"), ("newgidmap", "cap_setgid=ep")] {
        let file = format!("/usr/bin/{program}");
        assert_eq!(container.inside(&["/sbin/getcap", &file]).trim(), format!("{file} {capability}"));
    }
}

/// A container of an image.
struct Container<'a> {
    buildah: &'a Buildah,
    name: String,
}

impl Container<'_> {
    fn inside(&self, args: &[&str]) -> String {
        self.buildah.run_inside(&self.name, &[], args)
    }

    /// The runner starts as a user without rights who has a state folder.
    fn is_nobody_special(&self) {
        // newuidmap refuses a user whose group is not that of /etc/passwd.
        assert_eq!(self.inside(&["id"]).trim(), format!("uid={RUNNER}(runner) gid={RUNNER}(runner) groups={RUNNER}(runner)"));
        assert!(self.inside(&["build-runner", "version"]).starts_with(&format!("build-runner {}", env!("CARGO_PKG_VERSION"))));
        let rows = self.doctor();
        let state = rows.iter().find(|row| row["name"] == "state folder").unwrap();
        assert_eq!((&state["ready"], &state["detail"]), (&Value::Bool(true), &Value::from("/var/lib/build-runner/state")));
    }

    fn doctor(&self) -> Vec<Value> {
        serde_json::from_str(&self.inside(&["build-runner", "doctor", "--output", "json"])).unwrap()
    }

    /// What `doctor` says of each of [`TOOLS`].
    fn tools(&self) -> Vec<(&'static str, Value)> {
        let rows = self.doctor();
        let row = |name: &str| rows.iter().find(|row| row["kind"] == "tool" && row["name"] == name).unwrap().clone();
        TOOLS.iter().map(|name| (*name, row(name))).collect()
    }

    /// Runs the file of that name in `plans/` to success, as the image's user.
    fn runs(&self, job_type: &str) {
        let checkout = self.buildah.root.path().join(format!("checkout-{}", self.name));
        fs::create_dir_all(&checkout).unwrap();
        chown(&checkout, Some(RUNNER), Some(RUNNER)).unwrap();
        let mount = |name: &str| format!("{CHECKOUT}/{name}:/checkout/{name}:ro");
        let volumes = [format!("{}:/checkout/target", checkout.display()), mount("plans"), mount("fixtures")];
        let file = format!("/checkout/plans/{job_type}.json");
        let run = ["build-runner", "run", "--job-file", &file, "--output", "json"];
        let receipt: Value = serde_json::from_str(&self.buildah.run_inside(&self.name, &volumes, &run)).unwrap();
        assert_eq!(receipt["outcome"], "succeeded", "{receipt}");
        let digest = receipt["outputs"]["artifacts"][0]["digest"].as_str().unwrap().trim_start_matches("sha256:");
        let blob = checkout.join("plans-out").join(job_type).join("blobs/sha256").join(digest);
        assert!(blob.is_file(), "{}: {receipt}", blob.display());
    }
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

    /// Builds a target of the Dockerfile as it stands, and gives the image's id. The binary is compiled once for all of them.
    fn build(&self, target: &str, builder: &str, runtime: &str, tools: &str) -> String {
        let cache = tools::tools_bin().with_file_name("image-target");
        fs::create_dir_all(&cache).unwrap();
        let mut command = self.command();
        command.args(["build", "--quiet", "--layers", "--pull-never", "--target", target, "--signature-policy"]).arg(&self.policy);
        let cargo_home = "/usr/local/cargo/home";
        for (name, value) in [
            ("BUILDER_IMAGE", builder),
            ("RUNTIME_IMAGE", runtime),
            ("TOOLS_IMAGE", tools),
            ("CARGO_FLAGS", CARGO_FLAGS),
            ("CARGO_HOME", cargo_home),
        ] {
            command.args(["--build-arg", &format!("{name}={value}")]);
        }
        for part in ["bin", "lib"] {
            command.args(["--volume", &format!("{}/{part}:/usr/local/cargo/{part}:ro", sysroot().display())]);
        }
        command.args(["--volume", &format!("{}:{cargo_home}/registry:ro", cargo_registry().display())]);
        command.args(["--volume", &format!("{}:/src/target", cache.display())]);
        finished(command.arg(CHECKOUT)).trim().to_owned()
    }

    /// The id of the base image that `scripts/base-image` makes of these packages.
    fn base_image(&self, args: &[&str]) -> String {
        let mut script = Command::new(Path::new(CHECKOUT).join("scripts/base-image"));
        let archive = finished(script.args(args).env("PATH", tools::path()));
        let policy = self.policy.to_str().unwrap();
        self.run(["pull", "--quiet", "--signature-policy", policy, archive.trim()]).trim().to_owned()
    }

    /// An image with programs of this machine on top of another.
    fn with_programs(&self, image: &str, names: &[&str]) -> String {
        let container = self.container(image);
        for name in names {
            let file = tools::find(name).unwrap();
            self.run(["copy", "--quiet", &container.name, file.to_str().unwrap(), "/usr/local/bin/"]);
        }
        let policy = self.policy.to_str().unwrap();
        self.run(["commit", "--quiet", "--signature-policy", policy, &container.name, "tools"]).trim().to_owned()
    }

    fn container(&self, image: &str) -> Container<'_> {
        Container { buildah: self, name: self.run(["from", "--pull-never", image]).trim().to_owned() }
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
