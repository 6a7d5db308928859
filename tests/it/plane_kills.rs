//! Nothing is lost: runners and control planes killed at any moment, and a network that is gone for a while.
//!
//! `BUILD_RUNNER_KILLS=200` runs the long version of the first test (the suite's is short).

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::git_local::git;
use super::plane_journeys::line;
use crate::support::plane::{Agent, Plane};
use crate::support::proxy::{Faults, Proxy};

/// Lines that each job writes, and how.
const LINES: usize = 40;

/// A git that writes numbered lines for a while whenever it fetches, and then does what it was asked for.
const CHATTY: &str = "#!/bin/sh\ncase \" $* \" in *' fetch '*) i=0; while [ $i -lt 40 ]; do i=$((i+1)); echo \"line $i\" >&2; \
                      if [ $((i%10)) = 0 ]; then sleep 0.03; fi; done;; esac\nexec SELF \"$@\"\n";

/// A repository with a chart, a layout to push to, and jobs that build the one into the other.
struct Source {
    dir: TempDir,
    commit: String,
}

impl Source {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("source-").tempdir().unwrap();
        let repository = dir.path().join("repository");
        std::fs::create_dir_all(&repository).unwrap();
        git(&repository, &["init", "-q"]);
        std::fs::write(repository.join("Chart.yaml"), "apiVersion: v2\nname: app\nversion: 1.0.0\n").unwrap();
        std::fs::write(repository.join("values.yaml"), "a: 1\n").unwrap();
        git(&repository, &["add", "."]);
        git(&repository, &["commit", "-qm", "chart"]);
        let commit = git(&repository, &["rev-parse", "HEAD"]);
        Self { dir, commit }
    }

    fn root(&self) -> &Path {
        self.dir.path()
    }

    /// A job that builds the chart; each into a layout of its own.
    fn job(&self, name: &str) -> Value {
        json!({"type": "helm-chart-build", "plan": {
            "git_source": {"url": self.root().join("repository"), "ref": self.commit},
            "helm_build_plan": {},
            "dst_registry": {"RegistryType": "oci_layout", "Repository": self.root().join("out").join(name)},
            "dst_tag": "1"}})
    }

    fn agent(&self, plane: &Plane, id: &str, slots: &str) -> Agent {
        Agent::of(plane, id).args(&["--local-root", self.root().to_str().unwrap(), "--slots", slots]).program("git", CHATTY)
    }
}

/// A small generator of numbers, so that a failure can be repeated: its seed is printed.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let seed =
            std::env::var("BUILD_RUNNER_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| u64::from(std::process::id()) | 1);
        println!("BUILD_RUNNER_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, limit: u64) -> u64 {
        // Xorshift, Marsaglia 2003.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Holds a job that is over to the truth, and says what became of it.
///
/// A finished one has its digest and every line once. One that was interrupted has the beginning of its lines, and says so.
fn judge(plane: &Plane, id: &str, digest: &mut Option<Value>) -> String {
    let (records, job) = plane.follow(id);
    let status = job["status"].as_str().unwrap().to_owned();
    assert_eq!(job["execution_count"], 1, "{job:#}");
    assert_eq!(job["executions"].as_array().map(Vec::len), Some(1), "{job:#}");
    let texts: Vec<&str> = records.iter().map(|record| record["text"].as_str().unwrap()).collect();
    let lines: Vec<&str> = texts.iter().copied().filter(|text| text.starts_with("line ")).collect();
    let expected: Vec<String> = (1..=lines.len()).map(|number| format!("line {number}")).collect();
    assert_eq!(lines, expected, "{status}: every line once, in order, without holes: {texts:#?}");
    let seqs: Vec<u64> = records.iter().map(|record| record["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>(), "{texts:#?}");
    match status.as_str() {
        "finished" => {
            assert_eq!(lines.len(), LINES, "{texts:#?}");
            let found = job["outputs"]["artifacts"][0]["digest"].clone();
            assert!(found.is_string(), "{job:#}");
            assert_eq!(digest.get_or_insert_with(|| found.clone()), &found, "the same input gives the same digest");
        }
        "failed" => assert!(job.to_string().contains("Interrupted"), "{job:#}\n{texts:#?}"),
        _ => panic!("{job:#}"),
    }
    status
}

#[test]
fn killed_runners_lose_nothing_and_tell_no_lies() {
    let kills: u64 = std::env::var("BUILD_RUNNER_KILLS").ok().map_or(12, |kills| kills.parse().unwrap());
    let (source, plane, mut dice) = (Source::new(), Plane::start(), Dice::new());
    let mut agent = source.agent(&plane, "survivor", "4").started();
    let mut jobs = Vec::new();
    for round in 0..kills {
        for _ in 0..3 {
            jobs.push(plane.submit(&source.job(&format!("{}", jobs.len()))));
        }
        // Anywhere between the poll and the delivery.
        std::thread::sleep(Duration::from_millis(dice.below(if round % 3 == 0 { 60 } else { 600 })));
        agent.kill();
        agent.start();
    }
    let (mut counts, mut digest) = (BTreeMap::<String, usize>::new(), None);
    for id in &jobs {
        *counts.entry(judge(&plane, id, &mut digest)).or_default() += 1;
    }
    let done = agent.drained();
    println!("{kills} kills of the runner, {} jobs: {counts:?}", jobs.len());
    assert_eq!(done.code, Some(0), "{}{}", done.stdout, done.stderr);
    assert_eq!(agent.leftovers(), Vec::<std::path::PathBuf>::new());
    assert!(counts.get("finished").is_some_and(|finished| *finished > 0), "{counts:?}");
}

#[test]
fn a_job_that_ran_when_its_runner_was_killed_is_told_as_interrupted() {
    let (source, plane) = (Source::new(), Plane::start());
    let mut agent = source.agent(&plane, "mortal", "4").started();
    let id = plane.submit(&source.job("out"));
    line(&plane, &id, "line 1");
    agent.kill();
    agent.start();
    let mut digest = None;
    assert_eq!(judge(&plane, &id, &mut digest), "failed");
    let job = plane.job(&id);
    let told = &job["result"]["error_metadata"];
    assert_eq!((&told["kind"], &told["fault"], &told["retryable"]), (&json!("Interrupted"), &json!("agent"), &json!("true")), "{job:#}");
    assert!(!source.root().join("out/out").exists(), "nothing was pushed");
    assert_eq!(plane.operator("POST", &format!("/v1/jobs/{id}/retry"), None).0, 200);
    let (_, job) = plane.follow(&id);
    assert_eq!((&job["status"], &job["execution_count"]), (&json!("finished"), &json!(2)), "{job:#}");
    assert_eq!(agent.drained().code, Some(0));
    assert_eq!(agent.leftovers(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_plane_killed_under_twenty_running_jobs_loses_nothing() {
    let kills: u64 = std::env::var("BUILD_RUNNER_KILLS").ok().map_or(3, |kills| kills.parse::<u64>().unwrap().div_ceil(10));
    let (source, mut plane, mut dice) = (Source::new(), Plane::start(), Dice::new());
    let mut agent = source.agent(&plane, "patient", "20").started();
    let (mut counts, mut digest, mut jobs) = (BTreeMap::<String, usize>::new(), None, Vec::new());
    for _ in 0..kills {
        let batch: Vec<String> = (0..20).map(|number| plane.submit(&source.job(&format!("{}", jobs.len() + number)))).collect();
        std::thread::sleep(Duration::from_millis(20 + dice.below(400)));
        plane.kill();
        std::thread::sleep(Duration::from_millis(dice.below(300)));
        plane.restart();
        jobs.extend(batch);
    }
    for id in &jobs {
        *counts.entry(judge(&plane, id, &mut digest)).or_default() += 1;
    }
    println!("{kills} kills of the control plane, {} jobs: {counts:?}", jobs.len());
    assert_eq!(counts, BTreeMap::from([("finished".to_owned(), jobs.len())]));
    assert_eq!(agent.drained().code, Some(0));
    assert_eq!(agent.leftovers(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn refused_connections_delay_results_and_lose_none() {
    let outage = std::env::var("BUILD_RUNNER_OUTAGE").ok().map_or(3, |seconds| seconds.parse().unwrap());
    let (source, plane) = (Source::new(), Plane::with(&["--lease", "10m"]));
    let proxy = Proxy::start(plane.address(), Faults::default());
    let address = proxy.address();
    let url = format!("http://{address}");
    let mut agent = Agent::at(&url, &plane.token_file("runner"), "offline")
        .args(&["--local-root", source.root().to_str().unwrap(), "--slots", "3"])
        .program("git", CHATTY)
        .started();
    let jobs: Vec<String> = (0..3).map(|number| plane.submit(&source.job(&number.to_string()))).collect();
    for id in &jobs {
        line(&plane, id, "line 1");
    }
    proxy.outage();
    let from = Instant::now();
    // The runner is restarted in the middle of it: what it owes is on its disk.
    std::thread::sleep(Duration::from_secs(outage) / 2);
    crate::support::plane::until("the work", || source.root().join("out/2/index.json").exists());
    agent.kill();
    agent.start();
    std::thread::sleep(Duration::from_secs(outage).saturating_sub(from.elapsed()));
    let _proxy = Proxy::start_at(address, plane.address(), Faults::default());
    let mut digest = None;
    for id in &jobs {
        judge(&plane, id, &mut digest);
    }
    assert_eq!(agent.drained().code, Some(0));
}
