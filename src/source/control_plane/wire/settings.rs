//! `RunnerGroupSettings`: what `GET /v1/runners/{runner}/settings` answers, as far as a build runner cares.

use std::collections::BTreeMap;

use super::{Nanos, wire_object};

wire_object! {
    /// How a runner should behave (`RunnerGroupSettings`). Only what means something to a runner of this kind; the rest is ignored.
    RunnerSettings {
        /// The settings.
        id: String,
        /// The organisation they belong to.
        org_id: String,
        /// The group of runners they are for.
        runner_group_id: String,
        /// Where the API is to be found.
        runner_api_url: String,
        /// Time between two heartbeats.
        heart_beat_timeout: Nanos,
        /// Whether job logs are wanted; absent means that the plane does not say.
        enable_logging: Option<bool>,
        /// Whether metrics are wanted.
        enable_metrics: Option<bool>,
        /// `INFO`, `DEBUG` …
        logging_level: String,
        /// Whether jobs are only pretended.
        sandbox_mode: bool,
        /// Groups of jobs that the runner gets; hosted planes write names here that no job has.
        groups: Vec<String>,
        /// Attributes for log records: `org.id`, `runner_group.id` …
        metadata: BTreeMap<String, String>,
        /// Where the runner runs.
        platform: String,
    }
}
