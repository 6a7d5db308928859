//! The closed set of plans and how one is decoded.

use schemars::SchemaGenerator;
use secrecy::SecretString;
use serde_json::Value;

use crate::{
    job::{JobGroup, JobType, Operation},
    yaml::Node,
};

use super::{
    Build, ContainerImagePullPlan, Defect, DeployPlan, DockerBuildPlan, FlatpakBuildPlan, FlatpakUploadPlan, GitSource, HelmBuildPlan,
    KubernetesManifestBuildPlan, LocalFolder, NoopPlan, PipelinePlan, Problem, Problems, Registry, SandboxMode, ShipwrightBuildPlan,
    Strictness, SyncPlan, TerraformBuildPlan, local, reader::Reader, values::Decode,
};

macro_rules! plans {
    ($($variant:ident($type:ty),)+) => {
        /// What a job does, in full; one variant per [`JobType`].
        #[derive(Debug, Clone, PartialEq)]
        pub enum Plan {
            $(#[doc = concat!("Plan of [`JobType::", stringify!($variant), "`].")] $variant(Box<$type>),)+
        }

        impl Plan {
            /// The type of job it is the plan of.
            #[must_use]
            pub const fn job_type(&self) -> JobType {
                match self { $(Self::$variant(_) => JobType::$variant,)+ }
            }

            /// Reads the plan of a job of that type. `None` when a mistake was recorded.
            pub(crate) fn read(job_type: JobType, node: &Node, r: &mut Reader<'_>) -> Option<Self> {
                match job_type { $(JobType::$variant => Decode::decode(node, r).map(Self::$variant),)+ }
            }

            /// JSON Schema of the plan of a job of that type.
            pub(crate) fn subschema(job_type: JobType, generator: &mut SchemaGenerator) -> Value {
                match job_type { $(JobType::$variant => generator.subschema_for::<$type>().to_value(),)+ }
            }
        }
    };
}

plans! {
    DockerBuild(Build<DockerBuildPlan>),
    ContainerImageBuild(Build<ContainerImagePullPlan>),
    HelmChartBuild(Build<HelmBuildPlan>),
    TerraformModuleBuild(Build<TerraformBuildPlan>),
    KubernetesManifestBuild(Build<KubernetesManifestBuildPlan>),
    OciSync(SyncPlan),
    KubernetesManifestDeploy(DeployPlan),
    ShipwrightBuild(Build<ShipwrightBuildPlan>),
    PipelineRun(Build<PipelinePlan>),
    FlatpakBuild(Build<FlatpakBuildPlan>),
    FlatpakUpload(Build<FlatpakUploadPlan>),
    NoopBuild(NoopPlan),
    NoopSync(NoopPlan),
    Noop(NoopPlan),
    HealthCheck(NoopPlan),
}

/// A plan and what was noticed while it was read.
#[derive(Debug)]
pub struct Decoded {
    /// The plan.
    pub plan: Plan,
    /// Keys nobody reads, in a polled plan.
    pub warnings: Vec<Problem>,
    /// Every secret in the plan, for the redaction of logs.
    pub secrets: Vec<SecretString>,
    /// Every folder of this machine that carrying out the plan reads or writes.
    pub folders: Vec<LocalFolder>,
}

/// Places in a plan that are the same for several types.
macro_rules! envelope {
    ($self:expr, $build:ident => $of_build:expr, $sync:ident => $of_sync:expr, $noop:ident => $of_noop:expr, _ => $other:expr) => {
        match $self {
            Plan::DockerBuild($build) => $of_build,
            Plan::ContainerImageBuild($build) => $of_build,
            Plan::HelmChartBuild($build) => $of_build,
            Plan::TerraformModuleBuild($build) => $of_build,
            Plan::KubernetesManifestBuild($build) => $of_build,
            Plan::ShipwrightBuild($build) => $of_build,
            Plan::PipelineRun($build) => $of_build,
            Plan::FlatpakBuild($build) => $of_build,
            Plan::FlatpakUpload($build) => $of_build,
            Plan::OciSync($sync) => $of_sync,
            Plan::NoopBuild($noop) | Plan::NoopSync($noop) | Plan::Noop($noop) | Plan::HealthCheck($noop) => $of_noop,
            Plan::KubernetesManifestDeploy(_) => $other,
        }
    };
}

impl Plan {
    /// Decodes and checks a plan as it comes over the wire. Every mistake is reported, not only the first.
    pub fn decode(job_type: JobType, value: &Value, strictness: Strictness) -> Result<Decoded, Problems> {
        let node = Node::from(value.clone());
        let mut reader = Reader::new(strictness, None);
        let plan = reader.within("plan", |r| Self::read(job_type, &node, r));
        match plan {
            Some(plan) if reader.problems.is_empty() => {
                let folders = local::used_by(&plan, reader.folders);
                Ok(Decoded { plan, warnings: reader.warnings, secrets: reader.secrets, folders })
            }
            _ => Err(Problems(reader.problems)),
        }
    }

    /// Where the source comes from, if there is one.
    #[must_use]
    pub fn git_source(&self) -> Option<&GitSource> {
        envelope!(self, build => build.git_source.as_ref(), _sync => None, noop => noop.git_source.as_ref(), _ => None)
    }

    /// Where the artifact goes, if the plan says.
    #[must_use]
    pub fn destination(&self) -> Option<(&Registry, Option<&str>)> {
        let (registry, tag) = envelope!(
            self,
            build => (&build.dst_registry, &build.dst_tag),
            sync => (&sync.dst_registry, &sync.dst_tag),
            noop => (&noop.dst_registry, &noop.dst_tag),
            _ => return None
        );
        registry.as_ref().map(|registry| (registry, tag.as_deref()))
    }

    /// Sends the artifact elsewhere; the tag stays when `tag` is none. Returns whether plans of the type have a destination.
    pub fn set_destination(&mut self, registry: Registry, tag: Option<String>) -> bool {
        let (dst_registry, dst_tag) = envelope!(
            self,
            build => (&mut build.dst_registry, &mut build.dst_tag),
            sync => (&mut sync.dst_registry, &mut sync.dst_tag),
            noop => (&mut noop.dst_registry, &mut noop.dst_tag),
            _ => return false
        );
        *dst_registry = Some(registry);
        if tag.is_some() {
            *dst_tag = tag;
        }
        true
    }

    /// The mistakes of a plan that does not say where its artifact goes, or under which tag if none can be made up; to be asked once overrides are in.
    pub fn check_destination(&self) -> Result<(), Problems> {
        let needs_tag = match self {
            Self::DockerBuild(_) | Self::ContainerImageBuild(_) | Self::TerraformModuleBuild(_) | Self::KubernetesManifestBuild(_) => true,
            // A chart has a version, and a copy the tag of its source.
            Self::HelmChartBuild(_) | Self::OciSync(_) => false,
            // Shipwright, pipelines and flat-manager have destinations of their own; the others make nothing.
            Self::ShipwrightBuild(_)
            | Self::PipelineRun(_)
            | Self::FlatpakBuild(_)
            | Self::FlatpakUpload(_)
            | Self::KubernetesManifestDeploy(_)
            | Self::NoopBuild(_)
            | Self::NoopSync(_)
            | Self::Noop(_)
            | Self::HealthCheck(_) => return Ok(()),
        };
        let missing = |path: &str, expected| {
            Err(Problems(vec![Problem { path: format!("plan.{path}"), at: None, defect: Defect::Missing { expected } }]))
        };
        match self.destination() {
            None => missing("dst_registry", "an object with RegistryType and Repository, or pass --destination"),
            Some((_, None | Some(""))) if needs_tag => missing("dst_tag", "the tag to push, or pass --destination with a tag"),
            Some(_) => Ok(()),
        }
    }

    /// What a runner in sandbox mode pretends.
    #[must_use]
    pub fn sandbox_mode(&self) -> Option<&SandboxMode> {
        match self {
            Self::KubernetesManifestDeploy(deploy) => deploy.sandbox_mode.as_ref(),
            _ => {
                envelope!(self, build => build.sandbox_mode.as_ref(), sync => sync.sandbox_mode.as_ref(), noop => noop.sandbox_mode.as_ref(), _ => None)
            }
        }
    }

    /// Operations that make sense for a job of that type, its default first.
    #[must_use]
    pub const fn operations(job_type: JobType) -> &'static [Operation] {
        match job_type.group() {
            JobGroup::Build => &[Operation::Build, Operation::Exec],
            JobGroup::Sync | JobGroup::Operations | JobGroup::HealthChecks => &[Operation::Exec],
            JobGroup::Deploy => {
                &[Operation::Apply, Operation::Teardown, Operation::CreateApplyPlan, Operation::CreateTeardownPlan, Operation::ApplyPlan]
            }
        }
    }

    /// Whether a job file of that type may do without a plan.
    pub(crate) const fn may_be_absent(job_type: JobType) -> bool {
        matches!(job_type, JobType::NoopBuild | JobType::NoopSync | JobType::Noop | JobType::HealthCheck)
    }
}
