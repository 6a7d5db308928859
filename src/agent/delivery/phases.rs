//! Intermediate phases: the latest only, in the background, and none that is over at once.

use std::{sync::Arc, time::Duration};

use super::{Shared, handle::Orders};
use crate::{
    job::{ExecutionId, JobId, Phase},
    retry::{Backoff, Policy},
};

/// How long a phase has to last to be worth a request. Nobody can see a status that stands for less, and a job that takes a few
/// milliseconds needs none but the last.
const WORTH_TELLING: Duration = Duration::from_millis(100);

/// Tells the source of phases until the execution is over. A call under way is never dropped: one that was overtaken by the terminal status could
/// arrive after it.
pub(super) fn tell(shared: Arc<Shared>, job: JobId, execution: ExecutionId, orders: &Orders) -> impl Future<Output = ()> + Send + use<> {
    let mut phase = orders.phase.clone();
    let finished = orders.finished();
    async move {
        tokio::pin!(finished);
        let mut backoff = Backoff::new(Policy::FOR_EVER);
        let mut told = Phase::Claimed;
        let mut wait = WORTH_TELLING;
        loop {
            tokio::select! {
                biased;
                _ = &mut finished => return,
                newer = phase.wait_for(|phase| *phase > told) => if newer.is_err() { return },
            }
            tokio::select! {
                biased;
                _ = &mut finished => return,
                () = tokio::time::sleep(wait) => {}
            }
            let latest = *phase.borrow_and_update();
            match shared.source.phase(&job, &execution, latest).await {
                Ok(()) => {
                    backoff.reset();
                    (told, wait) = (latest, WORTH_TELLING);
                }
                Err(error) => {
                    tracing::debug!(%execution, %error, "a phase could not be told");
                    // Not ours, or refused: whether that stops the work is the watcher's to find out.
                    let Some(longer) = backoff.next(error.advice()) else { return };
                    shared.metrics.delivery_retried("phase");
                    wait = longer;
                }
            }
        }
    }
}
