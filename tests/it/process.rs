//! Real children: deaf to TERM, escaped, holding pipes, writing without end.

#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

use std::{
    path::Path,
    time::{Duration, Instant},
};

use build_runner::{
    job::{CancelCause, Failure, FailureKind},
    logs::JobLog,
    process::{Command, Environment, Error, Exit, Output},
    shutdown::Cancel,
};

struct Bench {
    folder: tempfile::TempDir,
    cancel: Cancel,
    log: JobLog,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), cancel: Cancel::new(), log: JobLog::discard() }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn sh(&self, script: &str) -> Command {
        let environment = Environment::new("run-test", self.path(), self.path());
        Command::new("/bin/sh", &environment).args(["-c", script]).cwd(self.path()).stdout(Output::Capture { limit: 1 << 20 })
    }

    /// The pid that the script left in `pid`, once it has.
    async fn pid(&self) -> i32 {
        let file = self.path().join("pid");
        tokio::time::timeout(Duration::from_secs(20), async {
            loop {
                if let Some(pid) =
                    std::fs::read_to_string(&file).ok().filter(|text| text.ends_with('\n')).and_then(|text| text.trim().parse().ok())
                {
                    return pid;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .expect("the script wrote its pid")
    }
}

/// Whether a process is there and not merely waiting to be reaped.
fn is_alive(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z')))
}

#[tokio::test]
async fn output_input_and_environment() {
    let bench = Bench::new();
    let done = bench
        .sh("cat; echo oops >&2; env | cut -d= -f1 | sort | tr '\\n' ' '; exit 3")
        .stdin("hello\n")
        .env("EXTRA", "1")
        .run(&bench.cancel, &bench.log)
        .await
        .expect("ran");
    assert_eq!(done.exit, Exit::Code(3));
    assert_eq!(done.tail, ["oops"]);
    let text = done.text();
    let names: Vec<&str> = text.strip_prefix("hello\n").expect("its input came back").split_whitespace().collect();
    for name in ["HOME", "PATH", "TMPDIR", "LANG", "EXTRA", "BUILD_RUNNER_EXECUTION"] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    assert!(!names.iter().any(|name| name.starts_with("CARGO")), "{names:?}");
    let error = done.success().expect_err("3 is not 0");
    let failure = Failure::from(error);
    assert_eq!((failure.kind, failure.exit_code, failure.tool.as_deref()), (FailureKind::ToolFailed, Some(3), Some("sh")));
    assert_eq!(failure.message, "sh failed with exit code 3: oops");
}

#[tokio::test]
async fn a_missing_tool_is_named_with_its_remedy() {
    let bench = Bench::new();
    let environment = Environment::new("run-test", bench.path(), bench.path());
    let error = Command::new("no-such-tool", &environment)
        .remedy("apt-get install no-such-tool")
        .run(&bench.cancel, &bench.log)
        .await
        .expect_err("missing");
    assert_eq!(error.to_string(), "'no-such-tool' is not installed on this machine: apt-get install no-such-tool");
    assert_eq!(Failure::from(error).kind, FailureKind::ToolMissing);
    let error = bench.sh("true").cwd("/no/such/folder").run(&bench.cancel, &bench.log).await.expect_err("no folder");
    assert!(matches!(error, Error::Spawn { .. }), "{error}");
}

#[tokio::test]
async fn a_deaf_child_and_its_escaped_grandchild_are_killed() {
    let bench = Bench::new();
    // The grandchild leaves session and group and outlives its parent; only its environment tells whose it is.
    let script =
        "setsid sh -c 'trap \"\" TERM; echo $$ > escaped; exec sleep 600' & trap '' TERM; echo $$ > pid; while :; do sleep 0.05; done";
    let command = bench.sh(script).grace(Duration::from_millis(300));
    let run = command.run(&bench.cancel, &bench.log);
    let stop = async {
        let pid = bench.pid().await;
        while !bench.path().join("escaped").exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        bench.cancel.cancel(CancelCause::Requested);
        pid
    };
    let begun = Instant::now();
    let (ended, pid) = tokio::join!(run, stop);
    assert!(matches!(ended, Err(Error::Cancelled(_))), "{ended:?}");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let escaped = std::fs::read_to_string(bench.path().join("escaped")).expect("written").trim().parse().expect("a pid");
    assert!(!is_alive(pid) && !is_alive(escaped));
}

#[tokio::test]
async fn a_polite_child_gets_its_grace() {
    let bench = Bench::new();
    let command =
        bench.sh("trap 'echo released > lock; exit 0' TERM; echo $$ > pid; while :; do sleep 0.02; done").grace(Duration::from_secs(20));
    let run = command.run(&bench.cancel, &bench.log);
    let stop = async {
        bench.pid().await;
        bench.cancel.cancel(CancelCause::Deadline);
    };
    let (ended, ()) = tokio::join!(run, stop);
    assert!(matches!(ended, Err(Error::Cancelled(_))), "{ended:?}");
    assert_eq!(std::fs::read_to_string(bench.path().join("lock")).expect("the trap ran"), "released\n");
}

#[tokio::test]
async fn pipes_held_open_by_somebody_else_are_not_waited_for() {
    let bench = Bench::new();
    let begun = Instant::now();
    let command = bench
        .sh("setsid sh -c 'echo $$ > pid; exec sleep 600' & while [ ! -s pid ]; do :; done; echo done")
        .drain(Duration::from_millis(200));
    let done = command.run(&bench.cancel, &bench.log).await.expect("ran");
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!((done.exit, done.text().as_str()), (Exit::Code(0), "done"));
    assert!(!is_alive(bench.pid().await));
}

#[tokio::test]
async fn a_leftover_that_closed_its_pipes_goes_too() {
    let bench = Bench::new();
    let done = bench
        .sh("sh -c 'echo $$ > pid; exec sleep 600' >/dev/null 2>&1 </dev/null & while [ ! -s pid ]; do :; done")
        .run(&bench.cancel, &bench.log)
        .await
        .expect("ran");
    assert!(done.exit.is_success());
    assert!(!is_alive(bench.pid().await));
}

#[tokio::test]
async fn dropping_the_future_kills_everything() {
    let bench = Bench::new();
    let stop = async {
        let pid = bench.pid().await;
        bench.cancel.cancel(CancelCause::Requested);
        pid
    };
    // A cancel token of its own for the command: it never hears of the cancel and is dropped where it stands.
    let own = Cancel::new();
    let run = bench.sh("trap '' TERM; echo $$ > pid; while :; do sleep 0.05; done").run(&own, &bench.log);
    let (ended, pid) = tokio::join!(bench.cancel.run(run), stop);
    assert!(ended.is_err());
    for _ in 0..400 {
        if !is_alive(pid) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("process {pid} outlived the future that ran it");
}

#[tokio::test]
async fn endless_output_is_bounded() {
    let bench = Bench::new();
    let error = bench.sh("yes").run(&bench.cancel, &bench.log).await.expect_err("too much");
    assert!(matches!(error, Error::OutputLimit { limit: 1_048_576, .. }), "{error}");
    assert_eq!(Failure::from(error).kind, FailureKind::LimitExceeded);
    let done =
        bench.sh("head -c 50000000 /dev/zero; echo; echo end").stdout(Output::Quiet).run(&bench.cancel, &bench.log).await.expect("ran");
    assert_eq!(done.tail.last().map(String::as_str), Some("end"));
}

#[tokio::test]
async fn a_kill_from_outside_is_told_as_such() {
    let bench = Bench::new();
    let error = bench.sh("kill -9 $$").run(&bench.cancel, &bench.log).await.expect("ran").success().expect_err("killed");
    assert!(Failure::from(error).message.contains("signal SIGKILL: somebody ended it from outside the job; memory"));
}
