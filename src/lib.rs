//! build-runner: a standalone, pull-based job executor.
//!
//! ```text
//!  source ── claim ─► agent ── plan::decode ─► workspace ─► executor ── outputs (digests) ─► report
//!    ▲                 │ journal (intent before effect)        │ process / oci / cluster        │
//!    └── lease, cancel ┘          logs: lines ► redact ► spool ► sink ────────────────────────────┘
//! ```
//!
//! Who may import whom: `job, versions, plan, digest, parallel, retry, shutdown, yaml` ← `logs, journal, telemetry` ← `source` ← `process` ← `workspace, oci` ← `provenance` ←
//! `executor` ← `agent`; `source` and `server` know `job`, `plan` and `logs`, and the server `source`'s wire types; executors know neither. Only
//! `cli` wires them together. `tests/house.rs` holds the code to it.

pub mod agent;
pub mod cli;
pub mod config;
pub mod digest;
pub mod executor;
pub mod job;
pub mod journal;
pub mod logs;
pub mod oci;
mod parallel;
pub mod plan;
pub mod process;
pub mod provenance;
pub mod retry;
pub mod server;
pub mod shutdown;
pub mod source;
pub mod telemetry;
mod versions;
pub mod workspace;
pub mod yaml;
