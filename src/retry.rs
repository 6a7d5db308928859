//! Trying again: how long to wait, how often, and never without jitter.
//!
//! What is worth a second try is the caller's to say, by an exhaustive match on its own error (`Advice`); how long to wait is
//! decided here, by `backon`'s exponential back-off with jitter, never shorter than a server's `Retry-After` and never longer
//! than the policy's ceiling.

use std::{future::Future, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBuilder};

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
    /// For calls to registries and repositories: six tries over about half a minute.
    pub const NETWORK: Self = Self { tries: 6, min_delay: Duration::from_millis(250), max_delay: Duration::from_secs(30) };
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
    let mut waits = ExponentialBuilder::new()
        .with_min_delay(policy.min_delay)
        .with_max_delay(policy.max_delay)
        .with_max_times(policy.tries.saturating_sub(1))
        .with_jitter()
        .build();
    loop {
        let error = match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let floor = match advise(&error) {
            Advice::GiveUp => return Err(error),
            Advice::Retry => Duration::ZERO,
            Advice::RetryAfter(wait) => wait,
        };
        let Some(wait) = waits.next() else { return Err(error) };
        let wait = wait.max(floor).min(policy.max_delay);
        on_retry(&error, wait);
        if cancel.run(tokio::time::sleep(wait)).await.is_err() {
            return Err(error);
        }
    }
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
}
