//! After a restart: what an earlier runner began is finished, and told as it was.
//!
//! ```text
//!  receipt there ──────────────────────────────► delivery: rest of the log, report
//!  claimed, begun, no receipt ─► processes stopped, workspace gone, cleanup by handle, last line in the log
//!                                   ├─ still ours ─► Finished(Interrupted | Cancelled | TimedOut) ─► delivery
//!                                   └─ lost ──────► disowned
//!  claimed, not begun ─► run it
//!  claim without answer ─► claimed again under the same key ─► Ours: run it · Lost: forgotten
//! ```
//!
//! In: what [`Journal::open`] found. Out: deliveries, and claims to run. Invariants: work that was begun is never begun again; exactly one outcome
//! is reported for each execution, and it is true; nothing here waits for a source that is away (deliveries and open claims are tried
//! on in the background).
//!
//! Called by the agent: [`Recovery::hand_over`] before it polls, [`Recovery::settle`] beside the poller.

mod interrupted;
#[cfg(test)]
mod tests;

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::future::join_all;
use tokio::sync::mpsc;

use super::{
    Claimed, Supervisor,
    delivery::{Deliveries, DeliveryJob, LOGS, log_folder},
};
use crate::{
    job::{ExecutionId, Failure, JobId, JobType, Phase},
    journal::{Entry, Intent, Journal, Recovered, RecoveredExecution},
    logs::{Bell, JobLog},
    retry::{self, Policy},
    shutdown::Cancel,
    source::{Claim, Error, Source, Standing},
    workspace,
};

/// How long recovery waits for the source's word on whether the executions are still ours. A source that knows better answers at once;
/// one that is away fences the report later.
const STANDING: Duration = Duration::from_secs(2);

/// What recovery needs of the executors: [`Supervisor::clean_up_after`].
#[async_trait]
pub trait Cleaner: Send + Sync {
    /// Removes what a killed execution left behind, by the handle that was journalled for it. Within a deadline of its own.
    async fn clean_up_after(
        &self,
        job: &JobId,
        job_type: JobType,
        execution: &ExecutionId,
        handle: serde_json::Value,
        log: &JobLog,
    ) -> Result<(), Failure>;
}

#[async_trait]
impl Cleaner for Supervisor {
    async fn clean_up_after(
        &self,
        job: &JobId,
        job_type: JobType,
        execution: &ExecutionId,
        handle: serde_json::Value,
        log: &JobLog,
    ) -> Result<(), Failure> {
        self.clean_up_after(job, job_type, execution, handle, log).await
    }
}

/// A claim of an earlier runner of which no work was begun.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenClaim {
    /// Its idempotency key.
    pub key: String,
    /// The job.
    pub job: JobId,
    /// What it takes to run it.
    pub intent: Intent,
    /// The attempt, if the answer arrived.
    pub execution: Option<ExecutionId>,
    /// The last log record the source has.
    pub logs_sent: u64,
}

/// Everything recovery works with.
pub struct Recovery {
    /// The control plane.
    pub source: Arc<dyn Source>,
    /// The journal.
    pub journal: Arc<Journal>,
    /// Where outcomes go.
    pub deliveries: Arc<Deliveries>,
    /// The executors.
    pub cleaner: Arc<dyn Cleaner>,
    /// The state folder.
    pub state: PathBuf,
}

impl Recovery {
    /// Deals with everything that was begun. Returns when all of it was handed over, with the claims that [`Recovery::settle`] has to settle.
    /// Takes seconds at most but for executors that clean up, whether the source can be reached or not.
    pub async fn hand_over(&self, found: Vec<Recovered>) -> Vec<OpenClaim> {
        self.sweep(&found).await;
        let (mut open, mut begun) = (Vec::new(), Vec::new());
        for Recovered { key, job, at, intent, claimed } in found {
            match claimed {
                None => open.push(OpenClaim { key, job, intent, execution: None, logs_sent: 0 }),
                Some(claimed) => match &claimed.receipt {
                    Some(receipt) => {
                        tracing::info!(%job, execution = %claimed.execution, "an earlier runner's outcome is delivered");
                        self.deliveries.begin(self.delivery_of(&job, &claimed)).finish(receipt.clone());
                    }
                    None if claimed.handle.is_none() && claimed.phase == Phase::Claimed => {
                        open.push(OpenClaim { key, job, intent, execution: Some(claimed.execution), logs_sent: claimed.logs_sent });
                    }
                    None => begun.push((job, at, claimed)),
                },
            }
        }
        let standings = self.standings(&begun).await;
        let standing = |claimed: &RecoveredExecution| {
            standings.iter().find(|(execution, _)| *execution == claimed.execution).map_or(Standing::Running, |(_, standing)| *standing)
        };
        join_all(begun.into_iter().map(|(job, at, claimed)| {
            let standing = standing(&claimed);
            interrupted::conclude(self, job, at, claimed, standing)
        }))
        .await;
        open
    }

    /// Settles claims whose work was not begun, one after the other, and sends those that are ours, journalled as [`Entry::Claimed`]. Takes up a claim only when there is room in
    /// `runnable`: whoever receives should do so when a slot is free. Returns when all are settled, or stopped.
    pub async fn settle(&self, open: Vec<OpenClaim>, runnable: mpsc::Sender<Claimed>, stop: &Cancel) {
        for OpenClaim { key, job, intent, execution, logs_sent } in open {
            let Ok(Ok(room)) = stop.run(runnable.reserve()).await else { return };
            let execution = match execution {
                Some(execution) => execution,
                None => match self.claim(&job, &key, &intent, stop).await {
                    Ok(Some(execution)) => execution,
                    Ok(None) => continue,
                    Err(()) => return,
                },
            };
            tracing::info!(%job, %execution, "an earlier runner claimed the job and did not begin it: it is run now");
            room.send(Claimed { logs_sent, ..Claimed::intended(&job, &intent, execution) });
        }
    }

    /// Asks once more, under the same key. `Err` when stopped: the intent stays in the journal.
    async fn claim(&self, job: &JobId, key: &str, intent: &Intent, stop: &Cancel) -> Result<Option<ExecutionId>, ()> {
        let attempt = || self.source.claim(job, key);
        let on_retry = |error: &Error, _| tracing::debug!(%job, %error, "an open claim cannot be settled now");
        let Ok(answer) = stop.run(retry::retry(Policy::FOR_EVER, stop, Error::advice, on_retry, attempt)).await else { return Err(()) };
        let why = match answer {
            Ok(Claim::Ours(execution)) => {
                let (job_type, log_stream) = (intent.job_type.clone(), intent.log_stream.clone());
                let (key, job, at) = (key.to_owned(), job.clone(), jiff::Timestamp::now());
                // Not durable is no reason to leave a job of ours lying: the journal tries on, and says what troubles it.
                self.journal.write(Entry::Claimed { key, job, execution: execution.clone(), job_type, log_stream, at }).await;
                return Ok(Some(execution));
            }
            Ok(Claim::Lost(why)) => why,
            Err(_) if stop.is_cancelled() => return Err(()),
            Err(error) => error.to_string(),
        };
        tracing::info!(%job, why, "a claim of an earlier runner came to nothing");
        self.journal.note(Entry::Unclaimed { key: key.to_owned() });
        Ok(None)
    }

    fn delivery_of(&self, job: &JobId, claimed: &RecoveredExecution) -> DeliveryJob {
        DeliveryJob {
            job: job.clone(),
            job_type: claimed.job_type.clone(),
            execution: claimed.execution.clone(),
            log_stream: claimed.log_stream.clone(),
            folder: log_folder(&self.state, &claimed.execution),
            bell: Bell::new(),
            logs_sent: claimed.logs_sent,
        }
    }

    /// Ends processes, removes workspaces, and logs that nobody is owed.
    async fn sweep(&self, found: &[Recovered]) {
        let state = self.state.clone();
        let owed: Vec<String> = found.iter().filter_map(|found| Some(found.claimed.as_ref()?.execution.to_string())).collect();
        let swept = tokio::task::spawn_blocking(move || {
            for name in entries(&state.join(LOGS)).into_iter().filter(|name| !owed.contains(name)) {
                // Delivered, and killed before it was removed. If it stays, the next start tries again.
                let _ = std::fs::remove_dir_all(state.join(LOGS).join(name));
            }
            workspace::sweep(&state)
        });
        match swept.await {
            Ok(Ok(swept)) => {
                for (execution, problem) in swept.failed {
                    tracing::warn!(execution, problem, "what a killed runner left behind cannot be removed");
                }
            }
            Ok(Err(error)) => tracing::warn!(%error, "what killed runners left behind cannot be looked for"),
            Err(error) => tracing::error!(%error, "the search for what killed runners left behind failed"),
        }
    }

    /// The source's word on the executions, as far as it is to be had now.
    async fn standings(&self, begun: &[(JobId, jiff::Timestamp, RecoveredExecution)]) -> Vec<(ExecutionId, Standing)> {
        if begun.is_empty() {
            return Vec::new();
        }
        let asked: Vec<_> = begun.iter().map(|(job, _, claimed)| (job.clone(), claimed.execution.clone())).collect();
        let cancel = Cancel::new();
        match tokio::time::timeout(STANDING, self.source.standings(&asked, &cancel)).await {
            Ok(Ok(standings)) => standings,
            Ok(Err(error)) => {
                tracing::debug!(%error, "the control plane cannot be asked about interrupted jobs; it will say so when they are reported");
                Vec::new()
            }
            Err(_) => Vec::new(),
        }
    }
}

fn entries(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}
