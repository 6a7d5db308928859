//! Whether an execution may write: the one look that every write about an execution takes first.
//!
//! | ending | may write | terminal status |
//! |---|---|---|
//! | running | yes | settles it |
//! | stopping, abandoned | log, result, outputs | settles it, whatever the operator's word was |
//! | reported | yes (repeats, a late log) | the same again only |
//! | expired | no | the same again only |
//!
//! An execution that is superseded writes nothing any more unless it had reported before.

use sqlx::{Row as _, sqlite::SqliteRow};

use super::{
    super::{Ending, Error, ExecutionStatus, Fence},
    rows,
    writer::Tx,
};
use crate::job::{ExecutionId, JobId};

/// An execution as a write finds it.
pub(super) struct Found {
    pub(super) seq: i64,
    pub(super) job_seq: i64,
    pub(super) status: ExecutionStatus,
    pub(super) ending: Ending,
    pub(super) superseded: bool,
    pub(super) lease_until: Option<i64>,
    pub(super) row: SqliteRow,
}

/// What the look selects; a condition on `e.id = ?1 AND j.id = ?2` follows, and more columns may come before.
macro_rules! select_found {
    ($($more:literal)?) => {
        concat!(
            "SELECT ", $($more, ", ",)?
            "e.seq, e.job, e.status, e.ending, e.lease_until, \
             e.attempt <> j.execution_count OR j.status IN ('queued', 'available') AS superseded \
             FROM executions e JOIN jobs j ON j.seq = e.job WHERE e.id = ?1 AND j.id = ?2"
        )
    };
}

pub(super) use select_found;

/// Finds the execution, with the columns that `select` asks for on top.
pub(super) async fn find(tx: &mut Tx<'_>, select: &'static str, job: &JobId, execution: &ExecutionId) -> Result<Found, Error> {
    let row = sqlx::query(select).bind(execution.as_str()).bind(job.as_str()).fetch_optional(&mut *tx.db).await?;
    let Some(row) = row else { return Err(stale(execution, Fence::Unknown)) };
    Ok(Found {
        seq: row.try_get("seq")?,
        job_seq: row.try_get("job")?,
        status: rows::word(&row, "status")?,
        ending: rows::word(&row, "ending")?,
        superseded: row.try_get("superseded")?,
        lease_until: row.try_get("lease_until")?,
        row,
    })
}

impl Found {
    /// Refuses a log, result or outputs from an execution that is fenced off.
    pub(super) fn admit(&self, execution: &ExecutionId) -> Result<(), Error> {
        match self.ending {
            Ending::Expired => Err(stale(execution, Fence::Expired)),
            Ending::Running | Ending::Stopping | Ending::Abandoned if self.superseded => Err(stale(execution, Fence::Superseded)),
            Ending::Reported | Ending::Running | Ending::Stopping | Ending::Abandoned => Ok(()),
        }
    }

    /// A sign of the runner: renews the lease. Not on disk at every write: a quarter of a lease may be missing.
    pub(super) async fn renew(&self, tx: &mut Tx<'_>, now: i64) -> Result<(), Error> {
        let lease = i64::try_from(tx.limits.lease.as_micros()).unwrap_or(i64::MAX);
        let Some(until) = self.lease_until.filter(|until| *until < now.saturating_add(lease / 4 * 3)) else { return Ok(()) };
        let renewed = until.max(now.saturating_add(lease));
        sqlx::query("UPDATE executions SET lease_until = ?2 WHERE seq = ?1").bind(self.seq).bind(renewed).execute(&mut *tx.db).await?;
        Ok(())
    }
}

/// The refusal.
pub(super) fn stale(execution: &ExecutionId, fence: Fence) -> Error {
    Error::Stale { execution: execution.clone(), fence }
}
