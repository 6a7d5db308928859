//! The command itself: which one is here, how it is called, what its failures mean.

use std::path::{Path, PathBuf};

use crate::{
    executor::{Context, shared::tool::Tool},
    job::{Failure, FailureKind},
    process::{self, Command, Environment, Finished, Output},
};

use super::{super::manifests::MAX_BYTES, tree::Allowed};

/// The variables a proxy's password may stand in.
const PROXIES: [&str; 6] = ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];

/// What kustomize, helm and git say of a server that cannot be reached just now (Go's `net`, kustomize's `ErrHTTP`, libcurl).
const UNREACHABLE: [&str; 14] = [
    "connection refused",
    "connection reset",
    "network is unreachable",
    "no route to host",
    "no such host",
    "i/o timeout",
    "handshake timeout",
    "Client.Timeout exceeded",
    "Could not resolve host",
    "Failed to connect to",
    "HTTP Error: status code 5",
    "HTTP Error: status code 429",
    "503 Service Unavailable",
    "429 Too Many Requests",
];

/// A command that builds kustomizations.
pub(super) struct Kustomize {
    program: &'static str,
    verb: &'static str,
    environment: Environment,
    /// The source, whose name here says nothing to anybody.
    root: PathBuf,
}

/// `kustomize`, or else `kubectl`; `None` when neither is here.
fn present(environment: &Environment) -> Option<(&'static str, &'static str)> {
    [("kustomize", "build"), ("kubectl", "kustomize")].into_iter().find(|(program, _)| environment.find(program).is_some())
}

/// What can be built here, for people; never a reason not to take jobs, of which most need no command.
pub(in super::super) async fn readiness() -> String {
    match Tool::KUSTOMIZE.look().await {
        Ok(found) => format!("inline, oci_artifact, and kustomize by {}", found.version),
        Err(_) if Environment::of_runner(Path::new("/nonexistent"), Path::new("/nonexistent")).find("kubectl").is_some() => {
            "inline, oci_artifact, and kustomize by kubectl".to_owned()
        }
        Err(why) => format!("inline and oci_artifact; kustomizations fail, since {why}: {}", Tool::KUSTOMIZE.install),
    }
}

impl Kustomize {
    /// The command of this machine. When there is none, [`Self::build`] says so.
    pub(super) fn find(cx: &Context, root: &Path) -> Self {
        let environment = cx.workspace.environment();
        let (program, verb) = present(&environment).unwrap_or(("kustomize", "build"));
        Self { program, verb, environment: private(environment, &cx.workspace.home()), root: root.to_owned() }
    }

    /// An error when Helm is not here.
    pub(super) fn require_helm(&self) -> Result<(), Failure> {
        if self.environment.find("helm").is_some() {
            return Ok(());
        }
        let message =
            format!("'helm' is not installed on this machine, and the kustomization has Helm charts in it: {}", Tool::HELM.install);
        Err(Failure::new(FailureKind::ToolMissing, message).with_tool("helm", None))
    }

    /// Builds `folder`. `fetches` says whether anything has to come over the network.
    pub(super) async fn build(&self, cx: &Context, folder: &Path, allowed: Allowed, fetches: bool) -> Result<Finished, Failure> {
        let mut command = Command::new(self.program, &self.environment)
            .arg(self.verb)
            .arg(folder)
            .args(["--load-restrictor", if allowed.any_file { "LoadRestrictionsNone" } else { "LoadRestrictionsRootOnly" }])
            .cwd(&self.root)
            .grace(cx.workspace.kill_grace())
            .stdout(Output::Capture { limit: MAX_BYTES })
            .stderr(Output::Log)
            .remedy(format!("{} (kubectl, which has a copy of it, will do)", Tool::KUSTOMIZE.install));
        if allowed.helm {
            command = command.args(["--enable-helm", "--helm-command", "helm"]);
        }
        if !fetches {
            // A generator can read any variable of its environment into an object (`envs` without a value).
            for name in PROXIES {
                command = command.env(name, "");
            }
        }
        command.run(&cx.cancel, &cx.log).await.and_then(Finished::success).map_err(|error| self.explain(error, fetches))
    }

    /// The failure of a command, without the names of folders that only this machine has.
    fn explain(&self, error: process::Error, fetches: bool) -> Failure {
        let mut failure = Failure::from(error);
        let root = self.root.display().to_string();
        let workspace = self.root.parent().map_or_else(String::new, |folder| folder.display().to_string());
        for text in failure.texts_mut() {
            *text = text.replace(&format!("{root}/"), "").replace(&root, ".");
            if !workspace.is_empty() {
                *text = text.replace(&format!("{workspace}/"), "");
            }
        }
        let message = failure.message.clone();
        let says = |needle: &str| message.contains(needle);
        if failure.kind != FailureKind::ToolFailed {
            return failure;
        }
        // First, because a base that cannot be fetched is then looked for as a folder, too.
        if fetches && UNREACHABLE.into_iter().any(says) {
            let kind = FailureKind::SourceUnavailable;
            return Failure { kind, fault: kind.fault(), retryable: kind.retryable(), ..failure };
        }
        if says("security; file") {
            failure.kind = FailureKind::InvalidSource;
            failure.message.push_str("; move the file below the kustomization, or set kustomize_config.load_restrictor to none");
        } else if says("no such file or directory") || says("unable to find one of") {
            failure.kind = FailureKind::InvalidSource;
        }
        failure
    }
}

/// Folders of its own for everything that tools like to keep at home, and no prompts.
fn private(environment: Environment, home: &Path) -> Environment {
    let folders = [
        ("XDG_CONFIG_HOME", "config"),
        ("XDG_CACHE_HOME", "cache"),
        ("XDG_DATA_HOME", "data"),
        ("HELM_CONFIG_HOME", "helm/config"),
        ("HELM_CACHE_HOME", "helm/cache"),
        ("HELM_DATA_HOME", "helm/data"),
        ("HELM_PLUGINS", "helm/plugins"),
        ("KUSTOMIZE_PLUGIN_HOME", "kustomize-plugins"),
    ];
    let environment = folders.into_iter().fold(environment, |all, (name, folder)| all.with(name, home.join(folder)));
    environment.with("GIT_TERMINAL_PROMPT", "0").with("GIT_CONFIG_GLOBAL", "/dev/null").with("GIT_CONFIG_NOSYSTEM", "1")
}
