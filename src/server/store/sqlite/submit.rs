//! Taking a job in.

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::Row as _;

use super::{
    super::{Error, Event, Job, JobStatus, NewJob, SubmitKey, Submitted},
    rows::{self, after, earlier, micros, nanos, select_jobs},
    writer::{Change, Tx},
};
use crate::job::JobId;

/// See [`super::super::Store::submit`]. The plan is sealed already, and not in `job` any more.
pub(super) struct Submit {
    pub(super) id: JobId,
    pub(super) job: NewJob,
    pub(super) sealed: Vec<u8>,
    pub(super) key: Option<SubmitKey>,
    pub(super) now: Timestamp,
}

#[async_trait]
impl Change for Submit {
    type Answer = Submitted;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Submitted, Error> {
        if let Some(key) = &self.key
            && let Some(earlier) = self.earlier(key, tx).await?
        {
            return Ok(earlier);
        }
        let Some(seq) = self.insert(tx).await? else { return Err(Error::JobExists(self.id.clone())) };
        sqlx::query("INSERT INTO plans (job, sealed) VALUES (?1, ?2)").bind(seq).bind(&self.sealed).execute(&mut *tx.db).await?;
        if let Some(key) = &self.key {
            let insert = sqlx::query("INSERT INTO submissions (key, body, job) VALUES (?1, ?2, ?3)");
            insert.bind(&key.key).bind(key.body.as_slice()).bind(seq).execute(&mut *tx.db).await?;
        }
        tx.announce(Event::JobAvailable { job: self.id.clone(), group: self.job.group.clone(), runner: self.job.runner.clone() });
        Ok(Submitted::Created(self.created()))
    }
}

impl Submit {
    /// What the first request with this key came to.
    async fn earlier(&self, key: &SubmitKey, tx: &mut Tx<'_>) -> Result<Option<Submitted>, Error> {
        let select = sqlx::query("SELECT body, job FROM submissions WHERE key = ?1").bind(&key.key);
        let Some(submission) = select.fetch_optional(&mut *tx.db).await? else { return Ok(None) };
        let select = sqlx::query(concat!(select_jobs!(), "WHERE j.seq = ?1")).bind(submission.try_get::<i64, _>("job")?);
        let job = rows::job(&select.fetch_one(&mut *tx.db).await?)?;
        let same = submission.try_get::<&[u8], _>("body")? == key.body;
        Ok(Some(if same { Submitted::Replayed(job) } else { Submitted::KeyReused(job.id) }))
    }

    /// The new row, unless the id is in use.
    async fn insert(&self, tx: &mut Tx<'_>) -> Result<Option<i64>, Error> {
        let (job, timeouts) = (&self.job, &self.job.timeouts);
        let inserted = sqlx::query(
            "INSERT INTO jobs (id, type, job_group, operation, status, bound_runner, owner_id, owner_type, metadata, available_timeout, \
             execution_timeout, overall_timeout, max_executions, created_at, released_at, updated_at, expires_at) \
             VALUES (?1, ?2, ?3, ?4, 'available', ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?13, ?13, ?14) \
             ON CONFLICT (id) DO NOTHING RETURNING seq",
        )
        .bind(self.id.as_str())
        .bind(&job.job_type)
        .bind(&job.group)
        .bind(&job.operation)
        .bind(job.runner.as_ref().map(crate::job::RunnerId::as_str))
        .bind(&job.owner_id)
        .bind(&job.owner_type)
        .bind(rows::to_json(&job.metadata)?)
        .bind(nanos(timeouts.available))
        .bind(nanos(timeouts.execution))
        .bind(nanos(timeouts.overall))
        .bind(job.max_executions.max(1))
        .bind(micros(self.now))
        .bind(earlier(after(self.now, timeouts.available), after(self.now, timeouts.overall)))
        .fetch_optional(&mut *tx.db)
        .await?;
        Ok(inserted.map(|row| row.try_get("seq")).transpose()?)
    }

    fn created(&self) -> Job {
        let job = self.job.clone();
        Job {
            id: self.id.clone(),
            job_type: job.job_type,
            group: job.group,
            operation: job.operation,
            status: JobStatus::Available,
            status_description: String::new(),
            runner: job.runner,
            owner_id: job.owner_id,
            owner_type: job.owner_type,
            metadata: job.metadata,
            timeouts: job.timeouts,
            max_executions: job.max_executions.max(1),
            execution_count: 0,
            created_at: self.now,
            updated_at: self.now,
            started_at: None,
            finished_at: None,
            latest: None,
        }
    }
}
