//! Lists that come in pages: tags and referrers.

use std::collections::HashSet;

use reqwest::{
    Method, StatusCode, Url,
    header::{ACCEPT, HeaderValue, LINK},
};
use serde::Deserialize;

use super::{Registry, link};
use crate::{
    digest::Digest,
    oci::{
        Cx, Descriptor, Error,
        error::ContentError,
        manifest::{Index, MAX_READ},
        media_type,
        transport::{Answer, Request},
    },
};

/// Most pages of one list.
const MAX_PAGES: usize = 10_000;
/// Most tags of one repository.
const MAX_TAGS: usize = 1_000_000;
/// Most referrers of one manifest.
const MAX_REFERRERS: usize = 10_000;

#[derive(Deserialize)]
struct Tags {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

impl Registry {
    /// The next page, if there is one; never on another host.
    async fn next_page(&self, cx: Cx<'_>, answer: &Answer) -> Result<Option<Url>, Error> {
        let home = self.home(cx).await?;
        let headers = answer.response.headers().get_all(LINK).iter();
        let Some(target) = headers.filter_map(|header| header.to_str().ok()).find_map(link::next) else { return Ok(None) };
        let odd = || ContentError::NotARegistry { host: self.host().to_owned(), reason: "the next page is on another host".to_owned() };
        home.locate(&answer.url, target).filter(|url| home.owns(url)).map(Some).ok_or_else(|| odd().into())
    }

    fn not_json(&self, what: &str, error: &serde_json::Error) -> Error {
        ContentError::NotARegistry { host: self.host().to_owned(), reason: format!("{what}: {error}") }.into()
    }

    /// Every tag.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such repository.
    pub async fn tags(&self, cx: Cx<'_>) -> Result<Vec<String>, Error> {
        let mut tags = Vec::new();
        let mut seen = HashSet::new();
        let mut next = Some(self.url(cx, "tags/list").await?);
        while let Some(url) = next {
            if seen.len() >= MAX_PAGES || !seen.insert(url.as_str().to_owned()) {
                return Err(ContentError::TooMany { what: format!("pages of tags in {}", self.display()), limit: MAX_PAGES }.into());
            }
            let (page, following) = self.retrying(cx, || self.tag_page(cx, url.clone())).await?;
            tags.extend(page);
            if tags.len() > MAX_TAGS {
                return Err(ContentError::TooMany { what: format!("tags in {}", self.display()), limit: MAX_TAGS }.into());
            }
            next = following;
        }
        Ok(tags)
    }

    async fn tag_page(&self, cx: Cx<'_>, url: Url) -> Result<(Vec<String>, Option<Url>), Error> {
        let scope = self.read_scope();
        let request = Request::new(Method::GET, url, &scope).header(ACCEPT, HeaderValue::from_static("application/json"));
        let answer = self.read(cx, &request).await?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => {
                return Err(match answer.into_error(request.name()).await {
                    Error::Response(_) => self.not_found("the repository".to_owned()),
                    other => other,
                });
            }
            _ => return Err(answer.into_error(request.name()).await),
        }
        let next = self.next_page(cx, &answer).await?;
        let body = answer.bytes(cx, self.settings(), "the list of tags", MAX_READ).await?;
        let page: Tags = serde_json::from_slice(&body).map_err(|error| self.not_json("the list of tags", &error))?;
        Ok((page.tags.unwrap_or_default(), next))
    }

    /// Manifests whose `subject` is that digest; `None` when the registry does not have that interface (distribution-spec,
    /// "Listing Referrers": 404).
    ///
    /// # Errors
    /// When that cannot be found out.
    pub async fn referrers(&self, cx: Cx<'_>, subject: &Digest) -> Result<Option<Vec<Descriptor>>, Error> {
        let mut referrers = Vec::new();
        let mut seen = HashSet::new();
        let mut next = Some(self.url(cx, &format!("referrers/{subject}")).await?);
        while let Some(url) = next {
            if seen.len() >= MAX_PAGES || !seen.insert(url.as_str().to_owned()) || referrers.len() > MAX_REFERRERS {
                return Err(
                    ContentError::TooMany { what: format!("referrers of {subject} in {}", self.display()), limit: MAX_REFERRERS }.into()
                );
            }
            let Some((page, following)) = self.retrying(cx, || self.referrer_page(cx, url.clone())).await? else { return Ok(None) };
            referrers.extend(page);
            next = following;
        }
        Ok(Some(referrers))
    }

    async fn referrer_page(&self, cx: Cx<'_>, url: Url) -> Result<Option<(Vec<Descriptor>, Option<Url>)>, Error> {
        let scope = self.read_scope();
        let request = Request::new(Method::GET, url, &scope).header(ACCEPT, HeaderValue::from_static(media_type::OCI_INDEX));
        let answer = self.read(cx, &request).await?;
        let is_index = answer.header("content-type").is_some_and(|kind| kind.starts_with(media_type::OCI_INDEX));
        match answer.status() {
            StatusCode::OK if is_index => {}
            // Registries from before version 1.1 take the path for something else.
            StatusCode::OK
            | StatusCode::BAD_REQUEST
            | StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::NOT_ACCEPTABLE
            | StatusCode::NOT_IMPLEMENTED => {
                answer.finish().await;
                return Ok(None);
            }
            _ => return Err(answer.into_error(request.name()).await),
        }
        let next = self.next_page(cx, &answer).await?;
        let body = answer.bytes(cx, self.settings(), "the list of referrers", MAX_READ).await?;
        let page: Index = serde_json::from_slice(&body).map_err(|error| self.not_json("the list of referrers", &error))?;
        Ok(Some((page.manifests, next)))
    }
}
