//! The reference control plane: the runner API of [`crate::source::control_plane`], an API for operators, and a store behind a trait.
//!
//! ```text
//!  runners, people ──► serve ──► router ──► api ──► store ── bells ──► parked polls, log streams
//!                    connections   auth     │ limits  ▲
//!                                           └ alarm ─► clock (leases, limits of time)
//! ```
//!
//! Inputs: [`ServerOptions`]. Outputs: a [`Running`] control plane. Invariants: every request is bounded in size and time and gets one clear answer;
//! whoever waits is woken by events, not by timers; what was answered is durable. Tasks: one that accepts, one per connection, the clock, and the one that offers
//! jobs again that nobody claimed. Called by `cli`.

mod api;
mod auth;
mod body;
mod clock;
mod error;
mod metrics;
mod options;
mod query;
mod router;
mod serve;
mod state;
pub mod store;
#[cfg(test)]
mod tests;

use std::{net::SocketAddr, sync::Arc};

use jiff::Timestamp;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

pub use auth::TokenFileError;
pub use options::{Limits, ServerOptions};

use state::Plane;
use store::{OpenError, Store, sqlite::SqliteStore};

/// Why a control plane could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder.
    #[error("the store could not be opened")]
    Store(#[from] OpenError),
    /// The first tokens.
    #[error("the first tokens could not be made")]
    Tokens(#[from] TokenFileError),
    /// The address.
    #[error("cannot listen on {address}: choose another --listen address")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
}

/// A control plane to be.
#[derive(Debug)]
pub struct Server;

/// A control plane that runs. Dropping it cuts everything; [`Running::stop`] ends it in order.
pub struct Running {
    /// Where it listens.
    pub addr: SocketAddr,
    stop: CancellationToken,
    tasks: JoinSet<()>,
    store: Arc<dyn Store>,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("addr", &self.addr).finish_non_exhaustive()
    }
}

impl Server {
    /// Opens the data folder and begins to serve.
    ///
    /// # Errors
    /// When the data folder, the token files or the address cannot be had. Nothing runs then.
    pub async fn start(options: ServerOptions) -> Result<Running, StartError> {
        let limits = store::Limits { lease: options.lease, ..store::Limits::default() };
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&options.data_dir, limits, Timestamp::now()).await?);
        Self::start_with(store, options).await
    }

    /// As [`Server::start`], with a store that is open already.
    ///
    /// # Errors
    /// When the token files or the address cannot be had.
    pub async fn start_with(store: Arc<dyn Store>, options: ServerOptions) -> Result<Running, StartError> {
        let address = options.listen;
        serve::make_room(options.limits.connections);
        // Listening comes before the tokens: whoever sees the files can connect.
        let listen = |source| StartError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let addr = listener.local_addr().map_err(listen)?;
        auth::first_tokens(store.as_ref(), &options.data_dir, Timestamp::now()).await?;
        let stop = CancellationToken::new();
        let plane = Arc::new(Plane::new(Arc::clone(&store), &options, stop.clone()));
        let mut tasks = JoinSet::new();
        tasks.spawn(clock::run(Arc::clone(&plane)));
        tasks.spawn(serve::serve(listener, router::router(Arc::clone(&plane)), Arc::clone(&plane)));
        tasks.spawn(offer(plane));
        Ok(Running { addr, stop, tasks, store })
    }
}

/// Calls the next poll for jobs that the one called before did not claim.
async fn offer(plane: Arc<Plane>) {
    tokio::select! {
        () = plane.stop.cancelled() => {}
        () = plane.store.bells().keep_offering() => {}
    }
}

impl Running {
    /// Resolves when it cannot go on: one of its tasks has ended though nobody stopped it, which only a mistake of ours can do.
    pub async fn broken(&mut self) {
        if self.tasks.join_next().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// Ends it in order: parked polls answer that there is nothing, streams end with a comment, requests under way finish within
    /// [`Limits::drain`], and the store is closed.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
        self.store.close().await;
    }
}
