//! The store against a folder of its own: what each operation promises, races, crashes, and what lies on the disk.

mod durability;
mod expiry;
mod jobs;
mod logs;
mod model;
mod statuses;
mod tokens;

use std::time::Duration;

use super::{super::*, SqliteStore};

/// A store in a temporary folder, and a clock.
struct Bench {
    store: SqliteStore,
    dir: tempfile::TempDir,
    now: Timestamp,
}

impl Bench {
    async fn new() -> Self {
        Self::with(Limits::default()).await
    }

    async fn with(limits: Limits) -> Self {
        let (dir, now) = (tempfile::tempdir().unwrap(), "2026-11-21T12:00:00Z".parse().unwrap());
        Self { store: SqliteStore::open(dir.path(), limits, now).await.unwrap(), dir, now }
    }

    /// The time so many seconds after the start.
    fn at(&self, seconds: i64) -> Timestamp {
        self.now + jiff::SignedDuration::from_secs(seconds)
    }

    /// Closes the store and opens it again, so many seconds after the start.
    async fn reopen(self, seconds: i64) -> Self {
        self.store.close().await;
        let (dir, now) = (self.dir, self.now);
        drop(self.store);
        let store = SqliteStore::open(dir.path(), Limits::default(), now + jiff::SignedDuration::from_secs(seconds)).await.unwrap();
        Self { store, dir, now }
    }

    async fn submit(&self) -> JobId {
        self.submit_with(|_| {}).await
    }

    async fn submit_with(&self, change: impl FnOnce(&mut NewJob)) -> JobId {
        let mut job = new_job();
        change(&mut job);
        match self.store.submit(job, None, self.now).await.unwrap() {
            Submitted::Created(job) => job.id,
            other => panic!("{other:?}"),
        }
    }

    async fn claim(&self, job: &JobId, runner: &str) -> Claimed {
        self.store.claim(claim(job, runner, None), self.now).await.unwrap()
    }

    /// A job and its execution by `r1`.
    async fn running(&self) -> (JobId, ExecutionId) {
        let job = self.submit().await;
        let execution = self.take(&job, "r1").await;
        (job, execution)
    }

    /// The execution made by a claim that has to succeed.
    async fn take(&self, job: &JobId, runner: &str) -> ExecutionId {
        match self.claim(job, runner).await {
            Claimed::New(execution) => execution.id,
            other => panic!("{other:?}"),
        }
    }

    async fn set(&self, job: &JobId, execution: &ExecutionId, status: ExecutionStatus) -> Result<Written, Error> {
        let write = StatusWrite { job: job.clone(), execution: execution.clone(), status, description: String::new() };
        self.store.set_status(write, self.at(1)).await
    }

    async fn job(&self, id: &JobId) -> Job {
        self.store.job(id).await.unwrap().job
    }

    async fn status(&self, id: &JobId) -> JobStatus {
        self.job(id).await.status
    }
}

fn new_job() -> NewJob {
    NewJob {
        id: None,
        job_type: "noop-build".into(),
        group: "build".into(),
        operation: "build".into(),
        plan: SecretString::from("{\"dst_tag\":\"planted-secret-in-a-plan\"}"),
        metadata: [("component_id".to_owned(), "c1".to_owned())].into(),
        runner: None,
        owner_id: String::new(),
        owner_type: String::new(),
        timeouts: Timeouts { execution: Duration::from_mins(5), ..Timeouts::default() },
        max_executions: 1,
    }
}

fn runner(name: &str) -> RunnerId {
    name.parse().unwrap()
}

fn claim(job: &JobId, by: &str, key: Option<&str>) -> Claim {
    Claim { job: job.clone(), runner: Some(runner(by)), key: key.map(str::to_owned), client_version: "runner:test".into() }
}

fn fence<T>(result: Result<T, Error>) -> Fence {
    match result {
        Err(Error::Stale { fence, .. }) => fence,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was let through"),
    }
}
