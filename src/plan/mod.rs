//! Typed plans: one per job type, decoded, checked, described.
//!
//! In: a [`crate::job::JobType`] and the plan's tree or JSON. Out: a [`Plan`], warnings and the secrets met on the way, or every mistake that was found.
//! Invariants: pure, no IO; never panics; a secret is never in a message or in `Debug`; what decodes has passed every check that needs
//! nothing but the plan itself. Wire names are the hosted control plane's, some of them Go field names; each also reads in `snake_case`.
//!
//! Called by `source` (job files, polled jobs), by the agent (to dispatch) and by the executors (their own plan).

mod builds;
mod decode;
mod definition;
mod docker;
mod duration;
mod envelope;
mod flatpak;
mod local;
mod macros;
mod pipeline;
mod problem;
mod quantity;
mod reader;
mod registry;
mod schema;
mod secret;
mod shipwright;
mod sync;
mod syntax;
#[cfg(test)]
mod tests;
mod text;
mod timeouts;
mod values;

pub use builds::{
    Authority, ContainerImagePullPlan, HelmBuildPlan, HelmRepoConfig, Keyless, KeylessIdentity, KubernetesManifestBuildPlan,
    KustomizeConfig, LoadRestrictor, ManifestSource, OciArtifactSource, RemoteBases, TerraformBuildPlan, TerraformValues, Verification,
};
pub use decode::{Decoded, Plan};
pub use definition::{
    MergeRequestAction, MergeRequestTrigger, PipelineArtifact, PipelineDefinition, PipelineFile, PipelineStep, PushTrigger,
    ScheduleTrigger, Triggers, When, WhenStatus,
};
pub use docker::{BuildCache, BuildNetwork, DockerBuildPlan};
pub use duration::{Age, DurationError, GoDuration};
pub use envelope::{Build, GitSource, SandboxMode};
pub use flatpak::{FlatpakBuildPlan, FlatpakRemote, FlatpakSign, FlatpakSource, FlatpakUploadPlan, OnFailure};
pub use local::LocalFolder;
pub(crate) use local::used_by;
pub use pipeline::{PipelineBackend, PipelinePlan, PipelineRef, PipelineWorkspace, Project, Retries, StepDefaults, Storage, TriggerKind};
pub use problem::{Defect, Problem, Problems};
pub use quantity::{Quantity, QuantityError};
pub use reader::{FromHere, SecretLoader, Strictness};
pub use registry::{
    AcrAppRegistration, AwsAssumeRole, AwsAuth, AwsStatic, AwsTwoStep, AzureAuth, AzurePrincipal, OciAuth, Registry, RegistryType,
};
pub use schema::schema;
pub use secret::{Secret, SecretRef};
pub use shipwright::{
    EnvVar, Keep, KeyRef, OnCancel, Owner, ParamValue, Resources, Retention, ShipwrightBuild, ShipwrightBuildPlan, ShipwrightOutput,
    StepResources,
};
pub use sync::{ClusterInfo, DeletePolicy, DeployPlan, KubernetesManifestDeploy, NoopPlan, SyncPlan, Unsupported, VerifyPolicy};
pub use syntax::SyntaxError;
pub use text::Text;
pub use timeouts::Timeouts;

pub(crate) use macros::one_of;
pub(crate) use reader::Reader;
pub(crate) use syntax::{ImageName, shown, without_userinfo};
pub(crate) use values::{Decode, Fields};
