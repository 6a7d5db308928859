//! `helm-chart-build`: a chart from a git path, an HTTP chart repository or an OCI registry, made into an artifact that
//! `helm pull oci://…` takes.
//!
//! ```text
//!  git path ──► folder (.helmignore, links) ─┐
//!  repository ─► archive (limits, paths) ────┴─► chart ─► dependencies ─► package (tar+gzip) ─► artifact ─► push
//! ```
//!
//! Inputs: a [`crate::plan::HelmBuildPlan`] in its envelope. Outputs: the artifact; `chart`, `dependencies` and `source` beside it.
//! Invariants: rules are helm's own (4.3), stricter only against hostile input; the same input gives the same digest; nothing is written to
//! the source; nothing outside the source is read; exactly one tag is pushed, last.
//!
//! The tag is the plan's `dst_tag`, or else the chart's version with `_` for `+`. `helm pull --version` asks for the latter; an artifact
//! under another tag is pulled by its digest, or by that tag as a reference.
//!
//! Called by the agent, which dispatches on the plan.

mod archive;
mod artifact;
mod budget;
mod chart;
mod decode;
mod dependencies;
mod folder;
mod glob;
mod go_json;
mod ignore;
mod lock;
mod metadata;
mod repository;
mod run;
mod source;
mod validate;

pub use run::{HelmChartBuild, Work};
