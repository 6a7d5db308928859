//! Moving an execution on, and its job with it.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{
    super::{Ending, Error, Event, Fence, StatusWrite, Written},
    fence::{Found, find, select_found, stale},
    rows::micros,
    writer::{Change, Tx},
};

/// See [`super::super::Store::set_status`].
pub(super) struct SetStatus {
    pub(super) write: StatusWrite,
    pub(super) now: Timestamp,
}

/// What a status write comes to.
#[derive(Debug, PartialEq, Eq)]
enum Move {
    /// Nothing new.
    Stay,
    /// The next running status.
    Advance,
    /// The end, as the runner reports it.
    Settle,
}

#[async_trait]
impl Change for SetStatus {
    type Answer = Written;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Written, Error> {
        let write = &self.write;
        let found = find(tx, select_found!(), &write.job, &write.execution).await?;
        match self.decide(&found).map_err(|fence| stale(&write.execution, fence))? {
            Move::Stay => {
                found.renew(tx, micros(self.now)).await?;
                Ok(Written::Unchanged)
            }
            Move::Advance => {
                self.advance(tx, &found).await?;
                Ok(Written::Changed)
            }
            Move::Settle => {
                self.settle(tx, &found).await?;
                Ok(if write.status == found.status { Written::Unchanged } else { Written::Changed })
            }
        }
    }
}

impl SetStatus {
    fn decide(&self, found: &Found) -> Result<Move, Fence> {
        let status = self.write.status;
        match found.ending {
            Ending::Reported | Ending::Expired if status == found.status => Ok(Move::Stay),
            Ending::Expired => Err(Fence::Expired),
            Ending::Running | Ending::Stopping | Ending::Abandoned if found.superseded => Err(Fence::Superseded),
            Ending::Running | Ending::Stopping | Ending::Abandoned if status.is_terminal() => Ok(Move::Settle),
            Ending::Reported | Ending::Stopping | Ending::Abandoned => Err(Fence::Ended(found.status)),
            Ending::Running if status > found.status => Ok(Move::Advance),
            Ending::Running => Ok(Move::Stay),
        }
    }

    async fn advance(&self, tx: &mut Tx<'_>, found: &Found) -> Result<(), Error> {
        let lease = i64::try_from(tx.limits.lease.as_micros()).unwrap_or(i64::MAX);
        sqlx::query(
            "UPDATE executions SET status = ?2, status_description = coalesce(nullif(?3, ''), status_description), updated_at = ?4, \
                 lease_until = max(lease_until, ?5) WHERE seq = ?1",
        )
        .bind(found.seq)
        .bind(self.write.status.as_str())
        .bind(&self.write.description)
        .bind(micros(self.now))
        .bind(micros(self.now).saturating_add(lease))
        .execute(&mut *tx.db)
        .await?;
        tx.announce(Event::JobChanged(self.write.job.clone()));
        Ok(())
    }

    async fn settle(&self, tx: &mut Tx<'_>, found: &Found) -> Result<(), Error> {
        let write = &self.write;
        for (update, seq, status) in [
            (
                "UPDATE executions SET status = ?2, status_description = coalesce(nullif(?3, ''), status_description), updated_at = ?4, \
                 finished_at = ?4, ending = 'reported', lease_until = NULL WHERE seq = ?1",
                found.seq,
                write.status.as_str(),
            ),
            (
                "UPDATE jobs SET status = ?2, status_description = coalesce(nullif(?3, ''), status_description), updated_at = ?4, \
                 finished_at = ?4 WHERE seq = ?1",
                found.job_seq,
                write.status.job().as_str(),
            ),
        ] {
            sqlx::query(update).bind(seq).bind(status).bind(&write.description).bind(micros(self.now)).execute(&mut *tx.db).await?;
        }
        tx.announce(Event::JobChanged(write.job.clone()));
        Ok(())
    }
}
