//! The runner API: wire types and the client. The only place that knows its paths, keys and enumerations.
//!
//! [`wire`] holds the JSON of every endpoint and [`otlp`] the log batches, for both sides: the client here and the reference control plane.

pub mod otlp;
pub mod wire;
