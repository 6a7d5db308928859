//! The JSON of the runner API, exactly as the hosted control plane writes it; client and reference control plane share it.
//!
//! Rules of that API: keys in `snake_case`; durations are integer nanoseconds; times are RFC 3339; whatever is zero is absent. Reading
//! is tolerant: unknown keys are ignored, `null` is as good as absent, and an unknown status keeps its text
//! ([`JobStatus::Unknown`]). [`report`] maps this project's vocabulary to the wire's.
//!
//! Pure data, no IO. Called by the client beside it and by `server`.

mod codec;
mod error;
mod execution;
mod heartbeat;
mod job;
mod report;
mod result;
mod settings;
mod status;
#[cfg(test)]
mod tests;

pub use codec::Nanos;
pub use error::ApiError;
pub use execution::{Execution, ExecutionPatch, ExecutionStanding};
pub use heartbeat::{Heartbeat, HeartbeatRequest};
pub use job::{Job, JobPatch};
pub use result::{ExecutionOutputs, ExecutionResult, OutputsRequest, ResultRequest};
pub use settings::RunnerSettings;
pub use status::{ExecutionStatus, JobStatus};

/// Request header of `POST …/executions`: the same key gives the same execution. An addition of ours that other planes ignore.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Request header of `POST …/executions`: who claims, for runners that share a token. An addition of ours that other planes ignore.
pub const RUNNER_ID: &str = "x-runner-id";
/// Request header with the client's name and version, `runner:<version>`.
pub const CLIENT_VERSION: &str = "x-nuon-client-version";
/// Media type of log batches, requests and answers alike.
pub const PROTOBUF: &str = "application/x-protobuf";
/// Value of `group` in a job query that stands for all groups.
pub const ANY_GROUP: &str = "any";
/// Jobs that `GET …/jobs` answers when the query does not say (the API's documentation says 10, the hosted plane gives 60).
pub const DEFAULT_LIMIT: usize = 60;

/// An object of the API: every field may be absent or `null` when read and is left out when zero.
macro_rules! wire_object {
    ($(#[$doc:meta])* $name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
        #[serde(default)]
        pub struct $name {
            $(
                $(#[$attribute])*
                #[serde(
                    deserialize_with = "crate::source::control_plane::wire::codec::or_default",
                    skip_serializing_if = "crate::source::control_plane::wire::codec::is_default"
                )]
                pub $field: $type,
            )+
        }
    };
}
use wire_object;
