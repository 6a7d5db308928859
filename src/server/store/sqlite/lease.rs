//! Signs of life: heartbeats, renewed leases, known runners.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{
    super::{Error, Heartbeat},
    rows::{self, after, micros},
    writer::{Change, Tx},
};
use crate::job::{ExecutionId, RunnerId};

/// See [`super::super::Store::register_runner`].
pub(super) struct Register {
    pub(super) runner: RunnerId,
    pub(super) now: Timestamp,
}

#[async_trait]
impl Change for Register {
    type Answer = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        let insert = sqlx::query("INSERT INTO runners (id, created_at) VALUES (?1, ?2) ON CONFLICT (id) DO NOTHING");
        insert.bind(self.runner.as_str()).bind(micros(self.now)).execute(&mut *tx.db).await?;
        Ok(())
    }
}

/// See [`super::super::Store::heartbeat`].
pub(super) struct Beat {
    pub(super) beat: Heartbeat,
    pub(super) now: Timestamp,
}

#[async_trait]
impl Change for Beat {
    type Answer = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        let Heartbeat { runner, alive, version, process } = &self.beat;
        let alive = i64::try_from(alive.as_micros()).unwrap_or(i64::MAX);
        sqlx::query(
            "INSERT INTO runners (id, created_at, last_heartbeat, started_at, version, process) VALUES (?1, ?2, ?2, ?3, ?4, ?5) \
             ON CONFLICT (id) DO UPDATE SET last_heartbeat = ?2, started_at = ?3, version = ?4, process = ?5",
        )
        .bind(runner.as_str())
        .bind(micros(self.now))
        .bind(micros(self.now).saturating_sub(alive).max(0))
        .bind(version)
        .bind(process)
        .execute(&mut *tx.db)
        .await?;
        // One that was told to stop is not kept alive by the heartbeat, only by what it still hands in: a runner that never says that it
        // stopped would be waited for as long as it lives.
        sqlx::query(
            "UPDATE executions SET lease_until = max(lease_until, ?2) WHERE runner = ?1 AND lease_until IS NOT NULL AND ending = 'running'",
        )
        .bind(runner.as_str())
        .bind(after(self.now, tx.limits.lease))
        .execute(&mut *tx.db)
        .await?;
        Ok(())
    }
}

/// See [`super::super::Store::renew`].
pub(super) struct Renew {
    pub(super) runner: RunnerId,
    pub(super) executions: Vec<ExecutionId>,
    pub(super) now: Timestamp,
}

#[async_trait]
impl Change for Renew {
    type Answer = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        let ids = rows::to_json(&self.executions)?;
        sqlx::query(
            "UPDATE executions SET lease_until = max(lease_until, ?2), runner = coalesce(runner, ?1) \
             WHERE id IN (SELECT value FROM json_each(?3)) AND lease_until IS NOT NULL AND ending = 'running' \
                 AND (runner = ?1 OR runner IS NULL)",
        )
        .bind(self.runner.as_str())
        .bind(after(self.now, tx.limits.lease))
        .bind(ids)
        .execute(&mut *tx.db)
        .await?;
        Ok(())
    }
}

/// A control plane that was down heard nobody: what was under way gets a lease, and its deadline the grace, from now on.
pub(super) struct Reopen {
    pub(super) now: Timestamp,
}

#[async_trait]
impl Change for Reopen {
    type Answer = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        sqlx::query("UPDATE executions SET lease_until = max(lease_until, ?1), deadline = max(deadline, ?2) WHERE lease_until IS NOT NULL")
            .bind(after(self.now, tx.limits.lease))
            .bind(after(self.now, tx.limits.grace))
            .execute(&mut *tx.db)
            .await?;
        Ok(())
    }
}
