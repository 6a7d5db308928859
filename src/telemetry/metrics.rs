//! Metrics of the runner, in the `OpenMetrics` text format.
//!
//! In: one call for each thing that happens. Out: [`Metrics::encode`], which also shows what [`Status`] knows (running, undelivered, …) so
//! that no gauge can drift from it. Invariant: label values come from closed sets — wire names of types, outcomes and failure kinds, words
//! written in this program — never from ids, hosts or messages. The names are a promise (README).

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use prometheus_client::{
    encoding::text,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::{Registry, Unit},
};

use super::Status;
use crate::job::{JobType, Receipt, ReceiptOutcome};

/// What came of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimEnd {
    /// The job is ours.
    Ours,
    /// Somebody else was quicker: normal.
    Lost,
    /// No answer, or one that makes no sense.
    Failed,
}

type Labels<const N: usize> = [(&'static str, &'static str); N];
type Counters<const N: usize> = Family<Labels<N>, Counter>;
type Histograms = Family<Labels<1>, Histogram, fn() -> Histogram>;

/// Every metric there is.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    polls: Counter,
    poll_errors: Counters<1>,
    claims: Counters<1>,
    executions: Counters<2>,
    execution_seconds: Histograms,
    failures: Counters<2>,
    pickup_seconds: Histogram,
    log_records: Counter,
    log_bytes: Counter,
    delivery_retries: Counters<1>,
    fenced: Counter,
    heartbeat_errors: Counter,
    journal_entries: Counter,
    journal_writes: Counter,
    journal_write_seconds: Counter<f64, AtomicU64>,
    ready: Gauge,
    slots: Gauge,
    running: Gauge,
    undelivered: Gauge,
    journal_trouble: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All metrics at nought.
    #[must_use]
    pub fn new() -> Self {
        // From 50 ms to two and a half hours.
        let long: fn() -> Histogram = || Histogram::new(exponential_buckets(0.05, 3.0, 12));
        let metrics = Self {
            registry: Registry::with_prefix("build_runner"),
            polls: Counter::default(),
            poll_errors: Family::default(),
            claims: Family::default(),
            executions: Family::default(),
            execution_seconds: Family::new_with_constructor(long),
            failures: Family::default(),
            pickup_seconds: Histogram::new(exponential_buckets(0.001, 3.0, 12)),
            log_records: Counter::default(),
            log_bytes: Counter::default(),
            delivery_retries: Family::default(),
            fenced: Counter::default(),
            heartbeat_errors: Counter::default(),
            journal_entries: Counter::default(),
            journal_writes: Counter::default(),
            journal_write_seconds: Counter::default(),
            ready: Gauge::default(),
            slots: Gauge::default(),
            running: Gauge::default(),
            undelivered: Gauge::default(),
            journal_trouble: Gauge::default(),
        };
        metrics.registered()
    }

    fn registered(mut self) -> Self {
        let r = &mut self.registry;
        r.register("build", "Version of the runner", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        r.register("polls", "Polls that were answered", self.polls.clone());
        r.register("poll_errors", "Polls that failed, by reason", self.poll_errors.clone());
        r.register("claims", "Claims, by what came of them: ours, lost (somebody else was quicker) or failed", self.claims.clone());
        r.register("executions", "Executions that are over, by job type and outcome", self.executions.clone());
        let help = "Time from claim to outcome, by job type";
        r.register_with_unit("execution", help, Unit::Seconds, self.execution_seconds.clone());
        r.register("failures", "Executions that did not succeed, by kind of failure and whose fault it was", self.failures.clone());
        let help = "Time from a job's creation to its first step";
        r.register_with_unit("pickup", help, Unit::Seconds, self.pickup_seconds.clone());
        r.register("log_records", "Log records that the control plane took", self.log_records.clone());
        r.register("log_bytes", "Bytes of log text that the control plane took", self.log_bytes.clone());
        r.register("delivery_retries", "Deliveries that had to be tried again, by what was delivered", self.delivery_retries.clone());
        r.register("fenced", "Executions that the control plane disowned while they ran or were delivered", self.fenced.clone());
        r.register("heartbeat_errors", "Heartbeats that were not taken", self.heartbeat_errors.clone());
        r.register("journal_entries", "Entries made durable in the journal", self.journal_entries.clone());
        r.register("journal_writes", "Writes of the journal, each with one sync", self.journal_writes.clone());
        let help = "Time that writes of the journal took altogether";
        r.register_with_unit("journal_write", help, Unit::Seconds, self.journal_write_seconds.clone());
        r.register("ready", "1 when the runner takes jobs", self.ready.clone());
        r.register("slots", "How many executions may run at once", self.slots.clone());
        r.register("running", "Executions that run now", self.running.clone());
        r.register("undelivered", "Executions that are over and not yet delivered", self.undelivered.clone());
        r.register("journal_trouble", "1 when the journal cannot be written", self.journal_trouble.clone());
        self
    }

    /// A poll was answered, with or without jobs.
    pub fn polled(&self) {
        self.polls.inc();
    }

    /// A poll failed; `reason` is a word such as `unavailable`.
    pub fn poll_failed(&self, reason: &'static str) {
        self.poll_errors.get_or_create(&[("reason", reason)]).inc();
    }

    /// A claim is over.
    pub fn claimed(&self, end: ClaimEnd) {
        let result = match end {
            ClaimEnd::Ours => "ours",
            ClaimEnd::Lost => "lost",
            ClaimEnd::Failed => "failed",
        };
        self.claims.get_or_create(&[("result", result)]).inc();
    }

    /// A job's first step began, this long after the job was created. Clocks of two machines differ: less than nothing counts as nothing.
    pub fn picked_up(&self, waited: jiff::SignedDuration) {
        self.pickup_seconds.observe(waited.as_secs_f64().max(0.0));
    }

    /// An execution is over.
    pub fn executed(&self, receipt: &Receipt) {
        // Whoever may submit jobs must not be able to make up label values.
        let job_type = receipt.job_type.parse().map_or("unknown", JobType::as_str);
        self.executions.get_or_create(&[("type", job_type), ("outcome", outcome(receipt.outcome))]).inc();
        let took = receipt.finished_at.duration_since(receipt.started_at).as_secs_f64();
        self.execution_seconds.get_or_create(&[("type", job_type)]).observe(took.max(0.0));
        if let Some(failure) = &receipt.failure {
            let fault = match failure.fault {
                crate::job::Fault::User => "user",
                crate::job::Fault::Agent => "agent",
                crate::job::Fault::External => "external",
            };
            self.failures.get_or_create(&[("kind", failure.kind.as_str()), ("fault", fault)]).inc();
        }
    }

    /// A batch of log records was taken.
    pub fn logs_sent(&self, records: u64, bytes: u64) {
        self.log_records.inc_by(records);
        self.log_bytes.inc_by(bytes);
    }

    /// A delivery has to be tried again; `what` is a word such as `logs` or `report`.
    pub fn delivery_retried(&self, what: &'static str) {
        self.delivery_retries.get_or_create(&[("what", what)]).inc();
    }

    /// The control plane disowned an execution of ours.
    pub fn disowned(&self) {
        self.fenced.inc();
    }

    /// A heartbeat was not taken.
    pub fn heartbeat_failed(&self) {
        self.heartbeat_errors.inc();
    }

    /// What the journal has made durable since it was opened: the totals, which it counts itself.
    pub fn journal_synced(&self, entries: u64, writes: u64, took: Duration) {
        self.journal_entries.inner().store(entries, Ordering::Relaxed);
        self.journal_writes.inner().store(writes, Ordering::Relaxed);
        self.journal_write_seconds.inner().store(took.as_secs_f64().to_bits(), Ordering::Relaxed);
    }

    /// Everything in the `OpenMetrics` text format, with the gauges of `status`.
    ///
    /// # Errors
    /// Never for metrics of this module; the encoder's signature asks for it.
    pub fn encode(&self, status: &Status) -> Result<String, std::fmt::Error> {
        let now = status.snapshot();
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.ready.set(i64::from(status.not_ready().is_none()));
        self.slots.set(count(now.slots.total));
        self.running.set(count(now.running.len()));
        self.undelivered.set(count(now.undelivered));
        self.journal_trouble.set(i64::from(now.journal_trouble.is_some()));
        let mut out = String::new();
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }
}

const fn outcome(outcome: ReceiptOutcome) -> &'static str {
    match outcome {
        ReceiptOutcome::Succeeded => "succeeded",
        ReceiptOutcome::Failed => "failed",
        ReceiptOutcome::Cancelled => "cancelled",
        ReceiptOutcome::TimedOut => "timed-out",
        ReceiptOutcome::NotAttempted => "not-attempted",
    }
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::*;
    use crate::job::{ExecutionId, Failure, FailureKind, JobId, Outcome};

    #[test]
    fn names_and_labels_are_the_promised_ones() {
        let (metrics, status) = (Metrics::new(), Status::new("run-1", 4));
        let now = Timestamp::now();
        let failed = Outcome::Failed(Box::new(Failure::new(FailureKind::DiskFull, "no room on /secret/path")));
        metrics.executed(&Receipt::new(JobId::generate(), "made-up-type", now, now, failed));
        metrics.claimed(ClaimEnd::Lost);
        metrics.picked_up(SignedDuration::from_millis(-3));
        metrics.journal_synced(7, 2, Duration::from_millis(1500));
        status.begin(&ExecutionId::generate(), &JobId::generate(), "noop");
        let text = metrics.encode(&status).expect("encodes");
        for line in [
            r#"build_runner_executions_total{type="unknown",outcome="failed"} 1"#,
            r#"build_runner_failures_total{kind="DiskFull",fault="agent"} 1"#,
            r#"build_runner_claims_total{result="lost"} 1"#,
            r#"build_runner_pickup_seconds_bucket{le="0.001"} 1"#,
            "build_runner_journal_entries_total 7",
            "build_runner_journal_write_seconds_total 1.5",
            "build_runner_running 1",
            "build_runner_ready 0",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(!text.contains("/secret/path") && !text.contains("made-up"), "{text}");
    }
}
