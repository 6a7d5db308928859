//! Where an execution is, for people watching: the current step and the bytes moved so far.
//!
//! Counters, not events: writers never wait, watchers look as often as they like.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

/// Shared progress of one execution.
#[derive(Debug, Clone)]
pub struct Progress(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    step: &'static str,
    since: Instant,
    meters: Vec<Arc<MeterState>>,
}

#[derive(Debug)]
struct MeterState {
    label: String,
    total: AtomicU64,
    done: AtomicU64,
}

/// One thing being moved. Dropping it takes it off the display.
#[derive(Debug)]
pub struct Meter {
    state: Arc<MeterState>,
    owner: Progress,
}

/// What a watcher sees.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Current step; empty before the first one.
    pub step: &'static str,
    /// When it began.
    pub since: Instant,
    /// Label, bytes done, bytes in total (0 when unknown) of everything under way.
    pub meters: Vec<(String, u64, u64)>,
}

impl Default for Progress {
    fn default() -> Self {
        Self(Arc::new(Inner { state: Mutex::new(State { step: "", since: Instant::now(), meters: Vec::new() }) }))
    }
}

impl Progress {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters the step of that name.
    pub fn step(&self, name: &'static str) {
        let mut state = self.state();
        state.step = name;
        state.since = Instant::now();
    }

    /// The current step.
    #[must_use]
    pub fn current_step(&self) -> &'static str {
        self.state().step
    }

    /// Announces something that moves `total` bytes (0 when unknown).
    #[must_use]
    pub fn meter(&self, label: impl Into<String>, total: u64) -> Meter {
        let state = Arc::new(MeterState { label: label.into(), total: AtomicU64::new(total), done: AtomicU64::new(0) });
        self.state().meters.push(Arc::clone(&state));
        Meter { state, owner: self.clone() }
    }

    /// Where things stand now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let state = self.state();
        let read = |m: &Arc<MeterState>| (m.label.clone(), m.done.load(Ordering::Relaxed), m.total.load(Ordering::Relaxed));
        Snapshot { step: state.step, since: state.since, meters: state.meters.iter().map(read).collect() }
    }
}

impl Meter {
    /// `bytes` more are done.
    pub fn add(&self, bytes: u64) {
        self.state.done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// `bytes` more turn out to be needed.
    pub fn grow(&self, bytes: u64) {
        self.state.total.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Starts counting anew, for a transfer that begins again.
    pub fn reset(&self, done: u64) {
        self.state.done.store(done, Ordering::Relaxed);
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.owner.state().meters.retain(|other| !Arc::ptr_eq(other, &self.state));
    }
}
