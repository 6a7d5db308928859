//! The journal under kill -9: whatever was called durable is there, nothing else is made up.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use build_runner::{
    job::{ExecutionId, JobId},
    journal::{Entry, Intent, Journal, replay},
};
use jiff::Timestamp;

/// Set for a child of this binary that is to write until it is killed: the state folder.
const CHILD: &str = "BUILD_RUNNER_TEST_JOURNAL";

/// Tasks of the child that write at once.
const TASKS: usize = 8;

fn key(task: usize, number: usize) -> String {
    format!("key-{task}-{number:06}")
}

fn execution(task: usize, number: usize) -> ExecutionId {
    format!("run-{task}-{number:06}").parse().unwrap()
}

/// Claims, closes every second one, and says on standard output what is durable.
async fn write_for_ever(journal: &Journal, task: usize) {
    let job: JobId = format!("job-{task}").parse().unwrap();
    for number in 0.. {
        let (key, execution, at) = (key(task, number), execution(task, number), Timestamp::now());
        let text = |text: &str| text.to_owned();
        let claimed =
            Entry::Claimed { key, job: job.clone(), execution: execution.clone(), job_type: text("noop"), log_stream: text("x"), at };
        assert!(journal.write(claimed).await);
        println!("open {task} {number}");
        journal.note(Entry::LogsSent { execution: execution.clone(), seq: 1 });
        if number % 2 == 0 {
            // Said before: when it is killed in between, either may be so.
            println!("closing {task} {number}");
            assert!(journal.write(Entry::Closed { execution }).await);
            println!("closed {task} {number}");
        }
    }
}

/// Not a test of its own: what the one below starts.
#[test]
fn child() {
    let Some(state) = std::env::var_os(CHILD) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (journal, _) = Journal::open(state.as_ref()).unwrap();
    println!("ready");
    runtime.block_on(futures_util::future::join_all((0..TASKS).map(|task| write_for_ever(&journal, task))));
}

#[test]
fn everything_called_durable_survives_kill_9() {
    for round in 0..12_usize {
        let state = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["journal::child", "--exact", "--nocapture", "--test-threads=1"])
            .env(CHILD, state.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut said = Vec::new();
        for line in lines {
            said.push(line);
            // Killed after so many lines; what it says until it is dead counts, too.
            if said.len() == 5 + round * round * 37 {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        let found = replay(&std::fs::read(state.path().join("journal/journal.log")).unwrap());
        assert_eq!(found.damaged, Vec::<usize>::new());
        let (_journal, open) = Journal::open(state.path()).unwrap();
        assert_eq!(open, found.open, "the lock of the dead is free");
        let open: std::collections::BTreeSet<_> = open.into_iter().map(|open| open.key).collect();
        let numbers = |word: &str| -> Vec<(usize, usize)> {
            let words = said.iter().filter_map(|line| line.strip_prefix(word)?.strip_prefix(' ')?.split_once(' '));
            words.filter_map(|(task, number)| Some((task.parse().ok()?, number.parse().ok()?))).collect()
        };
        let (opened, closing, closed) = (numbers("open"), numbers("closing"), numbers("closed"));
        assert!(opened.len() > round * round * 10, "round {round}: {} lines", said.len());
        for (task, number) in &opened {
            let key = key(*task, *number);
            if closed.contains(&(*task, *number)) {
                assert!(!open.contains(&key), "round {round}: {key} was closed");
            } else if !closing.contains(&(*task, *number)) {
                assert!(open.contains(&key), "round {round}: {key} is lost");
            }
        }
        // At most one entry a task was on its way.
        let known = |key: &String| opened.iter().any(|(task, number)| *key == self::key(*task, *number));
        assert!(open.iter().filter(|key| !known(key)).count() <= TASKS);
    }
}

/// Time of each of `count` entries that `tasks` tasks write at once, and of all together.
async fn timed(journal: &Journal, tasks: usize, count: usize) -> (Vec<Duration>, Duration) {
    let start = Instant::now();
    let write = async |task: usize| {
        let mut times = Vec::new();
        for number in 0..count / tasks {
            let entry =
                Entry::Claiming { job: "job".parse().unwrap(), key: key(task, number), at: Timestamp::now(), intent: Intent::default() };
            let before = Instant::now();
            assert!(journal.write(entry).await);
            times.push(before.elapsed());
        }
        times
    };
    let mut times = futures_util::future::join_all((0..tasks).map(write)).await.concat();
    times.sort_unstable();
    (times, start.elapsed())
}

#[tokio::test]
async fn many_writers_share_a_sync() {
    let state = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(state.path()).unwrap();
    let (alone, _) = timed(&journal, 1, 200).await;
    let (_, together) = timed(&journal, 100, 10_000).await;
    let (median, per_second) = (alone[alone.len() / 2], 10_000.0 / together.as_secs_f64());
    println!("one writer: {median:?} an entry; a hundred: {per_second:.0} entries a second");
    // Disks differ, so the bound is relative: a hundred entries take the time of a few, not of a hundred.
    assert!(together < median * 10_000 / 4, "one writer: {median:?} an entry; a hundred: {together:?} for 10,000");
}
