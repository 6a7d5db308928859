//! What to run: program, arguments, environment, where its input comes from and its output goes.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fmt,
    os::fd::OwnedFd,
    path::PathBuf,
    time::Duration,
};

use super::{Environment, Tap};

/// What becomes of one output stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Line by line into the job's log.
    Log,
    /// Into memory; more than `limit` bytes are an error.
    Capture {
        /// Bytes taken.
        limit: usize,
    },
    /// Nowhere; only the last lines are kept for an error message.
    Quiet,
}

/// One run of one program.
///
/// ```no_run
/// # async fn example(env: &build_runner::process::Environment, cancel: &build_runner::shutdown::Cancel, log: &build_runner::logs::JobLog)
/// # -> Result<(), build_runner::process::Error> {
/// use build_runner::process::{Command, Output};
/// let done = Command::new("kustomize", env).args(["build", "."]).stdout(Output::Capture { limit: 1 << 20 }).run(cancel, log).await?.success()?;
/// # drop(done.stdout); Ok(()) }
/// ```
pub struct Command {
    pub(super) program: OsString,
    pub(super) args: Vec<OsString>,
    pub(super) environment: Environment,
    pub(super) extra: BTreeMap<OsString, OsString>,
    pub(super) cwd: Option<PathBuf>,
    pub(super) stdin: Option<Vec<u8>>,
    pub(super) fds: Vec<(OwnedFd, i32)>,
    pub(super) stdout: Output,
    pub(super) stderr: Output,
    pub(super) tap: Option<Tap>,
    pub(super) grace: Duration,
    pub(super) drain: Duration,
    pub(super) remedy: Option<String>,
}

impl Command {
    /// `program` by name (looked for in the environment's `PATH`) or by path. Both output streams go to the log; there is no input.
    #[must_use]
    pub fn new(program: impl Into<OsString>, environment: &Environment) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            environment: environment.clone(),
            extra: BTreeMap::new(),
            cwd: None,
            stdin: None,
            fds: Vec::new(),
            stdout: Output::Log,
            stderr: Output::Log,
            tap: None,
            grace: Duration::from_secs(10),
            drain: Duration::from_secs(2),
            remedy: None,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable for this command alone.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.extra.insert(name.into(), value.into());
        self
    }

    /// Folder to run in; the runner's own by default.
    #[must_use]
    pub fn cwd(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cwd = Some(folder.into());
        self
    }

    /// Bytes for its standard input.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// Gives it an open file under the number `child_fd` (3 or more). Its children inherit it.
    #[must_use]
    pub fn fd(mut self, fd: OwnedFd, child_fd: i32) -> Self {
        self.fds.push((fd, child_fd));
        self
    }

    /// What becomes of standard output.
    #[must_use]
    pub fn stdout(mut self, output: Output) -> Self {
        self.stdout = output;
        self
    }

    /// What becomes of standard error.
    #[must_use]
    pub fn stderr(mut self, output: Output) -> Self {
        self.stderr = output;
        self
    }

    /// Shows every line of both streams to `tap` besides.
    #[must_use]
    pub fn tap(mut self, tap: Tap) -> Self {
        self.tap = Some(tap);
        self
    }

    /// Time between TERM and KILL when the work is cancelled; ten seconds by default.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// How long to wait, after it exited, for others to let go of its pipes; two seconds by default.
    #[must_use]
    pub fn drain(mut self, limit: Duration) -> Self {
        self.drain = limit;
        self
    }

    /// What to tell people when the program is missing: the command that installs it.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Name of the program for messages: the last part of its path.
    pub(super) fn name(&self) -> String {
        std::path::Path::new(&self.program).file_name().unwrap_or(OsStr::new("?")).to_string_lossy().into_owned()
    }
}

impl fmt::Debug for Command {
    /// No arguments and no values: either may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("program", &self.program)
            .field("args", &self.args.len())
            .field("cwd", &self.cwd)
            .finish_non_exhaustive()
    }
}
