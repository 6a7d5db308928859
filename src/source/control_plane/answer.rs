//! What an answer of the control plane means.
//!
//! | status | means |
//! |---|---|
//! | 2xx | done; a web page, or for writes anything but JSON: [`Error::Unavailable`] |
//! | 3xx | [`Error::Unavailable`]: a login page or a wrong address stands before the plane; where it leads is said |
//! | 401, 403 | [`Error::Unauthorized`] |
//! | 404, 409, 410 about a job or execution | [`Error::Fenced`] |
//! | 408, 425, 429, 5xx | [`Error::Unavailable`], with its `Retry-After` |
//! | 404 that is not from the plane (a web page, plain text) | [`Error::Unavailable`]: what a proxy says while the plane is away |
//! | other 4xx | [`Error::Refused`] |

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use jiff::Timestamp;
use reqwest::{
    StatusCode,
    header::{HeaderMap, RETRY_AFTER},
};
use serde::de::{DeserializeOwned, IgnoredAny};

use super::{
    token::Token,
    transport::{Call, Subject, unavailable},
    wire::{ApiError, PROTOBUF},
};
use crate::{logs::visible, retry::parse_retry_after, source::Error};

/// Longest text taken over from an answer, in characters.
const MAX_TEXT: usize = 300;

/// An answer of any status, read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) media_type: String,
    pub(super) location: Option<String>,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Bytes,
    pub(super) token: Arc<Token>,
}

impl Answer {
    /// The answer, if it says success. A web page does not, whatever its status: it is a login's or a proxy's.
    pub(super) fn success(self, call: &Call) -> Result<Self, Error> {
        if !self.status.is_success() {
            return Err(self.error(call));
        }
        if self.is_page() {
            return Err(unavailable(format!("{}: a web page instead of an answer", call.name())));
        }
        Ok(self)
    }

    /// Whether the plane has taken what it was sent. What says so is its own: nothing, JSON, or protobuf where that was sent.
    pub(super) fn taken(self, call: &Call) -> Result<(), Error> {
        let answer = self.success(call)?;
        let body = answer.body.trim_ascii();
        if body.is_empty() || answer.media_type.starts_with(PROTOBUF) || serde_json::from_slice::<IgnoredAny>(body).is_ok() {
            return Ok(());
        }
        Err(unavailable(format!("{}: the answer is not the control plane's", call.name())))
    }

    /// The body as JSON of that shape.
    pub(super) fn json<T: DeserializeOwned>(&self, call: &Call) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let reason = if self.is_page() { "a web page instead of JSON".to_owned() } else { self.token.hide(&error.to_string()) };
            unavailable(format!("{}: the answer cannot be read: {reason}", call.name()))
        })
    }

    /// Whether the plane itself says that there is no such endpoint or thing, or that it makes no sense to it.
    pub(super) fn is_unsupported(&self) -> bool {
        matches!(
            self.status,
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::BAD_REQUEST | StatusCode::NOT_IMPLEMENTED
        )
    }

    /// Whether it is a web page: of a proxy or a login, never of the plane.
    pub(super) fn is_page(&self) -> bool {
        self.media_type.trim_start().to_ascii_lowercase().starts_with("text/html") || self.body.trim_ascii_start().starts_with(b"<")
    }

    /// Whether the plane itself says this: its errors are JSON objects. A body that is empty is given the benefit of the doubt.
    fn is_of_the_plane(&self) -> bool {
        let body = self.body.trim_ascii();
        body.is_empty() || serde_json::from_slice::<ApiError>(body).is_ok()
    }

    /// What it says, in one line of limited length.
    pub(super) fn text(&self) -> String {
        if self.is_page() {
            return "a web page".to_owned();
        }
        let said = serde_json::from_slice::<ApiError>(&self.body).ok().and_then(|error| error.text());
        let said = said.unwrap_or_else(|| String::from_utf8_lossy(&self.body).trim().to_owned());
        let line = visible(said.replace(['\n', '\r', '\t'], " ").as_bytes());
        let line = self.token.hide(&line);
        if line.chars().count() <= MAX_TEXT { line } else { line.chars().take(MAX_TEXT - 1).chain(['…']).collect() }
    }

    /// The error that an answer without success is.
    pub(super) fn error(&self, call: &Call) -> Error {
        let text = self.text();
        let status = self.status.as_u16();
        let colon = if text.is_empty() { "" } else { ": " };
        let message = format!("{}: status {status}{colon}{text}", call.name());
        match (status, call.subject) {
            (401 | 403, _) => Error::Unauthorized(message),
            (404, _) if !self.is_of_the_plane() => unavailable(message),
            (404 | 409 | 410, Subject::Execution) => Error::Fenced(message),
            (408 | 425 | 429 | 500.., _) => Error::Unavailable { message, retry_after: self.retry_after },
            (400..500, _) => Error::Refused { status, message },
            (300..400, _) => {
                let target = self.location.as_deref().map(|target| self.token.hide(target)).unwrap_or_default();
                let target: String = target.split('?').next().unwrap_or_default().chars().take(MAX_TEXT).collect();
                unavailable(format!("{}: redirected to {target}; set api_url to the address of the API itself", call.name()))
            }
            _ => unavailable(message),
        }
    }
}

/// `Retry-After` of an answer.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    parse_retry_after(headers.get(RETRY_AFTER)?.to_str().ok()?, Timestamp::now())
}
