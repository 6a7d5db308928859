//! Trying again: how long to wait, how often, and never without jitter.
//!
//! What is worth a second try is the caller's to say, by an exhaustive match on its own error (`Advice`); how long to wait is
//! decided here, by `backon`'s exponential back-off with jitter, never shorter than a server's `Retry-After` and never longer
//! than the policy's ceiling.

use std::{future::Future, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use jiff::Timestamp;

use crate::shutdown::Cancel;

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// Trying again cannot help.
    GiveUp,
    /// Try again after the usual back-off.
    Retry,
    /// Try again, but not before the server said (its `Retry-After`).
    RetryAfter(Duration),
}

/// How often and how patiently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Tries altogether, the first one included.
    pub tries: usize,
    /// First wait.
    pub min_delay: Duration,
    /// Longest wait, also for a server that asks for more.
    pub max_delay: Duration,
}

impl Policy {
    /// For calls to the control plane that may take as long as they like: for ever, at most half a minute apart.
    pub const FOR_EVER: Self = Self { tries: usize::MAX, min_delay: Duration::from_millis(250), max_delay: Duration::from_secs(30) };

    /// For calls to registries and repositories: six tries over about half a minute.
    pub const NETWORK: Self = Self { tries: 6, min_delay: Duration::from_millis(250), max_delay: Duration::from_secs(30) };
}

/// The waits between the tries of one piece of work, for loops that do more than call the same thing again.
#[derive(Debug)]
pub struct Backoff {
    policy: Policy,
    waits: backon::ExponentialBackoff,
}

impl Backoff {
    /// Nothing has failed yet.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self { policy, waits: waits(policy) }
    }

    /// How long to wait after a failure; `None` when there is to be no other try.
    pub fn next(&mut self, advice: Advice) -> Option<Duration> {
        let floor = match advice {
            Advice::GiveUp => return None,
            Advice::Retry => Duration::ZERO,
            Advice::RetryAfter(wait) => wait,
        };
        Some(self.waits.next()?.max(floor).min(self.policy.max_delay))
    }

    /// It went well: the next failure is a first one.
    pub fn reset(&mut self) {
        self.waits = waits(self.policy);
    }
}

/// Each wait is twice as long as the one before, up to half the ceiling, and up to as much again at random: so that the waits differ at the
/// ceiling too. The seed is ours, because backon without `std` has the same one in every process.
fn waits(policy: Policy) -> backon::ExponentialBackoff {
    let mut seed = [0_u8; 8];
    if getrandom::fill(&mut seed).is_err() {
        seed[..4].copy_from_slice(&std::process::id().to_le_bytes());
    }
    ExponentialBuilder::new()
        .with_min_delay(policy.min_delay)
        .with_max_delay((policy.max_delay / 2).max(policy.min_delay))
        .with_max_times(policy.tries.saturating_sub(1))
        .with_jitter()
        .with_jitter_seed(u64::from_le_bytes(seed))
        .build()
}

/// Runs `attempt` until it succeeds, `advise` gives up, the tries are used up or the work is cancelled.
/// `on_retry` hears of each wait before it begins.
///
/// # Errors
/// The last error. When cancelled between two tries, the error of the try before.
pub async fn retry<T, E, F>(
    policy: Policy,
    cancel: &Cancel,
    advise: impl Fn(&E) -> Advice,
    mut on_retry: impl FnMut(&E, Duration),
    mut attempt: impl FnMut() -> F,
) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    let mut backoff = Backoff::new(policy);
    loop {
        let error = match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let Some(wait) = backoff.next(advise(&error)) else { return Err(error) };
        on_retry(&error, wait);
        if cancel.run(tokio::time::sleep(wait)).await.is_err() {
            return Err(error);
        }
    }
}

/// The value of `Retry-After`: seconds or a date (RFC 9110 §10.2.3).
#[must_use]
pub fn parse_retry_after(value: &str, now: Timestamp) -> Option<Duration> {
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
    use std::cell::Cell;

    const FAST: Policy = Policy { tries: 3, min_delay: Duration::from_millis(10), max_delay: Duration::from_mins(1) };

    #[tokio::test(start_paused = true)]
    async fn stops_at_the_number_of_tries() {
        let count = Cell::new(0);
        let result: Result<(), u8> = retry(
            FAST,
            &Cancel::new(),
            |_| Advice::Retry,
            |_, _| {},
            || {
                count.set(count.get() + 1);
                async { Err(7) }
            },
        )
        .await;
        assert_eq!((result, count.get()), (Err(7), 3));
    }

    #[tokio::test(start_paused = true)]
    async fn waits_as_long_as_the_server_asks_within_the_ceiling() {
        let waits = std::cell::RefCell::new(Vec::new());
        let result: Result<(), u64> = retry(
            FAST,
            &Cancel::new(),
            |_| Advice::RetryAfter(Duration::from_secs(90)),
            |_, wait| waits.borrow_mut().push(wait.as_secs()),
            || async { Err(1) },
        )
        .await;
        assert_eq!((result, waits.into_inner()), (Err(1), vec![60, 60]));
    }

    #[tokio::test]
    async fn gives_up_at_once_when_told() {
        let result: Result<(), u8> = retry(FAST, &Cancel::new(), |_| Advice::GiveUp, |_, _| {}, || async { Err(7) }).await;
        assert_eq!(result, Err(7));
    }

    #[test]
    fn waits_grow_to_the_ceiling_differ_there_and_start_again_after_a_success() {
        let mut backoff = Backoff::new(Policy::FOR_EVER);
        let waits: Vec<_> = (0..40).filter_map(|_| backoff.next(Advice::Retry)).collect();
        assert_eq!(waits.len(), 40);
        assert!(waits[0] <= Duration::from_millis(500), "{waits:?}");
        let late = &waits[10..];
        assert!(late.iter().all(|wait| (15..=30).contains(&wait.as_secs())), "{late:?}");
        assert!(late.windows(2).any(|pair| pair[0] != pair[1]), "{late:?}");
        assert_eq!(backoff.next(Advice::GiveUp), None);
        backoff.reset();
        assert!(backoff.next(Advice::Retry).is_some_and(|wait| wait <= Duration::from_millis(500)));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "2015-10-21T07:27:00Z".parse().expect("valid");
        assert_eq!(parse_retry_after(" 120 ", now), Some(Duration::from_mins(2)));
        assert_eq!(parse_retry_after("Wed, 21 Oct 2015 07:28:00 GMT", now), Some(Duration::from_mins(1)));
        assert_eq!(parse_retry_after("Wed, 21 Oct 2015 07:26:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(parse_retry_after("soon", now), None);
    }
}
