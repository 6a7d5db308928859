//! Tokens: on disk as SHA-256, in memory for looking them up, because every request does.
//!
//! Invariant: the table and the map say the same; a token that was taken back is refused from then on. When a token was last used is noted in memory at
//! once and on disk every minute or so.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::{Row as _, SqliteConnection};

use super::{
    super::{Error, Token},
    rows::{self, maybe_time, micros, word},
    writer::{Change, Tx},
};
use crate::job::TokenId;

/// How old the noted time of last use may be.
const NOTE_EVERY: Duration = Duration::from_mins(1);

/// The SHA-256 of a secret.
pub(super) type Fingerprint = [u8; 32];

/// All tokens, by fingerprint.
#[derive(Debug, Default)]
pub(super) struct Tokens(Mutex<HashMap<Fingerprint, Known>>);

#[derive(Debug)]
struct Known {
    token: Token,
    /// Oldest first is the order of listing.
    number: u64,
    noted: Option<Timestamp>,
}

impl Tokens {
    /// All that are stored.
    pub(super) async fn load(db: &mut SqliteConnection) -> Result<Self, Error> {
        let tokens = Self::default();
        for row in sqlx::query("SELECT * FROM tokens ORDER BY seq").fetch_all(db).await? {
            let fingerprint = row.try_get::<&[u8], _>("sha256")?.try_into().map_err(|_| Error::Damaged("token"))?;
            let token = Token {
                id: word(&row, "id")?,
                kind: word(&row, "kind")?,
                name: row.try_get("name")?,
                runner: rows::maybe_word(&row, "runner")?,
                created_at: rows::time(&row, "created_at")?,
                expires_at: maybe_time(&row, "expires_at")?,
                last_used_at: maybe_time(&row, "last_used_at")?,
            };
            tokens.add(fingerprint, token);
        }
        Ok(tokens)
    }

    /// A token that was stored just now.
    pub(super) fn add(&self, fingerprint: Fingerprint, token: Token) {
        let mut map = self.map();
        let number = map.values().map(|known| known.number + 1).max().unwrap_or(0);
        map.insert(fingerprint, Known { number, noted: token.last_used_at, token });
    }

    /// A token that is not good any more.
    pub(super) fn remove(&self, id: &TokenId) {
        self.map().retain(|_, known| known.token.id != *id);
    }

    /// All of them, oldest first.
    pub(super) fn list(&self) -> Vec<Token> {
        let map = self.map();
        let mut known: Vec<&Known> = map.values().collect();
        known.sort_by_key(|known| known.number);
        known.into_iter().map(|known| known.token.clone()).collect()
    }

    /// Whose this is, and whether its use should be noted on disk.
    pub(super) fn find(&self, fingerprint: &Fingerprint, now: Timestamp) -> Option<(Token, bool)> {
        let mut map = self.map();
        let known = map.get_mut(fingerprint).filter(|known| !known.token.is_expired(now))?;
        known.token.last_used_at = Some(now);
        let stale = known.noted.is_none_or(|noted| now.duration_since(noted).unsigned_abs() >= NOTE_EVERY);
        if stale {
            known.noted = Some(now);
        }
        Some((known.token.clone(), stale))
    }

    fn map(&self) -> MutexGuard<'_, HashMap<Fingerprint, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stores a new token.
pub(super) struct AddToken {
    pub(super) token: Token,
    pub(super) fingerprint: Fingerprint,
}

#[async_trait]
impl Change for AddToken {
    type Answer = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        let token = &self.token;
        sqlx::query("INSERT INTO tokens (id, kind, name, runner, sha256, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")
            .bind(token.id.as_str())
            .bind(token.kind.as_str())
            .bind(&token.name)
            .bind(token.runner.as_ref().map(crate::job::RunnerId::as_str))
            .bind(self.fingerprint.as_slice())
            .bind(micros(token.created_at))
            .bind(token.expires_at.map(micros))
            .execute(&mut *tx.db)
            .await?;
        Ok(())
    }
}

/// Takes a token back.
pub(super) struct RevokeToken(pub(super) TokenId);

#[async_trait]
impl Change for RevokeToken {
    type Answer = bool;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<bool, Error> {
        let done = sqlx::query("DELETE FROM tokens WHERE id = ?1").bind(self.0.as_str()).execute(&mut *tx.db).await?;
        Ok(done.rows_affected() > 0)
    }
}

/// Notes when a token was last used.
pub(super) struct NoteUse {
    pub(super) token: TokenId,
    pub(super) now: Timestamp,
}

#[async_trait]
impl Change for NoteUse {
    type Answer = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        let update = sqlx::query("UPDATE tokens SET last_used_at = ?2 WHERE id = ?1").bind(self.token.as_str());
        update.bind(micros(self.now)).execute(&mut *tx.db).await?;
        Ok(())
    }
}

/// Runners that are known to be stored: most requests come from one of them.
#[derive(Debug, Default)]
pub(super) struct KnownRunners(Mutex<HashSet<crate::job::RunnerId>>);

/// Runners that are remembered; beyond that each request asks the database.
const REMEMBERED: usize = 100_000;

impl KnownRunners {
    /// Whether it is stored.
    pub(super) fn has(&self, runner: &crate::job::RunnerId) -> bool {
        self.set().contains(runner)
    }

    /// It is stored.
    pub(super) fn add(&self, runner: crate::job::RunnerId) {
        let mut set = self.set();
        if set.len() < REMEMBERED {
            set.insert(runner);
        }
    }

    fn set(&self) -> MutexGuard<'_, HashSet<crate::job::RunnerId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
