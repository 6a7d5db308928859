//! What the control plane counts about itself, in the text format of Prometheus.
//!
//! Labels are route templates, status codes and the store's own words: bounded, and never an id or a text from outside.

use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::store::{Clock, Counts, JobStatus};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: String,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabel {
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClockLabel {
    clock: &'static str,
}

/// All of them.
pub(crate) struct Metrics {
    registry: Mutex<Registry>,
    requests: Family<RequestLabels, Counter>,
    jobs: Family<StatusLabel, Gauge>,
    runners: Gauge,
    parked: Gauge,
    connections: Gauge,
    database: Gauge,
    oldest: Gauge,
    claims: Histogram,
    expired: Family<ClockLabel, Counter>,
    log_records: Counter,
}

impl Metrics {
    /// All at zero.
    pub(crate) fn new() -> Self {
        let metrics = Self {
            registry: Mutex::new(Registry::with_prefix("build_runner_plane")),
            requests: Family::default(),
            jobs: Family::default(),
            runners: Gauge::default(),
            parked: Gauge::default(),
            connections: Gauge::default(),
            database: Gauge::default(),
            oldest: Gauge::default(),
            // From a millisecond to ten minutes: an idle runner claims in milliseconds, a busy fleet in minutes.
            claims: Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 600.0]),
            expired: Family::default(),
            log_records: Counter::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&self) {
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        registry.register("requests", "Requests answered, by route and status", self.requests.clone());
        registry.register("jobs", "Jobs, by status", self.jobs.clone());
        registry.register("runners", "Runners that have registered", self.runners.clone());
        registry.register("parked_polls", "Long polls that wait for a job", self.parked.clone());
        registry.register("connections", "Open connections", self.connections.clone());
        registry.register_with_unit("database", "Size of the database", Unit::Bytes, self.database.clone());
        registry.register_with_unit("oldest_available", "How long the oldest unclaimed job has waited", Unit::Seconds, self.oldest.clone());
        registry.register_with_unit("claim_latency", "From submission to the first claim", Unit::Seconds, self.claims.clone());
        registry.register("expired", "Leases and limits of time that ran out, by clock", self.expired.clone());
        registry.register("log_records", "Log records taken in", self.log_records.clone());
    }

    /// A request was answered.
    pub(crate) fn request(&self, method: &str, route: &str, status: u16) {
        self.requests.get_or_create(&RequestLabels { method: method.to_owned(), route: route.to_owned(), status }).inc();
    }

    /// A connection was opened or closed.
    pub(crate) fn connections(&self, change: i64) {
        self.connections.inc_by(change);
    }

    /// A job was claimed for the first time.
    pub(crate) fn claimed(&self, submitted: Timestamp, now: Timestamp) {
        self.claims.observe(now.duration_since(submitted).as_secs_f64().max(0.0));
    }

    /// Something ran out of time.
    pub(crate) fn expired(&self, clock: Clock) {
        self.expired.get_or_create(&ClockLabel { clock: clock.as_str() }).inc();
    }

    /// Log records came in.
    pub(crate) fn log_records(&self, count: usize) {
        self.log_records.inc_by(u64::try_from(count).unwrap_or(0));
    }

    /// The text of it all.
    pub(crate) fn render(&self, counts: &Counts, parked: usize, now: Timestamp) -> String {
        let clamp = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        for &status in JobStatus::ALL {
            let count = counts.jobs.get(&status).copied().unwrap_or(0);
            self.jobs.get_or_create(&StatusLabel { status: status.as_str() }).set(clamp(count));
        }
        self.runners.set(clamp(counts.runners));
        self.database.set(clamp(counts.bytes));
        self.parked.set(i64::try_from(parked).unwrap_or(i64::MAX));
        self.oldest.set(counts.oldest_available.map_or(0, |since| now.duration_since(since).as_secs().max(0)));
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry.lock().unwrap_or_else(PoisonError::into_inner));
        text
    }
}
