//! Where the chart comes from: a folder of a checkout, or a packaged chart of a repository.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    digest::Digest,
    executor::{
        Context,
        shared::{self, Stamp, blocking},
    },
    job::{Failure, FailureKind},
    plan::{Build, GitSource, HelmBuildPlan, HelmRepoConfig},
    provenance::Material,
};

use super::{
    budget::Budget,
    chart::{Chart, ChartError, Loader},
    dependencies::Source as _,
    folder::{ChartFolder, FolderError},
    repository::{self, Repositories},
};

/// What is fetched.
#[derive(Debug)]
enum Content {
    /// A folder of a source.
    Folder(ChartFolder),
    /// A packaged chart, and where it is from.
    Archive { data: Bytes, from: String },
}

/// A fetched source.
#[derive(Debug)]
pub(crate) struct Source {
    content: Content,
    /// For the artifact's annotations.
    pub(crate) stamp: Stamp,
    /// For its provenance.
    pub(crate) material: Option<Material>,
    /// For the receipt.
    pub(crate) info: Value,
}

/// A chart read from a source.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) chart: Chart,
    pub(crate) folder: Option<ChartFolder>,
    /// The archive as it was published, if it can be passed on as it is.
    pub(crate) archive: Option<Bytes>,
    /// What is left for dependencies.
    pub(crate) budget: Budget,
    /// What a person should know.
    pub(crate) notes: Vec<String>,
}

/// Fetches what the plan names. A chart repository goes before a git source: the hosted control plane fills in both.
pub(crate) async fn fetch(cx: &Context, plan: &Build<HelmBuildPlan>) -> Result<Source, Failure> {
    match (&plan.plan.helm_repo_config, &plan.git_source) {
        (Some(repository), _) => from_repository(cx, repository).await,
        (None, Some(git)) if !git.url.is_empty() => from_git(cx, git).await,
        (None, _) => Err(Failure::new(
            FailureKind::InvalidPlan,
            "git_source.url and helm_build_plan.HelmRepoConfig are both missing; give the one that the chart comes from",
        )),
    }
}

async fn from_git(cx: &Context, source: &GitSource) -> Result<Source, Failure> {
    let fetched = shared::fetch(cx, source).await?;
    let folder = ChartFolder::open(&fetched.root, &fetched.path).map_err(|error| failure(&error))?;
    let material = fetched.material();
    Ok(Source { content: Content::Folder(folder), stamp: fetched.stamp, material, info: fetched.info })
}

async fn from_repository(cx: &Context, wanted: &HelmRepoConfig) -> Result<Source, Failure> {
    let version = wanted.version.as_deref().unwrap_or_default();
    let fetched = Repositories::new(cx).fetch(&wanted.repo_url, &wanted.chart, version).await?;
    let url = repository::shown(&wanted.repo_url);
    let info = json!({"kind": "repository", "url": url, "chart": wanted.chart, "archive": fetched.from, "digest": fetched.digest});
    let material = Some(Material::content(&fetched.from, &Digest::of(&fetched.archive), "source"));
    Ok(Source { content: Content::Archive { data: fetched.archive, from: fetched.from }, stamp: Stamp::default(), material, info })
}

fn failure(error: &FolderError) -> Failure {
    Failure::new(error.kind(), error.to_string())
}

impl Source {
    /// Reads the chart.
    pub(crate) async fn load(&self, cx: &Context) -> Result<Loaded, Failure> {
        let loaded = match &self.content {
            Content::Folder(folder) => {
                let folder = folder.clone();
                cx.cancel.run(blocking(move || load_folder(folder))).await
            }
            Content::Archive { data, from } => {
                let (data, from) = (data.clone(), from.clone());
                cx.cancel.run(blocking(move || load_archive(data, &from))).await
            }
        };
        loaded??
    }
}

fn load_folder(folder: ChartFolder) -> Result<Loaded, Failure> {
    let (mut budget, mut notes) = (Budget::default(), Vec::new());
    let files = folder.read(&mut budget).map_err(|error| failure(&error))?;
    let chart = Loader { budget: &mut budget, notes: &mut notes }.chart(files).map_err(|error| chart_failure(&error))?;
    Ok(Loaded { chart, folder: Some(folder), archive: None, budget, notes })
}

fn load_archive(data: Bytes, from: &str) -> Result<Loaded, Failure> {
    let (mut budget, mut notes) = (Budget::default(), Vec::new());
    let loaded = Loader { budget: &mut budget, notes: &mut notes }.archive(&data, "");
    let (chart, regular) = loaded.map_err(|error| chart_failure(&error).context(from))?;
    Ok(Loaded { chart, folder: None, archive: Some(data).filter(|_| regular), budget, notes })
}

fn chart_failure(error: &ChartError) -> Failure {
    Failure::new(error.kind(), error.to_string())
}
