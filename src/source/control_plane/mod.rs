//! The runner API: wire types and the client. The only place that knows its paths, keys and enumerations.
//!
//! [`wire`] holds the JSON of every endpoint and [`otlp`] the log batches, for both sides: the client here and the reference control plane.

mod answer;
mod claim;
mod client;
mod log_batch;
pub mod otlp;
mod plan;
mod poll;
mod probe;
mod report;
mod standings;
#[cfg(test)]
mod tests;
mod token;
mod transport;
pub mod wire;

pub use client::{Client, ClientError, ClientOptions};
pub use token::{TokenError, TokenSource};
