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

use jiff::Timestamp;
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

/// The value of `Retry-After`: seconds or a date (RFC 9110 §10.2.3).
pub(super) fn parse_retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(now)).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "2015-10-21T07:27:00Z".parse().expect("valid");
        assert_eq!(parse_retry_after(" 120 ", now), Some(Duration::from_mins(2)));
        assert_eq!(parse_retry_after("Wed, 21 Oct 2015 07:28:00 GMT", now), Some(Duration::from_mins(1)));
        assert_eq!(parse_retry_after("Wed, 21 Oct 2015 07:26:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(parse_retry_after("soon", now), None);
    }

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
