//! The long poll, apart from HTTP: waits until there is something to claim.
//!
//! Inputs: a store, who asks, for which groups, how many, how long. Outputs: jobs, oldest first; none when the time is up. Called by
//! `/jobs/tail`.

use tokio::time::{Instant, timeout_at};

use super::{Error, Job, JobStatus, Store};
use crate::job::RunnerId;

/// Jobs on their way to other runners that one look goes past.
const AHEAD: usize = 128;

/// Jobs that `runner` may claim, as soon as there is one, or none at `until`. Drop it when the runner has hung up.
pub async fn next_jobs(
    store: &dyn Store,
    runner: &RunnerId,
    groups: Option<&[String]>,
    limit: usize,
    until: Instant,
) -> Result<Vec<Job>, Error> {
    loop {
        let mut parked = store.bells().park(runner, groups);
        let most = limit.saturating_add(store.bells().offered().min(AHEAD));
        let mut found = store.available(runner, groups, most).await?;
        let mut jobs = store.bells().reserve(runner, &found, limit);
        if jobs.is_empty() && found.len() == most {
            // There are more jobs than are worth looking through: a claim that is lost is better than a job that waits.
            found.truncate(limit);
            jobs = found;
        }
        if !jobs.is_empty() {
            parked.answer(&jobs);
            return Ok(jobs);
        }
        let Ok(called) = timeout_at(until, parked.called()).await else { return Ok(Vec::new()) };
        // This very job: another poll was called for each of the others.
        match store.job(&called).await {
            Ok(detail) if detail.job.status == JobStatus::Available => return Ok(vec![detail.job]),
            Ok(_) | Err(Error::UnknownJob(_)) => {}
            Err(error) => return Err(error),
        }
    }
}
