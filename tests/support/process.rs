//! Children of tests: killed by pid when dropped, output kept, lines awaited instead of slept for.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long anything may take before a test gives up on it.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// How a child ended and what it printed.
#[derive(Debug)]
pub(crate) struct Done {
    /// The exit code; `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    /// Standard output, lossily as UTF-8.
    pub(crate) stdout: String,
    /// Standard error, lossily as UTF-8.
    pub(crate) stderr: String,
}

impl Done {
    /// Whether it exited with 0.
    pub(crate) fn success(&self) -> bool {
        self.code == Some(0)
    }
}

/// A child that runs beside the test.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    name: String,
    stdout: Stream,
    stderr: Stream,
}

/// Starts a child whose output is collected line by line.
pub(crate) fn spawn(command: &mut Command) -> Running {
    let name = command.get_program().to_string_lossy().into_owned();
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.unwrap_or_else(|error| panic!("{name} does not start: {error}"));
    let stdout = Stream::pump(child.stdout.take().unwrap());
    let stderr = Stream::pump(child.stderr.take().unwrap());
    Running { child, name, stdout, stderr }
}

/// Runs a child to its end.
///
/// # Panics
/// After [`PATIENCE`], with what it printed so far.
pub(crate) fn output(command: &mut Command) -> Done {
    spawn(command).wait()
}

impl Running {
    /// Its process id.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Waits for a line of standard output that has `needle` in it, and gives that line.
    pub(crate) fn stdout_line(&self, needle: &str) -> String {
        self.await_line(&self.stdout, needle)
    }

    /// Waits for a line of standard error that has `needle` in it, and gives that line.
    pub(crate) fn stderr_line(&self, needle: &str) -> String {
        self.await_line(&self.stderr, needle)
    }

    /// Standard output so far.
    pub(crate) fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// Standard error so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> Done {
        let deadline = Instant::now() + PATIENCE;
        // Output ends when the child (and whoever holds its pipes) does: that is the event to wait for.
        let ended = self.stdout.await_end(deadline) && self.stderr.await_end(deadline);
        assert!(ended, "{} is still running after {PATIENCE:?}\n{}{}", self.name, self.stdout.text(), self.stderr.text());
        let status = self.child.wait().unwrap();
        Done { code: status.code(), stdout: self.stdout.text(), stderr: self.stderr.text() }
    }

    fn await_line(&self, stream: &Stream, needle: &str) -> String {
        let found = stream.await_line(needle, Instant::now() + PATIENCE);
        found.unwrap_or_else(|| panic!("{} never printed {needle:?}\n{}{}", self.name, self.stdout.text(), self.stderr.text()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One pipe, read to its end by a thread.
#[derive(Debug)]
struct Stream {
    shared: Arc<(Mutex<Lines>, Condvar)>,
    _pump: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Lines {
    lines: Vec<String>,
    ended: bool,
}

impl Stream {
    fn pump(pipe: impl Read + Send + 'static) -> Self {
        let shared = Arc::new((Mutex::new(Lines::default()), Condvar::new()));
        let writer = Arc::clone(&shared);
        let pump = std::thread::spawn(move || {
            let (lines, changed) = &*writer;
            let mut reader = BufReader::new(pipe);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                lines.lock().unwrap().lines.push(String::from_utf8_lossy(&line).into_owned());
                changed.notify_all();
                line.clear();
            }
            lines.lock().unwrap().ended = true;
            changed.notify_all();
        });
        Self { shared, _pump: pump }
    }

    fn await_line(&self, needle: &str, deadline: Instant) -> Option<String> {
        let find = |lines: &Lines| lines.lines.iter().find(|line| line.contains(needle)).map(|line| line.trim_end().to_owned());
        let lines = self.await_that(deadline, |lines| lines.ended || find(lines).is_some());
        find(&lines)
    }

    fn await_end(&self, deadline: Instant) -> bool {
        self.await_that(deadline, |lines| lines.ended).ended
    }

    fn await_that(&self, deadline: Instant, reached: impl Fn(&Lines) -> bool) -> std::sync::MutexGuard<'_, Lines> {
        let (lines, changed) = &*self.shared;
        let left = deadline.saturating_duration_since(Instant::now());
        changed.wait_timeout_while(lines.lock().unwrap(), left, |lines| !reached(lines)).unwrap().0
    }

    fn text(&self) -> String {
        self.shared.0.lock().unwrap().lines.concat()
    }
}
