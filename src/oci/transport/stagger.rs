//! Connections are begun a few at a time.
//!
//! Forty blobs want forty connections at the same moment. Begun all at once, every one of them is late: machine and proxy are busy with the
//! last when the first could long have carried its request. So a few are begun, and the next ones as soon as these are up – or after
//! [`PATIENCE`], because those that are far away wait for the network and not for a processor.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::sync::Semaphore;
use tower_layer::Layer;
use tower_service::Service;

/// Connections that are being made at a time.
const ABREAST: usize = 8;
/// How long the next ones wait for those.
const PATIENCE: Duration = Duration::from_millis(2);

/// Makes a connector's connections wait their turn.
#[derive(Debug, Clone)]
pub(super) struct Stagger(Arc<Semaphore>);

impl Default for Stagger {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ABREAST)))
    }
}

impl<S> Layer<S> for Stagger {
    type Service = Staggered<S>;

    fn layer(&self, connector: S) -> Staggered<S> {
        Staggered { connector, turns: Arc::clone(&self.0) }
    }
}

/// A connector whose connections wait their turn.
#[derive(Debug, Clone)]
pub(super) struct Staggered<S> {
    connector: S,
    turns: Arc<Semaphore>,
}

impl<S: Service<R>, R> Service<R> for Staggered<S>
where
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.connector.poll_ready(cx)
    }

    fn call(&mut self, target: R) -> Self::Future {
        let turns = Arc::clone(&self.turns);
        let mut connect = Box::pin(self.connector.call(target));
        Box::pin(async move {
            // Nobody closes it; if somebody did, there would be no turns to wait for.
            let turn = turns.acquire().await.ok();
            if let Ok(connection) = tokio::time::timeout(PATIENCE, &mut connect).await {
                return connection;
            }
            drop(turn);
            connect.await
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Connects to nothing, in the time it is told.
    #[derive(Clone, Default)]
    struct Slow(Arc<AtomicUsize>);

    impl Service<Duration> for Slow {
        type Response = usize;
        type Error = ();
        type Future = Pin<Box<dyn Future<Output = Result<usize, ()>> + Send>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ()>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, takes: Duration) -> Self::Future {
            let begun = Arc::clone(&self.0);
            Box::pin(async move {
                let number = begun.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(takes).await;
                Ok(number)
            })
        }
    }

    /// Milliseconds until `count` connections are up, each of which takes `takes`.
    async fn all_up(count: u32, takes: Duration) -> u128 {
        let mut connector = Stagger::default().layer(Slow::default());
        let begun = tokio::time::Instant::now();
        let all = futures_util::future::join_all((0..count).map(|_| connector.call(takes))).await;
        assert!(all.iter().all(Result::is_ok));
        begun.elapsed().as_millis()
    }

    #[tokio::test(start_paused = true)]
    async fn near_ones_follow_each_other_and_far_ones_do_not_hold_up_the_rest() {
        assert_eq!(all_up(8, Duration::from_millis(1)).await, 1);
        assert_eq!(all_up(24, Duration::from_millis(1)).await, 3);
        assert_eq!(all_up(64, Duration::from_millis(100)).await, 7 * 2 + 100);
    }
}
