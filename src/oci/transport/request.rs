//! One request and what it carries.

use bytes::Bytes;
use reqwest::{
    Method, Url,
    header::{HeaderMap, HeaderName, HeaderValue},
};

use super::super::{BlobSource, auth::Scope};

/// What a request carries.
#[derive(Clone, Copy)]
pub(in super::super) enum Payload<'a> {
    /// Nothing.
    Empty,
    /// Bytes in memory.
    Bytes(&'a Bytes),
    /// `len` bytes of a source, from `offset` on.
    Stream { source: &'a dyn BlobSource, offset: u64, len: u64 },
}

/// One request, good for several tries.
pub(in super::super) struct Request<'a> {
    pub(in super::super) method: Method,
    pub(in super::super) url: Url,
    pub(in super::super) headers: HeaderMap,
    pub(in super::super) payload: Payload<'a>,
    /// What the token it carries has to be good for.
    pub(in super::super) scope: &'a Scope,
}

impl<'a> Request<'a> {
    pub(in super::super) fn new(method: Method, url: Url, scope: &'a Scope) -> Self {
        Self { method, url, headers: HeaderMap::new(), payload: Payload::Empty, scope }
    }

    pub(in super::super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    pub(in super::super) const fn payload(mut self, payload: Payload<'a>) -> Self {
        self.payload = payload;
        self
    }

    /// Method and path for messages; the query may hold signatures.
    pub(in super::super) fn name(&self) -> String {
        format!("{} {}", self.method, self.url.path())
    }
}

/// What another party than the registry did wrong.
pub(in super::super) enum SendError {
    /// The source of the bytes failed; trying the upload again does not help.
    Source(super::super::Error),
    /// The request failed.
    Request(super::super::Error),
}
