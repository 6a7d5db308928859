//! `kubernetes-manifest-build`: manifests from a plan's text, a kustomization or an artifact, made into one artifact that Flux and Argo CD
//! both take.
//!
//! ```text
//!  inline_manifest ───────────────────────────┐
//!  git ─► kustomization (checked) ─► kustomize ┼─► manifests (parsed, unpacked) ─► manifest.yaml ─► tar+gzip ─► push
//!  oci:// ─► layers ─► YAML files ────────────┘
//! ```
//!
//! Inputs: a [`crate::plan::KubernetesManifestBuildPlan`] in its envelope; for kustomizations the `kustomize` or `kubectl` command.
//! Outputs: the artifact; `resources`, `kinds`, `image` and `source` beside it.
//! Invariants: every object has `apiVersion`, `kind` and a name, none twice; the tool's bytes are passed on wherever they can be; the same
//! input gives the same digest; nothing outside of the source is read and nothing is fetched that the plan and the runner's owner do not
//! both let in; exactly one tag is pushed, last.
//!
//! Called by the agent, which dispatches on the plan.

mod artifact;
mod kustomize;
pub mod manifests;
mod publish;
mod run;

pub use kustomize::RemoteBases;
pub use run::{KubernetesManifestBuild, Work};
