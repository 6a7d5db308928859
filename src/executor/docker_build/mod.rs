//! `docker-build`: an image from a Dockerfile, built by the first backend that is there, pushed by us.
//!
//! ```text
//!  git source ─► context, Dockerfile (confined) ─┐
//!  plan: args, labels, secrets, registries ──────┴─► Request ─► backend ─► OCI layout ─► annotations ─► copy ─► destination
//!                                                               BuildKit │ buildah │ Docker engine
//! ```
//!
//! Inputs: a [`crate::plan::DockerBuildPlan`] in its envelope, [`crate::executor::DockerSettings`]. Outputs: the image or index as artifact;
//! `image`, `platforms`, `source`, `backend` and `steps` beside it.
//! Invariants: nothing outside the source is read; a build sees nothing of the runner's environment and no credentials but those the plan names; the
//! same source on the same base images gives the same digest; exactly one tag is pushed, last; whatever a backend leaves outside the
//! workspace is named by the handle.
//!
//! Called by the agent, which dispatches on the plan.

mod backend;
mod buildah;
mod buildkit;
mod choice;
mod dead;
mod dockerfile;
mod engine;
mod flags;
mod image;
mod last_lines;
mod layer;
mod layout;
mod outputs;
mod request;
mod run;
mod runtime;
mod short;
mod source;
mod stages;
#[cfg(test)]
mod tests;
mod trouble;

pub use backend::{Backend, Built, CacheOptions, Handle, Network, RegistryCredential, Request, Steps};
pub use run::{DockerBuild, Work};

/// The date that buildah and the engine give files in layers, unless the source is older still: 1980-01-01, the first that ZIP archives know
/// (nixpkgs dates its sources alike).
const MARK: u64 = 315_532_800;
