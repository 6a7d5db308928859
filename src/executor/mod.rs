//! Executors: one folder per job type, none of which imports another.

mod contract;
//pub mod oci_sync;

pub use contract::{Context, Executor, Readiness};
