//! Two habits of a patient client: not to ask again and again for what a plane does not have, and not to run hot when it answers at once.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// Whether an endpoint is worth asking: not for a while after the plane said that it has none. Planes are upgraded, so later it is.
#[derive(Debug)]
pub(super) struct Probe {
    pause: Duration,
    again: Mutex<Option<Instant>>,
}

impl Probe {
    /// An endpoint that is asked again `pause` after it was missing.
    pub(super) fn new(pause: Duration) -> Self {
        Self { pause, again: Mutex::default() }
    }

    /// Whether to ask it now.
    pub(super) fn is_due(&self) -> bool {
        self.again.lock().unwrap_or_else(PoisonError::into_inner).is_none_or(|again| again <= Instant::now())
    }

    /// It is missing.
    pub(super) fn missing(&self) {
        *self.again.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + self.pause);
    }

    /// It answers.
    pub(super) fn found(&self) {
        *self.again.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Empty answers that take longer than this were waited for.
const QUICK: Duration = Duration::from_secs(1);
/// Quick empty answers in a row that are taken for lost races.
const FREE: u32 = 3;
/// First pause after those.
const FIRST: Duration = Duration::from_millis(50);

/// Slows down a long poll whose plane does not hold the request.
#[derive(Debug, Default)]
pub(super) struct Pace {
    quick: AtomicU32,
}

impl Pace {
    /// How long to wait after an answer that took `elapsed`; at most `longest`.
    pub(super) fn after(&self, empty: bool, elapsed: Duration, longest: Duration) -> Duration {
        if !empty || elapsed >= QUICK {
            self.quick.store(0, Ordering::Relaxed);
            return Duration::ZERO;
        }
        let doublings = self.quick.fetch_add(1, Ordering::Relaxed).checked_sub(FREE);
        doublings.map_or(Duration::ZERO, |doublings| FIRST.saturating_mul(1 << doublings.min(16)).min(longest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_empty_answers_are_paused_after_more_and_more() {
        let pace = Pace::default();
        let millis = |empty, elapsed| pace.after(empty, elapsed, Duration::from_secs(1)).as_millis();
        let waits: Vec<_> = (0..9).map(|_| millis(true, Duration::ZERO)).collect();
        assert_eq!(waits, [0, 0, 0, 50, 100, 200, 400, 800, 1000]);
        assert_eq!([millis(false, Duration::ZERO), millis(true, Duration::ZERO)], [0, 0]);
        assert_eq!(millis(true, Duration::from_secs(25)), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_missing_is_asked_for_again_later() {
        let probe = Probe::new(Duration::from_mins(5));
        assert!(probe.is_due());
        probe.missing();
        assert!(!probe.is_due());
        tokio::time::advance(Duration::from_mins(5)).await;
        assert!(probe.is_due());
        probe.missing();
        probe.found();
        assert!(probe.is_due());
    }
}
