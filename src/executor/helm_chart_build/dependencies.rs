//! Dependencies: what a chart needs beside itself, brought into it before it is packaged.
//!
//! In: the chart as loaded, its folder (when it is one) and the repositories. Out: the chart with every dependency among its subcharts,
//! and a record of where each came from. Nothing is written: a user's folder stays as it is.
//!
//! Rules: with a lock, the lock has to fit Chart.yaml and its versions are taken; without one the ranges are resolved now and a
//! note says so. A subchart that is in `charts/` already and fits is taken as it is. `file://` stays inside the source. What cannot be
//! had is an error, always.

use std::path::Path;

use async_trait::async_trait;
use serde::Serialize;

use crate::{
    digest::Digest,
    job::{Failure, FailureKind},
    provenance::Material,
    shutdown::Cancel,
    versions::{Constraint, NotARange, NotAVersion, Version},
};

use super::{
    budget::Budget,
    chart::{Chart, ChartError, Loader, Subchart},
    folder::{ChartFolder, FolderError},
    metadata::{API_V1, Dependency},
};

/// Most dependencies of one chart.
const MAX_DEPENDENCIES: usize = 500;

/// Where charts come from.
#[async_trait]
pub(crate) trait Source: Send {
    /// The archive of the newest version of `chart` in the range `wanted` that `repository` has.
    async fn fetch(&mut self, repository: &str, chart: &str, wanted: &str) -> Result<Fetched, Failure>;
}

/// A packaged chart from a repository.
#[derive(Debug, Clone)]
pub(crate) struct Fetched {
    pub(crate) archive: bytes::Bytes,
    /// Where from, for messages: a URL or reference without credentials.
    pub(crate) from: String,
    /// The archive's digest: promised by the index or registry and checked, or computed.
    pub(crate) digest: Digest,
}

/// How one dependency was met; part of the job's outputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Resolved {
    pub(crate) name: String,
    pub(crate) version: String,
    /// As Chart.yaml says, without credentials; empty for one that lies in `charts/`.
    pub(crate) repository: String,
    /// Of the downloaded archive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) digest: Option<Digest>,
    /// Whether the next build gets the same: a lock names the version, or the chart lies in the source.
    pub(crate) pinned: bool,
}

impl Resolved {
    /// A downloaded dependency as something that went into the chart; what lies in the source is part of that.
    pub(crate) fn material(&self) -> Option<Material> {
        let uri = format!("{}/{}-{}", self.repository.trim_end_matches('/'), self.name, self.version);
        Some(Material::content(uri, self.digest.as_ref()?, "dependency"))
    }
}

/// Dependencies that cannot be met.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DependencyError {
    #[error("{lock} is out of sync with {wanted}; run 'helm dependency update' and commit {lock}")]
    OutOfSync { lock: &'static str, wanted: &'static str },
    #[error("{lock} does not lock dependency '{name}'; run 'helm dependency update' and commit {lock}")]
    NotLocked { lock: &'static str, name: String },
    #[error(
        "dependency '{name}' has the repository '{repository}', a name that only the machine it was written on knows; use its URL: https://…, oci://… or file://…"
    )]
    Alias { name: String, repository: String },
    #[error("dependency '{name}' is not in charts/ and has no repository; add the chart to charts/, or its repository to Chart.yaml")]
    Missing { name: String },
    #[error("dependency '{name}' has no version; add one to Chart.yaml, like version: ^1.2.0")]
    NoVersion { name: String },
    #[error("dependency '{name}' should have a version that fits '{wanted}', but {place} has {found}; {remedy}")]
    Unfit { name: String, wanted: String, place: String, found: String, remedy: &'static str },
    #[error("dependency '{name}': {place} holds chart '{found}'; correct the name in Chart.yaml")]
    OtherName { name: String, place: String, found: String },
    #[error("dependency '{name}': {place}: {source}")]
    Chart { name: String, place: String, source: Box<ChartError> },
    #[error("dependency '{name}': {source}{}", beside(source))]
    Folder { name: String, source: Box<FolderError> },
    #[error("the chart has {count} dependencies; {MAX_DEPENDENCIES} are the most")]
    TooMany { count: usize },
}

/// What to do about a neighbour that is not in the source.
fn beside(error: &FolderError) -> &'static str {
    if matches!(error, FolderError::NoFolder { .. } | FolderError::Outside { .. }) {
        "; for a chart beside this one let git_source.url name the folder above both, and git_source.path this one"
    } else {
        ""
    }
}

impl From<DependencyError> for Failure {
    fn from(error: DependencyError) -> Self {
        let kind = match &error {
            DependencyError::Chart { source, .. } => source.kind(),
            DependencyError::Folder { source, .. } => source.kind(),
            DependencyError::TooMany { .. } => FailureKind::LimitExceeded,
            DependencyError::OutOfSync { .. }
            | DependencyError::NotLocked { .. }
            | DependencyError::Alias { .. }
            | DependencyError::Missing { .. }
            | DependencyError::NoVersion { .. }
            | DependencyError::Unfit { .. }
            | DependencyError::OtherName { .. } => FailureKind::InvalidSource,
        };
        Self::new(kind, error.to_string())
    }
}

/// What a dependency's version has to be.
struct Wanted<'a> {
    text: &'a str,
    range: Constraint,
    locked: bool,
}

impl Wanted<'_> {
    /// A lock's version is meant exactly, also when it could be read as a range (`1.2`).
    fn allows(&self, version: &Version) -> bool {
        match self.text.parse::<Version>() {
            Ok(exact) if self.locked => exact == *version,
            _ => self.range.allows(version),
        }
    }
}

/// Brings every dependency into one chart.
pub(crate) struct Vendor<'a> {
    pub(crate) chart: &'a mut Chart,
    /// `None` for a chart that came packaged.
    pub(crate) folder: Option<&'a ChartFolder>,
    pub(crate) budget: &'a mut Budget,
    pub(crate) notes: &'a mut Vec<String>,
    pub(crate) source: &'a mut dyn Source,
    pub(crate) cancel: &'a Cancel,
}

impl Vendor<'_> {
    /// Does it. Whether anything was added to the chart shows in [`Resolved::digest`] and the subcharts.
    pub(crate) async fn run(mut self) -> Result<Vec<Resolved>, Failure> {
        let wanted = self.chart.metadata.dependencies().to_vec();
        if wanted.len() > MAX_DEPENDENCIES {
            return Err(DependencyError::TooMany { count: wanted.len() }.into());
        }
        self.check_lock(&wanted)?;
        let mut done: Vec<Resolved> = Vec::new();
        for (index, dependency) in wanted.iter().enumerate() {
            let locked = self.locked(index, dependency)?;
            let text = locked.as_deref().unwrap_or(&dependency.version);
            let range = self.range(dependency, text)?;
            let wanted = Wanted { text, range, locked: locked.is_some() };
            let taken = done.iter().any(|other| other.name == dependency.name);
            done.push(self.meet(dependency, &wanted, taken).await?);
        }
        if done.iter().any(|resolved| !resolved.pinned) {
            self.notes.push("there is no Chart.lock: versions of dependencies were resolved for this build alone; run 'helm dependency update' and commit it".to_owned());
        }
        self.note_incomplete();
        self.chart.sort_subcharts("").map_err(|source| Failure::new(source.kind(), source.to_string()))?;
        Ok(done)
    }

    fn lock_file(&self) -> (&'static str, &'static str) {
        if self.chart.metadata.api_version == API_V1 { ("requirements.lock", "requirements.yaml") } else { ("Chart.lock", "Chart.yaml") }
    }

    /// A packaged chart may have been locked against names of repositories that only its author knows; nothing is fetched for it as long as
    /// it is complete, so its lock matters only if it is not.
    fn check_lock(&self, wanted: &[Dependency]) -> Result<(), DependencyError> {
        let Some(lock) = &self.chart.lock else { return Ok(()) };
        let (file, source) = self.lock_file();
        let nothing = wanted.is_empty() && lock.dependencies().is_empty();
        let complete = self.folder.is_none() && wanted.iter().all(|dependency| self.present(&dependency.name).is_some());
        if let Some(alias) = wanted.iter().find(|dependency| is_alias(&dependency.repository) && !complete) {
            return Err(DependencyError::Alias { name: alias.name.clone(), repository: alias.repository.clone() });
        }
        let is_v1 = self.chart.metadata.api_version == API_V1;
        if nothing || complete || lock.fits(self.chart.metadata.dependencies.as_deref(), is_v1) {
            Ok(())
        } else {
            Err(DependencyError::OutOfSync { lock: file, wanted: source })
        }
    }

    fn locked(&self, index: usize, dependency: &Dependency) -> Result<Option<String>, DependencyError> {
        let Some(lock) = self.chart.lock.as_ref() else { return Ok(None) };
        let at = lock.dependencies().get(index).filter(|locked| locked.name == dependency.name);
        let found = at.or_else(|| lock.dependencies().iter().find(|locked| locked.name == dependency.name));
        match found {
            // Helm locks a chart without repository to the very range.
            Some(locked) if !dependency.repository.is_empty() && !locked.version.is_empty() => Ok(Some(locked.version.clone())),
            Some(_) => Ok(None),
            None if self.folder.is_none() => Ok(None),
            None => Err(DependencyError::NotLocked { lock: self.lock_file().0, name: dependency.name.clone() }),
        }
    }

    fn range(&self, dependency: &Dependency, text: &str) -> Result<Constraint, DependencyError> {
        let text = if text.is_empty() && self.present(&dependency.name).is_some() { "*" } else { text };
        if text.is_empty() {
            return Err(DependencyError::NoVersion { name: dependency.name.clone() });
        }
        text.parse().map_err(|NotARange(found)| DependencyError::Unfit {
            name: dependency.name.clone(),
            wanted: dependency.version.clone(),
            place: self.lock_file().0.to_owned(),
            found: format!("'{found}', which is no version"),
            remedy: "run 'helm dependency update'",
        })
    }

    fn present(&self, name: &str) -> Option<&Subchart> {
        self.chart.subcharts.iter().find(|subchart| subchart.chart.metadata.name == name)
    }

    async fn meet(&mut self, dependency: &Dependency, wanted: &Wanted<'_>, taken: bool) -> Result<Resolved, Failure> {
        let Dependency { name, repository, .. } = dependency;
        let local = repository.strip_prefix("file://").filter(|_| self.folder.is_some());
        let mut replaced = None;
        if let Some(present) = self.present(name).filter(|_| local.is_none() || taken) {
            let found = version(&present.chart)?;
            let place = format!("charts/{}", present.entry);
            if wanted.allows(&found) {
                return Ok(resolved(dependency, &found, None, wanted.locked));
            }
            if repository.is_empty() || taken || self.folder.is_none() {
                let remedy = if taken {
                    "one package cannot hold two versions of a chart"
                } else {
                    "put a fitting version there, or correct Chart.yaml"
                };
                return Err(unfit(name, wanted.text, place, &found, remedy).into());
            }
            replaced = Some(format!("{place} has version {found}, which does not fit '{}'", wanted.text));
        }
        if repository.is_empty() {
            return Err(DependencyError::Missing { name: name.clone() }.into());
        }
        if is_alias(repository) {
            return Err(DependencyError::Alias { name: name.clone(), repository: repository.clone() }.into());
        }
        let (chart, place, digest) = if let Some(path) = local {
            (self.load_folder(name, path).await?, repository.clone(), None)
        } else {
            let fetched = self.source.fetch(repository, name, wanted.text).await;
            let fetched = fetched.map_err(|failure| failure.context(format_args!("dependency '{name}'")))?;
            (self.load_archive(name, &fetched).await?, fetched.from, Some(fetched.digest))
        };
        if chart.metadata.name != *name {
            return Err(DependencyError::OtherName { name: name.clone(), place, found: chart.metadata.name }.into());
        }
        let found = version(&chart)?;
        if !wanted.allows(&found) {
            let remedy = if wanted.locked { "run 'helm dependency update'" } else { "correct the version in Chart.yaml" };
            return Err(unfit(name, wanted.text, place, &found, remedy).into());
        }
        if let Some(why) = replaced {
            self.notes.push(format!("{why}; {found} of {place} is packaged in its place"));
        }
        self.chart.subcharts.retain(|subchart| subchart.chart.metadata.name != *name);
        self.chart.subcharts.push(Subchart { entry: name.clone(), chart });
        Ok(resolved(dependency, &found, digest, wanted.locked))
    }

    async fn load_folder(&mut self, name: &str, path: &str) -> Result<Chart, Failure> {
        let Some(parent) = self.folder.cloned() else { return Err(DependencyError::Missing { name: name.to_owned() }.into()) };
        let (name, path) = (name.to_owned(), path.to_owned());
        self.blocking(move |budget, notes| {
            let files = parent.relative(Path::new(&path)).and_then(|folder| folder.read(budget));
            let files = files.map_err(|source| DependencyError::Folder { name: name.clone(), source: source.into() })?;
            Loader { budget, notes }.chart(files).map_err(|source| DependencyError::Chart {
                name,
                place: format!("file://{path}"),
                source: source.into(),
            })
        })
        .await
    }

    async fn load_archive(&mut self, name: &str, fetched: &Fetched) -> Result<Chart, Failure> {
        let (name, place, archive) = (name.to_owned(), fetched.from.clone(), fetched.archive.clone());
        self.blocking(move |budget, notes| {
            let loaded = Loader { budget, notes }.archive(&archive, "");
            loaded.map(|(chart, _)| chart).map_err(|source| DependencyError::Chart { name, place, source: source.into() })
        })
        .await
    }

    /// Runs `load` where it may take its time. Budget and notes go there and come back, unless the job is cancelled meanwhile.
    async fn blocking(
        &mut self,
        load: impl FnOnce(&mut Budget, &mut Vec<String>) -> Result<Chart, DependencyError> + Send + 'static,
    ) -> Result<Chart, Failure> {
        let (mut budget, mut notes) = (std::mem::take(self.budget), std::mem::take(self.notes));
        let work = crate::executor::shared::blocking(move || {
            let result = load(&mut budget, &mut notes);
            (result, budget, notes)
        });
        let (result, budget, notes) = self.cancel.run(work).await??;
        *self.budget = budget;
        *self.notes = notes;
        Ok(result?)
    }

    /// Helm does not look for dependencies of dependencies either, but it should not go unsaid.
    fn note_incomplete(&mut self) {
        for Subchart { chart, .. } in &self.chart.subcharts {
            for missing in chart.metadata.dependencies().iter().filter(|d| !chart.subcharts.iter().any(|s| s.chart.metadata.name == d.name))
            {
                self.notes.push(format!(
                    "subchart '{}' depends on '{}', which it does not bring along; build it with its dependencies first",
                    chart.metadata.name, missing.name
                ));
            }
        }
    }
}

fn is_alias(repository: &str) -> bool {
    repository.starts_with('@') || repository.starts_with("alias:")
}

fn version(chart: &Chart) -> Result<Version, Failure> {
    chart.metadata.version.parse().map_err(|error: NotAVersion| Failure::new(FailureKind::InvalidSource, error.to_string()))
}

fn unfit(name: &str, wanted: &str, place: String, found: &Version, remedy: &'static str) -> DependencyError {
    DependencyError::Unfit { name: name.to_owned(), wanted: wanted.to_owned(), place, found: found.to_string(), remedy }
}

fn resolved(dependency: &Dependency, found: &Version, digest: Option<Digest>, locked: bool) -> Resolved {
    let pinned = locked || digest.is_none();
    let repository = super::repository::shown(&dependency.repository);
    Resolved { name: dependency.name.clone(), version: found.to_string(), repository, digest, pinned }
}

#[cfg(test)]
mod tests;
