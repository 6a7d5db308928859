//! Executors: one folder per job type, none of which imports another.

pub mod container_image_build;
mod contract;
pub mod docker_build;
pub mod helm_chart_build;
pub mod kubernetes_manifest_build;
pub mod noop;
pub mod oci_sync;
#[cfg(test)]
pub(crate) mod scripted;
mod settings;
pub(crate) mod shared;
pub mod terraform_module_build;

pub use contract::{Context, Executor, Made, NoHandle, Readiness};
pub use settings::{DockerBackend, DockerSettings, Settings};
pub use shared::tool::{Tool, Unusable};
