//! The black-box tests: the built binary against real registries, real tools and planted faults.
//!
//! One binary for all of them, so that one link serves all. A module per subject; what they share is in `tests/support`.
//! Everything is on loopback, on ports the kernel gave out, in temporary folders; every process is ended by its pid.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test that cannot go on has to panic, tests start real tools as children of their own, and long ones print what they counted"
)]

#[macro_use]
#[path = "../support/mod.rs"]
mod support;

mod cli;
mod docker_build_faults;
mod docker_buildah;
mod docker_buildkit;
mod docker_buildkit_sbom;
mod docker_engine;
mod docker_rootless;
mod doctor;
mod git_local;
mod git_remote;
mod harness;
mod helm;
mod image;
mod image_build;
mod image_keyless;
mod image_verify;
mod journal;
mod journeys;
mod manifests;
mod oci_copy;
mod oci_copy_faults;
mod oci_faults;
mod oci_registry;
mod plane_artifacts;
mod plane_cli;
mod plane_fault_kills;
mod plane_faults;
mod plane_journeys;
mod plane_kills;
mod plane_secrets;
mod plane_store;
mod plans;
mod plans_run;
mod process;
mod provenance;
mod redaction;
mod secrets;
mod secrets_builds;
mod signals;
mod terraform;
