//! Looking things up. Readers have connections of their own and never wait for the writer.

use std::collections::BTreeMap;

use futures_util::TryStreamExt as _;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection, SqlitePool, sqlite::SqliteRow};

use super::{
    super::{Counts, Cursor, Error, Job, JobDetail, JobFilter, JobPage, JobStatus, LogPage, Runner, Standing, StoredRecord, pack::unpack},
    rows::{self, execution_columns, job_columns, maybe_time, select_jobs, unsigned, word},
};
use crate::job::{ExecutionId, JobId, RunnerId};

/// Most jobs in one answer.
const MOST_JOBS: usize = 1000;
/// Bytes of log text after which a page ends.
const PAGE: usize = 1 << 20;

/// See [`super::super::Store::job`].
pub(super) async fn job(pool: &SqlitePool, id: &JobId) -> Result<JobDetail, Error> {
    let rows = sqlx::query(concat!(
        "SELECT ",
        job_columns!(),
        ", ",
        execution_columns!(),
        ", (SELECT body FROM documents d WHERE d.execution = e.seq AND d.kind = 'result') AS result, \
           (SELECT body FROM documents d WHERE d.execution = e.seq AND d.kind = 'outputs') AS outputs \
         FROM jobs j LEFT JOIN executions e ON e.job = j.seq WHERE j.id = ?1 ORDER BY e.attempt"
    ))
    .bind(id.as_str())
    .fetch_all(pool)
    .await?;
    // The last row has the latest execution.
    let job = rows.last().ok_or_else(|| Error::UnknownJob(id.clone())).and_then(rows::job)?;
    let executions = if job.latest.is_some() { rows.iter().map(rows::detail).collect::<Result<_, _>>()? } else { Vec::new() };
    Ok(JobDetail { job, executions })
}

/// See [`super::super::Store::jobs`].
pub(super) async fn jobs(pool: &SqlitePool, filter: &JobFilter, after: Option<Cursor>, limit: usize) -> Result<JobPage, Error> {
    let limit = limit.clamp(1, MOST_JOBS);
    let mut query = QueryBuilder::<Sqlite>::new(concat!(select_jobs!(), "WHERE TRUE"));
    if !filter.statuses.is_empty() {
        query.push(" AND j.status IN (");
        let mut list = query.separated(", ");
        for status in &filter.statuses {
            list.push_bind(status.as_str());
        }
        query.push(")");
    }
    if let Some(Cursor(seq)) = after {
        query.push(" AND j.seq < ").push_bind(seq);
    }
    for (column, value) in [(" AND j.type = ", &filter.job_type), (" AND j.job_group = ", &filter.group)] {
        if let Some(value) = value {
            query.push(column).push_bind(value);
        }
    }
    if let Some(runner) = &filter.runner {
        query.push(" AND coalesce(j.runner, j.bound_runner) = ").push_bind(runner.as_str());
    }
    query.push(" ORDER BY j.seq DESC LIMIT ").push_bind(i64::try_from(limit + 1).unwrap_or(i64::MAX));
    let mut rows = query.build().fetch_all(pool).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|row| row.try_get("seq").map(Cursor)).transpose()?;
    Ok(JobPage { jobs: rows.iter().map(rows::job).collect::<Result<_, _>>()?, next })
}

/// See [`super::super::Store::available`].
pub(super) async fn available(pool: &SqlitePool, runner: &RunnerId, groups: Option<&[String]>, limit: usize) -> Result<Vec<Job>, Error> {
    let rows = sqlx::query(concat!(
        select_jobs!(),
        "WHERE j.status = 'available' AND (j.bound_runner IS NULL OR j.bound_runner = ?1) \
         AND (?2 IS NULL OR j.job_group IN (SELECT value FROM json_each(?2))) ORDER BY j.seq LIMIT ?3"
    ))
    .bind(runner.as_str())
    .bind(groups.map(|groups| rows::to_json(&groups)).transpose()?)
    .bind(i64::try_from(limit.clamp(1, MOST_JOBS)).unwrap_or(i64::MAX))
    .fetch_all(pool)
    .await?;
    rows.iter().map(rows::job).collect()
}

/// The sealed plan of a job.
pub(super) async fn sealed_plan(pool: &SqlitePool, id: &JobId) -> Result<Vec<u8>, Error> {
    let select = sqlx::query("SELECT p.sealed FROM jobs j LEFT JOIN plans p ON p.job = j.seq WHERE j.id = ?1").bind(id.as_str());
    let row = select.fetch_optional(pool).await?.ok_or_else(|| Error::UnknownJob(id.clone()))?;
    row.try_get::<Option<Vec<u8>>, _>("sealed")?.ok_or(Error::Damaged("plan"))
}

/// See [`super::super::Store::standings`].
pub(super) async fn standings(pool: &SqlitePool, executions: &[ExecutionId]) -> Result<Vec<Standing>, Error> {
    let rows = sqlx::query(
        "SELECT e.id, e.runner, e.status, j.id AS job, e.attempt <> j.execution_count OR j.status IN ('queued', 'available') AS superseded \
         FROM executions e JOIN jobs j ON j.seq = e.job WHERE e.id IN (SELECT value FROM json_each(?1))",
    )
    .bind(rows::to_json(&executions)?)
    .fetch_all(pool)
    .await?;
    let standing = |row: &SqliteRow| {
        Ok(Standing {
            execution: word(row, "id")?,
            job: word(row, "job")?,
            runner: rows::maybe_word(row, "runner")?,
            status: word(row, "status")?,
            superseded: row.try_get("superseded")?,
        })
    };
    rows.iter().map(standing).collect()
}

/// See [`super::super::Store::next_expiry`].
pub(super) async fn next_expiry(pool: &SqlitePool) -> Result<Option<jiff::Timestamp>, Error> {
    let row = sqlx::query(
        "SELECT min(due) AS due FROM (SELECT min(lease_until, coalesce(deadline, lease_until)) AS due FROM executions WHERE lease_until IS NOT NULL \
         UNION ALL SELECT min(expires_at) FROM jobs WHERE expires_at IS NOT NULL)",
    )
    .fetch_one(pool)
    .await?;
    maybe_time(&row, "due")
}

/// See [`super::super::Store::log`].
pub(super) async fn log(pool: &SqlitePool, id: &JobId, after: u64, limit: usize) -> Result<LogPage, Error> {
    // One snapshot: what the job says about its end must not be newer than what is read of the log.
    let mut snapshot = pool.begin().await?;
    let select = sqlx::query(concat!(select_jobs!(), "WHERE j.id = ?1")).bind(id.as_str());
    let row = select.fetch_optional(&mut *snapshot).await?.ok_or_else(|| Error::UnknownJob(id.clone()))?;
    let (job, seq) = (rows::job(&row)?, row.try_get::<i64, _>("seq")?);
    let over = job.status.is_terminal() && job.latest.is_none_or(|latest| !latest.ending.is_open());
    let mut page = LogPage { records: Vec::new(), next: after, end: false };
    let drained = read_log(&mut snapshot, seq, limit.max(1), &mut page).await?;
    page.end = over && drained;
    Ok(page)
}

/// Fills the page; answers whether nothing was left.
async fn read_log(db: &mut SqliteConnection, job: i64, limit: usize, page: &mut LogPage) -> Result<bool, Error> {
    let after = page.next;
    let mut batches = sqlx::query(
        "SELECT l.first, l.deflated, l.records, e.id FROM log_batches l JOIN executions e ON e.seq = l.execution WHERE l.job = ?1 \
         AND l.first >= coalesce((SELECT max(first) FROM log_batches WHERE job = ?1 AND first <= ?2), 0) ORDER BY l.first",
    )
    .bind(job)
    .bind(i64::try_from(after.saturating_add(1)).unwrap_or(i64::MAX))
    .fetch(db);
    let mut bytes = 0;
    while let Some(row) = batches.try_next().await? {
        let (first, execution): (u64, ExecutionId) = (unsigned(&row, "first")?, word(&row, "id")?);
        for (position, record) in (first..).zip(unpack(row.try_get("records")?, row.try_get("deflated")?)?) {
            if position <= after {
                continue;
            }
            if page.records.len() >= limit || bytes >= PAGE {
                return Ok(false);
            }
            bytes += record.text.len();
            page.next = position;
            page.records.push(StoredRecord { position, execution: execution.clone(), record });
        }
    }
    Ok(true)
}

/// See [`super::super::Store::runners`]; one runner when `id` is given.
pub(super) async fn runners(pool: &SqlitePool, id: Option<&RunnerId>) -> Result<Vec<Runner>, Error> {
    let rows = sqlx::query(
        "SELECT id, created_at, last_heartbeat, started_at, version, process, \
             (SELECT count(*) FROM executions e WHERE e.runner = runners.id AND e.lease_until IS NOT NULL) AS running \
         FROM runners WHERE ?1 IS NULL OR id = ?1 ORDER BY id",
    )
    .bind(id.map(RunnerId::as_str))
    .fetch_all(pool)
    .await?;
    let runner = |row: &SqliteRow| {
        Ok(Runner {
            id: word(row, "id")?,
            created_at: rows::time(row, "created_at")?,
            last_heartbeat: maybe_time(row, "last_heartbeat")?,
            started_at: maybe_time(row, "started_at")?,
            version: row.try_get("version")?,
            process: row.try_get("process")?,
            running: unsigned(row, "running")?,
        })
    };
    rows.iter().map(runner).collect()
}

/// See [`super::super::Store::counts`]; without the bytes on disk.
pub(super) async fn counts(pool: &SqlitePool) -> Result<Counts, Error> {
    let mut jobs = BTreeMap::<JobStatus, u64>::new();
    for row in sqlx::query("SELECT status, count(*) AS jobs FROM jobs GROUP BY status").fetch_all(pool).await? {
        jobs.insert(word(&row, "status")?, unsigned(&row, "jobs")?);
    }
    let rest = sqlx::query(
        "SELECT (SELECT count(*) FROM runners) AS runners, \
             (SELECT created_at FROM jobs WHERE status = 'available' ORDER BY seq LIMIT 1) AS oldest",
    )
    .fetch_one(pool)
    .await?;
    Ok(Counts { jobs, oldest_available: maybe_time(&rest, "oldest")?, runners: unsigned(&rest, "runners")?, bytes: 0 })
}
