//! A control plane in memory, for tests: what it answers are knobs, and it remembers what it was told. Not in any release.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;

use crate::{
    job::{ExecutionId, JobId, Phase, Receipt},
    logs::Record,
    shutdown::Cancel,
    source::{Claim, Error, LogContext, Offer, Settings, Source, Standing, Wanted},
};

/// How one call is answered, after a while.
pub(super) type Answer = (Duration, Result<(), Error>);

/// Answers the n-th call (from 0) of one kind.
type Knob = Box<dyn Fn(usize) -> Answer + Send>;

#[derive(Default)]
struct State {
    calls: Vec<String>,
    counts: BTreeMap<&'static str, usize>,
    knobs: BTreeMap<&'static str, Knob>,
    records: BTreeMap<ExecutionId, Vec<Record>>,
    reports: Vec<(ExecutionId, Receipt)>,
    standings: Vec<(ExecutionId, Standing)>,
    claims: BTreeMap<String, Claim>,
}

/// The control plane.
#[derive(Default)]
pub(super) struct ScriptedSource {
    state: Mutex<State>,
    changed: tokio::sync::Notify,
    uploading: AtomicUsize,
    pub(super) most_uploads: AtomicUsize,
}

pub(super) fn away() -> Error {
    Error::Unavailable { message: "connection refused".to_owned(), retry_after: None }
}

pub(super) fn at_once(result: Result<(), Error>) -> Answer {
    (Duration::ZERO, result)
}

impl ScriptedSource {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on calls of `kind` (`logs`, `report`, `phase`, `heartbeat`, `standings`, `claim`) are answered so.
    pub(super) fn on(&self, kind: &'static str, knob: impl Fn(usize) -> Answer + Send + 'static) {
        self.state().knobs.insert(kind, Box::new(knob));
    }

    pub(super) fn set_standing(&self, execution: &ExecutionId, standing: Standing) {
        self.state().standings.push((execution.clone(), standing));
        self.changed.notify_waiters();
    }

    /// What a claim under `key` comes to; lost unless told.
    pub(super) fn set_claim(&self, key: &str, claim: Claim) {
        self.state().claims.insert(key.to_owned(), claim);
    }

    /// Every call that was answered with success, in the order of the answers: `logs 1-3`, `phase Running`, `report Failed` …
    pub(super) fn calls(&self) -> Vec<String> {
        self.state().calls.clone()
    }

    /// How often `kind` was called, whatever was answered.
    pub(super) fn count(&self, kind: &str) -> usize {
        self.state().counts.get(kind).copied().unwrap_or(0)
    }

    pub(super) fn seqs(&self, execution: &ExecutionId) -> Vec<u64> {
        self.records(execution).iter().map(|record| record.seq).collect()
    }

    pub(super) fn records(&self, execution: &ExecutionId) -> Vec<Record> {
        self.state().records.get(execution).cloned().unwrap_or_default()
    }

    pub(super) fn reports(&self) -> Vec<(ExecutionId, Receipt)> {
        self.state().reports.clone()
    }

    async fn call(&self, kind: &'static str, what: impl FnOnce(&mut State) -> String) -> Result<(), Error> {
        let (wait, result) = {
            let mut state = self.state();
            let count = state.counts.entry(kind).or_default();
            *count += 1;
            let number = *count - 1;
            state.knobs.get(kind).map_or_else(|| at_once(Ok(())), |knob| knob(number))
        };
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        result.map(|()| {
            let mut state = self.state();
            let what = what(&mut state);
            state.calls.push(what);
        })
    }
}

#[async_trait]
impl Source for ScriptedSource {
    async fn poll(&self, _wanted: &Wanted, _cancel: &Cancel) -> Result<Vec<Offer>, Error> {
        Ok(Vec::new())
    }

    async fn claim(&self, _job: &JobId, key: &str) -> Result<Claim, Error> {
        self.call("claim", |_| format!("claim {key}")).await?;
        Ok(self.state().claims.get(key).cloned().unwrap_or_else(|| Claim::Lost("somebody else has it".to_owned())))
    }

    async fn plan(&self, _job: &JobId) -> Result<serde_json::Value, Error> {
        Ok(serde_json::json!({}))
    }

    async fn phase(&self, _job: &JobId, _execution: &ExecutionId, phase: Phase) -> Result<(), Error> {
        self.call("phase", |_| format!("phase {phase:?}")).await
    }

    async fn standings(&self, running: &[(JobId, ExecutionId)], cancel: &Cancel) -> Result<Vec<(ExecutionId, Standing)>, Error> {
        self.call("standings", |_| format!("standings {}", running.len())).await?;
        let hold = tokio::time::Instant::now() + Duration::from_secs(25);
        loop {
            let changed = self.changed.notified();
            let asked = |execution: &ExecutionId| running.iter().any(|(_, asked)| asked == execution);
            let found: Vec<_> = self.state().standings.iter().filter(|(execution, _)| asked(execution)).cloned().collect();
            if !found.is_empty() {
                return Ok(found);
            }
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep_until(hold) => return Ok(Vec::new()),
                () = cancel.cancelled() => return Err(Error::Cancelled),
            }
        }
    }

    async fn logs(&self, context: &LogContext, records: &[Record]) -> Result<(), Error> {
        let now = self.uploading.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_uploads.fetch_max(now, Ordering::SeqCst);
        let seq = |record: Option<&Record>| record.map_or(0, |record| record.seq);
        let result = self
            .call("logs", |state| {
                state.records.entry(context.execution.clone()).or_default().extend_from_slice(records);
                format!("logs {}-{}", seq(records.first()), seq(records.last()))
            })
            .await;
        self.uploading.fetch_sub(1, Ordering::SeqCst);
        result
    }

    async fn report(&self, _job: &JobId, execution: &ExecutionId, receipt: &Receipt) -> Result<(), Error> {
        self.call("report", |state| {
            state.reports.push((execution.clone(), receipt.clone()));
            format!("report {:?}", receipt.outcome)
        })
        .await
    }

    async fn heartbeat(&self, _alive: Duration) -> Result<(), Error> {
        self.call("heartbeat", |_| "heartbeat".to_owned()).await
    }

    async fn settings(&self) -> Result<Settings, Error> {
        Ok(Settings { heartbeat: Duration::from_secs(5), logs: true, attributes: BTreeMap::new() })
    }
}
