//! Bells: whoever listens to one thing hears of every change of it.
//!
//! Inputs: a key to listen to or to ring for. Outputs: [`Bell`]s. Invariants: a ring wakes every bell of its key, and one that comes between two
//! waits is not lost; channels that nobody listens to are forgotten. Called by [`super::Bells`].

use std::{collections::HashMap, hash::Hash, sync::Mutex};

use tokio::sync::watch;

use super::locked;

/// Rings when something happens to what it was made for. Rings made for the same thing do not take each other's.
#[derive(Debug)]
pub struct Bell(watch::Receiver<u64>);

impl Bell {
    /// Resolves when something has happened since the bell was made, or since this last resolved. Cancel-safe.
    pub async fn rung(&mut self) {
        if self.0.changed().await.is_err() {
            // The store is gone: nothing will ever happen again.
            std::future::pending::<()>().await;
        }
    }
}

/// One watch channel for each thing that somebody listens to.
#[derive(Debug)]
pub(super) struct Topic<K>(Mutex<Channels<K>>);

#[derive(Debug)]
struct Channels<K> {
    senders: HashMap<K, watch::Sender<u64>>,
    /// The unused channels are swept when there are this many.
    sweep_at: usize,
}

/// Channels there may be before the first sweep.
pub(super) const FEW: usize = 64;

impl<K> Default for Topic<K> {
    fn default() -> Self {
        Self(Mutex::new(Channels { senders: HashMap::new(), sweep_at: FEW }))
    }
}

impl<K: Clone + Eq + Hash> Topic<K> {
    pub(super) fn listen(&self, key: &K) -> Bell {
        let mut channels = locked(&self.0);
        if channels.senders.len() >= channels.sweep_at {
            channels.senders.retain(|_, sender| sender.receiver_count() > 0);
            channels.sweep_at = (2 * channels.senders.len()).max(FEW);
        }
        Bell(channels.senders.entry(key.clone()).or_insert_with(|| watch::Sender::new(0)).subscribe())
    }

    pub(super) fn ring(&self, key: &K) {
        let mut channels = locked(&self.0);
        let Some(sender) = channels.senders.get(key) else { return };
        if sender.receiver_count() == 0 {
            channels.senders.remove(key);
        } else {
            sender.send_modify(|count| *count += 1);
        }
    }

    pub(super) fn ring_all(&self) {
        locked(&self.0).senders.values().for_each(|sender| sender.send_modify(|count| *count += 1));
    }

    /// How many channels there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        locked(&self.0).senders.len()
    }
}
