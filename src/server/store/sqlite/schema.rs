//! The tables, and how they came to be: one text per schema version, applied in order, each in a transaction of its own.
//!
//! Inputs: a database of any version up to [`KNOWN`]. Outputs: one of version [`KNOWN`]. Invariants: a migration that has been released is never
//! edited, only added to; a newer database is refused. Times are microseconds since the epoch, durations nanoseconds. Called at open.

use sqlx::{AssertSqlSafe, Connection as _, Row as _, SqliteConnection};

/// The migrations; the first makes version 1.
const MIGRATIONS: &[&str] = &[V1];

/// The version this program writes.
#[expect(clippy::cast_possible_wrap, reason = "there is a handful of migrations")]
pub(super) const KNOWN: i64 = MIGRATIONS.len() as i64;

// `job` and `execution` columns hold the `seq` of a row, which is shorter than its id and keeps indexes appending. The latest execution of a job is the
// one whose `attempt` is the job's `execution_count`. `lease_until` is null once nothing is expected of an execution: the index of what
// is under way stays as small as that is.
const V1: &str = "
CREATE TABLE jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    type TEXT NOT NULL,
    job_group TEXT NOT NULL,
    operation TEXT NOT NULL,
    status TEXT NOT NULL,
    status_description TEXT NOT NULL DEFAULT '',
    bound_runner TEXT,
    runner TEXT,
    owner_id TEXT NOT NULL,
    owner_type TEXT NOT NULL,
    metadata TEXT NOT NULL,
    available_timeout INTEGER NOT NULL,
    execution_timeout INTEGER NOT NULL,
    overall_timeout INTEGER NOT NULL,
    max_executions INTEGER NOT NULL,
    execution_count INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    released_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    started_at INTEGER,
    finished_at INTEGER,
    expires_at INTEGER
) STRICT;
CREATE INDEX jobs_status ON jobs (status);
CREATE INDEX jobs_expiry ON jobs (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE plans (job INTEGER PRIMARY KEY, sealed BLOB NOT NULL) STRICT;

CREATE TABLE plan_key (proof BLOB NOT NULL) STRICT;

CREATE TABLE submissions (key TEXT PRIMARY KEY, body BLOB NOT NULL, job INTEGER NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE executions (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    job INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    runner TEXT,
    client_version TEXT NOT NULL,
    claim_key TEXT,
    status TEXT NOT NULL,
    status_description TEXT NOT NULL DEFAULT '',
    ending TEXT NOT NULL DEFAULT 'running',
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    finished_at INTEGER,
    lease_until INTEGER,
    deadline INTEGER,
    log_seq INTEGER NOT NULL DEFAULT 0,
    log_bytes INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX executions_job ON executions (job, attempt);
CREATE INDEX executions_open ON executions (runner) WHERE lease_until IS NOT NULL;

CREATE TABLE documents (
    execution INTEGER NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (execution, kind)
) STRICT;

CREATE TABLE log_batches (
    seq INTEGER PRIMARY KEY,
    job INTEGER NOT NULL,
    execution INTEGER NOT NULL,
    first INTEGER NOT NULL,
    count INTEGER NOT NULL,
    first_seq INTEGER,
    last_seq INTEGER,
    deflated INTEGER NOT NULL,
    records BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX log_batches_job ON log_batches (job, first);
CREATE INDEX log_batches_seq ON log_batches (execution, last_seq, first_seq) WHERE last_seq IS NOT NULL;

CREATE TABLE runners (
    id TEXT PRIMARY KEY,
    created_at INTEGER NOT NULL,
    last_heartbeat INTEGER,
    started_at INTEGER,
    version TEXT NOT NULL DEFAULT '',
    process TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE TABLE tokens (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    runner TEXT,
    sha256 BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    last_used_at INTEGER
) STRICT;
";

/// The database's version; 0 for a new one.
pub(super) async fn version(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query("PRAGMA user_version").fetch_one(connection).await?.try_get(0)
}

/// Brings the database from version `from` to [`KNOWN`].
pub(super) async fn migrate(connection: &mut SqliteConnection, from: i64) -> Result<(), sqlx::Error> {
    for (next, migration) in (1_i64..).zip(MIGRATIONS).skip(usize::try_from(from).unwrap_or(0)) {
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::raw_sql(*migration).execute(&mut *transaction).await?;
        sqlx::raw_sql(AssertSqlSafe(format!("PRAGMA user_version = {next}"))).execute(&mut *transaction).await?;
        transaction.commit().await?;
    }
    Ok(())
}
