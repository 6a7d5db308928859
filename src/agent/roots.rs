//! The folders of this machine that polled jobs may name (`--local-root`): a control plane must not read or write the node's files.
//!
//! In: the configured roots, the folders that a plan names. Out: leave to go on, or the failure that names the key, the folder and the remedy. What is compared is
//! the real path: links are resolved, of a folder that does not exist yet those of its nearest parent that does.

use std::path::{Component, Path, PathBuf};

use crate::{
    job::{Failure, FailureKind},
    plan::LocalFolder,
};

/// The configured roots.
#[derive(Debug, Clone, Default)]
pub struct LocalRoots(Vec<PathBuf>);

impl LocalRoots {
    /// Roots by their real paths.
    ///
    /// # Errors
    /// A root that is not an existing folder, by name.
    pub fn new(roots: &[PathBuf]) -> Result<Self, String> {
        let real = |root: &PathBuf| {
            let found = root.canonicalize().map_err(|error| format!("'{}' cannot be a local root: {error}", root.display()))?;
            if found.is_dir() { Ok(found) } else { Err(format!("'{}' cannot be a local root: it is not a folder", root.display())) }
        };
        roots.iter().map(real).collect::<Result<_, _>>().map(Self)
    }

    /// Whether the folders that a plan names are all below the roots. `Some(/)` is what its paths are relative to then (they are absolute); `None` when it
    /// names none, so that nothing further down may.
    ///
    /// # Errors
    /// [`FailureKind::InvalidPlan`] for the first folder that is not.
    pub fn admit(&self, folders: &[LocalFolder]) -> Result<Option<PathBuf>, Failure> {
        folders.iter().try_for_each(|local| self.admit_one(local))?;
        Ok((!folders.is_empty()).then(|| PathBuf::from("/")))
    }

    fn admit_one(&self, local: &LocalFolder) -> Result<(), Failure> {
        let refused = |problem: &str| {
            let message = format!("{}: '{}' {problem}", local.key, local.folder.display());
            Err(Failure::new(FailureKind::InvalidPlan, message))
        };
        if !local.folder.is_absolute() || local.folder.components().any(|part| part == Component::ParentDir) {
            return refused("has to be an absolute path without '..' in a job of a control plane");
        }
        if self.0.is_empty() {
            return refused(
                "is a folder of the runner's machine, and this runner lets no job name any; start it with --local-root DIR to allow those below DIR",
            );
        }
        match real(&local.folder) {
            Some(real) if self.0.iter().any(|root| real.starts_with(root)) => Ok(()),
            _ => refused(
                "does not lie below a local root of this runner; use a folder that does, or start the runner with another --local-root",
            ),
        }
    }
}

/// The path without links: of the nearest parent that exists, and the rest as it is written. A link that leads nowhere is no place to be.
fn real(folder: &Path) -> Option<PathBuf> {
    let existing = folder.ancestors().find(|ancestor| ancestor.symlink_metadata().is_ok())?;
    let rest = folder.strip_prefix(existing).ok()?;
    let real = existing.canonicalize().ok()?;
    Some(if rest.as_os_str().is_empty() { real } else { real.join(rest) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        job::JobType,
        plan::{Plan, Strictness},
    };
    use serde_json::json;

    fn admit(roots: &LocalRoots, destination: &str) -> Result<Option<PathBuf>, String> {
        let plan = json!({"git_source": {"url": "https://example.com/charts"}, "helm_build_plan": {}, "dst_tag": "1",
                          "dst_registry": {"RegistryType": "oci_layout", "Repository": destination}});
        let plan = Plan::decode(JobType::HelmChartBuild, &plan, Strictness::Polled).expect("good");
        roots.admit(&plan.folders).map_err(|failure| failure.message)
    }

    #[test]
    fn only_real_paths_below_a_root_are_let_in() {
        let folder = tempfile::tempdir().expect("a folder");
        let (root, outside) = (folder.path().join("root"), folder.path().join("outside"));
        std::fs::create_dir_all(root.join("in")).expect("made");
        std::fs::create_dir_all(&outside).expect("made");
        std::os::unix::fs::symlink(&outside, root.join("out")).expect("linked");
        std::os::unix::fs::symlink("nowhere", root.join("broken")).expect("linked");
        std::os::unix::fs::symlink("in", root.join("within")).expect("linked");
        let roots = LocalRoots::new(std::slice::from_ref(&root)).expect("a root");
        let text = |path: PathBuf| path.display().to_string();
        for good in ["in", "new/deeper", "within/new", ""] {
            assert_eq!(admit(&roots, &text(root.join(good))), Ok(Some("/".into())), "{good}");
        }
        for bad in [
            text(outside.clone()),
            text(root.join("out/x")),
            text(root.join("broken/x")),
            text(root.join("broken")),
            text(root.clone()) + "-beside",
        ] {
            assert!(admit(&roots, &bad).expect_err(&bad).contains("does not lie below a local root"), "{bad}");
        }
        for bad in ["relative".to_owned(), text(root.join("../outside")), text(root.join("in/../../outside"))] {
            assert!(admit(&roots, &bad).expect_err(&bad).contains("has to be an absolute path"), "{bad}");
        }
        let message = admit(&LocalRoots::default(), &text(root)).expect_err("no roots");
        assert!(message.starts_with("plan.dst_registry.Repository: '/") && message.contains("--local-root DIR"), "{message}");
    }

    #[test]
    fn a_plan_without_local_folders_needs_no_root() {
        let plan = Plan::decode(JobType::Noop, &json!({}), Strictness::Polled).expect("good");
        assert_eq!(LocalRoots::default().admit(&plan.folders), Ok(None));
    }

    #[test]
    fn roots_have_to_exist() {
        assert!(
            LocalRoots::new(&["/nowhere/at/all".into()]).expect_err("not there").starts_with("'/nowhere/at/all' cannot be a local root")
        );
    }
}
