//! What the agent does beside its work: follow the source's settings, and show what it owes.

use std::{sync::Arc, time::Duration};

use super::{agent::Shared, heart::Heart};
use crate::{
    process::give_back_code,
    retry::{Advice, Backoff, Policy},
    shutdown::Cancel,
    source::Error,
    telemetry::Gate,
};

/// How often the source is asked how to behave.
const SETTINGS: Duration = Duration::from_mins(5);

/// How often the status is told what is owed.
const GLANCE: Duration = Duration::from_secs(1);

/// Asks the source how to behave, now and then.
pub(super) async fn follow_settings(shared: Arc<Shared>, heart: Option<Arc<Heart>>, stop: Cancel) {
    let mut backoff = Backoff::new(Policy::FOR_EVER);
    let mut is_known = false;
    loop {
        let Ok(answer) = stop.run(shared.source.settings()).await else { return };
        let wait = match answer {
            Ok(settings) => {
                backoff.reset();
                shared.set_wants_logs(settings.logs);
                if let Some(heart) = &heart {
                    heart.set_interval(settings.heartbeat);
                }
                if !std::mem::replace(&mut is_known, true) {
                    shared.status.pass(Gate::Bootstrapped, "SettingsRead");
                    // An idle plane holds the first poll for long: that it answers, and takes the token, is known now.
                    shared.status.pass(Gate::CredentialsConfigured, "Accepted");
                    shared.status.pass(Gate::SourceLive, "SettingsRead");
                }
                SETTINGS
            }
            Err(error) => {
                if error.advice() == Advice::GiveUp && !is_known {
                    // A source without settings is one that leaves all of it to us.
                    is_known = true;
                    tracing::warn!(%error, "the control plane has no settings for this runner; the usual ones are used");
                    shared.status.pass(Gate::Bootstrapped, "UsualSettings");
                } else if !is_known {
                    shared.status.fail(Gate::Bootstrapped, "SettingsUnknown", &error.to_string());
                }
                wait_after(&error, &mut backoff)
            }
        };
        if stop.run(tokio::time::sleep(wait)).await.is_err() {
            return;
        }
    }
}

fn wait_after(error: &Error, backoff: &mut Backoff) -> Duration {
    match error.advice() {
        Advice::GiveUp => SETTINGS,
        advice => backoff.next(advice).unwrap_or(SETTINGS),
    }
}

/// Keeps the status informed of what nobody else tells it, and the runner small while it has nothing to do.
pub(super) async fn show_what_is_owed(shared: Arc<Shared>, stop: Cancel) {
    let mut given_back_after = None;
    loop {
        let owed = shared.deliveries.gauge();
        shared.status.undelivered(owed);
        let idle_after = shared.running.idle_after().filter(|_| owed == 0);
        if idle_after.is_some() && idle_after != given_back_after {
            give_back_code();
            given_back_after = idle_after;
        }
        shared.status.journal(shared.journal.trouble());
        let synced = shared.journal.synced();
        shared.metrics.journal_synced(synced.entries, synced.writes, synced.took);
        if stop.run(tokio::time::sleep(GLANCE)).await.is_err() {
            return;
        }
    }
}
