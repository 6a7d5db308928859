//! A sink for readers of their own, which only want to know when it is worth looking.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::{record::Record, sink::Sink};

/// Rings whenever the log has grown. One reader waits for it, typically with a [`super::Follower`]; clones are the same bell.
#[derive(Debug, Clone, Default)]
pub struct Bell(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Remembers one ring that nobody has heard.
    grown: Notify,
    untold: Mutex<Option<Record>>,
}

impl Bell {
    /// A bell that has not rung.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Resolves when the log has grown since the last time this resolved. Cancel-safe. For one reader: of two, one would hear it.
    pub async fn rung(&self) {
        self.0.grown.notified().await;
    }

    /// Rings, for reasons other than the log's.
    pub fn ring(&self) {
        self.0.grown.notify_one();
    }

    /// What the log could not say itself because its disk was full to the end: a [`super::Stream::Gap`] without a number that belongs behind
    /// everything that is there.
    #[must_use]
    pub fn untold(&self) -> Option<Record> {
        self.0.untold.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Sink for Bell {
    fn record(&mut self, record: &Record) {
        *self.0.untold.lock().unwrap_or_else(PoisonError::into_inner) = Some(record.clone());
    }

    fn caught_up(&mut self) {
        self.ring();
    }

    fn reads(&self) -> bool {
        false
    }
}
