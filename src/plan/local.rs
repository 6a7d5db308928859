//! Folders of this machine that a plan names: who takes a plan from elsewhere has to know them.
//!
//! In: a [`Plan`]. Out: every place in it that is a folder, with the key it stands under. Noops are left out: they read and write nothing.
//! Called by the control plane (a relative folder means nothing to whoever runs the job).

use std::path::Path;

use super::{FlatpakBuildPlan, GitSource, Plan, Registry, RegistryType};

/// A folder of this machine in a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalFolder<'p> {
    /// The key, from the root of the job, as the documentation spells it.
    pub key: &'static str,
    /// The folder, without `file://`.
    pub folder: &'p Path,
}

impl Plan {
    /// Every folder of this machine that carrying out the plan reads or writes.
    #[must_use]
    pub fn local_folders(&self) -> Vec<LocalFolder<'_>> {
        let mut found = Vec::new();
        if matches!(self, Self::NoopBuild(_) | Self::NoopSync(_) | Self::Noop(_) | Self::HealthCheck(_)) {
            return found;
        }
        found.extend(self.git_source().filter(|source| source.is_local()).map(|source| of_git(source)));
        found.extend(self.destination().and_then(|(registry, _)| of_layout("plan.dst_registry.Repository", registry)));
        match self {
            Self::OciSync(sync) => found.extend(of_layout("plan.src_registry.Repository", &sync.src_registry)),
            Self::KubernetesManifestDeploy(deploy) => {
                found.extend(deploy.src_registry.as_ref().and_then(|registry| of_layout("plan.src_registry.Repository", registry)));
            }
            Self::ContainerImageBuild(build) => {
                let registry = build.plan.repo_config.as_ref();
                found.extend(registry.and_then(|registry| of_layout("plan.container_image_pull_plan.repo_config.Repository", registry)));
            }
            Self::FlatpakBuild(build) => found.extend(of_remotes(&build.plan)),
            Self::FlatpakUpload(build) => {
                let source = build.plan.source.as_ref();
                found.extend(source.and_then(|source| of_place("plan.flatpak_upload_plan.source.ostree_repo", &source.ostree_repo)));
            }
            Self::PipelineRun(build) => {
                let storage = build.plan.storage.as_ref().and_then(|storage| storage.url.strip_prefix("file://"));
                found.extend(storage.map(|folder| LocalFolder { key: "plan.pipeline_plan.storage.url", folder: Path::new(folder) }));
            }
            _ => {}
        }
        found
    }
}

fn of_git(source: &GitSource) -> LocalFolder<'_> {
    let folder = source.url.strip_prefix("file://").unwrap_or(&source.url);
    LocalFolder { key: "plan.git_source.url", folder: Path::new(folder) }
}

fn of_layout<'p>(key: &'static str, registry: &'p Registry) -> Option<LocalFolder<'p>> {
    (registry.registry_type == RegistryType::OciLayout).then(|| LocalFolder { key, folder: Path::new(&registry.repository) })
}

fn of_place<'p>(key: &'static str, place: &'p str) -> Option<LocalFolder<'p>> {
    match place.split_once("://") {
        None => Some(LocalFolder { key, folder: Path::new(place) }),
        Some(("file", folder)) => Some(LocalFolder { key, folder: Path::new(folder) }),
        Some(_) => None,
    }
}

fn of_remotes(plan: &FlatpakBuildPlan) -> impl Iterator<Item = LocalFolder<'_>> {
    plan.remotes.iter().filter_map(|remote| of_place("plan.flatpak_build_plan.remotes.url", &remote.url))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{job::JobType, plan::Strictness};
    use serde_json::json;

    #[test]
    fn folders_are_found_wherever_they_are() {
        let layout = |folder: &str| json!({"RegistryType": "oci_layout", "Repository": folder});
        let sync = json!({"src_registry": layout("in"), "src_tag": "1", "dst_registry": layout("/out"), "dst_tag": "1"});
        let decoded = Plan::decode(JobType::OciSync, &sync, Strictness::JobFile).expect("good");
        let found: Vec<_> = decoded.plan.local_folders().iter().map(|local| (local.key, local.folder.to_owned())).collect();
        assert_eq!(found, [("plan.dst_registry.Repository", "/out".into()), ("plan.src_registry.Repository", "in".into())]);
        let chart = json!({"git_source": {"url": "file:///srv/charts"}, "helm_build_plan": {}});
        let decoded = Plan::decode(JobType::HelmChartBuild, &chart, Strictness::JobFile).expect("good");
        assert_eq!(decoded.plan.local_folders(), [LocalFolder { key: "plan.git_source.url", folder: Path::new("/srv/charts") }]);
        let remote = json!({"git_source": {"url": "https://example.com/charts"}, "helm_build_plan": {}});
        let decoded = Plan::decode(JobType::HelmChartBuild, &remote, Strictness::JobFile).expect("good");
        assert!(decoded.plan.local_folders().is_empty());
    }
}
