//! Taking log records in: a batch is a row.

use std::collections::HashSet;

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::Row as _;

use super::{
    super::{
        Batch, Error, Event, NewRecord,
        pack::{Packed, pack, unpack},
    },
    fence::{Found, find, select_found},
    rows::{micros, unsigned},
    writer::{Change, Tx},
};

/// See [`super::super::Store::append_log`]. Packed before the writer's turn, as if none of it had been stored before: that is nearly always so.
pub(super) struct Append {
    pub(super) batch: Batch,
    pub(super) packed: Packed,
    pub(super) now: Timestamp,
}

const FIND: &str = select_found!(
    "e.log_seq, e.log_bytes, coalesce((SELECT l.first + l.count FROM log_batches l WHERE l.job = j.seq ORDER BY l.first DESC LIMIT 1), 1) AS next"
);

#[async_trait]
impl Change for Append {
    type Answer = usize;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<usize, Error> {
        let (job, execution) = (&self.batch.job, &self.batch.execution);
        let found = find(tx, FIND, job, execution).await?;
        found.admit(execution)?;
        let known: u64 = unsigned(&found.row, "log_seq")?;
        let rest = match self.packed.seqs {
            Some((lowest, _)) if lowest <= known => Some(self.not_yet_stored(tx, &found).await?),
            _ => None,
        };
        let packed = rest.as_ref().unwrap_or(&self.packed);
        if packed.count == 0 {
            found.renew(tx, micros(self.now)).await?;
            return Ok(0);
        }
        let bytes = unsigned::<u64>(&found.row, "log_bytes")?.saturating_add(packed.bytes);
        if bytes > tx.limits.log {
            return Err(Error::LogLimit { execution: execution.clone(), limit: tx.limits.log });
        }
        self.insert(tx, &found, packed).await?;
        let lease = i64::try_from(tx.limits.lease.as_micros()).unwrap_or(i64::MAX);
        sqlx::query("UPDATE executions SET log_seq = max(log_seq, ?2), log_bytes = ?3, lease_until = max(lease_until, ?4) WHERE seq = ?1")
            .bind(found.seq)
            .bind(signed(packed.seqs.map_or(0, |(_, highest)| highest)))
            .bind(signed(bytes))
            .bind(micros(self.now).saturating_add(lease))
            .execute(&mut *tx.db)
            .await?;
        tx.announce(Event::LogGrew(job.clone()));
        Ok(usize::try_from(packed.count).unwrap_or(usize::MAX))
    }
}

impl Append {
    async fn insert(&self, tx: &mut Tx<'_>, found: &Found, packed: &Packed) -> Result<(), Error> {
        sqlx::query(
            "INSERT INTO log_batches (job, execution, first, count, first_seq, last_seq, deflated, records) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )
        .bind(found.job_seq)
        .bind(found.seq)
        .bind(found.row.try_get::<i64, _>("next")?)
        .bind(signed(packed.count))
        .bind(packed.seqs.map(|(lowest, _)| signed(lowest)))
        .bind(packed.seqs.map(|(_, highest)| signed(highest)))
        .bind(packed.deflated)
        .bind(packed.blob.as_slice())
        .execute(&mut *tx.db)
        .await?;
        Ok(())
    }

    /// The records of the batch that no stored batch has. Looks into those that could have some of them: exact also when batches
    /// come out of order or cut differently.
    async fn not_yet_stored(&self, tx: &mut Tx<'_>, found: &Found) -> Result<Packed, Error> {
        let (lowest, highest) = self.packed.seqs.unwrap_or((0, 0));
        let mut stored = HashSet::new();
        let select = sqlx::query("SELECT deflated, records FROM log_batches WHERE execution = ?1 AND last_seq >= ?2 AND first_seq <= ?3");
        let select = select.bind(found.seq).bind(signed(lowest)).bind(signed(highest));
        for row in select.fetch_all(&mut *tx.db).await? {
            stored.extend(unpack(row.try_get("records")?, row.try_get("deflated")?)?.into_iter().filter_map(|record| record.seq));
        }
        let is_new = |record: &&NewRecord| record.seq.is_none_or(|seq| !stored.contains(&seq));
        pack(&self.batch.records.iter().filter(is_new).cloned().collect::<Vec<_>>())
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
