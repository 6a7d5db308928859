//! Where artifacts come from, in a form that others can check: SLSA provenance, signed by the runner, beside the artifact.
//!
//! Executors fill in a [`Record`] of what they made out of what. Inputs: that record and the artifacts that were pushed.
//! Invariants: nothing in a record is secret; digests are those of what was really read.
//!
//! Called by the agent when an executor is done.

pub mod bundle;
mod bytes;
pub mod cosign;
pub mod dsse;
mod key;
mod key_file;
pub mod pem;
mod record;

pub use key::{KeyKind, KeyProblem, PublicKey, SigningKey};
pub use key_file::{KeyFileError, KeySource, Loaded, read_public};
pub use record::{Material, Record, Sbom};
