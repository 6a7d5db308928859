//! The built binary, with a home, a state folder, a temporary folder and an environment of its own.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::process::{self, Done, Running};
use super::tools;

/// A place for the binary to run in; everything in it goes when it is dropped.
#[derive(Debug)]
pub(crate) struct Runner {
    dir: TempDir,
}

impl Runner {
    /// An empty place.
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("runner-").tempdir().unwrap();
        for name in ["home", "tmp", "work"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        Self { dir }
    }

    /// The folder that commands run in; tests put their job files and sources here.
    pub(crate) fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    /// The folder given as `--state-dir`.
    pub(crate) fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// Writes a file below [`Self::work`], its folders included, and gives its path.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let file = self.work().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, content).unwrap();
        file
    }

    /// `build-runner ARGS…`.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Invocation {
        let mut command = Command::new(env!("CARGO_BIN_EXE_build-runner"));
        command.args(args).current_dir(self.work()).env_clear();
        command.env("PATH", tools::path()).env("HOME", self.dir.path().join("home")).env("TMPDIR", self.tmp()).env("LANG", "C.UTF-8");
        Invocation(command)
    }

    /// `build-runner run --job-file F --state-dir S --output json`.
    pub(crate) fn run(&self, job_file: &Path) -> Invocation {
        let state = self.state();
        let fixed = ["--state-dir".as_ref(), state.as_os_str(), "--output".as_ref(), "json".as_ref()];
        self.command(["run".as_ref(), "--job-file".as_ref(), job_file.as_os_str()].into_iter().chain(fixed))
    }

    /// [`Self::run`] of a job given as JSON, written to `job.json`.
    pub(crate) fn job(&self, job: &Value) -> Invocation {
        let file = self.write("job.json", job.to_string());
        self.run(&file)
    }

    /// Every file that is left in the temporary folder and in the workspaces of the state folder: none, after any run.
    pub(crate) fn leftovers(&self) -> Vec<PathBuf> {
        let mut left = Vec::new();
        files_below(&self.tmp(), &mut left);
        files_below(&self.state().join("workspaces"), &mut left);
        left
    }

    fn tmp(&self) -> PathBuf {
        self.dir.path().join("tmp")
    }
}

/// A command line that is being put together.
#[derive(Debug)]
pub(crate) struct Invocation(Command);

impl Invocation {
    /// Adds an argument.
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.0.arg(arg);
        self
    }

    /// Adds arguments.
    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.0.args(args);
        self
    }

    /// Sets a variable of its environment.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    /// Lets another program run it: one that takes the command line as its last arguments.
    pub(crate) fn through<S: AsRef<OsStr>>(self, wrapper: impl IntoIterator<Item = S>) -> Self {
        let mut wrapper = wrapper.into_iter();
        let mut command = Command::new(wrapper.next().unwrap());
        command.args(wrapper).arg(self.0.get_program()).args(self.0.get_args()).env_clear();
        command.envs(self.0.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(self.0.get_current_dir().unwrap());
        Self(command)
    }

    /// Runs it to its end.
    pub(crate) fn done(mut self) -> Run {
        Run(process::output(&mut self.0))
    }

    /// Starts it; it is killed when dropped.
    pub(crate) fn spawn(mut self) -> Spawned {
        Spawned(process::spawn(&mut self.0))
    }
}

/// A run beside the test.
#[derive(Debug)]
pub(crate) struct Spawned(Running);

impl Spawned {
    /// Waits for a line of progress or log (standard error) that has `needle` in it.
    pub(crate) fn line(&self, needle: &str) -> String {
        self.0.stderr_line(needle)
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        self.0.signal(signal);
    }

    /// Waits for its end.
    pub(crate) fn done(self) -> Run {
        Run(self.0.wait())
    }
}

/// A run that is over.
#[derive(Debug)]
pub(crate) struct Run(Done);

impl Run {
    /// The exit code; a panic if a signal ended it.
    pub(crate) fn code(&self) -> i32 {
        self.0.code.unwrap_or_else(|| panic!("ended by a signal\n{}", self.0.stderr))
    }

    /// Standard output.
    pub(crate) fn stdout(&self) -> &str {
        &self.0.stdout
    }

    /// Standard error.
    pub(crate) fn stderr(&self) -> &str {
        &self.0.stderr
    }

    /// The receipts: standard output, one JSON object a line and nothing else.
    pub(crate) fn receipts(&self) -> Vec<Value> {
        let parse =
            |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("not a receipt ({error}): {line}\n{}", self.0.stderr));
        self.0.stdout.lines().map(parse).collect()
    }

    /// The one receipt of a run of one job.
    pub(crate) fn receipt(&self) -> Value {
        let mut receipts = self.receipts();
        assert_eq!(receipts.len(), 1, "one job, one receipt\n{}{}", self.0.stdout, self.0.stderr);
        receipts.remove(0)
    }

    /// The receipt of a job that succeeded.
    pub(crate) fn succeeded(&self) -> Value {
        assert_eq!(self.code(), 0, "{}{}", self.0.stdout, self.0.stderr);
        let receipt = self.receipt();
        assert_eq!(receipt["outcome"], "succeeded", "{receipt:#}");
        receipt
    }

    /// The `failure` of a job that ended with an exit code and a kind of failure.
    pub(crate) fn failed(&self, code: i32, kind: &str) -> Value {
        assert_eq!(self.code(), code, "{}{}", self.0.stdout, self.0.stderr);
        let failure = self.receipt()["failure"].take();
        assert_eq!(failure["kind"], kind, "{failure:#}\n{}", self.0.stderr);
        failure
    }
}

fn files_below(dir: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            files_below(&entry.path(), found);
        } else {
            found.push(entry.path());
        }
    }
}
