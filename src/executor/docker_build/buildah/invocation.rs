//! The command lines.

use std::{ffi::OsString, io, path::Path};

use super::{dialect, files::Files, sandbox::Sandbox};
use crate::{
    executor::{
        Context,
        docker_build::{
            Handle, Network, Request,
            dockerfile::Dockerfile,
            flags::{Flags, assign, field},
            short,
        },
    },
    process::Command,
};

/// Everything a command of one build needs.
pub(super) struct Invocation<'a> {
    pub(super) cx: &'a Context,
    pub(super) sandbox: Sandbox,
    pub(super) files: &'a Files,
}

impl Invocation<'_> {
    /// `buildah` with its own configuration and nobody else's.
    fn buildah(&self) -> Command {
        let run = self.cx.workspace.tmp();
        self.sandbox
            .command("buildah", |program| self.cx.workspace.command(program))
            .env("CONTAINERS_STORAGE_CONF", self.files.path("storage.conf"))
            .env("CONTAINERS_CONF", self.files.path("containers.conf"))
            .env("HOME", self.files.path("home"))
            .env("REGISTRY_AUTH_FILE", self.files.path("auth.json"))
            .env("DOCKER_CONFIG", self.cx.workspace.home())
            .env("XDG_RUNTIME_DIR", run)
            .env("TMPDIR", &self.files.tmp)
            .args(&self.files.rootless)
            .arg("--registries-conf-dir")
            .arg(self.files.path("registries.d"))
            .arg("--short-name-alias-conf")
            .arg(self.files.path("aliases.conf"))
            .arg("--default-mounts-file")
            .arg(self.files.path("mounts.conf"))
            .remedy(crate::executor::Tool::BUILDAH.install)
    }

    /// A command on the store alone.
    pub(super) fn store(&self, args: &[&str]) -> Command {
        self.buildah().args(args)
    }

    /// Builds one platform; the image's id goes to the file `iid`.
    pub(super) fn build(&self, request: &Request, handle: &Handle, dockerfile: &Dockerfile, platform: Option<&str>, mark: u64) -> Command {
        let mut flags = Flags::default();
        let isolation = self.sandbox.isolation;
        flags.value("--isolation", isolation.as_str());
        if let Some(runtime) = isolation.runtime() {
            flags.value("--runtime", runtime);
            flags.value("--runtime-flag", assign("root", self.cx.workspace.root().join("runtime").as_os_str()));
        }
        // Without a process namespace of the build there can be none of its steps, which would need a `/proc` of their own.
        if self.sandbox.shares_processes() {
            flags.value("--pid", "host");
        }
        if isolation.as_str() == "oci" {
            flags.value("--cgroup-parent", format!("/{}", handle.name));
        }
        flags.value("--network", if request.network == Network::None { "none" } else { "host" });
        flags.value("--format", dialect::format(dockerfile));
        flags.value("--timestamp", mark.to_string());
        flags.value("--iidfile", self.files.path("iid"));
        // A list of names, as CSV.
        flags.value("--file", field(request.dockerfile.as_os_str()));
        let mut ignore = request.dockerfile.clone().into_os_string();
        ignore.push(".dockerignore");
        if Path::new(&ignore).is_file() {
            flags.value("--ignorefile", ignore);
        }
        if let Some(policy) = &self.files.policy {
            flags.value("--signature-policy", policy);
        }
        if self.files.certificates {
            flags.value("--cert-dir", self.files.path("certs"));
        }
        if let Some(platform) = platform {
            flags.value("--platform", platform);
        }
        let dated = dockerfile.mentions("SOURCE_DATE_EPOCH");
        // Unlike the others it asks for the very letters of the Dockerfile.
        let target = request.target.as_deref().map(|target| dockerfile.stage_name(target).unwrap_or_else(|| target.to_owned()));
        flags.wishes(request, target.as_deref(), |name| dated || name != "SOURCE_DATE_EPOCH");
        flags.mounts(request);
        if let Some(import) = request.cache.import.first() {
            flags.value("--cache-from", untagged(import));
        }
        if let Some(export) = &request.cache.export {
            flags.value("--cache-to", untagged(export));
        }
        let fixed = ["--layers", "--pull=always", "--force-rm", "--identity-label=false", "--http-proxy=false"];
        let buildah = self.buildah();
        let buildah = if request.ssh_agent.is_some() { buildah.env("TMPDIR", short::name(handle)) } else { buildah };
        buildah.arg("build").args(fixed).args(flags).arg(&request.context).cwd(&request.context)
    }

    /// An image of nothing, whose container has to be mounted nevertheless, and the end of it. buildah leaves a container mounted that it is not told to
    /// remove, and knows `--force-rm` with `--layers` alone.
    pub(super) fn trial(&self) -> io::Result<[Command; 2]> {
        let (file, nothing) = (self.files.path("trial.Dockerfile"), self.files.path("trial"));
        fs_err::write(&file, "FROM scratch\n")?;
        fs_err::create_dir_all(&nothing)?;
        let build = self
            .buildah()
            .args(["build", "--quiet", "--layers", "--force-rm", "--isolation", "chroot", "--file"])
            .arg(file)
            .args(self.policy())
            .arg(nothing);
        Ok([build, self.store(&["rmi", "--all", "--force"])])
    }

    /// Writes an image of the store into the layout at `out`, under the name `number`.
    pub(super) fn push(&self, image: &str, out: &Path, number: usize) -> Command {
        self.push_to(image, in_layout(out, number), None)
    }

    /// Writes an image of the store into a folder, with layers as they are.
    pub(super) fn unpack(&self, image: &str, folder: &Path) -> Command {
        let mut target = OsString::from("dir:");
        target.push(folder);
        self.push_to(image, target, Some("--disable-compression"))
    }

    fn push_to(&self, image: &str, target: OsString, more: Option<&str>) -> Command {
        self.buildah().args(["push", "--quiet", "--format", "oci"]).args(more).args(self.policy()).arg(image).arg(target)
    }

    /// Copies an image from one layout to another and compresses its layers, by way of the list `list`.
    pub(super) fn compress(&self, list: &str, from: &Path, out: &Path, number: usize) -> [Command; 3] {
        let manifest = |verb: &str| self.buildah().args(["manifest", verb]);
        let push = manifest("push").args(["--all", "--rm", "--quiet", "--format", "oci"]).args(self.policy());
        [manifest("create").arg(list), manifest("add").arg(list).arg(in_layout(from, number)), push.arg(list).arg(in_layout(out, number))]
    }

    fn policy(&self) -> impl Iterator<Item = OsString> {
        self.files.policy.iter().flat_map(|policy| [OsString::from("--signature-policy"), policy.clone().into()])
    }
}

/// `oci:FOLDER:NUMBER`.
fn in_layout(folder: &Path, number: usize) -> OsString {
    let mut text = OsString::from("oci:");
    text.push(folder);
    text.push(format!(":{number}"));
    text
}

/// buildah keeps a cache in a repository, and makes up the tags.
fn untagged(reference: &str) -> &str {
    let reference = reference.split_once('@').map_or(reference, |(name, _)| name);
    match reference.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => reference,
    }
}

#[cfg(test)]
mod tests {
    use super::untagged;

    #[test]
    fn caches_are_repositories() {
        for (reference, repository) in
            [("h:5000/a/b:1", "h:5000/a/b"), ("h:5000/a", "h:5000/a"), ("a/b@sha256:00", "a/b"), ("a:1@sha256:0", "a")]
        {
            assert_eq!(untagged(reference), repository);
        }
    }
}
