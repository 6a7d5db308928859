//! Making a job one runner's.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{
    super::{Claim, Claimed, Ending, Error, Event, Execution, ExecutionStatus, JobStatus, Lost},
    rows::{self, after, earlier, execution_columns, instant, micros, unsigned},
    writer::{Change, Tx},
};
use crate::job::{ExecutionId, RunnerId};

/// See [`super::super::Store::claim`]. The execution's id is made before, so that making the change again makes the same one.
pub(super) struct TakeJob {
    pub(super) claim: Claim,
    pub(super) execution: ExecutionId,
    pub(super) now: Timestamp,
}

#[async_trait]
impl Change for TakeJob {
    type Answer = Claimed;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Claimed, Error> {
        let Claim { job, runner, key, client_version } = &self.claim;
        let runner = runner.as_ref().map(RunnerId::as_str);
        // One statement decides: whoever gets a row has the job.
        let taken = sqlx::query(
            "UPDATE jobs SET status = 'in-progress', status_description = '', execution_count = execution_count + 1, \
                 runner = coalesce(?2, bound_runner), started_at = ?4, updated_at = ?4, finished_at = NULL, expires_at = NULL \
             WHERE id = ?1 AND status = 'available' AND execution_count < max_executions \
                 AND (bound_runner IS NULL OR ?2 IS NULL OR bound_runner = ?2) \
                 AND NOT EXISTS (SELECT 1 FROM executions e WHERE e.job = jobs.seq AND e.claim_key = ?3) \
             RETURNING seq, execution_count, runner, available_timeout, execution_timeout, overall_timeout, released_at",
        )
        .bind(job.as_str())
        .bind(runner)
        .bind(key.as_deref())
        .bind(micros(self.now))
        .fetch_optional(&mut *tx.db)
        .await?;
        let Some(taken) = taken else { return self.not_taken(tx).await };

        let runner: Option<RunnerId> = rows::maybe_word(&taken, "runner")?;
        let attempt: u32 = unsigned(&taken, "execution_count")?;
        let timeouts = rows::timeouts(&taken)?;
        let overall = after(instant(unsigned(&taken, "released_at")?)?, timeouts.overall);
        let grace = i64::try_from(tx.limits.grace.as_micros()).unwrap_or(i64::MAX);
        let deadline = earlier(after(self.now, timeouts.execution), overall).map(|end| end.saturating_add(grace));
        let lease_until = after(self.now, tx.limits.lease);
        sqlx::query(
            "INSERT INTO executions (id, job, attempt, runner, client_version, claim_key, status, created_at, updated_at, lease_until, deadline) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'pending', ?7, ?7, ?8, ?9)",
        )
        .bind(self.execution.as_str())
        .bind(unsigned::<i64>(&taken, "seq")?)
        .bind(attempt)
        .bind(runner.as_ref().map(RunnerId::as_str))
        .bind(client_version)
        .bind(key.as_deref())
        .bind(micros(self.now))
        .bind(lease_until)
        .bind(deadline)
        .execute(&mut *tx.db)
        .await?;
        tx.announce(Event::JobTaken(job.clone()));
        tx.announce(Event::JobChanged(job.clone()));
        Ok(Claimed::New(Execution {
            id: self.execution.clone(),
            job: job.clone(),
            attempt,
            runner,
            client_version: client_version.clone(),
            status: ExecutionStatus::Pending,
            status_description: String::new(),
            ending: Ending::Running,
            created_at: self.now,
            updated_at: self.now,
            finished_at: None,
            lease_until: lease_until.map(instant).transpose()?,
        }))
    }
}

impl TakeJob {
    /// Claimed before with this key, or lost: why?
    async fn not_taken(&self, tx: &mut Tx<'_>) -> Result<Claimed, Error> {
        let Claim { job, runner, key, .. } = &self.claim;
        let row = sqlx::query(concat!(
            "SELECT j.id, j.status, j.bound_runner, j.execution_count >= j.max_executions AS exhausted, ",
            execution_columns!(),
            " FROM jobs j LEFT JOIN executions e ON e.job = j.seq AND e.claim_key = ?2 WHERE j.id = ?1"
        ))
        .bind(job.as_str())
        .bind(key.as_deref())
        .fetch_optional(&mut *tx.db)
        .await?;
        let Some(row) = row else { return Err(Error::UnknownJob(job.clone())) };
        if rows::maybe_word::<ExecutionId>(&row, "e_id")?.is_some() {
            return Ok(Claimed::Same(rows::execution(&row)?));
        }
        let bound: Option<RunnerId> = rows::maybe_word(&row, "bound_runner")?;
        let status: JobStatus = rows::word(&row, "status")?;
        Ok(Claimed::Lost(match (status, bound) {
            (_, Some(bound)) if runner.as_ref().is_some_and(|runner| *runner != bound) => Lost::OtherRunner,
            (JobStatus::Available, _) if unsigned::<i64>(&row, "exhausted")? != 0 => Lost::Exhausted,
            (status, _) => Lost::Gone(status),
        }))
    }
}
