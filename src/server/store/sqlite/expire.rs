//! Ending what ran out of time.

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::{Row as _, sqlite::SqliteRow};

use super::{
    super::{Clock, Ending, Error, Event, Execution, Expired, Job, JobStatus},
    rows::{self, after, micros, select_jobs},
    withdraw::{announce, release},
    writer::{Change, Tx},
};

/// Jobs that one call ends at most.
const AT_ONCE: i64 = 100;

/// See [`super::super::Store::expire`].
pub(super) struct Expire {
    pub(super) now: Timestamp,
}

#[async_trait]
impl Change for Expire {
    type Answer = Vec<Expired>;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Vec<Expired>, Error> {
        let mut expired = Vec::new();
        for row in self
            .due(tx, concat!(select_jobs!(), "WHERE e.lease_until <= ?1 OR (e.lease_until IS NOT NULL AND e.deadline <= ?1) LIMIT ?2"))
            .await?
        {
            expired.extend(self.end_execution(tx, &row).await?);
        }
        for row in self.due(tx, concat!(select_jobs!(), "WHERE j.expires_at <= ?1 LIMIT ?2")).await? {
            expired.push(self.end_job(tx, &row).await?);
        }
        Ok(expired)
    }
}

impl Expire {
    async fn due(&self, tx: &mut Tx<'_>, select: &'static str) -> Result<Vec<SqliteRow>, Error> {
        Ok(sqlx::query(select).bind(micros(self.now)).bind(AT_ONCE).fetch_all(&mut *tx.db).await?)
    }

    async fn end_execution(&self, tx: &mut Tx<'_>, row: &SqliteRow) -> Result<Option<Expired>, Error> {
        let job = rows::job(row)?;
        let seq: i64 = row.try_get("seq")?;
        let Some(execution) = job.latest.clone() else { return Ok(None) };
        if execution.ending == Ending::Stopping {
            sqlx::query("UPDATE executions SET ending = 'abandoned', lease_until = NULL WHERE id = ?1")
                .bind(execution.id.as_str())
                .execute(&mut *tx.db)
                .await?;
            tx.announce(Event::JobChanged(job.id));
            return Ok(None);
        }
        let clock = self.clock(tx, row, &job, &execution).await?;
        let why = match clock {
            Clock::Lease => "the lease expired: nothing was heard of the runner",
            Clock::Overall => "the job's overall time limit has passed",
            Clock::Execution | Clock::Available => "the execution's time limit has passed",
        };
        sqlx::query(
            "UPDATE executions SET status = 'timed-out', status_description = ?3, ending = 'expired', updated_at = ?2, finished_at = ?2, \
                 lease_until = NULL WHERE id = ?1",
        )
        .bind(execution.id.as_str())
        .bind(micros(self.now))
        .bind(why)
        .execute(&mut *tx.db)
        .await?;
        tx.announce(Event::Stop { execution: execution.id.clone(), runner: execution.runner });
        let status = match clock {
            Clock::Lease if job.execution_count < job.max_executions => JobStatus::Available,
            Clock::Lease => JobStatus::Failed,
            Clock::Execution | Clock::Overall | Clock::Available => JobStatus::TimedOut,
        };
        if status == JobStatus::Available {
            release(tx, seq, self.now, &job, None).await?;
            announce(tx, seq, &job.id, &job.group).await?;
        } else {
            self.close(tx, seq, status, why).await?;
        }
        tx.announce(Event::JobChanged(job.id.clone()));
        Ok(Some(Expired { job: job.id, execution: Some(execution.id), clock, status }))
    }

    /// Which clock ended it. A runner that is heard of is ended by a time limit, not by its lease.
    async fn clock(&self, tx: &mut Tx<'_>, row: &SqliteRow, job: &Job, execution: &Execution) -> Result<Clock, Error> {
        let (now, seq) = (micros(self.now), row.try_get::<i64, _>("seq")?);
        let select =
            sqlx::query("SELECT e.deadline, j.released_at FROM executions e JOIN jobs j ON j.seq = e.job WHERE e.id = ?1 AND j.seq = ?2");
        let times = select.bind(execution.id.as_str()).bind(seq).fetch_one(&mut *tx.db).await?;
        let passed = |end: Option<i64>| end.is_some_and(|end| end <= now);
        Ok(if !passed(times.try_get("deadline")?) {
            Clock::Lease
        } else if passed(after(rows::time(&times, "released_at")?, job.timeouts.overall)) {
            Clock::Overall
        } else {
            Clock::Execution
        })
    }

    async fn end_job(&self, tx: &mut Tx<'_>, row: &SqliteRow) -> Result<Expired, Error> {
        let job = rows::job(row)?;
        let seq: i64 = row.try_get("seq")?;
        let select = sqlx::query("SELECT released_at FROM jobs WHERE seq = ?1").bind(seq).fetch_one(&mut *tx.db).await?;
        let overall = after(rows::time(&select, "released_at")?, job.timeouts.overall).is_some_and(|end| end <= micros(self.now));
        let (clock, status, why) = if overall {
            (Clock::Overall, JobStatus::TimedOut, "the job's overall time limit has passed")
        } else {
            (Clock::Available, JobStatus::NotAttempted, "no runner claimed it in time")
        };
        self.close(tx, seq, status, why).await?;
        tx.announce(Event::JobTaken(job.id.clone()));
        tx.announce(Event::JobChanged(job.id.clone()));
        Ok(Expired { job: job.id, execution: None, clock, status })
    }

    async fn close(&self, tx: &mut Tx<'_>, seq: i64, status: JobStatus, why: &str) -> Result<(), Error> {
        sqlx::query(
            "UPDATE jobs SET status = ?2, status_description = ?3, updated_at = ?4, finished_at = ?4, expires_at = NULL WHERE seq = ?1",
        )
        .bind(seq)
        .bind(status.as_str())
        .bind(why)
        .bind(micros(self.now))
        .execute(&mut *tx.db)
        .await?;
        Ok(())
    }
}
