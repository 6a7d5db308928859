//! Results and outputs: the first one stays, the same again is fine.

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;
use sqlx::Row as _;

use super::{
    super::{Error, Event, Written},
    fence::{find, select_found},
    rows::{self, micros},
    writer::{Change, Tx},
};
use crate::job::{ExecutionId, JobId};

/// What is handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// How it ended, and why.
    Result,
    /// What was made.
    Outputs,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Result => "result",
            Self::Outputs => "outputs",
        }
    }

    const fn select(self) -> &'static str {
        match self {
            Self::Result => select_found!("(SELECT body FROM documents d WHERE d.execution = e.seq AND d.kind = 'result') AS body"),
            Self::Outputs => select_found!("(SELECT body FROM documents d WHERE d.execution = e.seq AND d.kind = 'outputs') AS body"),
        }
    }
}

/// See [`super::super::Store::put_result`] and [`super::super::Store::put_outputs`].
pub(super) struct HandIn {
    pub(super) job: JobId,
    pub(super) execution: ExecutionId,
    pub(super) kind: Kind,
    pub(super) document: Value,
    /// The document as JSON, made before the writer's turn.
    pub(super) body: String,
    pub(super) now: Timestamp,
}

#[async_trait]
impl Change for HandIn {
    type Answer = Written;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Written, Error> {
        let found = find(tx, self.kind.select(), &self.job, &self.execution).await?;
        let before: Option<&str> = found.row.try_get("body")?;
        // The same again is known already, whatever has become of the execution since.
        if let Some(before) = before
            && (before == self.body || rows::json::<Value>(before)? == self.document)
        {
            found.renew(tx, micros(self.now)).await?;
            return Ok(Written::Unchanged);
        }
        found.admit(&self.execution)?;
        if before.is_some() {
            return Err(Error::Conflict { execution: self.execution.clone(), what: self.kind.as_str() });
        }
        sqlx::query("INSERT INTO documents (execution, kind, body) VALUES (?1, ?2, ?3)")
            .bind(found.seq)
            .bind(self.kind.as_str())
            .bind(&self.body)
            .execute(&mut *tx.db)
            .await?;
        found.renew(tx, micros(self.now)).await?;
        tx.announce(Event::JobChanged(self.job.clone()));
        Ok(Written::Changed)
    }
}
