//! One delivery from its begin to `Closed`.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::{Instant, timeout_at};

use super::{
    Delivered, DeliveryJob, Shared,
    handle::Orders,
    phases,
    shipper::{Shipped, Shipper},
};
use crate::{
    job::Receipt,
    journal::Entry,
    retry::{Advice, Backoff, Policy},
    source::Error,
};

/// How long lines gather before they are sent while the job runs.
const GATHER: Duration = Duration::from_millis(100);

/// How long after the end, or after the last batch that arrived, a log that fails holds back the outcome.
const PATIENCE: Duration = Duration::from_mins(1);

/// Delivers `job` as `orders` say.
pub(super) async fn run(shared: Arc<Shared>, job: DeliveryJob, orders: Orders) {
    let work = deliver(&shared, &job, &orders);
    let ending = tokio::select! {
        biased;
        () = shared.stop.cancelled() => return,
        given_up = orders.given_up() => {
            let Some(reason) = given_up else { return };
            tracing::warn!(job = %job.job, execution = %job.execution, reason, "disowned: nothing is reported");
            Delivered::Disowned
        }
        ending = work => ending,
    };
    shared.journal.note(Entry::Closed { execution: job.execution.clone() });
    // After the entry, so that no log is missing that somebody is still owed. If the entry is lost nevertheless, all is delivered once more.
    match tokio::fs::remove_dir_all(&job.folder).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(execution = %job.execution, %error, "the delivered log cannot be removed before the next start");
        }
        _ => {}
    }
    orders.end(ending);
}

/// Returns when nothing is owed any more.
async fn deliver(shared: &Arc<Shared>, job: &DeliveryJob, orders: &Orders) -> Delivered {
    let mut log = Shipper::new(Arc::clone(shared), job);
    let phases = phases::tell(Arc::clone(shared), job.job.clone(), job.execution.clone(), orders);
    let logged = async {
        live(&mut log, job, orders).await;
        let finished = orders.finished().await;
        let owed = Owed::new(shared);
        let complete = rest(&mut log, finished.at + PATIENCE).await;
        (finished, owed, complete)
    };
    // The last intermediate phase is answered before the outcome is told.
    let ((finished, _owed, complete), ()) = tokio::join!(logged, phases);
    conclude(shared, job, &finished.receipt, log, complete).await
}

/// Sends the log as it grows, until the execution is over.
async fn live(log: &mut Shipper, job: &DeliveryJob, orders: &Orders) {
    let overdue = async { tokio::time::sleep_until(orders.finished().await.at + PATIENCE).await };
    let finished = orders.finished();
    tokio::pin!(overdue, finished);
    let mut backoff = Backoff::new(Policy::FOR_EVER);
    // Until the next try; without one, until the log grows.
    let mut wait = None;
    loop {
        let due = async {
            if wait.is_none() {
                job.bell.rung().await;
            }
            tokio::time::sleep(wait.unwrap_or(GATHER)).await;
        };
        tokio::select! {
            biased;
            _ = &mut finished => return,
            () = due => {}
        }
        // Not dropped when the execution ends meanwhile: the batch may have arrived, and not every source knows one that comes twice.
        let shipped = tokio::select! {
            biased;
            () = &mut overdue => return,
            shipped = log.ship() => shipped,
        };
        wait = match shipped {
            Shipped::Some => {
                backoff.reset();
                Some(GATHER)
            }
            Shipped::All => None,
            Shipped::NotNow(advice) => backoff.next(advice),
        };
    }
}

/// Sends what is left of the log, trying again until `deadline`, which moves on with every batch that arrives. Returns whether the source has
/// all of it.
async fn rest(log: &mut Shipper, mut deadline: Instant) -> bool {
    let mut backoff = Backoff::new(Policy::FOR_EVER);
    loop {
        let advice = match round(log, &mut deadline).await {
            Ok(()) => return true,
            Err(advice) => advice,
        };
        let again = Instant::now() + backoff.next(advice).unwrap_or(PATIENCE);
        if again >= deadline {
            tokio::time::sleep_until(deadline).await;
            return false;
        }
        tokio::time::sleep_until(again).await;
    }
}

/// Sends batches until the source has all of the log, or until one fails.
async fn round(log: &mut Shipper, deadline: &mut Instant) -> Result<(), Advice> {
    loop {
        let shipped = async {
            match log.ship().await {
                Shipped::All => log.ship_untold().await,
                other => other,
            }
        };
        match timeout_at(*deadline, shipped).await {
            Ok(Shipped::Some) => *deadline = Instant::now() + PATIENCE,
            Ok(Shipped::All) => return Ok(()),
            Ok(Shipped::NotNow(advice)) => return Err(advice),
            Err(_) => return Err(Advice::Retry),
        }
    }
}

/// Reports, and sends what is left of a log that would not go before, until both are done.
async fn conclude(shared: &Shared, job: &DeliveryJob, receipt: &Receipt, mut log: Shipper, mut complete: bool) -> Delivered {
    let mut backoff = Backoff::new(Policy::FOR_EVER);
    let mut reported = None;
    let mut failing = false;
    loop {
        let mut advice = Advice::Retry;
        if reported.is_none() {
            match shared.source.report(&job.job, &job.execution, receipt).await {
                Ok(()) => reported = Some(Delivered::Reported),
                Err(error) => match error.advice() {
                    Advice::GiveUp if error != Error::Cancelled => reported = Some(not_taken(shared, job, receipt, &error)),
                    Advice::GiveUp => {}
                    later => {
                        advice = later;
                        shared.metrics.delivery_retried("report");
                        if !std::mem::replace(&mut failing, true) {
                            tracing::warn!(execution = %job.execution, %error, "the outcome cannot be reported now; it is kept and tried again");
                        }
                    }
                },
            }
            if reported.is_some() {
                backoff.reset();
                if failing {
                    tracing::info!(execution = %job.execution, "the control plane has the outcome at last");
                }
            }
        }
        match &reported {
            // Whoever disowned the execution does not want its log either.
            Some(ending @ Delivered::NotTaken(_)) => return ending.clone(),
            Some(ending) if complete => return ending.clone(),
            _ => {}
        }
        tokio::time::sleep(backoff.next(advice).unwrap_or(PATIENCE)).await;
        // Before the next report: if it was the whole source that was away, the log still comes first.
        if !complete {
            complete = round(&mut log, &mut (Instant::now() + PATIENCE)).await.is_ok();
        }
    }
}

fn not_taken(shared: &Shared, job: &DeliveryJob, receipt: &Receipt, error: &Error) -> Delivered {
    let (id, execution, outcome) = (&job.job, &job.execution, receipt.outcome);
    if matches!(error, Error::Fenced(_)) {
        shared.metrics.disowned();
        tracing::warn!(job = %id, %execution, ?outcome, %error, "the control plane disowned the execution; its outcome is dropped");
    } else {
        tracing::error!(job = %id, %execution, ?outcome, %error, "the control plane refuses the outcome for good; it is dropped");
    }
    Delivered::NotTaken(error.to_string())
}

/// Counts one delivery that is owed, while it lives.
struct Owed<'a>(&'a Shared);

impl<'a> Owed<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.owed.fetch_add(1, Ordering::AcqRel);
        Self(shared)
    }
}

impl Drop for Owed<'_> {
    fn drop(&mut self) {
        self.0.owed.fetch_sub(1, Ordering::AcqRel);
    }
}
