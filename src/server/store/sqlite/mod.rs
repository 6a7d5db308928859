//! The store in one SQLite file.
//!
//! ```text
//!  callers ── changes ──► [writer thread] ── one transaction, one sync for all that wait ──► control-plane.db-wal ── bells, answers
//!          ── reads ────► [a few read-only connections]
//! ```
//!
//! Inputs: a data folder ([`folder`]) and [`Limits`]. Outputs: [`Store`]. Invariants: write-ahead log with full sync, so that an answered change survives
//! a power cut; one writer, so that nothing is ever busy; every statement is prepared once per connection. Called by the `control-plane` command.

mod claim;
mod documents;
mod expire;
mod failure;
mod fence;
mod folder;
mod lease;
mod log_write;
mod progress;
mod read;
mod rows;
mod schema;
mod submit;
mod tokens;
mod withdraw;
mod writer;

#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::Value;
use sqlx::{
    ConnectOptions as _, Row as _, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::{sync::RwLock, task::spawn_blocking};

use super::{
    Batch, Bells, Claim, Claimed, Counts, Cursor, Error, Expired, Heartbeat, Job, JobDetail, JobFilter, JobPage, Limits, LogPage, NewJob,
    NewToken, OpenError, Runner, Standing, StatusWrite, Store, SubmitKey, Submitted, Token, Withdrawn, Written, fingerprint, pack,
    seal::Sealer,
};
use crate::{
    digest::hex,
    job::{ExecutionId, JobId, RunnerId, TokenId},
};
use documents::{HandIn, Kind};
use folder::Folder;
use tokens::{KnownRunners, Tokens};
use writer::{Change, Writer};

/// Connections that read.
const READERS: u32 = 4;

/// Statements kept prepared per connection; there are fewer.
const STATEMENTS: usize = 128;

/// A control plane's memory in one SQLite file.
pub struct SqliteStore {
    bells: Arc<Bells>,
    /// Gone once the store is closed.
    writer: RwLock<Option<Writer>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    readers: SqlitePool,
    sealer: Sealer,
    tokens: Tokens,
    known: KnownRunners,
    database: PathBuf,
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").field("database", &self.database).finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens the data folder `path`, or makes one. Whatever was under way gets a whole lease from `now` on.
    pub async fn open(path: &Path, limits: Limits, now: Timestamp) -> Result<Self, OpenError> {
        let folder = Folder::open(path)?;
        let database = folder.database()?;
        let failed = |source| OpenError::Database { file: database.clone(), source };
        let mut db = connect_options(&database).connect().await.map_err(failed)?;
        let found = schema::version(&mut db).await.map_err(failed)?;
        if found > schema::KNOWN {
            return Err(OpenError::Newer { file: database, found, known: schema::KNOWN });
        }
        schema::migrate(&mut db, found).await.map_err(failed)?;
        let sealer = sealer(&mut db, &folder).await?;
        let tokens = Tokens::load(&mut db).await.map_err(|error| failed(sqlx::Error::Decode(error.into())))?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(connect_options(&database).read_only(true))
            .await
            .map_err(failed)?;
        let bells = Arc::new(Bells::default());
        let (writer, work) = Writer::new(db, limits, Arc::clone(&bells));
        let thread = writer_thread(work, folder)?;
        writer.make(lease::Reopen { now }).await.map_err(|error| failed(sqlx::Error::Decode(error.into())))?;
        Ok(Self {
            bells,
            writer: RwLock::new(Some(writer)),
            thread: Mutex::new(Some(thread)),
            readers,
            sealer,
            tokens,
            known: KnownRunners::default(),
            database,
        })
    }

    async fn make<C: Change>(&self, change: C) -> Result<C::Answer, Error> {
        let writer = self.writer.read().await.clone().ok_or(Error::Closed)?;
        writer.make(change).await
    }

    async fn hand_in(&self, job: &JobId, execution: &ExecutionId, kind: Kind, document: Value, now: Timestamp) -> Result<Written, Error> {
        let body = rows::to_json(&document)?;
        self.make(HandIn { job: job.clone(), execution: execution.clone(), kind, document, body, now }).await
    }
}

/// Runs the writer on a thread of its own: a busy runtime must not make every statement of a transaction wait for its turn. The folder
/// stays locked until it has ended.
fn writer_thread(work: impl Future<Output = ()> + Send + 'static, folder: Folder) -> Result<JoinHandle<()>, OpenError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let work = move || {
        runtime.block_on(work);
        drop(folder);
    };
    Ok(thread::Builder::new().name("store-writer".to_owned()).spawn(work)?)
}

/// How every connection is made: see the module's invariants.
fn connect_options(database: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(database)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(false)
        .busy_timeout(Duration::from_secs(5))
        .statement_cache_capacity(STATEMENTS)
        .pragma("temp_store", "memory")
        .pragma("cache_size", "-8192")
        // Sixteen mebibytes: fewer, larger checkpoints.
        .pragma("wal_autocheckpoint", "4000")
        .disable_statement_logging()
}

/// The key of this database's plans: the one they were sealed with, or a new one when nothing was sealed yet.
async fn sealer(db: &mut SqliteConnection, folder: &Folder) -> Result<Sealer, OpenError> {
    let file = folder.key();
    let failed = |source| OpenError::Database { file: file.clone(), source };
    let row = sqlx::query("SELECT proof FROM plan_key").fetch_optional(&mut *db).await.map_err(failed)?;
    let proof: Option<Vec<u8>> = row.map(|row| row.try_get("proof")).transpose().map_err(failed)?;
    let sealer = Sealer::open(&file, proof.is_none())?;
    let Some(proof) = proof else {
        let proof = sealer.proof().map_err(|_| OpenError::Key(file.clone()))?;
        sqlx::query("INSERT INTO plan_key (proof) VALUES (?1)").bind(proof).execute(&mut *db).await.map_err(failed)?;
        return Ok(sealer);
    };
    if sealer.proves(proof) { Ok(sealer) } else { Err(OpenError::Key(file)) }
}

#[async_trait]
impl Store for SqliteStore {
    fn bells(&self) -> &Bells {
        &self.bells
    }

    async fn submit(&self, mut job: NewJob, key: Option<SubmitKey>, now: Timestamp) -> Result<Submitted, Error> {
        let id = job.id.take().unwrap_or_else(JobId::generate);
        if job.owner_id.is_empty() {
            job.owner_id = id.to_string();
        }
        let sealed = self.sealer.seal(&id, &job.plan)?;
        job.plan = SecretString::default();
        self.make(submit::Submit { id, job, sealed, key, now }).await
    }

    async fn job(&self, id: &JobId) -> Result<JobDetail, Error> {
        read::job(&self.readers, id).await
    }

    async fn jobs(&self, filter: &JobFilter, after: Option<Cursor>, limit: usize) -> Result<JobPage, Error> {
        read::jobs(&self.readers, filter, after, limit).await
    }

    async fn available(&self, runner: &RunnerId, groups: Option<&[String]>, limit: usize) -> Result<Vec<Job>, Error> {
        read::available(&self.readers, runner, groups, limit).await
    }

    async fn plan(&self, job: &JobId) -> Result<SecretString, Error> {
        let sealed = read::sealed_plan(&self.readers, job).await?;
        self.sealer.unseal(job, sealed)
    }

    async fn cancel(&self, job: &JobId, now: Timestamp) -> Result<Withdrawn, Error> {
        self.make(withdraw::Cancel { job: job.clone(), now }).await
    }

    async fn retry(&self, job: &JobId, now: Timestamp) -> Result<Job, Error> {
        self.make(withdraw::Retry { job: job.clone(), now }).await
    }

    async fn claim(&self, claim: Claim, now: Timestamp) -> Result<Claimed, Error> {
        self.make(claim::TakeJob { claim, execution: ExecutionId::generate(), now }).await
    }

    async fn set_status(&self, write: StatusWrite, now: Timestamp) -> Result<Written, Error> {
        self.make(progress::SetStatus { write, now }).await
    }

    async fn put_result(&self, job: &JobId, execution: &ExecutionId, result: Value, now: Timestamp) -> Result<Written, Error> {
        self.hand_in(job, execution, Kind::Result, result, now).await
    }

    async fn put_outputs(&self, job: &JobId, execution: &ExecutionId, outputs: Value, now: Timestamp) -> Result<Written, Error> {
        self.hand_in(job, execution, Kind::Outputs, outputs, now).await
    }

    async fn standings(&self, executions: &[ExecutionId]) -> Result<Vec<Standing>, Error> {
        read::standings(&self.readers, executions).await
    }

    async fn renew(&self, runner: &RunnerId, executions: &[ExecutionId], now: Timestamp) -> Result<(), Error> {
        if executions.is_empty() {
            return Ok(());
        }
        self.make(lease::Renew { runner: runner.clone(), executions: executions.to_vec(), now }).await
    }

    async fn expire(&self, now: Timestamp) -> Result<Vec<Expired>, Error> {
        self.make(expire::Expire { now }).await
    }

    async fn next_expiry(&self) -> Result<Option<Timestamp>, Error> {
        read::next_expiry(&self.readers).await
    }

    async fn append_log(&self, batch: Batch, now: Timestamp) -> Result<usize, Error> {
        let packed = pack::pack(&batch.records)?;
        self.make(log_write::Append { batch, packed, now }).await
    }

    async fn log(&self, job: &JobId, after: u64, limit: usize) -> Result<LogPage, Error> {
        read::log(&self.readers, job, after, limit).await
    }

    async fn register_runner(&self, runner: &RunnerId, now: Timestamp) -> Result<(), Error> {
        if !self.known.has(runner) {
            self.make(lease::Register { runner: runner.clone(), now }).await?;
            self.known.add(runner.clone());
        }
        Ok(())
    }

    async fn heartbeat(&self, beat: Heartbeat, now: Timestamp) -> Result<(), Error> {
        self.make(lease::Beat { beat, now }).await
    }

    async fn runners(&self) -> Result<Vec<Runner>, Error> {
        read::runners(&self.readers, None).await
    }

    async fn runner(&self, id: &RunnerId) -> Result<Option<Runner>, Error> {
        Ok(read::runners(&self.readers, Some(id)).await?.pop())
    }

    async fn create_token(&self, new: NewToken, now: Timestamp) -> Result<(Token, SecretString), Error> {
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|error| Error::Unavailable(sqlx::Error::Io(std::io::Error::other(error.to_string()))))?;
        let secret = SecretString::from(format!("br_{}", hex(&random)));
        let NewToken { kind, name, runner, expires_at } = new;
        let token = Token { id: TokenId::generate(), kind, name, runner, created_at: now, expires_at, last_used_at: None };
        let fingerprint = fingerprint(&secret);
        self.make(tokens::AddToken { token: token.clone(), fingerprint }).await?;
        self.tokens.add(fingerprint, token.clone());
        Ok((token, secret))
    }

    async fn tokens(&self) -> Result<Vec<Token>, Error> {
        Ok(self.tokens.list())
    }

    async fn revoke_token(&self, id: &TokenId) -> Result<bool, Error> {
        let there_was = self.make(tokens::RevokeToken(id.clone())).await?;
        self.tokens.remove(id);
        Ok(there_was)
    }

    async fn authenticate(&self, secret: &SecretString, now: Timestamp) -> Result<Option<Token>, Error> {
        let Some((token, note)) = self.tokens.find(&fingerprint(secret), now) else { return Ok(None) };
        if note && let Some(writer) = &*self.writer.read().await {
            writer.make_later(tokens::NoteUse { token: token.id.clone(), now });
        }
        Ok(Some(token))
    }

    async fn counts(&self) -> Result<Counts, Error> {
        let size = |suffix: &str| {
            let mut path = self.database.clone().into_os_string();
            path.push(suffix);
            std::fs::metadata(path).map_or(0, |metadata| metadata.len())
        };
        Ok(Counts { bytes: size("") + size("-wal"), ..read::counts(&self.readers).await? })
    }

    async fn check(&self) -> Result<(), Error> {
        read::next_expiry(&self.readers).await?;
        self.make(writer::Probe).await
    }

    async fn close(&self) {
        let writer = self.writer.write().await.take();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The readers first: the last connection to close puts the write-ahead log into the database, which a reader may not.
        self.readers.close().await;
        // Without a sender left, the thread writes what is queued, closes the file and ends.
        drop(writer);
        if let Some(thread) = thread {
            let _ = spawn_blocking(|| thread.join()).await;
        }
    }
}
