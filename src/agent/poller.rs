//! The poller: one long poll at a time, oldest job first, each job into a slot of its own.
//!
//! In: offers of the source. Out: one task per offer that has a slot, which claims and runs it. Invariants: no poll without room for what it may bring;
//! no claim while the disk is full, the journal cannot be written or too much is undelivered; never a pause between a job that is over and
//! the next poll; a source that fails, or offers again and again what cannot be had, is not asked in a tight loop.
//!
//! Run by the agent until it drains; dropped where it stands then, which leaves no claim half made (those have tasks of their own).

use std::{sync::Arc, time::Duration};

use tokio_util::task::TaskTracker;

use super::{
    agent::Shared,
    claim::claim,
    execution::attend,
    slots::{NoSlot, Slot},
};
use crate::{
    job::JobType,
    retry::{Advice, Backoff, Policy},
    shutdown::Cancel,
    source::{Error, Offer, Wanted},
    telemetry::Gate,
};

/// How often the poller says that it is there while it waits for room, and looks again whether what is in the way is gone.
const SIGN_OF_LIFE: Duration = Duration::from_secs(20);
const TROUBLE: Duration = Duration::from_millis(500);

/// How long a poll waits for the claims of the one before, so that it does not bring the same jobs.
const CLAIMS: Duration = Duration::from_secs(1);

/// Waits between polls that bring nothing but what cannot be had.
const NOTHING_NEW: Policy = Policy { tries: usize::MAX, min_delay: Duration::from_millis(50), max_delay: Duration::from_secs(1) };

/// Polls for ever. Executions are tasks of `work`.
pub(super) async fn poll(shared: &Arc<Shared>, work: &TaskTracker) {
    let mut failures = Backoff::new(Policy::FOR_EVER);
    let mut in_vain = Backoff::new(NOTHING_NEW);
    let mut trouble = Trouble::default();
    let mut failing = false;
    loop {
        let wanted = room(shared).await;
        if trouble.is_there(shared) {
            tokio::time::sleep(TROUBLE).await;
            continue;
        }
        shared.status.poller_seen();
        let cancel = Cancel::new();
        let answer = tokio::select! {
            answer = shared.source.poll(&wanted, &cancel) => answer,
            () = shared.slots.outgrown(&wanted) => continue,
        };
        shared.status.poller_seen();
        match answer {
            Ok(offers) => {
                live(shared, &mut failing);
                failures.reset();
                let nothing_new = !offers.is_empty() && !start(shared, work, offers);
                if nothing_new {
                    let wait = in_vain.next(Advice::Retry).unwrap_or(NOTHING_NEW.max_delay);
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = shared.slots.outgrown(&wanted) => {}
                    }
                } else {
                    in_vain.reset();
                    // A claim that hangs holds up nothing but itself.
                    let _ = tokio::time::timeout(CLAIMS, shared.slots.claims_settled()).await;
                }
            }
            Err(error) => {
                fail(shared, &error, std::mem::replace(&mut failing, true));
                // What is refused today may be allowed tomorrow: a runner that was left alone is still to be there then.
                let advice = match error.advice() {
                    Advice::GiveUp => Advice::Retry,
                    advice => advice,
                };
                tokio::time::sleep(failures.next(advice).unwrap_or(Policy::FOR_EVER.max_delay)).await;
            }
        }
    }
}

/// Waits for a slot, showing that it does.
async fn room(shared: &Shared) -> Wanted {
    loop {
        match tokio::time::timeout(SIGN_OF_LIFE, shared.slots.room()).await {
            Ok(wanted) => return wanted,
            Err(_) => shared.status.poller_seen(),
        }
    }
}

/// Starts what there is a slot for, oldest first. Returns whether that was anything.
fn start(shared: &Arc<Shared>, work: &TaskTracker, mut offers: Vec<Offer>) -> bool {
    offers.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
    let mut any = false;
    for offer in offers {
        if shared.vain.is_shunned(&offer.id) {
            continue;
        }
        let group = offer.job_type.parse().ok().map(JobType::group);
        match shared.slots.take(&offer.id, group) {
            Ok(slot) => {
                any = true;
                work.spawn(claim_and_attend(Arc::clone(shared), offer, slot));
            }
            // Offered again when there is room; or here already.
            Err(NoSlot::Full | NoSlot::Known) => {}
        }
    }
    any
}

async fn claim_and_attend(shared: Arc<Shared>, offer: Offer, mut slot: Slot) {
    let Some((claimed, entry)) = claim(&shared, &offer).await else { return };
    slot.settled();
    attend(shared, claimed, Some(entry), slot).await;
}

fn live(shared: &Shared, failing: &mut bool) {
    shared.metrics.polled();
    shared.status.pass(Gate::CredentialsConfigured, "Accepted");
    shared.status.pass(Gate::SourceLive, "Polled");
    if std::mem::take(failing) {
        tracing::info!("the control plane answers again");
    }
}

fn fail(shared: &Shared, error: &Error, is_known: bool) {
    let (gate, reason, label) = match error {
        Error::Unauthorized(_) => (Gate::CredentialsConfigured, "Refused", "unauthorized"),
        Error::Fenced(_) | Error::Refused { .. } => (Gate::SourceLive, "Refused", "refused"),
        Error::Unavailable { .. } => (Gate::SourceLive, "Unreachable", "unavailable"),
        Error::Cancelled => (Gate::SourceLive, "Stopped", "cancelled"),
    };
    shared.metrics.poll_failed(label);
    shared.status.fail(gate, reason, &error.to_string());
    if is_known {
        tracing::debug!(%error, "the control plane cannot be asked for jobs");
    } else {
        tracing::warn!(%error, "the control plane cannot be asked for jobs; it is asked again until it can");
    }
}

/// Whatever keeps the runner from taking jobs on its own account; told when it begins and when it ends.
#[derive(Debug, Default)]
struct Trouble(Option<String>);

impl Trouble {
    fn is_there(&mut self, shared: &Shared) -> bool {
        let now = now(shared);
        match (&self.0, &now) {
            (None, Some((_, message))) => tracing::warn!("no jobs are taken for now: {message}"),
            (Some(_), None) => {
                tracing::info!("jobs are taken again");
                shared.status.pass(Gate::Bootstrapped, "TroubleOver");
            }
            (None, None) | (Some(_), Some(_)) => {}
        }
        if let Some((reason, message)) = &now {
            shared.status.poller_seen();
            // Each time: others pass the gate for reasons of their own.
            shared.status.fail(Gate::Bootstrapped, reason, message);
        }
        self.0 = now.map(|(_, message)| message);
        self.0.is_some()
    }
}

fn now(shared: &Shared) -> Option<(&'static str, String)> {
    if let Some(trouble) = shared.journal.trouble() {
        return Some(("JournalTrouble", trouble));
    }
    if let Err(error) = shared.supervisor.admit() {
        return Some(("NoRoom", error.to_string()));
    }
    let behind = || format!("{} executions are over and not delivered yet", shared.deliveries.gauge());
    shared.deliveries.is_behind().then(|| ("Undelivered", behind()))
}
