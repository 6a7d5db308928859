//! Heartbeats: the runner lives, and since when.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Nanos, codec, wire_object};

/// Body of `POST /v1/runners/{runner}/heart-beats`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HeartbeatRequest {
    /// How long the process lives. Hosted planes refuse a beat without it.
    pub alive_time: Nanos,
    /// The runner's version.
    #[serde(default, deserialize_with = "codec::or_default", skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Which of the hosted runner's processes this is: `build`, `install`, `mng` or empty.
    #[serde(default, deserialize_with = "codec::or_default", skip_serializing_if = "String::is_empty")]
    pub process: String,
}

wire_object! {
    /// A stored heartbeat (`RunnerHeartBeat`).
    Heartbeat {
        /// The beat.
        id: String,
        /// Who sent it.
        created_by_id: String,
        /// When it arrived.
        #[schema(value_type = Option<String>, format = DateTime)]
        created_at: Option<Timestamp>,
        /// When any of this changed last.
        #[schema(value_type = Option<String>, format = DateTime)]
        updated_at: Option<Timestamp>,
        /// The runner.
        runner_id: String,
        /// How long its process lived by then.
        alive_time: Nanos,
        /// Its version.
        version: String,
        /// When its process began.
        #[schema(value_type = Option<String>, format = DateTime)]
        started_at: Option<Timestamp>,
        /// Which process.
        process: String,
    }
}
