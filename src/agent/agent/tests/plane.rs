//! A control plane in memory: jobs in, calls remembered, faults as knobs. Not in any release.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::Notify;

use crate::{
    job::{ExecutionId, JobId, JobType, Phase, Receipt},
    logs::Record,
    shutdown::Cancel,
    source::{Claim, Error, LogContext, Offer, Settings, Source, Standing, Wanted},
};

#[derive(Default)]
pub(super) struct State {
    available: Vec<Offer>,
    plans: BTreeMap<JobId, Result<serde_json::Value, Error>>,
    executions: BTreeMap<JobId, ExecutionId>,
    standings: BTreeMap<ExecutionId, Standing>,
    reports: BTreeMap<JobId, Receipt>,
    logs: BTreeMap<JobId, Vec<String>>,
    calls: Vec<String>,
    asked: Vec<&'static str>,
    /// Claims of these go to somebody else, who never takes them from the list.
    pub(super) lost: BTreeSet<JobId>,
    /// These are offered until they are reported.
    pub(super) sticky: BTreeSet<JobId>,
    pub(super) failing_polls: usize,
    pub(super) failing_claims: usize,
    pub(super) claim_takes: Duration,
    pub(super) keys: Vec<String>,
    /// Claimed and not reported.
    pub(super) most_at_once: usize,
}

/// The control plane.
#[derive(Default)]
pub(super) struct Plane {
    state: Mutex<State>,
    changed: Notify,
}

pub(super) fn away() -> Error {
    Error::Unavailable { message: "connection refused".to_owned(), retry_after: None }
}

impl Plane {
    pub(super) fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_waiters();
        result
    }

    /// A job of that type with an empty plan, younger than all before.
    pub(super) fn offer(&self, job_type: &str) -> JobId {
        let id = JobId::generate();
        self.with(|state| {
            let created_at = Timestamp::from_second(1_700_000_000 + i64::try_from(state.plans.len()).expect("few")).expect("a time");
            state.plans.insert(id.clone(), Ok(serde_json::json!({})));
            state.available.push(Offer {
                id: id.clone(),
                job_type: job_type.to_owned(),
                operation: String::new(),
                created_at,
                execution_timeout: None,
                log_stream: "log1".to_owned(),
                metadata: BTreeMap::new(),
            });
        });
        id
    }

    pub(super) fn plan(&self, job: &JobId, plan: Result<serde_json::Value, Error>) {
        self.with(|state| state.plans.insert(job.clone(), plan));
    }

    pub(super) fn stand(&self, execution: &ExecutionId, standing: Standing) {
        self.with(|state| state.standings.insert(execution.clone(), standing));
    }

    /// The calls that were answered, of one kind, in order: `claim JOB`, `report JOB` …
    pub(super) fn calls(&self, kind: &str) -> Vec<String> {
        self.with(|state| state.calls.iter().filter(|call| call.starts_with(kind)).cloned().collect())
    }

    pub(super) fn report(&self, job: &JobId) -> Receipt {
        self.with(|state| state.reports.get(job).cloned().expect("a report"))
    }

    pub(super) fn log(&self, job: &JobId) -> Vec<String> {
        self.with(|state| state.logs.get(job).cloned().unwrap_or_default())
    }

    async fn until<T>(&self, mut found: impl FnMut(&State) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(found) = found(&self.state.lock().unwrap_or_else(PoisonError::into_inner)) {
                return found;
            }
            changed.await;
        }
    }

    pub(super) async fn reported(&self, jobs: &[&JobId]) {
        self.until(|state| jobs.iter().all(|job| state.reports.contains_key(*job)).then_some(())).await;
    }

    pub(super) async fn claimed(&self, job: &JobId) -> ExecutionId {
        self.until(|state| state.executions.get(job).cloned()).await
    }

    /// Resolves once a call of that kind about that job was answered.
    pub(super) async fn called(&self, kind: &str, about: impl std::fmt::Display) {
        let call = format!("{kind} {about}");
        self.until(|state| state.calls.iter().any(|called| called.starts_with(&call)).then_some(())).await;
    }

    /// Resolves once a call of that kind was begun.
    pub(super) async fn asked(&self, kind: &'static str) {
        self.until(|state| state.asked.contains(&kind).then_some(())).await;
    }
}

#[async_trait]
impl Source for Plane {
    async fn poll(&self, wanted: &Wanted, _cancel: &Cancel) -> Result<Vec<Offer>, Error> {
        let failing = self.with(|state| {
            state.calls.push("poll ".to_owned());
            let failing = state.failing_polls > 0;
            state.failing_polls = state.failing_polls.saturating_sub(1);
            failing
        });
        if failing {
            return Err(away());
        }
        let offered = |offer: &&Offer| match (&wanted.groups, offer.job_type.parse::<JobType>()) {
            (None, _) => true,
            (Some(groups), Ok(job_type)) => groups.contains(&job_type.group()),
            (Some(_), Err(_)) => false,
        };
        self.until(|state| {
            // The oldest that fit, the newest of them first.
            let mut offers: Vec<_> = state.available.iter().filter(offered).take(wanted.limit).cloned().collect();
            offers.reverse();
            (!offers.is_empty()).then_some(Ok(offers))
        })
        .await
    }

    async fn claim(&self, job: &JobId, key: &str) -> Result<Claim, Error> {
        let wait = self.with(|state| {
            state.asked.push("claim");
            state.keys.push(key.to_owned());
            state.claim_takes
        });
        tokio::time::sleep(wait).await;
        self.with(|state| {
            if state.failing_claims > 0 {
                state.failing_claims -= 1;
                return Err(away());
            }
            state.calls.push(format!("claim {job}"));
            if state.lost.contains(job) {
                return Ok(Claim::Lost("somebody else has it".to_owned()));
            }
            if !state.sticky.contains(job) {
                state.available.retain(|offer| offer.id != *job);
            }
            let execution = ExecutionId::generate();
            state.executions.insert(job.clone(), execution.clone());
            state.most_at_once = state.most_at_once.max(state.executions.len() - state.reports.len());
            Ok(Claim::Ours(execution))
        })
    }

    async fn plan(&self, job: &JobId) -> Result<serde_json::Value, Error> {
        self.with(|state| {
            state.calls.push(format!("plan {job}"));
            state.plans.get(job).cloned().unwrap_or_else(|| Err(away()))
        })
    }

    async fn phase(&self, job: &JobId, _execution: &ExecutionId, phase: Phase) -> Result<(), Error> {
        self.with(|state| state.calls.push(format!("phase {job} {phase:?}")));
        Ok(())
    }

    async fn standings(&self, running: &[(JobId, ExecutionId)], _cancel: &Cancel) -> Result<Vec<(ExecutionId, Standing)>, Error> {
        self.until(|state| {
            let found: Vec<_> =
                running.iter().filter_map(|(_, execution)| Some((execution.clone(), *state.standings.get(execution)?))).collect();
            (!found.is_empty()).then_some(Ok(found))
        })
        .await
    }

    async fn logs(&self, context: &LogContext, records: &[Record]) -> Result<(), Error> {
        self.with(|state| {
            state.logs.entry(context.job.clone()).or_default().extend(records.iter().map(|record| record.text.clone()));
        });
        Ok(())
    }

    async fn report(&self, job: &JobId, _execution: &ExecutionId, receipt: &Receipt) -> Result<(), Error> {
        self.with(|state| {
            state.calls.push(format!("report {job} {}", receipt.job_type));
            state.available.retain(|offer| offer.id != *job);
            state.reports.insert(job.clone(), receipt.clone());
        });
        Ok(())
    }

    async fn heartbeat(&self, _alive: Duration) -> Result<(), Error> {
        Ok(())
    }

    async fn settings(&self) -> Result<Settings, Error> {
        Ok(Settings { heartbeat: Duration::from_secs(5), logs: true, attributes: BTreeMap::new() })
    }
}
