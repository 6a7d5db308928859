//! The operator's word: cancel and retry.

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::{Row as _, sqlite::SqliteRow};

use super::{
    super::{Ending, Error, Event, Job, JobStatus, Withdrawn},
    rows::{self, after, earlier, micros, select_jobs},
    writer::{Change, Tx},
};
use crate::job::{JobId, RunnerId};

async fn find(tx: &mut Tx<'_>, id: &JobId) -> Result<(Job, SqliteRow), Error> {
    let select = sqlx::query(concat!(select_jobs!(), "WHERE j.id = ?1")).bind(id.as_str());
    let row = select.fetch_optional(&mut *tx.db).await?.ok_or_else(|| Error::UnknownJob(id.clone()))?;
    Ok((rows::job(&row)?, row))
}

/// See [`super::super::Store::cancel`].
pub(super) struct Cancel {
    pub(super) job: JobId,
    pub(super) now: Timestamp,
}

#[async_trait]
impl Change for Cancel {
    type Answer = Withdrawn;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Withdrawn, Error> {
        let (job, row) = find(tx, &self.job).await?;
        if job.status.is_terminal() {
            return Ok(Withdrawn::Over(job.status));
        }
        let seq: i64 = row.try_get("seq")?;
        let running = job.latest.filter(|latest| job.status == JobStatus::InProgress && latest.ending == Ending::Running);
        if let Some(execution) = &running {
            // The deadline goes: the runner is already stopping. The lease stays: it says how long that may take.
            sqlx::query(
                "UPDATE executions SET status = 'cancelled', status_description = 'cancelled by the operator', ending = 'stopping', \
                     updated_at = ?2, finished_at = ?2, lease_until = ?3, deadline = NULL WHERE id = ?1",
            )
            .bind(execution.id.as_str())
            .bind(micros(self.now))
            .bind(after(self.now, tx.limits.lease))
            .execute(&mut *tx.db)
            .await?;
            tx.announce(Event::Stop { execution: execution.id.clone(), runner: execution.runner.clone() });
        }
        sqlx::query(
            "UPDATE jobs SET status = 'cancelled', status_description = 'cancelled by the operator', updated_at = ?2, finished_at = ?2, \
                 expires_at = NULL WHERE seq = ?1",
        )
        .bind(seq)
        .bind(micros(self.now))
        .execute(&mut *tx.db)
        .await?;
        tx.announce(Event::JobTaken(self.job.clone()));
        tx.announce(Event::JobChanged(self.job.clone()));
        Ok(running.map_or(Withdrawn::AtOnce, |execution| Withdrawn::Stopping(execution.id)))
    }
}

/// See [`super::super::Store::retry`].
pub(super) struct Retry {
    pub(super) job: JobId,
    pub(super) now: Timestamp,
}

#[async_trait]
impl Change for Retry {
    type Answer = Job;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Job, Error> {
        let (mut job, row) = find(tx, &self.job).await?;
        let refuse = |remedy| Err(Error::State { job: self.job.clone(), status: job.status, remedy });
        match (job.status, &job.latest) {
            (JobStatus::Finished, _) => return refuse("it has succeeded; submit it again to run it again"),
            (status, _) if !status.is_terminal() => return refuse("wait until it is over, or cancel it first"),
            (_, Some(latest)) if latest.ending == Ending::Stopping => {
                return refuse("its runner is still stopping the last execution; try again when that has reported, or in a minute");
            }
            _ => {}
        }
        let seq: i64 = row.try_get("seq")?;
        job.max_executions = job.max_executions.max(job.execution_count.saturating_add(1));
        release(tx, seq, self.now, &job, Some(job.max_executions)).await?;
        announce(tx, seq, &self.job, &job.group).await?;
        (job.status, job.status_description, job.updated_at) = (JobStatus::Available, String::new(), self.now);
        (job.started_at, job.finished_at) = (None, None);
        job.runner = bound(tx, seq).await?;
        Ok(job)
    }
}

/// Makes a job available again; its clocks start anew with a retry (`max_executions` is given) and go on otherwise.
pub(super) async fn release(tx: &mut Tx<'_>, seq: i64, now: Timestamp, job: &Job, max_executions: Option<u32>) -> Result<(), Error> {
    let released = match max_executions {
        Some(_) => micros(now),
        None => sqlx::query("SELECT released_at FROM jobs WHERE seq = ?1").bind(seq).fetch_one(&mut *tx.db).await?.try_get(0)?,
    };
    let expires = earlier(after(now, job.timeouts.available), after(rows::instant(released)?, job.timeouts.overall));
    sqlx::query(
        "UPDATE jobs SET status = 'available', status_description = '', runner = NULL, started_at = NULL, finished_at = NULL, updated_at = ?2, \
             max_executions = coalesce(?3, max_executions), released_at = ?4, expires_at = ?5 WHERE seq = ?1",
    )
    .bind(seq)
    .bind(micros(now))
    .bind(max_executions)
    .bind(released)
    .bind(expires)
    .execute(&mut *tx.db)
    .await?;
    Ok(())
}

/// Tells that a job is available again.
pub(super) async fn announce(tx: &mut Tx<'_>, seq: i64, job: &JobId, group: &str) -> Result<(), Error> {
    let runner = bound(tx, seq).await?;
    tx.announce(Event::JobAvailable { job: job.clone(), group: group.to_owned(), runner });
    Ok(())
}

/// The only runner that may have the job.
async fn bound(tx: &mut Tx<'_>, seq: i64) -> Result<Option<RunnerId>, Error> {
    let row = sqlx::query("SELECT bound_runner FROM jobs WHERE seq = ?1").bind(seq).fetch_one(&mut *tx.db).await?;
    rows::maybe_word(&row, "bound_runner")
}
