//! What the registry holds, the requests it saw, and the shapes of a request and an answer.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    body::Bytes,
    http::{HeaderMap, request::Parts},
};
use build_runner::digest::Digest;
use serde_json::json;

use super::{Fault, Options, Port};

/// Largest request body.
pub(super) const MAX_BODY: usize = 1 << 30;

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Which port.
    pub(crate) port: Port,
    /// `GET`, `PUT` …
    pub(crate) method: String,
    /// Without the query.
    pub(crate) path: String,
    /// Whether it carried credentials.
    pub(crate) authorization: bool,
    /// Its `Range`, or empty.
    pub(crate) range: String,
    /// What was answered; 0 until then.
    pub(crate) status: u16,
}

/// A request on its way through the handlers.
pub(super) struct Call {
    pub(super) port: Port,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
}

impl Call {
    pub(super) fn new(port: Port, parts: &Parts) -> Self {
        Self {
            port,
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: parts.headers.clone(),
        }
    }

    /// Every value of a query parameter.
    pub(super) fn queries(&self, key: &str) -> Vec<String> {
        url::form_urlencoded::parse(self.query.as_bytes()).filter(|(k, _)| k == key).map(|(_, v)| v.into_owned()).collect()
    }

    pub(super) fn query(&self, key: &str) -> Option<String> {
        self.queries(key).into_iter().next()
    }

    pub(super) fn header(&self, key: &str) -> &str {
        self.headers.get(key).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// An answer on its way back.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Bytes,
    /// `Content-Length` of an answer to HEAD.
    pub(super) length: Option<usize>,
}

impl Reply {
    pub(super) fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new(), length: None }
    }

    pub(super) fn error(status: u16, code: &str) -> Self {
        let body = json!({"errors": [{"code": code, "message": code.to_lowercase().replace('_', " ")}]});
        Self::status(status).header("content-type", "application/json").body(body.to_string().into())
    }

    pub(super) fn header(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((key, value.into()));
        self
    }

    pub(super) fn body(mut self, body: Bytes) -> Self {
        self.body = body;
        self
    }

    /// The same answer to a HEAD request.
    pub(super) fn without_body(mut self) -> Self {
        self.length = Some(self.body.len());
        self.body = Bytes::new();
        self
    }
}

#[derive(Default)]
pub(super) struct Repository {
    pub(super) blobs: BTreeSet<String>,
    pub(super) manifests: BTreeMap<String, (String, Bytes)>,
    pub(super) tags: BTreeMap<String, String>,
}

pub(super) struct State {
    pub(super) options: Options,
    pub(super) host: String,
    pub(super) storage: String,
    pub(super) repositories: Mutex<BTreeMap<String, Repository>>,
    pub(super) content: Mutex<HashMap<String, Bytes>>,
    pub(super) uploads: Mutex<HashMap<String, (String, Vec<u8>)>>,
    pub(super) tokens: Mutex<HashMap<String, super::auth::Grant>>,
    pub(super) faults: Mutex<Vec<Fault>>,
    pub(super) log: Mutex<Vec<Seen>>,
    /// Rings at every request.
    pub(super) arrival: tokio::sync::Notify,
    counter: AtomicUsize,
    in_flight: AtomicUsize,
}

/// Counts a request for as long as it lives.
pub(super) struct InFlight<'a>(&'a State);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

impl State {
    pub(super) fn new(options: Options, host: String, storage: String) -> Self {
        Self {
            options,
            host,
            storage,
            repositories: Mutex::default(),
            content: Mutex::default(),
            uploads: Mutex::default(),
            tokens: Mutex::default(),
            faults: Mutex::default(),
            log: Mutex::default(),
            arrival: tokio::sync::Notify::new(),
            counter: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
        }
    }

    /// A number nobody had before.
    pub(super) fn next(&self) -> usize {
        self.counter.fetch_add(1, Ordering::SeqCst)
    }

    pub(super) fn enter(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        InFlight(self)
    }

    pub(super) fn over_limit(&self) -> bool {
        self.options.max_in_flight.is_some_and(|limit| self.in_flight.load(Ordering::SeqCst) > limit)
    }

    pub(super) fn note(&self, call: &Call) -> usize {
        let mut log = self.log.lock().unwrap();
        log.push(Seen {
            port: call.port,
            method: call.method.clone(),
            path: call.path.clone(),
            authorization: call.headers.contains_key("authorization"),
            range: call.header("range").to_owned(),
            status: 0,
        });
        self.arrival.notify_waiters();
        log.len() - 1
    }

    pub(super) fn note_status(&self, entry: usize, status: u16) {
        // The log may have been cleared since.
        if let Some(seen) = self.log.lock().unwrap().get_mut(entry) {
            seen.status = status;
        }
    }

    pub(super) fn take_fault(&self, call: &Call) -> Option<super::What> {
        self.faults.lock().unwrap().iter_mut().find_map(|fault| fault.take(call))
    }

    pub(super) fn put_blob(&self, repository: &str, content: Bytes) -> Digest {
        let digest = Digest::of(&content);
        self.store_blob(repository, digest.as_str(), content);
        digest
    }

    pub(super) fn store_blob(&self, repository: &str, digest: &str, content: Bytes) {
        self.content.lock().unwrap().insert(digest.to_owned(), content);
        self.repositories.lock().unwrap().entry(repository.to_owned()).or_default().blobs.insert(digest.to_owned());
    }

    pub(super) fn blob(&self, repository: &str, digest: &str) -> Option<Bytes> {
        let known = self.repositories.lock().unwrap().get(repository)?.blobs.contains(digest);
        if known { self.content.lock().unwrap().get(digest).cloned() } else { None }
    }

    pub(super) fn put_manifest(&self, repository: &str, tag: Option<&str>, media_type: &str, bytes: Bytes) -> Digest {
        let digest = Digest::of(&bytes);
        let mut repositories = self.repositories.lock().unwrap();
        let repository = repositories.entry(repository.to_owned()).or_default();
        repository.manifests.insert(digest.to_string(), (media_type.to_owned(), bytes));
        if let Some(tag) = tag {
            repository.tags.insert(tag.to_owned(), digest.to_string());
        }
        digest
    }

    pub(super) fn tag(&self, repository: &str, tag: &str) -> Option<String> {
        self.repositories.lock().unwrap().get(repository)?.tags.get(tag).cloned()
    }

    pub(super) fn tags(&self, repository: &str) -> Vec<String> {
        self.repositories.lock().unwrap().get(repository).map(|r| r.tags.keys().cloned().collect()).unwrap_or_default()
    }

    pub(super) fn manifest(&self, repository: &str, digest: &str) -> Option<(String, Bytes)> {
        self.repositories.lock().unwrap().get(repository)?.manifests.get(digest).cloned()
    }
}
