//! Executors: one folder per job type, none of which imports another.

mod contract;
pub mod noop;

pub use contract::{Context, Executor, Readiness};
