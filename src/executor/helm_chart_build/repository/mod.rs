//! Chart repositories: HTTP(S) ones with an index, and OCI registries.
//!
//! In: a repository as Chart.yaml or the plan names it, a chart and a range of versions. Out: the archive of the newest one, its digest
//! checked where the repository promises one. Everything is bounded; credentials in URLs are secrets and stay with their host.

mod http;
mod index;
mod registry;

use std::collections::HashMap;

use async_trait::async_trait;

use crate::{
    digest::Digest,
    executor::Context,
    job::{Failure, FailureKind},
};

use self::{
    http::{Http, shown_text},
    index::{Index, MAX_INDEX},
};
use super::dependencies::{Fetched, Source};

/// Longest archive; unpacked it may have as much.
const MAX_ARCHIVE: u64 = super::budget::MAX_TOTAL;
/// What an OCI repository begins with.
const OCI: &str = "oci://";

/// A repository as a chart names it, without credentials.
pub(crate) fn shown(repository: &str) -> String {
    if repository.contains("://") && !repository.starts_with("file://") { shown_text(repository) } else { repository.to_owned() }
}

/// The repositories one job reads from; each index is fetched once.
pub(crate) struct Repositories<'a> {
    cx: &'a Context,
    indexes: HashMap<String, (Http, Index)>,
}

impl<'a> Repositories<'a> {
    pub(crate) fn new(cx: &'a Context) -> Self {
        Self { cx, indexes: HashMap::new() }
    }

    async fn fetch_indexed(&mut self, repository: &str, chart: &str, wanted: &str) -> Result<Fetched, Failure> {
        let Context { cancel, log, .. } = self.cx;
        if !self.indexes.contains_key(repository) {
            let http = Http::open(repository, self.cx.oci.settings().ca_file.as_deref(), log)?;
            let url = http.resolve("index.yaml")?;
            let body = http.get(&url, MAX_INDEX, self.cx).await?;
            let shown = http::shown(&url);
            let index = cancel.run(crate::executor::shared::blocking(move || Index::parse(&shown, &body))).await???;
            self.indexes.insert(repository.to_owned(), (http, index));
        }
        let Some((http, index)) = self.indexes.get(repository) else {
            return Err(Failure::new(FailureKind::Internal, "an index that was just read is gone"));
        };
        let entry = index.find(chart, wanted)?;
        if entry.url.starts_with(OCI) {
            return registry::by_reference(self.cx, &entry.url).await;
        }
        let url = http.resolve(&entry.url)?;
        let from = http::shown(&url);
        log.info(format_args!("downloading {from}"));
        let archive = http.get(&url, MAX_ARCHIVE, self.cx).await?;
        let digest = Digest::of(&archive);
        match entry.digest {
            Some(promised) if promised != digest => {
                let message = format!(
                    "{from} has the digest {digest}, but the index of {} promises {promised}; publish the chart again",
                    http::shown(http.base())
                );
                Err(Failure::new(FailureKind::DigestMismatch, message))
            }
            _ => Ok(Fetched { archive, from, digest }),
        }
    }
}

#[async_trait]
impl Source for Repositories<'_> {
    async fn fetch(&mut self, repository: &str, chart: &str, wanted: &str) -> Result<Fetched, Failure> {
        match repository.strip_prefix(OCI) {
            Some(place) => registry::by_version(self.cx, place, chart, wanted).await,
            None => self.fetch_indexed(repository, chart, wanted).await,
        }
    }
}
