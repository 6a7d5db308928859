//! The source of a build: `git_source` of its plan, checked out into the workspace.

use std::{collections::BTreeMap, path::PathBuf};

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{
    executor::Context,
    job::{Failure, FailureKind},
    plan::GitSource,
    provenance::Material,
    workspace::{
        self,
        git::{self, SourceKind},
    },
};

/// Prefix of the annotations that the image specification defines (image-spec `annotations.md`).
pub(crate) const ANNOTATION: &str = "org.opencontainers.image.";

/// When and from what an artifact was made, the same for the same input.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Time of the commit; the epoch for anything else, so that the same input gives the same digest.
    pub(crate) created: Timestamp,
    /// The commit that was checked out; absent for a folder as it stands.
    pub(crate) revision: Option<String>,
    /// URL of the repository, without credentials; absent for folders of this machine, whose names differ from machine to machine.
    pub(crate) url: Option<String>,
}

impl Stamp {
    /// Seconds since 1970 of `created`, at least 0: tar and `SOURCE_DATE_EPOCH` know no time before.
    pub(crate) fn epoch(&self) -> u64 {
        u64::try_from(self.created.as_second()).unwrap_or(0)
    }

    /// The annotations `created`, `revision` and `source` of an artifact.
    pub(crate) fn annotations(&self) -> BTreeMap<String, String> {
        let created = Some(self.created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        let all = [("created", created), ("revision", self.revision.clone()), ("source", self.url.clone())];
        all.into_iter().filter_map(|(key, value)| Some((format!("{ANNOTATION}{key}"), value?))).collect()
    }
}

/// A checked-out source.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// The whole of it.
    pub(crate) root: PathBuf,
    /// The folder that the plan names, inside `root`.
    pub(crate) path: PathBuf,
    /// What of it goes into the artifact's annotations.
    pub(crate) stamp: Stamp,
    /// The ref that was asked for.
    pub(crate) git_ref: Option<String>,
    /// For the receipt (`outputs.source`).
    pub(crate) info: Value,
}

/// Checks out what a plan names into `source` of the workspace.
pub(crate) async fn fetch(cx: &Context, source: &GitSource) -> Result<Source, Failure> {
    // The hosted control plane joins a leading slash away.
    let path = source.path.as_deref().unwrap_or_default().trim_start_matches('/').to_owned();
    let wanted = git::Source { path, ..git::Source::from(source) };
    let options = git::Options { local_base: cx.local_base.clone(), ..cx.git.as_ref().clone() };
    let inner = workspace::Cx { cancel: &cx.cancel, log: &cx.log, progress: &cx.progress, workspace: &cx.workspace };
    let checkout = git::checkout(&inner, &wanted, &options, &cx.workspace.root().join("source")).await?;
    let info = serde_json::to_value(&checkout.source).map_err(|error| Failure::new(FailureKind::Internal, error.to_string()))?;
    let is_commit = checkout.source.kind == SourceKind::Commit;
    let remote = checkout.source.url.contains("://") && !checkout.source.url.starts_with("file:");
    Ok(Source {
        root: checkout.root,
        path: checkout.path,
        stamp: Stamp {
            created: checkout.source.commit_time.filter(|_| is_commit).unwrap_or_default(),
            revision: checkout.source.commit.filter(|_| is_commit),
            url: Some(checkout.source.url).filter(|_| is_commit && remote),
        },
        git_ref: checkout.source.git_ref,
        info,
    })
}

impl Source {
    /// The commit as something that went into an artifact. A folder as it stands cannot be named so that others find it again.
    pub(crate) fn material(&self) -> Option<Material> {
        let revision = self.stamp.revision.as_deref()?;
        Some(Material::commit(self.stamp.url.as_deref().unwrap_or("file:"), self.git_ref.as_deref(), revision))
    }
}

/// The source as a parameter of a build: what was asked for, without credentials and, for local folders, without the folder.
pub(crate) fn parameters(source: &GitSource) -> Value {
    let mut all = Map::new();
    let url = if source.is_local() { "file:".to_owned() } else { source.display_url() };
    all.insert("url".to_owned(), Value::String(url));
    for (key, value) in [("ref", &source.git_ref), ("path", &source.path)] {
        if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
            all.insert(key.to_owned(), Value::String(value.clone()));
        }
    }
    Value::Object(all)
}
