//! The one writer: takes all changes that wait, makes them in one transaction, syncs once, and answers them all.
//!
//! Inputs: [`Change`]s of any number of callers. Outputs: their answers, and the bells, both after the commit is on disk. While one transaction is
//! being synced the next changes gather, so the more callers there are, the fewer syncs each costs.
//!
//! Invariants: a change that refuses has written nothing; a change that fails in the database does not take the others of its transaction down: it is
//! rolled back and each is made again in one of its own. Called by every operation that writes.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use super::{
    super::{Bells, Error, Event, Limits},
    failure::spoils,
};

/// Changes that may wait.
const QUEUE: usize = 1024;
/// Changes in one transaction: bounds how long the first waits for the last.
const TOGETHER: usize = 256;

/// One atomic change. It may be made more than once: a transaction that failed is taken back before the next try.
#[async_trait]
pub(super) trait Change: Send + Sync + 'static {
    /// What its caller wants to know.
    type Answer: Send + 'static;

    /// Makes it. An error of ours ([`spoils`] says no) must come before the first write.
    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Self::Answer, Error>;
}

/// The transaction under way.
pub(super) struct Tx<'c> {
    /// The connection to write to.
    pub(super) db: &'c mut SqliteConnection,
    /// How far things may go.
    pub(super) limits: Limits,
    events: Vec<Event>,
}

impl Tx<'_> {
    /// Rings after the commit.
    pub(super) fn announce(&mut self, event: Event) {
        self.events.push(event);
    }
}

/// Hands changes to the writer.
#[derive(Debug, Clone)]
pub(super) struct Writer(mpsc::Sender<Box<dyn Pending>>);

impl Writer {
    /// The writer's end and the work that has to run for it. The work ends when all writers are dropped and everything is written.
    pub(super) fn new(db: SqliteConnection, limits: Limits, bells: Arc<Bells>) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (sender, queue) = mpsc::channel(QUEUE);
        (Self(sender), run(db, limits, bells, queue))
    }

    /// Makes the change, and answers when it is on disk.
    pub(super) async fn make<C: Change>(&self, change: C) -> Result<C::Answer, Error> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Box::new(Call { change, made: None, reply })).await.map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }

    /// Makes the change some time soon if there is room for it in the queue; nobody waits for it.
    pub(super) fn make_later<C: Change>(&self, change: C) {
        let (reply, _) = oneshot::channel();
        let _ = self.0.try_send(Box::new(Call { change, made: None, reply }));
    }
}

async fn run(mut db: SqliteConnection, limits: Limits, bells: Arc<Bells>, mut queue: mpsc::Receiver<Box<dyn Pending>>) {
    let mut calls = Vec::with_capacity(TOGETHER);
    while queue.recv_many(&mut calls, TOGETHER).await > 0 {
        let mut tx = Tx { db: &mut db, limits, events: Vec::new() };
        if together(&mut tx, &mut calls).await.is_ok() {
            answer(&bells, &tx.events, calls.drain(..));
            continue;
        }
        // One of them spoilt it: each for itself.
        for mut call in calls.drain(..) {
            let mut tx = Tx { db: &mut db, limits, events: Vec::new() };
            match together(&mut tx, std::slice::from_mut(&mut call)).await {
                Ok(()) => answer(&bells, &tx.events, [call]),
                Err(error) => call.fail(error),
            }
        }
    }
    let _ = db.close().await;
}

fn answer(bells: &Bells, events: &[Event], calls: impl IntoIterator<Item = Box<dyn Pending>>) {
    for event in events {
        bells.ring(event);
    }
    for call in calls {
        call.answer();
    }
}

/// All of them in one transaction, on disk when this answers; or none.
async fn together(tx: &mut Tx<'_>, calls: &mut [Box<dyn Pending>]) -> Result<(), Error> {
    let result = in_transaction(tx, calls).await;
    if result.is_err() {
        tx.events.clear();
        // SQLite may have rolled back by itself: then this is an error, and right so.
        let _ = sqlx::query("ROLLBACK").execute(&mut *tx.db).await;
    }
    result
}

async fn in_transaction(tx: &mut Tx<'_>, calls: &mut [Box<dyn Pending>]) -> Result<(), Error> {
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *tx.db).await?;
    for call in calls {
        call.make(tx).await?;
    }
    sqlx::query("COMMIT").execute(&mut *tx.db).await?;
    Ok(())
}

/// A change and who waits for it.
struct Call<C: Change> {
    change: C,
    made: Option<Result<C::Answer, Error>>,
    reply: oneshot::Sender<Result<C::Answer, Error>>,
}

#[async_trait]
trait Pending: Send {
    /// Makes the change; an error spoils the transaction.
    async fn make(&mut self, tx: &mut Tx<'_>) -> Result<(), Error>;
    /// The transaction is on disk.
    fn answer(self: Box<Self>);
    /// It is not.
    fn fail(self: Box<Self>, error: Error);
}

#[async_trait]
impl<C: Change> Pending for Call<C> {
    async fn make(&mut self, tx: &mut Tx<'_>) -> Result<(), Error> {
        match self.change.apply(tx).await {
            Err(error) if spoils(&error) => Err(error),
            made => {
                self.made = Some(made);
                Ok(())
            }
        }
    }

    // A caller that has gone away needs no answer.
    fn answer(self: Box<Self>) {
        let _ = self.reply.send(self.made.unwrap_or(Err(Error::Closed)));
    }

    fn fail(self: Box<Self>, error: Error) {
        let _ = self.reply.send(Err(error));
    }
}

/// Changes nothing, but goes all the way to the disk.
pub(super) struct Probe;

#[async_trait]
impl Change for Probe {
    type Answer = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        // Writes the page that it rewrites: a full or read-only disk shows.
        sqlx::query("UPDATE plan_key SET proof = proof").execute(&mut *tx.db).await?;
        Ok(())
    }
}
