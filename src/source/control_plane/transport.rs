//! One request to the control plane: token, time limit, size limit, and what its answer means.
//!
//! ```text
//! Call ─► token ─► send ─► 401: token from its file again, once more ─► Answer of any status ─► success() ─► json()
//! ```
//!
//! Invariants: the token goes to the configured scheme, host and port alone (redirects are not followed); every call is over by its
//! deadline, however slowly the answer drips; no more of an answer is kept than its limit. Trying again is the caller's business.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use reqwest::{
    Method, Response, StatusCode, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION},
};
use serde::de::DeserializeOwned;

use super::{
    answer::{self, Answer},
    token::Token,
    wire::CLIENT_VERSION,
};
use crate::source::Error;

/// Most bytes of an answer, unless the call says otherwise.
pub(super) const MAX_ANSWER: usize = 4 << 20;
/// Most bytes of an answer that is an error.
const MAX_ERROR: usize = 64 << 10;

/// What a call is about: decides what 404, 409 and 410 mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// The runner itself.
    Runner,
    /// A job or an execution of it: it may be somebody else's by now.
    Execution,
}

/// A request that can be sent, and sent again.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) subject: Subject,
    /// The whole exchange is over by then.
    pub(super) deadline: Duration,
    /// Most bytes of the answer.
    pub(super) limit: usize,
}

impl Call {
    /// As messages name it. Queries are left out: they are long and say little.
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.method, self.url.path())
    }

    pub(super) fn query(mut self, key: &str, value: &str) -> Self {
        self.url.query_pairs_mut().append_pair(key, value);
        self
    }

    pub(super) fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
        self
    }

    pub(super) fn json(mut self, body: &impl serde::Serialize) -> Self {
        // The wire types have string keys and finite numbers only: there is nothing that could fail.
        self.body = serde_json::to_vec(body).unwrap_or_default().into();
        self.header("content-type", "application/json")
    }

    pub(super) const fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }
}

/// The connection to one control plane, as one runner.
#[derive(Debug)]
pub(super) struct Transport {
    client: reqwest::Client,
    base: Url,
    token: Arc<Token>,
    version: String,
    call_timeout: Duration,
}

impl Transport {
    pub(super) fn new(client: reqwest::Client, base: Url, token: Token, version: &str, call_timeout: Duration) -> Self {
        Self { client, base, token: Arc::new(token), version: format!("runner:{version}"), call_timeout }
    }

    /// A call of `/v1/<segments>`, with the limits that most calls have.
    pub(super) fn request(&self, method: Method, subject: Subject, segments: &[&str]) -> Call {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push("v1").extend(segments);
        }
        let headers = HeaderMap::new();
        let call = Call { method, url, headers, body: Bytes::new(), subject, deadline: self.call_timeout, limit: MAX_ANSWER };
        call.header(CLIENT_VERSION, &self.version)
    }

    /// Sends it and gives the answer, whatever its status.
    pub(super) async fn send(&self, call: &Call) -> Result<Answer, Error> {
        let exchange = async {
            let token = self.token.header().map_err(|error| Error::Unauthorized(chain(&error)))?;
            let answer = self.once(call, &token).await?;
            if answer.status != StatusCode::UNAUTHORIZED {
                return Ok(answer);
            }
            match self.token.renewed(&token) {
                Some(renewed) => self.once(call, &renewed).await,
                None => Ok(answer),
            }
        };
        let late = || unavailable(format!("{}: no complete answer within {:?}", call.name(), call.deadline));
        tokio::time::timeout(call.deadline, exchange).await.map_err(|_| late())?
    }

    /// Sends it and gives the answer if it says success.
    pub(super) async fn success(&self, call: &Call) -> Result<Answer, Error> {
        self.send(call).await?.success(call)
    }

    /// Sends something that the plane is to take.
    pub(super) async fn tell(&self, call: &Call) -> Result<(), Error> {
        self.send(call).await?.taken(call)
    }

    /// Sends it and reads the JSON of an answer that says success.
    pub(super) async fn json<T: DeserializeOwned>(&self, call: &Call) -> Result<T, Error> {
        self.success(call).await?.json(call)
    }

    async fn once(&self, call: &Call, token: &HeaderValue) -> Result<Answer, Error> {
        let request = self.client.request(call.method.clone(), call.url.clone());
        let request = request.headers(call.headers.clone()).header(AUTHORIZATION, token.clone());
        let request = if call.body.is_empty() { request } else { request.body(call.body.clone()) };
        let response = request.send().await.map_err(|error| self.broken(call, error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let limit = if status.is_success() { call.limit } else { MAX_ERROR };
        let body = self.read(call, response, limit).await?;
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok(Answer {
            status,
            media_type: text(CONTENT_TYPE).unwrap_or_default(),
            location: text(LOCATION),
            retry_after: answer::retry_after(&headers),
            body,
            token: Arc::clone(&self.token),
        })
    }

    async fn read(&self, call: &Call, mut response: Response, limit: usize) -> Result<Bytes, Error> {
        let status = response.status();
        let mut body = BytesMut::new();
        while let Some(piece) = response.chunk().await.map_err(|error| self.broken(call, error))? {
            let room = limit - body.len();
            if piece.len() > room {
                if !status.is_success() {
                    body.extend_from_slice(&piece[..room]);
                    break;
                }
                let message = format!("{}: the answer is longer than {limit} bytes", call.name());
                // Of one job's plan it will be so for ever; of a list it depends on what is in it; of a write it was not the plane's.
                return Err(match call.subject {
                    Subject::Execution if call.method == Method::GET => Error::Refused { status: status.as_u16(), message },
                    Subject::Execution | Subject::Runner => unavailable(message),
                });
            }
            body.extend_from_slice(&piece);
        }
        Ok(body.freeze())
    }

    fn broken(&self, call: &Call, error: reqwest::Error) -> Error {
        let (connect, timeout) = (error.is_connect(), error.is_timeout());
        let error = error.without_url();
        let reason = if timeout { "no connection in time".to_owned() } else { innermost(&error) };
        let origin = self.base.origin().ascii_serialization();
        unavailable(match (connect, tls_hint(&error)) {
            (true, Some(hint)) => format!("{origin} cannot be reached: {reason}; {hint}"),
            (true, None) => format!("{origin} cannot be reached: {reason}"),
            (false, _) => format!("{}: the connection broke: {reason}", call.name()),
        })
    }
}

pub(super) const fn unavailable(message: String) -> Error {
    Error::Unavailable { message, retry_after: None }
}

/// What an untrusted certificate or a server without TLS needs.
fn tls_hint(error: &reqwest::Error) -> Option<&'static str> {
    match causes(error).find_map(|cause| cause.downcast_ref::<rustls::Error>())? {
        rustls::Error::InvalidCertificate(_) => Some("its certificate is not trusted: add its authority with the setting ca_file"),
        rustls::Error::InvalidMessage(_) => Some("it does not speak TLS: write the setting api_url with http://"),
        _ => None,
    }
}

/// An error and what caused it; `io::Error` hides what it wraps from `source`.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error as &(dyn std::error::Error + 'static)), |error| {
        match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        }
    })
}

/// The deepest cause: what the layers above repeat in other words.
pub(super) fn innermost(error: &reqwest::Error) -> String {
    causes(error).last().map_or_else(String::new, ToString::to_string)
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |error| error.source()).fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
