//! How far the end of the runner is: from taking jobs to being gone, in steps that are never taken back.
//!
//! In: [`Drain::advance`], once for each request to stop (SIGTERM, SIGINT). Out: the [`Stage`], for whoever has to stop something. Cheap to
//! clone.

use tokio::sync::watch;

/// A step towards the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Jobs are taken.
    Open,
    /// No new claims; what runs is left to finish, for a while.
    Draining,
    /// What runs is cancelled, and reported as that.
    Stopping,
    /// Nothing is waited for any more; the journal has what is owed.
    Aborted,
}

/// The stage of one runner.
#[derive(Debug, Clone)]
pub struct Drain(watch::Sender<Stage>);

impl Default for Drain {
    fn default() -> Self {
        Self(watch::Sender::new(Stage::Open))
    }
}

impl Drain {
    /// Jobs are taken.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Somebody wants the runner to end: the next stage, which is returned.
    #[expect(clippy::must_use_candidate, reason = "called for what it does; the stage is for whoever tells people")]
    pub fn advance(&self) -> Stage {
        self.0.send_modify(|stage| {
            *stage = match stage {
                Stage::Open => Stage::Draining,
                Stage::Draining => Stage::Stopping,
                Stage::Stopping | Stage::Aborted => Stage::Aborted,
            };
        });
        self.stage()
    }

    /// Where it is.
    #[must_use]
    pub fn stage(&self) -> Stage {
        *self.0.borrow()
    }

    /// Resolves when `stage` is reached, or was passed. Cancel-safe.
    pub async fn reached(&self, stage: Stage) {
        let mut stages = self.0.subscribe();
        // The sender is `self`: it cannot be gone.
        let _ = stages.wait_for(|now| *now >= stage).await;
    }
}
