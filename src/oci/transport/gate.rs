//! Back-off that all requests to one host share.
//!
//! A registry that throttles one request throttles all of them: whoever hears of it first closes the gate for everybody.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::shutdown::{Cancel, Cancelled};

/// Pause after a refusal that names none.
const DEFAULT_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause, whatever the server asks for.
const MAX_PAUSE: Duration = Duration::from_mins(2);

/// The gate of one host.
#[derive(Debug, Default)]
pub(super) struct Gate {
    closed_until: Mutex<Option<Instant>>,
    refusals: AtomicU64,
}

impl Gate {
    /// Waits until the gate is open.
    pub(super) async fn pass(&self, cancel: &Cancel) -> Result<(), Cancelled> {
        loop {
            let until = *self.closed_until.lock().unwrap_or_else(PoisonError::into_inner);
            match until {
                Some(until) if until > Instant::now() => cancel.run(tokio::time::sleep_until(until)).await?,
                _ => return Ok(()),
            }
        }
    }

    /// Closes the gate because the host answered 429 or 503.
    pub(super) fn close(&self, retry_after: Option<Duration>) {
        self.refusals.fetch_add(1, Ordering::Relaxed);
        let until = Instant::now() + retry_after.unwrap_or(DEFAULT_PAUSE).min(MAX_PAUSE);
        let mut closed = self.closed_until.lock().unwrap_or_else(PoisonError::into_inner);
        *closed = Some(closed.map_or(until, |before| before.max(until)));
    }
}

impl Gate {
    /// How often it was closed.
    pub(super) fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn everybody_waits_for_the_longest_pause() {
        let gate = Gate::default();
        let start = Instant::now();
        gate.close(Some(Duration::from_secs(5)));
        gate.close(None);
        gate.pass(&Cancel::new()).await.expect("not cancelled");
        assert_eq!(start.elapsed().as_secs(), 5);
    }
}
