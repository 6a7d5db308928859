//! A hundred jobs that write as fast as they can: nothing is lost, and the runner stays small.
//!
//! A test binary of its own, because memory is a property of the whole process.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has to panic")]

use std::path::Path;

use build_runner::{
    logs::{Bell, Follower, JobLog, LogPolicy},
    process::{Command, Environment},
    shutdown::Cancel,
};
use futures_util::{StreamExt as _, stream};

const JOBS: usize = 100;

/// Bytes that each of them writes. More of them take longer and no more memory.
const BYTES: usize = if cfg!(debug_assertions) { 1 << 20 } else { 4 << 20 };

/// One line of output, without its end.
const LINE: &str = "the quick brown fox jumps over the lazy dog and over everything else that is in its way, too";

/// What the runner may need at most for all that, in KiB.
const LIMIT: usize = 96 << 10;

async fn run(folder: &Path, job: usize) -> usize {
    let (log, bell) = (folder.join(format!("log-{job}")), Bell::new());
    let job_log = JobLog::open(&log, LogPolicy::default(), Box::new(bell.clone())).unwrap();
    let environment = Environment::new("run-memory", folder, folder);
    let script = format!("yes '{LINE}' | head -c {BYTES}");
    let write = async {
        let done = Command::new("/bin/sh", &environment).args(["-c", &script]).run(&Cancel::new(), &job_log).await.unwrap();
        assert!(done.exit.is_success(), "{:?}", done.tail);
        assert!(job_log.flush().await);
    };
    // Somebody delivers it meanwhile.
    let mut follower = Follower::open(&log, 0).unwrap();
    let mut bytes = 0;
    let mut take = || {
        let batch = follower.next_batch(256 << 10, 1000).unwrap();
        bytes += batch.iter().map(|record| record.text.len() + 1).sum::<usize>();
        !batch.is_empty()
    };
    let deliver = async {
        loop {
            bell.rung().await;
            while take() {
                tokio::task::yield_now().await;
            }
        }
    };
    tokio::select! {
        () = write => {}
        () = deliver => {}
    }
    while take() {}
    bytes
}

fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_floods_at_once_lose_nothing_and_take_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = (0..JOBS).map(|job| run(folder.path(), job));
    let written: Vec<usize> = stream::iter(jobs).buffer_unordered(JOBS).collect().await;
    // The last line is cut short and has no end.
    assert_eq!(written, vec![BYTES + 1; JOBS]);
    println!("{JOBS} jobs of {} KiB: {} KiB at the peak", BYTES >> 10, peak());
    assert!(peak() <= LIMIT, "{} KiB of memory at the peak, at most {LIMIT} are allowed", peak());
}
