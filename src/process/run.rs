//! Running a command: start, pump, wait, and the ladder TERM → grace → KILL.
//!
//! ```text
//!  running ──exit──► draining ──pipes closed──────────────► sweep ──► Finished
//!     │ cancelled       │ limit: name the leak, KILL ────────▲
//!     ▼                 │
//!  TERM sent ─grace─► KILL sent ──exit──► draining ─► sweep ─► Cancelled
//! ```

use std::{future::Future, io, pin::pin, time::Duration};

use tokio::{
    process::Child,
    time::{Instant, sleep_until, timeout},
};

use super::{
    Command, Error, Exit,
    group::Group,
    leftovers::Leftover,
    memory,
    pump::{Broken, Pumped, feed, pump},
};
use crate::{
    logs::{JobLog, Stream},
    shutdown::{Cancel, Cancelled},
};

/// How long killed processes may take to let go of the pipes before these are abandoned.
const AFTER_KILL: Duration = Duration::from_secs(1);
/// How long a killed process may take to die. One that hangs in the kernel (a dead network mount) never does.
const UNKILLABLE: Duration = Duration::from_secs(10);

/// A command that ran to its end, whatever its exit was.
#[derive(Debug)]
pub struct Finished {
    /// Name of the program.
    pub program: String,
    /// How it ended.
    pub exit: Exit,
    /// Standard output, when it was captured.
    pub stdout: Vec<u8>,
    /// Standard error, when it was captured.
    pub stderr: Vec<u8>,
    /// Last lines of standard error, or of standard output when that was empty; redacted.
    pub tail: Vec<String>,
    /// Whether the kernel killed something of the runner for memory while it ran.
    out_of_memory: bool,
}

impl Finished {
    /// Itself if the exit was 0.
    ///
    /// # Errors
    /// [`Error::Failed`] with the last lines, or [`Error::OutOfMemory`].
    pub fn success(self) -> Result<Self, Error> {
        match self.exit {
            Exit::Code(0) => Ok(self),
            Exit::Signal(9) if self.out_of_memory => Err(Error::OutOfMemory { program: self.program, tail: self.tail }),
            exit => Err(Error::Failed { program: self.program, exit, tail: self.tail }),
        }
    }

    /// Captured standard output as text, without the white space around it.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim().to_owned()
    }
}

/// Why a command did not come to its own end.
enum Stopped {
    Cancelled,
    Broken(Broken),
    Wait(io::Error),
}

/// How far up the ladder a command is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rung {
    Running,
    Terminated { kill_at: Instant },
    Killed { give_up_at: Instant },
}

impl Rung {
    fn killed() -> Self {
        Self::Killed { give_up_at: Instant::now() + UNKILLABLE }
    }

    /// When to take the next step; `None` while it may run.
    const fn next(self) -> Option<Instant> {
        match self {
            Self::Running => None,
            Self::Terminated { kill_at } => Some(kill_at),
            Self::Killed { give_up_at } => Some(give_up_at),
        }
    }
}

impl Command {
    /// Runs it to its end. Nothing it started is alive when this returns, or after the future was dropped.
    ///
    /// # Errors
    /// When it cannot be started, is cancelled, or writes more than is captured. A bad exit is not an error here: see
    /// [`Finished::success`].
    pub async fn run(self, cancel: &Cancel, log: &JobLog) -> Result<Finished, Error> {
        cancel.check()?;
        let program = self.name();
        for secret in self.environment.secrets() {
            log.add_secret(&secret);
        }
        let (stdout, stderr, grace, drain) = (self.stdout, self.stderr, self.grace, self.drain);
        let tap = self.tap.clone();
        let oom_before = memory::oom_kills();
        let (mut child, mut group, input) = self.spawn()?;

        let (mut out, mut err) = (Pumped::default(), Pumped::default());
        let (in_pipe, out_pipe, err_pipe) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let streams = async {
            tokio::try_join!(
                feed(in_pipe, input),
                pump(out_pipe, Stream::Stdout, stdout, tap.clone(), log, &mut out),
                pump(err_pipe, Stream::Stderr, stderr, tap, log, &mut err)
            )
            .map(drop)
        };
        let watch = Watch { program: &program, grace, drain, cancel, log };
        let waited = watch.wait(&mut child, &mut group, streams).await;
        watch.sweep(group).await;

        let exit = match waited {
            Ok(exit) => exit,
            Err(Stopped::Cancelled) => return Err(Cancelled.into()),
            Err(Stopped::Broken(Broken::Overflow(limit))) => return Err(Error::OutputLimit { program, limit }),
            Err(Stopped::Broken(Broken::Io(source)) | Stopped::Wait(source)) => return Err(Error::Io { program, source }),
        };
        let mut tail = err.tail.lines(log.filter());
        if tail.is_empty() {
            tail = out.tail.lines(log.filter());
        }
        let out_of_memory = oom_before.zip(memory::oom_kills()).is_some_and(|(before, after)| after > before);
        Ok(Finished { program, exit, stdout: out.captured, stderr: err.captured, tail, out_of_memory })
    }
}

/// What the waiting needs to know.
struct Watch<'a> {
    program: &'a str,
    grace: Duration,
    drain: Duration,
    cancel: &'a Cancel,
    log: &'a JobLog,
}

impl Watch<'_> {
    async fn wait(&self, child: &mut Child, group: &mut Group, streams: impl Future<Output = Result<(), Broken>>) -> Result<Exit, Stopped> {
        let mut streams = pin!(streams);
        let mut flowing = true;
        let mut broken = None;
        let mut rung = Rung::Running;
        let status = loop {
            let next = rung.next();
            tokio::select! {
                status = child.wait() => break status,
                result = &mut streams, if flowing => {
                    flowing = false;
                    if let Err(error) = result {
                        group.kill();
                        rung = Rung::killed();
                        broken = Some(error);
                    }
                }
                () = self.cancel.cancelled(), if rung == Rung::Running => {
                    self.log.info(format_args!("stopping {}", self.program));
                    group.terminate();
                    rung = Rung::Terminated { kill_at: Instant::now() + self.grace };
                }
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => match rung {
                    Rung::Running => {}
                    Rung::Terminated { .. } => {
                        self.log.warn(format_args!("{} did not stop within {:?}: killing it", self.program, self.grace));
                        group.kill();
                        rung = Rung::killed();
                    }
                    Rung::Killed { .. } => {
                        self.log.warn(format_args!("{} cannot be killed, it hangs in the kernel: leaving it behind", self.program));
                        return Err(broken.map_or(Stopped::Cancelled, Stopped::Broken));
                    }
                },
            }
        };
        group.leader_is_reaped();
        if flowing {
            let limit = if rung == Rung::Running { self.drain } else { AFTER_KILL };
            broken = self.drain(group, limit, streams).await.err();
        }
        match (broken, rung) {
            (Some(error), _) => Err(Stopped::Broken(error)),
            (None, Rung::Running) => status.map(Exit::from).map_err(Stopped::Wait),
            (None, _) => Err(Stopped::Cancelled),
        }
    }

    /// It exited and its pipes are still open: somebody it started holds them.
    async fn drain(&self, group: &Group, limit: Duration, streams: impl Future<Output = Result<(), Broken>> + Unpin) -> Result<(), Broken> {
        let mut streams = streams;
        if let Ok(Some(result)) = self.cancel.run(self.patiently(limit, &mut streams)).await {
            return result;
        }
        // A cancelled run may still have the rest of its output in the pipes: look once more before anybody is blamed.
        if let Some(result) = self.patiently(Duration::from_millis(10), &mut streams).await {
            return result;
        }
        let holders = group.kill();
        self.log.warn(format_args!("{} is over, but {} still held its output: killed", self.program, names(&holders)));
        self.patiently(AFTER_KILL, &mut streams).await.unwrap_or_else(|| {
            self.log.warn(format_args!("the output of {} is still held open by an unknown process: not waiting for it", self.program));
            Ok(())
        })
    }

    /// The result of `streams`, if there is one within `limit`. While the log is what they wait for, nobody who holds a pipe is to blame.
    async fn patiently<T>(&self, limit: Duration, streams: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
        loop {
            match timeout(limit, &mut *streams).await {
                Ok(result) => return Some(result),
                Err(_) if self.log.is_behind() => {}
                Err(_) => return None,
            }
        }
    }

    /// Whoever is left of a command that is over goes too.
    async fn sweep(&self, group: Group) {
        // Reading all of /proc takes milliseconds; a task that cannot be had (the runtime is going down) swept on drop.
        if let Ok(left) = tokio::task::spawn_blocking(move || group.sweep()).await
            && !left.is_empty()
        {
            self.log.warn(format_args!("{} left {} running: killed", self.program, names(&left)));
        }
    }
}

fn names(leftovers: &[Leftover]) -> String {
    match leftovers {
        [] => "an unknown process".to_owned(),
        some => {
            let mut text = some.iter().take(5).map(ToString::to_string).collect::<Vec<_>>().join(", ");
            if some.len() > 5 {
                text.push_str(" and others");
            }
            text
        }
    }
}
