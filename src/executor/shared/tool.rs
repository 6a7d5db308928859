//! The programs that executors start: what each is for, which version is here, and how it is installed.
//!
//! Inputs: the runner's own `PATH`. Outputs: a version line, or why there is none. Invariants: every program that some executor may
//! start is in [`Tool::ALL`], so that `doctor` names it; looking at one starts it with its version flag and nothing else, for
//! [`PATIENCE`] at most. Called by the probes of executors and by `doctor`.

use std::{fmt, path::Path, time::Duration};

use crate::{
    logs::JobLog,
    process::{Command, Environment, Error, Finished, Output},
    shutdown::Cancel,
};

/// How long a tool may take to say its version.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most bytes that a version may be long.
const ANSWER: usize = 64 << 10;
/// Most characters of a version that are shown.
const SHOWN: usize = 80;

/// A program that some executor may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tool {
    /// Its name on `PATH`.
    pub name: &'static str,
    /// What works only with it.
    pub purpose: &'static str,
    /// The command that installs it.
    pub install: &'static str,
    version: &'static [&'static str],
}

/// A tool that is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it says its version is, in one line that begins with its name.
    pub version: String,
    /// Its file.
    pub file: std::path::PathBuf,
}

/// Why a tool cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// There is no such program.
    #[error("{0} is not installed")]
    Missing(&'static str),
    /// It is there and does not work.
    #[error("{name} does not answer {flag}: {why}")]
    Broken {
        /// The tool.
        name: &'static str,
        /// What it was asked.
        flag: &'static str,
        /// What came instead.
        why: String,
    },
}

impl Tool {
    /// Sources in git repositories.
    pub const GIT: Self =
        Self { name: "git", purpose: "sources in git repositories", install: "apt-get install git", version: &["--version"] };
    /// Large files of git repositories.
    pub const GIT_LFS: Self =
        Self { name: "git-lfs", purpose: "files kept in Git LFS", install: "apt-get install git-lfs", version: &["--version"] };
    /// Git over ssh.
    pub const SSH: Self = Self { name: "ssh", purpose: "ssh:// repositories", install: "apt-get install openssh-client", version: &["-V"] };
    /// Renders kustomizations.
    pub const KUSTOMIZE: Self = Self {
        name: "kustomize",
        purpose: "kubernetes-manifest-build of a kustomization",
        install: "go install sigs.k8s.io/kustomize/kustomize/v5@v5.8.2",
        version: &["version"],
    };
    /// Renders the charts that kustomizations name.
    pub const HELM: Self = Self {
        name: "helm",
        purpose: "kustomizations with enable_helm",
        install: "go install helm.sh/helm/v4/cmd/helm@v4.3.1",
        version: &["version", "--short"],
    };
    /// The client of BuildKit.
    pub const BUILDCTL: Self = Self {
        name: "buildctl",
        purpose: "docker-build by BuildKit",
        install: "see https://github.com/moby/buildkit/releases",
        version: &["--version"],
    };
    /// Builds images without a daemon.
    pub const BUILDAH: Self =
        Self { name: "buildah", purpose: "docker-build by buildah", install: "apt-get install buildah", version: &["--version"] };

    /// The client of the Docker engine.
    pub const DOCKER: Self =
        Self { name: "docker", purpose: "docker-build by a Docker engine", install: "apt-get install docker.io", version: &["--version"] };

    /// All of them.
    pub const ALL: &'static [Self] =
        &[Self::GIT, Self::GIT_LFS, Self::SSH, Self::KUSTOMIZE, Self::HELM, Self::BUILDCTL, Self::BUILDAH, Self::DOCKER];

    /// Whether it is here and works.
    ///
    /// # Errors
    /// [`Unusable`]; [`Self::install`] is the remedy.
    pub async fn look(&self) -> Result<Found, Unusable> {
        // They have to exist: buildah looks at both before it says anything.
        let environment = Environment::of_runner(Path::new("/"), Path::new("/tmp"));
        // And before that it makes folders for its user, which fails where there is nothing to write to; for root it makes none.
        let environment = environment.with("_CONTAINERS_ROOTLESS_UID", "0");
        let Some(file) = environment.find(self.name) else { return Err(Unusable::Missing(self.name)) };
        let broken = |why: String| Unusable::Broken { name: self.name, flag: self.version[0], why };
        let capture = Output::Capture { limit: ANSWER };
        let command = Command::new(file.clone(), &environment).args(self.version).stdout(capture).stderr(capture).cwd("/");
        let (cancel, log) = (Cancel::new(), JobLog::discard());
        // A tool that hangs is killed with its future.
        let done = match tokio::time::timeout(PATIENCE, command.run(&cancel, &log)).await {
            Ok(done) => done.and_then(Finished::success).map_err(|error| broken(reason(&error)))?,
            Err(_) => return Err(broken(format!("no answer in {} s", PATIENCE.as_secs()))),
        };
        // ssh answers on standard error.
        let said = if done.stdout.trim_ascii().is_empty() { &done.stderr } else { &done.stdout };
        Ok(Found { version: self.version_line(&String::from_utf8_lossy(said)), file })
    }

    /// One line that begins with the tool's name, whatever it printed.
    fn version_line(&self, said: &str) -> String {
        let line: String = said.trim().lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(SHOWN).collect();
        if line.to_lowercase().contains(self.name) { line } else { format!("{} {line}", self.name) }
    }
}

/// The error, with the last thing the tool said.
fn reason(error: &Error) -> String {
    match error {
        Error::Failed { tail, .. } if !tail.is_empty() => {
            let last: String = tail.last().into_iter().flat_map(|line| line.chars()).filter(|c| !c.is_control()).take(2 * SHOWN).collect();
            format!("{error}: {last}")
        }
        other => other.to_string(),
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Tool = Tool { name: "no-such-tool-of-anybody", purpose: "nothing", install: "wish", version: &["--version"] };

    #[tokio::test]
    async fn a_tool_is_there_or_missing_or_broken() {
        let shell = Tool { name: "sh", version: &["-c", "echo one; echo two"], ..NONE };
        assert_eq!(shell.look().await.unwrap().version, "sh one");
        assert_eq!(Tool { version: &["-c", "echo sh 1.2 >&2"], ..shell }.look().await.unwrap().version, "sh 1.2");
        assert_eq!(NONE.look().await.unwrap_err().to_string(), "no-such-tool-of-anybody is not installed");
        let broken = Tool { version: &["-c", "echo because >&2; exit 3"], ..shell }.look().await.unwrap_err();
        assert!(matches!(&broken, Unusable::Broken { name: "sh", flag: "-c", .. }), "{broken}");
    }

    #[test]
    fn a_version_is_one_short_line_that_names_the_tool() {
        assert_eq!(Tool::GIT.version_line("git version 2.39.5\nmore"), "git version 2.39.5");
        assert_eq!(Tool::KUSTOMIZE.version_line("v5.8.2\n"), "kustomize v5.8.2");
        assert_eq!(Tool::SSH.version_line("OpenSSH_9.2p1"), "OpenSSH_9.2p1");
        assert_eq!(Tool::HELM.version_line("\u{1b}[31mv4\n").as_str(), "helm [31mv4");
        assert!(Tool::GIT.version_line(&"x".repeat(5000)).len() < 100);
    }
}
