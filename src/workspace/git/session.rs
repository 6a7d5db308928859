//! One checkout's way of calling git: private home, private configuration, credentials at hand, nobody to ask.

use std::{
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::Duration,
};

use secrecy::ExposeSecret as _;

use super::{Error, Options, classify, config, credentials, lfs, location::Credentials};
use crate::{
    process::{self, Command, Environment, Finished, Output},
    retry::{Advice, Policy, retry},
    workspace::Cx,
};

/// Most bytes read from a git command: a list of refs at worst.
const OUTPUT: usize = 16 << 20;
/// What to tell people without git.
pub(super) const REMEDY: &str = "install git 2.32 or newer (apt-get install git, apk add git, dnf install git)";

/// What the protocols of a session are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Servers only.
    Network,
    /// Servers and folders of this machine.
    NetworkAndFiles,
}

/// Calls git for one checkout.
pub(super) struct Git<'a> {
    cx: &'a Cx<'a>,
    environment: Environment,
    credentials: Option<OwnedFd>,
    retry: Policy,
    /// Without credentials, for messages.
    pub(super) url: String,
    /// Private folder of the session: home, configuration, scratch repositories.
    pub(super) folder: PathBuf,
    /// Whether `git-lfs` is here.
    pub(super) lfs: bool,
}

impl<'a> Git<'a> {
    /// Prepares a session for the repository at `url`.
    pub(super) fn open(
        cx: &'a Cx<'a>,
        url: &str,
        credentials: Option<&Credentials>,
        reach: Reach,
        options: &Options,
    ) -> Result<Self, Error> {
        for secret in credentials.iter().flat_map(|credentials| &credentials.secrets) {
            cx.log.add_secret(secret.expose_secret());
        }
        let folder = tempfile::Builder::new().prefix("git-").tempdir_in(cx.workspace.tmp())?.keep();
        let lfs = lfs::is_installed(&cx.workspace.environment());
        let file = folder.join(".gitconfig");
        let bundle = options.ca_file.as_deref().map(|own| config::bundle(own, &folder)).transpose()?;
        fs_err::write(&file, config::text(bundle.as_deref(), credentials, lfs))?;
        let mut environment = Environment::new(cx.workspace.execution(), &folder, &cx.workspace.tmp())
            .with("GIT_CONFIG_GLOBAL", &file)
            .with("GIT_CONFIG_NOSYSTEM", "1")
            .with("GIT_ATTR_NOSYSTEM", "1")
            .with("GIT_TERMINAL_PROMPT", "0")
            .with("GIT_ASKPASS", "/bin/false")
            .with("SSH_ASKPASS_REQUIRE", "never")
            .with("GIT_SSH_COMMAND", config::ssh_command(options.ssh.as_ref()))
            .with("GIT_ALLOW_PROTOCOL", if reach == Reach::Network { "https:http:ssh:git" } else { "https:http:ssh:git:file" })
            .with("LC_ALL", "C.UTF-8")
            .with("LANGUAGE", "C");
        if lfs {
            environment = environment.with("GIT_LFS_SKIP_SMUDGE", "0");
        }
        let credentials = credentials.map(credentials::hand_over).transpose()?;
        Ok(Self { cx, environment, credentials, retry: options.retry, url: url.to_owned(), folder, lfs })
    }

    /// A command line, to be run by one of the calls below.
    pub(super) fn command<'s>(&self, repository: &Path, args: impl IntoIterator<Item = &'s str>) -> Command {
        Command::new("git", &self.environment)
            .cwd(repository)
            .args(args)
            .stdout(Output::Capture { limit: OUTPUT })
            .remedy(REMEDY)
            .grace(self.cx.workspace.kill_grace())
    }

    /// Runs a command once, with or without success.
    pub(super) async fn run(&self, mut command: Command) -> Result<Finished, process::Error> {
        if let Some(fd) = &self.credentials {
            let fd = fd.try_clone().map_err(|source| process::Error::Io { program: "git".to_owned(), source })?;
            command = command.fd(fd, credentials::FD);
        }
        command.run(self.cx.cancel, self.cx.log).await?.success()
    }

    /// Runs a command that speaks to a server, again while the network is to blame. `what` and `field` say what it is about.
    pub(super) async fn online(&self, what: &str, field: &'static str, command: impl Fn() -> Command) -> Result<Finished, Error> {
        let advise = |error: &Error| match error {
            Error::Unavailable { .. } => Advice::Retry,
            Error::Plan { .. } | Error::NotFound { .. } | Error::Denied { .. } | Error::Content { .. } | Error::TooLarge { .. } => {
                Advice::GiveUp
            }
            Error::Git(_) | Error::Io(_) => Advice::GiveUp,
        };
        let report = |error: &Error, wait: Duration| self.cx.log.warn(format_args!("{error}: trying again in {wait:.1?}"));
        retry(self.retry, self.cx.cancel, advise, report, || async {
            self.run(command()).await.map_err(|failed| classify::error(failed, &self.url, what, field))
        })
        .await
    }

    /// The job's log.
    pub(super) fn log(&self) -> &crate::logs::JobLog {
        self.cx.log
    }
}
