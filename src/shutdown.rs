//! Stopping work: a cancellation token that remembers why, and the process's signals.
//!
//! One [`Cancel`] per execution. Every await of an executor also selects on it (see [`Cancel::run`]); the first cause wins
//! and decides the outcome. Children share the parent's fate but can be cancelled alone.

use std::{
    future::Future,
    sync::{Arc, OnceLock},
};

use tokio_util::sync::CancellationToken;

use crate::job::{CancelCause, Failure, FailureKind};

/// The work was stopped from outside; the cause stands in the [`Cancel`] it ran under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stopped")]
pub struct Cancelled;

impl From<Cancelled> for Failure {
    /// A placeholder: the supervisor replaces it by the outcome that the cause asks for.
    fn from(_: Cancelled) -> Self {
        Self::new(FailureKind::Internal, "the work was stopped from outside")
    }
}

/// A cancellation token with its cause.
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    token: CancellationToken,
    cause: Arc<OnceLock<CancelCause>>,
}

impl Cancel {
    /// A token nobody has cancelled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancels with `cause`, unless it was cancelled before.
    pub fn cancel(&self, cause: CancelCause) {
        let _ = self.cause.set(cause);
        self.token.cancel();
    }

    /// Why it was cancelled, if it was.
    #[must_use]
    pub fn cause(&self) -> Option<CancelCause> {
        self.cause.get().copied()
    }

    /// Whether it was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Resolves when it is cancelled. Cancel-safe.
    pub async fn cancelled(&self) {
        self.token.cancelled().await;
    }

    /// Runs `work` until it is done or cancelled, whichever is first; `work` is dropped where it stands when cancelled.
    ///
    /// # Errors
    /// [`Cancelled`] when the token won.
    pub async fn run<T>(&self, work: impl Future<Output = T>) -> Result<T, Cancelled> {
        tokio::select! {
            biased;
            () = self.token.cancelled() => Err(Cancelled),
            done = work => Ok(done),
        }
    }

    /// [`Cancelled`] if the token was cancelled: for loops that do not await.
    ///
    /// # Errors
    /// [`Cancelled`] when it was.
    pub fn check(&self) -> Result<(), Cancelled> {
        if self.is_cancelled() { Err(Cancelled) } else { Ok(()) }
    }
}

/// Counts the process's requests to stop: SIGINT and SIGTERM alike.
#[derive(Debug)]
pub struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    /// Takes over SIGINT and SIGTERM for the rest of the process.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn install() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Resolves at the next signal with its name. Cancel-safe.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_cause_wins_and_stops_the_work() {
        let cancel = Cancel::new();
        assert_eq!(cancel.run(async { 1 }).await, Ok(1));
        cancel.cancel(CancelCause::Deadline);
        cancel.cancel(CancelCause::Requested);
        assert_eq!(cancel.cause(), Some(CancelCause::Deadline));
        assert_eq!(cancel.run(std::future::pending::<()>()).await, Err(Cancelled));
        assert_eq!(cancel.check(), Err(Cancelled));
    }
}
