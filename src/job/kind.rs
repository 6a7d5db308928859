//! The closed set of job types, their groups and operations, by their wire names.

use std::time::Duration;

use super::words::wire_enum;

wire_enum! {
    /// What a job asks for. Closed: a type that is not here is refused by name, never ignored.
    JobType {
        /// Image from a git context.
        DockerBuild = "docker-build",
        /// Copy of an external image, pinned by digest.
        ContainerImageBuild = "container-image-build",
        /// Helm chart from git or a chart repository.
        HelmChartBuild = "helm-chart-build",
        /// Terraform or OpenTofu module package.
        TerraformModuleBuild = "terraform-module-build",
        /// Kubernetes manifests, rendered and packed.
        KubernetesManifestBuild = "kubernetes-manifest-build",
        /// Registry to registry copy, digests kept.
        OciSync = "oci-sync",
        /// Apply a manifest artifact to a cluster.
        KubernetesManifestDeploy = "kubernetes-manifest-deploy",
        /// Shipwright BuildRun.
        ShipwrightBuild = "shipwright-build",
        /// `.platform.yaml` steps as pods.
        PipelineRun = "pipeline-run",
        /// flatpak-builder from git.
        FlatpakBuild = "flatpak-build",
        /// OSTree repository to a flat-manager server.
        FlatpakUpload = "flatpak-upload",
        /// Proves the build path.
        NoopBuild = "noop-build",
        /// Proves the sync path.
        NoopSync = "noop-sync",
        /// Proves the operations path.
        Noop = "noop",
        /// Proves that the runner works.
        HealthCheck = "health-check",
    }
}

wire_enum! {
    /// Groups by which a control plane hands out jobs and a runner limits them.
    JobGroup {
        /// Artifact builds.
        Build = "build",
        /// Registry synchronisation.
        Sync = "sync",
        /// Deployments.
        Deploy = "deploy",
        /// Runner operations.
        Operations = "operations",
        /// Health checks.
        HealthChecks = "health-checks",
    }
}

wire_enum! {
    /// What to do with the plan, for types that can do several things (`RunnerJobOperationType` of the runner API).
    Operation {
        /// Sync and default.
        Exec = "exec",
        /// Build an artifact.
        Build = "build",
        /// Work out what an apply would change.
        CreateApplyPlan = "create-apply-plan",
        /// Work out what a teardown would remove.
        CreateTeardownPlan = "create-teardown-plan",
        /// Carry out a plan made before.
        ApplyPlan = "apply-plan",
        /// Plan and apply in one go.
        Apply = "apply",
        /// Plan and tear down in one go.
        Teardown = "teardown",
    }
}

impl JobType {
    /// The group the hosted control plane files this type under.
    #[must_use]
    pub const fn group(self) -> JobGroup {
        match self {
            Self::DockerBuild
            | Self::ContainerImageBuild
            | Self::HelmChartBuild
            | Self::TerraformModuleBuild
            | Self::KubernetesManifestBuild
            | Self::ShipwrightBuild
            | Self::PipelineRun
            | Self::FlatpakBuild
            | Self::FlatpakUpload
            | Self::NoopBuild => JobGroup::Build,
            Self::OciSync | Self::NoopSync => JobGroup::Sync,
            Self::KubernetesManifestDeploy => JobGroup::Deploy,
            Self::Noop => JobGroup::Operations,
            Self::HealthCheck => JobGroup::HealthChecks,
        }
    }

    /// Whether there is anything to say about a job beside its type; a control plane keeps no plan for those where there is not.
    #[must_use]
    pub const fn needs_plan(self) -> bool {
        !matches!(self, Self::NoopBuild | Self::NoopSync | Self::Noop | Self::HealthCheck)
    }

    /// How long one execution may take when neither job nor configuration says (the hosted control plane's limits).
    #[must_use]
    pub const fn default_timeout(self) -> Duration {
        let minutes = match self {
            Self::DockerBuild | Self::ShipwrightBuild | Self::PipelineRun | Self::FlatpakBuild | Self::FlatpakUpload => 60,
            Self::ContainerImageBuild | Self::OciSync | Self::TerraformModuleBuild | Self::KubernetesManifestDeploy => 15,
            Self::HelmChartBuild | Self::KubernetesManifestBuild | Self::NoopBuild | Self::NoopSync | Self::Noop | Self::HealthCheck => 5,
        };
        Duration::from_secs(minutes * 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_reads_back_from_its_wire_name() {
        for &kind in JobType::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        assert_eq!("helm".parse::<JobType>(), Err("helm".to_owned()));
    }
}
