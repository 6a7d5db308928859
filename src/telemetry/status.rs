//! What the runner is doing: its conditions, what runs, what it owes. Everything `/status`, `/readyz` and `/livez` tell.
//!
//! In: cheap calls from the agent (one short lock, no allocation beyond the words). Out: a [`Snapshot`] that holds no secrets: names, ids,
//! times and counts. Invariants: the summary condition `Ready` and the [`RunnerPhase`] are pure functions of the gates and of whether the
//! runner drains; nobody sets them.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde::Serialize;

use crate::job::{ConditionStatus, Conditions, ExecutionId, JobId, Phase};

/// How long the poller may go without a sign of life: its longest request and its longest back-off, twice over.
const POLLER_PATIENCE: Duration = Duration::from_mins(2);

/// The summary condition: true when every [`Gate`] is and the runner does not drain.
pub const READY: &str = "Ready";

/// What has to hold before the runner takes jobs. Each is a condition of the runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// The configuration is complete and usable.
    Validated,
    /// There is a token, and the control plane takes it.
    CredentialsConfigured,
    /// State folder, journal and executors are there, and the control plane's settings were read.
    Bootstrapped,
    /// What an earlier process left behind is adopted, or stopped and owed to the control plane.
    Recovered,
    /// The last poll was answered.
    SourceLive,
}

impl Gate {
    /// Every gate, in the order in which a start passes them.
    pub const ALL: [Self; 5] = [Self::Validated, Self::CredentialsConfigured, Self::Bootstrapped, Self::Recovered, Self::SourceLive];

    /// The condition's type.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Validated => "Validated",
            Self::CredentialsConfigured => "CredentialsConfigured",
            Self::Bootstrapped => "Bootstrapped",
            Self::Recovered => "Recovered",
            Self::SourceLive => "SourceLive",
        }
    }
}

/// The runner in one word: a pure function of its conditions, see [`RunnerPhase::of`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum RunnerPhase {
    /// Some gate was not passed yet.
    Starting,
    /// Jobs are taken.
    Ready,
    /// Some gate does not hold; what runs goes on.
    Degraded,
    /// No new jobs; those that run are left to finish.
    Draining,
}

/// Reason of [`READY`] while the runner drains.
const DRAINING: &str = "Draining";

impl RunnerPhase {
    /// The phase that these conditions make.
    #[must_use]
    pub fn of(conditions: &Conditions) -> Self {
        match conditions.get(READY) {
            Some(ready) if ready.status == ConditionStatus::True => Self::Ready,
            Some(ready) if ready.reason == DRAINING => Self::Draining,
            Some(ready) if ready.status == ConditionStatus::False => Self::Degraded,
            _ => Self::Starting,
        }
    }
}

/// An execution that runs here.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Running {
    /// The attempt.
    pub execution_id: ExecutionId,
    /// The job.
    pub job_id: JobId,
    /// Its type, as the source writes it.
    #[serde(rename = "type")]
    pub job_type: String,
    /// How far it is.
    pub phase: Phase,
    /// When it was claimed.
    pub started_at: Timestamp,
    /// Seconds since then.
    pub age_seconds: f64,
}

/// Slots for executions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Slots {
    /// How many executions may run at once.
    pub total: usize,
    /// How many could start now.
    pub free: usize,
}

/// Everything, at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Snapshot {
    /// Version of this program.
    pub version: &'static str,
    /// The runner's id at its control plane; empty for none.
    pub runner_id: String,
    /// The runner in one word.
    pub phase: RunnerPhase,
    /// By type, summary included.
    pub conditions: Conditions,
    /// Start of the process.
    pub started_at: Timestamp,
    /// Seconds since then.
    pub uptime_seconds: f64,
    /// Slots.
    pub slots: Slots,
    /// What runs, oldest first.
    pub running: Vec<Running>,
    /// Executions that are over and whose log or outcome the control plane does not have yet.
    pub undelivered: usize,
    /// Why entries cannot be written to the journal; absent when they can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal_trouble: Option<String>,
}

#[derive(Debug)]
struct State {
    runner_id: String,
    gates: Conditions,
    draining: bool,
    slots: usize,
    running: BTreeMap<ExecutionId, (Running, Instant)>,
    undelivered: usize,
    journal_trouble: Option<String>,
    /// When the poller was last seen; `None` while there is none that could be stuck.
    polled: Option<Instant>,
}

/// The runner's status; shared by everybody who changes or shows it.
#[derive(Debug)]
pub struct Status {
    started: (Timestamp, Instant),
    state: Mutex<State>,
}

impl Default for Status {
    fn default() -> Self {
        Self::new("", 0)
    }
}

impl Status {
    /// The status of a runner that has passed no gate yet.
    #[must_use]
    pub fn new(runner_id: &str, slots: usize) -> Self {
        let now = Timestamp::now();
        let mut gates = Conditions::new();
        for gate in Gate::ALL {
            gates.set(gate.as_str(), ConditionStatus::Unknown, "NotEvaluated", "", now);
        }
        summarise(&mut gates, false, now);
        let state = State {
            runner_id: runner_id.to_owned(),
            gates,
            draining: false,
            slots,
            running: BTreeMap::new(),
            undelivered: 0,
            journal_trouble: None,
            polled: None,
        };
        Self { started: (now, Instant::now()), state: Mutex::new(state) }
    }

    /// The gate holds.
    pub fn pass(&self, gate: Gate, reason: &'static str) {
        self.set(gate, ConditionStatus::True, reason, "");
    }

    /// The gate does not hold: `reason` is a stable `CamelCase` word, `message` one sentence for people, without secrets.
    pub fn fail(&self, gate: Gate, reason: &'static str, message: &str) {
        self.set(gate, ConditionStatus::False, reason, message);
    }

    /// Sets a gate's condition; the summary follows.
    pub fn set(&self, gate: Gate, status: ConditionStatus, reason: &'static str, message: &str) {
        let now = Timestamp::now();
        let mut state = self.lock();
        if state.gates.set(gate.as_str(), status, reason, message, now) {
            let draining = state.draining;
            summarise(&mut state.gates, draining, now);
        }
    }

    /// No new jobs from now on.
    pub fn drain(&self) {
        let mut state = self.lock();
        state.draining = true;
        state.polled = None;
        summarise(&mut state.gates, true, Timestamp::now());
    }

    /// The poller is alive: to be called before and after each poll. `/livez` fails when it is silent for too long.
    pub fn poller_seen(&self) {
        let mut state = self.lock();
        if !state.draining {
            state.polled = Some(Instant::now());
        }
    }

    /// An execution began.
    pub fn begin(&self, execution: &ExecutionId, job: &JobId, job_type: &str) {
        let running = Running {
            execution_id: execution.clone(),
            job_id: job.clone(),
            job_type: job_type.to_owned(),
            phase: Phase::Claimed,
            started_at: Timestamp::now(),
            age_seconds: 0.0,
        };
        self.lock().running.insert(execution.clone(), (running, Instant::now()));
    }

    /// An execution entered a phase.
    pub fn phase(&self, execution: &ExecutionId, phase: Phase) {
        if let Some((running, _)) = self.lock().running.get_mut(execution) {
            running.phase = phase;
        }
    }

    /// An execution is over here, and its slot free.
    pub fn end(&self, execution: &ExecutionId) {
        self.lock().running.remove(execution);
    }

    /// How many executions are over and not yet delivered.
    pub fn undelivered(&self, count: usize) {
        self.lock().undelivered = count;
    }

    /// Why the journal cannot be written, or that it can.
    pub fn journal(&self, trouble: Option<String>) {
        self.lock().journal_trouble = trouble;
    }

    /// Why the runner is not ready; `None` when it is.
    #[must_use]
    pub fn not_ready(&self) -> Option<String> {
        let state = self.lock();
        let ready = state.gates.get(READY)?;
        (ready.status != ConditionStatus::True).then(|| if ready.message.is_empty() { ready.reason.clone() } else { ready.message.clone() })
    }

    /// Why the runner should be restarted; `None` when it is well.
    #[must_use]
    pub fn not_live(&self) -> Option<String> {
        let silent = self.lock().polled?.elapsed();
        (silent > POLLER_PATIENCE).then(|| format!("the poller has not been seen for {} s", silent.as_secs()))
    }

    /// Everything, now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let state = self.lock();
        let mut running: Vec<_> = state
            .running
            .values()
            .map(|(running, since)| Running { age_seconds: since.elapsed().as_secs_f64(), ..running.clone() })
            .collect();
        running.sort_by_key(|running| running.started_at);
        Snapshot {
            version: env!("CARGO_PKG_VERSION"),
            runner_id: state.runner_id.clone(),
            phase: RunnerPhase::of(&state.gates),
            conditions: state.gates.clone(),
            started_at: self.started.0,
            uptime_seconds: self.started.1.elapsed().as_secs_f64(),
            slots: Slots { total: state.slots, free: state.slots.saturating_sub(running.len()) },
            running,
            undelivered: state.undelivered,
            journal_trouble: state.journal_trouble.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is complete in itself: a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sets [`READY`]: false with the first gate that is false, unknown with the first that is unknown, else true.
fn summarise(gates: &mut Conditions, draining: bool, now: Timestamp) {
    let first = |status| {
        let of = |gate: Gate| gates.get(gate.as_str()).filter(|condition| condition.status == status).map(|found| (gate, found));
        Gate::ALL.into_iter().find_map(of)
    };
    let (status, reason, message) = if draining {
        (ConditionStatus::False, DRAINING.to_owned(), "the runner drains: it takes no new jobs".to_owned())
    } else if let Some((gate, condition)) = first(ConditionStatus::False).or_else(|| first(ConditionStatus::Unknown)) {
        let detail = if condition.message.is_empty() { &condition.reason } else { &condition.message };
        (condition.status, format!("{}{}", gate.as_str(), condition.reason), format!("{}: {detail}", gate.as_str()))
    } else {
        (ConditionStatus::True, "GatesPassed".to_owned(), String::new())
    };
    gates.set(READY, status, &reason, &message, now);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready() -> Status {
        let status = Status::new("run-1", 2);
        for gate in Gate::ALL {
            status.pass(gate, "Done");
        }
        status
    }

    #[test]
    fn ready_follows_from_the_gates_and_names_the_first_that_is_missing() {
        let status = Status::new("run-1", 2);
        assert_eq!((status.snapshot().phase, status.not_ready().as_deref()), (RunnerPhase::Starting, Some("Validated: NotEvaluated")));
        let status = ready();
        assert_eq!((status.snapshot().phase, status.not_ready()), (RunnerPhase::Ready, None));
        status.fail(Gate::SourceLive, "Unreachable", "http://plane refuses connections");
        assert_eq!(status.not_ready().as_deref(), Some("SourceLive: http://plane refuses connections"));
        assert_eq!(status.snapshot().phase, RunnerPhase::Degraded);
        assert_eq!(status.snapshot().conditions.get(READY).map(|c| c.reason.clone()).as_deref(), Some("SourceLiveUnreachable"));
    }

    #[test]
    fn draining_wins_over_every_gate() {
        let status = ready();
        status.poller_seen();
        status.drain();
        status.pass(Gate::SourceLive, "Polled");
        status.poller_seen();
        assert_eq!((status.snapshot().phase, status.not_live()), (RunnerPhase::Draining, None));
    }

    #[test]
    fn what_runs_takes_a_slot_until_it_ends() {
        let (status, execution) = (ready(), ExecutionId::generate());
        status.begin(&execution, &JobId::generate(), "noop");
        status.phase(&execution, Phase::Collecting);
        let shown = serde_json::to_value(status.snapshot()).expect("serialises");
        assert_eq!((shown["slots"]["free"].as_u64(), shown["running"][0]["phase"].as_str()), (Some(1), Some("collecting")));
        assert_eq!(shown["conditions"]["Ready"]["status"], "True");
        status.end(&execution);
        assert_eq!((status.snapshot().slots.free, status.snapshot().running.len()), (2, 0));
    }

    #[test]
    fn a_silent_poller_is_noticed() {
        let status = ready();
        assert_eq!(status.not_live(), None, "nothing polls yet");
        status.lock().polled = Instant::now().checked_sub(POLLER_PATIENCE + Duration::from_secs(1));
        assert!(status.not_live().expect("stuck").starts_with("the poller has not been seen for 121 s"));
    }
}
