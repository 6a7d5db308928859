//! Folders of this machine that a plan names: who takes a plan from elsewhere has to know them.
//!
//! In: what the reader noted wherever a field holds such a folder. Out: every one, with the key it stands under. Noops are left out: they
//! read and write nothing. Called by the decoder, for the control plane (a relative folder means nothing to whoever runs the job) and for
//! the agent (which lets a job name only those below its local roots).

use std::path::PathBuf;

use super::Plan;

/// A folder of this machine in a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalFolder {
    /// The key, from the root of the job, as it is written there.
    pub key: String,
    /// The folder, without `file://`.
    pub folder: PathBuf,
}

/// Of the folders that were noted while `plan` was read, those that carrying it out reads or writes.
pub(crate) fn used_by(plan: &Plan, noted: Vec<LocalFolder>) -> Vec<LocalFolder> {
    if plan.job_type().needs_plan() { noted } else { Vec::new() }
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
        let mut found: Vec<_> = decoded.folders.iter().map(|local| (local.key.as_str(), local.folder.to_str().expect("text"))).collect();
        found.sort_unstable();
        assert_eq!(found, [("plan.dst_registry.Repository", "/out"), ("plan.src_registry.Repository", "in")]);
        let chart = json!({"git_source": {"url": "file:///srv/charts"}, "helm_build_plan": {}});
        let decoded = Plan::decode(JobType::HelmChartBuild, &chart, Strictness::JobFile).expect("good");
        assert_eq!(decoded.folders, [LocalFolder { key: "plan.git_source.url".into(), folder: "/srv/charts".into() }]);
        let remote = json!({"git_source": {"url": "https://example.com/charts"}, "helm_build_plan": {}});
        let decoded = Plan::decode(JobType::HelmChartBuild, &remote, Strictness::JobFile).expect("good");
        assert!(decoded.folders.is_empty());
    }

    #[test]
    fn noops_use_none_and_storage_is_one() {
        let noop = json!({"git_source": {"url": "/srv"}, "dst_registry": {"RegistryType": "oci_layout", "Repository": "/out"}});
        assert_eq!(Plan::decode(JobType::Noop, &noop, Strictness::Polled).expect("good").folders, []);
        let storage = json!({"git_source": {"url": "https://h/x"}, "pipeline_plan": {
            "pipeline_id": "p", "project": {"id": "1", "name": "p"}, "ref": {"name": "refs/heads/main", "sha": "1".repeat(40)},
            "storage": {"url": "file:///srv/cache"},
        }});
        let found = Plan::decode(JobType::PipelineRun, &storage, Strictness::Polled).expect("good").folders;
        assert_eq!(found, [LocalFolder { key: "plan.pipeline_plan.storage.url".into(), folder: "/srv/cache".into() }]);
    }
}
