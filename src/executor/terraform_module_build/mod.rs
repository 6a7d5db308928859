//! `terraform-module-build`: a folder of a git source, made into an artifact that OpenTofu installs from `oci://` and Flux and Argo CD read.
//!
//! ```text
//!  folder ─► tree (links, .terraformignore) ─► package (secrets, modules called by ../) ─┬─► tar ─┬─► artifact ─► push
//!                                                 └ config (HCL, JSON) ◄── calls         └─► zip ─┘
//! ```
//!
//! Inputs: a [`crate::plan::TerraformBuildPlan`] in its envelope. Outputs: the artifact; `image`, `module`, `modules`, `files` and `source`
//! beside it. Invariants: the module is at the package's root, whatever it calls by `../` is in the package and resolves; files are byte for
//! byte those of the source but for the `source` of such calls; the same source gives the same digest; nothing outside the source is read;
//! exactly one tag is pushed, last.
//!
//! Called by the agent, which dispatches on the plan.

mod about;
mod archive;
mod artifact;
mod calls;
mod config;
mod hcl;
mod ignore;
mod inspect;
mod json;
mod order;
mod package;
mod path;
mod run;
mod secrets;
mod tree;

pub use run::{TerraformModuleBuild, Work};
