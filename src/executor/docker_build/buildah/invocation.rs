//! The command lines.

use std::ffi::OsString;

use super::{dialect, files::Files, sandbox::Sandbox};
use crate::{
    executor::{
        Context,
        docker_build::{
            Handle, Network, Request,
            dockerfile::Dockerfile,
            flags::{Flags, assign},
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
            .command(self.cx)
            .env("CONTAINERS_STORAGE_CONF", self.files.path("storage.conf"))
            .env("CONTAINERS_CONF", self.files.path("containers.conf"))
            .env("CONTAINERS_REGISTRIES_CONF", self.files.path("registries.conf"))
            .env("REGISTRY_AUTH_FILE", self.files.path("auth.json"))
            .env("DOCKER_CONFIG", self.cx.workspace.home())
            .env("XDG_RUNTIME_DIR", run)
            .arg("--registries-conf")
            .arg(self.files.path("registries.conf"))
            .arg("--registries-conf-dir")
            .arg(self.files.path("registries.d"))
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
        if isolation.as_str() == "oci" {
            flags.value("--cgroup-parent", format!("/{}", handle.name));
        }
        flags.value("--network", if request.network == Network::None { "none" } else { "host" });
        flags.value("--format", dialect::format(dockerfile));
        flags.value("--timestamp", mark.to_string());
        flags.value("--iidfile", self.files.path("iid"));
        flags.value("--file", &request.dockerfile);
        let mut ignore = request.dockerfile.clone().into_os_string();
        ignore.push(".dockerignore");
        if std::path::Path::new(&ignore).is_file() {
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
        flags.wishes(request, |name| dated || name != "SOURCE_DATE_EPOCH");
        flags.mounts(request);
        if let Some(import) = request.cache.import.first() {
            flags.value("--cache-from", untagged(import));
        }
        if let Some(export) = &request.cache.export {
            flags.value("--cache-to", untagged(export));
        }
        let fixed = ["--layers", "--pull=always", "--force-rm", "--identity-label=false", "--http-proxy=false"];
        self.buildah().arg("build").args(fixed).args(flags).arg(&request.context).cwd(&request.context)
    }

    /// Writes an image into the layout at the request's place, under the name `tag`.
    pub(super) fn push(&self, request: &Request, image: &str, tag: &str) -> Command {
        let mut target = OsString::from("oci:");
        target.push(&request.out);
        target.push(format!(":{tag}"));
        let policy = self.files.policy.iter().flat_map(|policy| [OsString::from("--signature-policy"), policy.clone().into()]);
        self.buildah().args(["push", "--quiet", "--format", "oci"]).args(policy).arg(image).arg(target)
    }
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
