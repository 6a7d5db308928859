//! Rows to values and back: the only place that knows how times, durations and words are stored.
//!
//! Times are microseconds since the epoch, durations nanoseconds, statuses their words, maps JSON. A value that cannot have been
//! written by this program is [`Error::Damaged`].

use std::{str::FromStr, time::Duration};

use jiff::Timestamp;
use sqlx::{Row as _, sqlite::SqliteRow};

use super::super::{Error, Execution, ExecutionDetail, Job, Timeouts};

/// The columns of a job `j` with its latest execution `e`, for [`job`].
macro_rules! job_columns {
    () => {
        "j.seq, j.id, j.type, j.job_group, j.operation, j.status, j.status_description, coalesce(j.runner, j.bound_runner) AS runner, \
         j.owner_id, j.owner_type, j.metadata, j.available_timeout, j.execution_timeout, j.overall_timeout, j.max_executions, \
         j.execution_count, j.created_at, j.updated_at, j.started_at, j.finished_at"
    };
}

/// The columns of an execution `e`, for [`execution`].
macro_rules! execution_columns {
    () => {
        "e.id AS e_id, e.attempt AS e_attempt, e.runner AS e_runner, e.client_version AS e_client_version, e.status AS e_status, \
         e.status_description AS e_status_description, e.ending AS e_ending, e.created_at AS e_created_at, e.updated_at AS e_updated_at, \
         e.finished_at AS e_finished_at, e.lease_until AS e_lease_until"
    };
}

/// Jobs with their latest executions; a condition follows.
macro_rules! select_jobs {
    () => {
        concat!(
            "SELECT ",
            $crate::server::store::sqlite::rows::job_columns!(),
            ", ",
            $crate::server::store::sqlite::rows::execution_columns!(),
            " FROM jobs j LEFT JOIN executions e ON e.job = j.seq AND e.attempt = j.execution_count "
        )
    };
}

pub(super) use {execution_columns, job_columns, select_jobs};

/// Microseconds since the epoch.
pub(super) fn micros(time: Timestamp) -> i64 {
    time.as_microsecond()
}

/// `time` later than `now`, in microseconds since the epoch; `None` for a duration of zero, which means never.
pub(super) fn after(now: Timestamp, time: Duration) -> Option<i64> {
    (!time.is_zero()).then(|| micros(now).saturating_add(i64::try_from(time.as_micros()).unwrap_or(i64::MAX)))
}

/// The earlier of two times, of which either may be never.
pub(super) fn earlier(a: Option<i64>, b: Option<i64>) -> Option<i64> {
    a.into_iter().chain(b).min()
}

/// Nanoseconds.
pub(super) fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

/// The time in a column.
pub(super) fn time(row: &SqliteRow, column: &str) -> Result<Timestamp, Error> {
    instant(row.try_get(column)?)
}

/// The time in a column that may be empty.
pub(super) fn maybe_time(row: &SqliteRow, column: &str) -> Result<Option<Timestamp>, Error> {
    row.try_get::<Option<i64>, _>(column)?.map(instant).transpose()
}

/// The time of a stored number.
pub(super) fn instant(micros: i64) -> Result<Timestamp, Error> {
    Timestamp::from_microsecond(micros).map_err(|_| Error::Damaged("time"))
}

/// The duration in a column.
pub(super) fn duration(row: &SqliteRow, column: &str) -> Result<Duration, Error> {
    unsigned(row, column).map(Duration::from_nanos)
}

/// A number that is never negative.
pub(super) fn unsigned<T: TryFrom<i64>>(row: &SqliteRow, column: &str) -> Result<T, Error> {
    T::try_from(row.try_get::<i64, _>(column)?).map_err(|_| Error::Damaged("number"))
}

/// An id or a word.
pub(super) fn word<T: FromStr>(row: &SqliteRow, column: &str) -> Result<T, Error> {
    row.try_get::<&str, _>(column)?.parse().map_err(|_| Error::Damaged("word"))
}

/// An id or a word that may be missing.
pub(super) fn maybe_word<T: FromStr>(row: &SqliteRow, column: &str) -> Result<Option<T>, Error> {
    row.try_get::<Option<&str>, _>(column)?.map(|text| text.parse().map_err(|_| Error::Damaged("word"))).transpose()
}

/// JSON.
pub(super) fn json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|_| Error::Damaged("document"))
}

/// To JSON.
pub(super) fn to_json<T: serde::Serialize>(value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|_| Error::Damaged("document"))
}

/// A job and its latest execution, from [`select_jobs`].
pub(super) fn job(row: &SqliteRow) -> Result<Job, Error> {
    let latest = row.try_get::<Option<&str>, _>("e_id")?.is_some().then(|| execution(row)).transpose()?;
    Ok(Job {
        id: word(row, "id")?,
        job_type: row.try_get("type")?,
        group: row.try_get("job_group")?,
        operation: row.try_get("operation")?,
        status: word(row, "status")?,
        status_description: row.try_get("status_description")?,
        runner: maybe_word(row, "runner")?,
        owner_id: row.try_get("owner_id")?,
        owner_type: row.try_get("owner_type")?,
        metadata: json(row.try_get("metadata")?)?,
        timeouts: timeouts(row)?,
        max_executions: unsigned(row, "max_executions")?,
        execution_count: unsigned(row, "execution_count")?,
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
        started_at: maybe_time(row, "started_at")?,
        finished_at: maybe_time(row, "finished_at")?,
        latest,
    })
}

/// The time limits of a job.
pub(super) fn timeouts(row: &SqliteRow) -> Result<Timeouts, Error> {
    Ok(Timeouts {
        available: duration(row, "available_timeout")?,
        execution: duration(row, "execution_timeout")?,
        overall: duration(row, "overall_timeout")?,
    })
}

/// An execution, from [`execution_columns`] and the job's id.
pub(super) fn execution(row: &SqliteRow) -> Result<Execution, Error> {
    Ok(Execution {
        id: word(row, "e_id")?,
        job: word(row, "id")?,
        attempt: unsigned(row, "e_attempt")?,
        runner: maybe_word(row, "e_runner")?,
        client_version: row.try_get("e_client_version")?,
        status: word(row, "e_status")?,
        status_description: row.try_get("e_status_description")?,
        ending: word(row, "e_ending")?,
        created_at: time(row, "e_created_at")?,
        updated_at: time(row, "e_updated_at")?,
        finished_at: maybe_time(row, "e_finished_at")?,
        lease_until: maybe_time(row, "e_lease_until")?,
    })
}

/// An execution with its documents, from [`execution_columns`], `result` and `outputs`.
pub(super) fn detail(row: &SqliteRow) -> Result<ExecutionDetail, Error> {
    let document = |column| row.try_get::<Option<&str>, _>(column)?.map(json).transpose();
    Ok(ExecutionDetail { execution: execution(row)?, result: document("result")?, outputs: document("outputs")? })
}
