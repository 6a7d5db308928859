//! One repository of one registry: the calls of the distribution specification.
//!
//! Every call is tried again as the error advises. Reads ask for a pull token, or for the push token that is needed anyway when the
//! repository was opened for writing.
//!
//! Called by [`super::Repository`] and by the transfer engine.

mod blobs;
mod link;
mod listing;
mod login;
mod manifests;
mod upload;

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use reqwest::{StatusCode, Url};
use tokio::sync::OnceCell;

pub use login::Login;

use super::{
    Cx, Error, Settings,
    auth::{Credentials, Scope},
    error::ContentError,
    location::api_host,
    transport::{Answer, Home, Request, SendError, Transport},
};
use crate::{
    digest::Digest,
    retry::{self, Advice},
};

/// An open repository of a registry. Cheap to clone.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    transport: Arc<Transport>,
    host: String,
    repository: String,
    plain_http: bool,
    credentials: Credentials,
    /// Found out at the first call.
    home: OnceCell<Home>,
    /// Whether it will be written to: then the first token is asked for with that right.
    writes: AtomicBool,
    /// Whether it names the digest of what it stored (`Docker-Content-Digest`); not set before the first upload.
    confirms: OnceLock<bool>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Registry").field(&self.display()).finish()
    }
}

/// How a manifest is called in messages.
pub(super) fn name_manifest(reference: &str) -> String {
    if reference.contains(':') { format!("manifest {reference}") } else { format!("tag '{reference}'") }
}

impl Registry {
    pub(super) fn new(transport: Arc<Transport>, host: &str, repository: &str, plain_http: bool, credentials: Credentials) -> Self {
        let (host, repository) = (host.to_owned(), repository.to_owned());
        Self(Arc::new(Inner {
            transport,
            host,
            repository,
            plain_http,
            credentials,
            home: OnceCell::new(),
            writes: AtomicBool::new(false),
            confirms: OnceLock::new(),
        }))
    }

    /// `HOST/NAME`.
    #[must_use]
    pub fn display(&self) -> String {
        format!("{}/{}", self.0.host, self.0.repository)
    }

    /// `HOST` or `HOST:PORT`: what limits are counted by.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.0.host
    }

    /// Whether blobs can be mounted from `other`, which may be the same repository.
    #[must_use]
    pub fn same_registry(&self, other: &Self) -> bool {
        api_host(&self.0.host) == api_host(&other.0.host)
    }

    /// Most blobs in flight to it.
    pub(in crate::oci) fn concurrency(&self) -> usize {
        self.settings().concurrency
    }

    /// Whether it names the digest of what it stores, and so has hashed it; `None` before the first upload.
    pub(in crate::oci) fn confirms_digests(&self) -> Option<bool> {
        self.0.confirms.get().copied()
    }

    /// How often its host has throttled this process: what the transfer engine goes slower by.
    pub(in crate::oci) fn refusals(&self) -> u64 {
        self.0.transport.refusals(api_host(&self.0.host))
    }

    /// Says that it will be written to, so that one token does for everything. Call it before anything else.
    pub fn will_write(&self) {
        self.0.writes.store(true, Ordering::Relaxed);
    }

    fn settings(&self) -> &Settings {
        self.0.transport.settings()
    }

    async fn home(&self, cx: Cx<'_>) -> Result<&Home, Error> {
        let inner = &self.0;
        let find = || Home::find(&inner.transport, cx, &inner.host, inner.plain_http, inner.credentials.clone());
        inner.home.get_or_try_init(find).await
    }

    /// A URL below this repository.
    async fn url(&self, cx: Cx<'_>, path: &str) -> Result<Url, Error> {
        self.home(cx).await?.url(&format!("{}/{path}", self.0.repository))
    }

    fn read_scope(&self) -> Scope {
        if self.0.writes.load(Ordering::Relaxed) { self.write_scope() } else { Scope::pull(&self.0.repository) }
    }

    fn write_scope(&self) -> Scope {
        self.will_write();
        Scope::push(&self.0.repository)
    }

    /// Sends a request once. Answers that ask for another try are errors; all others come back as they are.
    async fn ask(&self, cx: Cx<'_>, request: &Request<'_>) -> Result<Answer, SendError> {
        let home = self.home(cx).await.map_err(SendError::Request)?;
        let answer = self.0.transport.call(cx, home, request).await?;
        match answer.status().as_u16() {
            408 | 425 | 429 | 500..=599 if answer.status() != StatusCode::NOT_IMPLEMENTED => {
                Err(SendError::Request(answer.into_error(request.name()).await))
            }
            _ => Ok(answer),
        }
    }

    /// [`Registry::ask`] for requests whose bytes cannot fail to be there.
    async fn read(&self, cx: Cx<'_>, request: &Request<'_>) -> Result<Answer, Error> {
        self.ask(cx, request).await.map_err(|error| match error {
            SendError::Source(error) | SendError::Request(error) => error,
        })
    }

    /// Runs `attempt` until it succeeds or its error advises against another try.
    async fn retrying<T, F: Future<Output = Result<T, Error>>>(&self, cx: Cx<'_>, attempt: impl FnMut() -> F) -> Result<T, Error> {
        self.retrying_if(cx, Error::advice, attempt).await
    }

    async fn retrying_if<T, F: Future<Output = Result<T, Error>>>(
        &self,
        cx: Cx<'_>,
        advise: impl Fn(&Error) -> Advice,
        attempt: impl FnMut() -> F,
    ) -> Result<T, Error> {
        let tell = |error: &Error, wait: std::time::Duration| {
            cx.log.warn(format_args!("{error}; trying again in {:.1} s", wait.as_secs_f32()));
        };
        let result = retry::retry(self.settings().retry, cx.cancel, advise, tell, attempt).await;
        // An error of a try that was cut short by a cancellation is no news.
        if result.is_err() {
            cx.cancel.check()?;
        }
        result
    }

    fn not_found(&self, what: String) -> Error {
        Error::NotFound { what, repository: self.display() }
    }
}

/// The digest an answer names (`Docker-Content-Digest`).
fn said(answer: &Answer) -> Option<Digest> {
    answer.header("docker-content-digest")?.trim().parse().ok()
}

/// Compares what a registry says it has (`Docker-Content-Digest`) with what it should have. Another algorithm proves nothing.
fn check_digest(answer: &Answer, expected: &Digest, what: impl FnOnce() -> String) -> Result<(), Error> {
    match said(answer) {
        Some(actual) if actual.algorithm() == expected.algorithm() && actual != *expected => {
            Err(ContentError::Digest { what: what(), expected: expected.clone(), actual }.into())
        }
        _ => Ok(()),
    }
}
