//! `container-image-build`: somebody else's image, copied under the build's tag, all platforms and everything about it included.
//!
//! ```text
//!  image, repo_config ─► repository ─┐
//!  tag · digest · update_policy ─────┴─► digest ─► signatures ─► copy by digest ─► dst_tag
//! ```
//!
//! Inputs: a [`crate::plan::ContainerImagePullPlan`] in its envelope. Outputs: the artifact; `image` (the hosted control plane's keys),
//! `source`, `referrers` and `blobs` beside it.
//! Invariants: the digest is found out once, first, and everything after goes by it, so a tag that moves meanwhile changes nothing and what
//! was verified is what is copied; nothing is copied that fails the verification; the tag is written even when nothing changed.
//!
//! Called by the agent, which dispatches on the plan.

mod authorities;
mod report;
mod resolve;
mod run;
mod wanted;

pub use run::{ContainerImageBuild, Work};
