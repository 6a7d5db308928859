//! The command lines.

use std::ffi::OsString;

use super::{files::Files, sandbox::Sandbox};
use crate::{
    executor::{
        Context,
        docker_build::{Handle, Network, Request},
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
    pub(super) fn build(&self, request: &Request, handle: &Handle, platform: Option<&str>, mark: u64, dated: bool) -> Command {
        let mut args: Vec<OsString> = Vec::new();
        let mut flag = |name: &str, value: OsString| args.extend([OsString::from(name), value]);
        let isolation = self.sandbox.isolation;
        flag("--isolation", isolation.as_str().into());
        if let Some(runtime) = isolation.runtime() {
            flag("--runtime", runtime.into());
            let mut state = OsString::from("root=");
            state.push(self.cx.workspace.root().join("runtime"));
            flag("--runtime-flag", state);
        }
        if isolation.as_str() == "oci" {
            flag("--cgroup-parent", format!("/{}", handle.name).into());
        }
        let network = if request.network == Network::None { "none" } else { "host" };
        flag("--network", network.into());
        flag("--format", "oci".into());
        flag("--timestamp", mark.to_string().into());
        flag("--iidfile", self.files.path("iid").into());
        flag("--file", request.dockerfile.clone().into());
        let mut ignore = request.dockerfile.clone().into_os_string();
        ignore.push(".dockerignore");
        if std::path::Path::new(&ignore).is_file() {
            flag("--ignorefile", ignore);
        }
        if let Some(policy) = &self.files.policy {
            flag("--signature-policy", policy.clone().into());
        }
        if self.files.certificates {
            flag("--cert-dir", self.files.path("certs").into());
        }
        if let Some(platform) = platform {
            flag("--platform", platform.into());
        }
        if let Some(target) = &request.target {
            flag("--target", target.into());
        }
        for (name, value) in request.build_args.iter().filter(|(name, _)| dated || name != "SOURCE_DATE_EPOCH") {
            flag("--build-arg", format!("{name}={value}").into());
        }
        for (name, value) in &request.labels {
            flag("--label", format!("{name}={value}").into());
        }
        for (id, file) in &request.secrets {
            let mut secret = OsString::from(format!("id={id},src="));
            secret.push(file);
            flag("--secret", secret);
        }
        if let Some(socket) = &request.ssh_agent {
            let mut agent = OsString::from("default=");
            agent.push(socket);
            flag("--ssh", agent);
        }
        if let Some(import) = request.cache.import.first() {
            flag("--cache-from", untagged(import).into());
        }
        if let Some(export) = &request.cache.export {
            flag("--cache-to", untagged(export).into());
        }
        if !request.cache.local {
            args.push("--no-cache".into());
        }
        let fixed = ["--layers", "--pull=always", "--force-rm", "--identity-label=false", "--http-proxy=false"];
        self.buildah().arg("build").args(fixed).args(args).arg(&request.context).cwd(&request.context)
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
