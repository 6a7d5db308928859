//! Where artifacts come from, in a form that others can check: SLSA provenance, signed by the runner, beside the artifact.
//!
//! ```text
//!  executor ─► Record ─► statement (in-toto, SLSA v1) ─► DSSE ─► Sigstore bundle ─► OCI referrer of the artifact
//!                                                     key file ─┘                        │
//!                                     cosign, `build-runner verify` ◄────────────────────┘
//! ```
//!
//! Executors fill in a [`Record`] of what they made out of what. Inputs: that record, the artifacts that were pushed, a key. Outputs: referrers.
//! Invariants: nothing in a record is secret; digests are those of what was really read; a statement is believed only once its signature is good.
//!
//! Called by the agent when an executor is done, and by `build-runner verify` and `keys`.

mod attach;
pub mod bundle;
mod bytes;
pub mod cosign;
pub mod dsse;
mod find;
mod key;
mod key_file;
pub mod pem;
mod record;
mod statement;
mod verify;

pub use attach::{attest, check_key};
pub use key::{KeyKind, KeyProblem, PublicKey, SigningKey};
pub use key_file::{KeyFileError, KeySource, Loaded, read_public};
pub use record::{Material, Record, Sbom};
pub use statement::{Occasion, SLSA_PROVENANCE, Statement, StatementError};
pub use verify::{Rejected, Verdict, verify};
