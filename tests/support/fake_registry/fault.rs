//! Single requests that go wrong.

use axum::{
    body::{Body, Bytes},
    response::Response,
};
use futures_util::stream;

use super::store::{Call, Reply};

/// What goes wrong.
#[derive(Debug, Clone)]
pub(crate) enum What {
    /// An empty answer of this status.
    Status(u16),
    /// 429, or another status, with `Retry-After` in seconds.
    RetryAfter(u16, u64),
    /// 200 and a page for people, as captive portals and proxies answer.
    Html,
    /// 401 although the token is good.
    Unauthorised,
    /// 403 as ECR answers to an expired token.
    Expired,
    /// The connection ends after so many bytes of the body.
    Cut(usize),
    /// A complete answer of only so many bytes.
    Short(usize),
    /// One bit of the body is wrong.
    Corrupt,
    /// The body goes on and on.
    Longer,
    /// The upload has no `Location`.
    NoLocation,
    /// The right answer, so many milliseconds late.
    Late(u64),
    /// No answer, ever.
    Hang,
}

/// A rule for the requests that match it.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    method: &'static str,
    path: String,
    skip: usize,
    times: usize,
    what: What,
}

impl Fault {
    /// Once, for the next request of `method` (empty for any) whose path contains `path`.
    pub(crate) fn once(method: &'static str, path: impl Into<String>, what: What) -> Self {
        Self { method, path: path.into(), skip: 0, times: 1, what }
    }

    /// So many times instead of once.
    pub(crate) fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    /// From now on always.
    pub(crate) fn always(self) -> Self {
        self.times(usize::MAX)
    }

    /// Lets so many matching requests pass first.
    pub(crate) fn after(mut self, skip: usize) -> Self {
        self.skip = skip;
        self
    }

    pub(super) fn take(&mut self, call: &Call) -> Option<What> {
        let matches = (self.method.is_empty() || self.method == call.method) && call.path.contains(&self.path);
        if !matches || self.times == 0 {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        self.times = self.times.saturating_sub(1);
        Some(self.what.clone())
    }
}

/// The answer that replaces the real one, for faults that do.
pub(super) fn instead(what: &What) -> Option<Reply> {
    match what {
        What::Status(status) => Some(Reply::status(*status)),
        What::RetryAfter(status, seconds) => Some(Reply::status(*status).header("retry-after", seconds.to_string())),
        What::Html => Some(
            Reply::status(200).header("content-type", "text/html").body(Bytes::from_static(b"<html><body>Please sign in</body></html>")),
        ),
        What::Unauthorised => Some(Reply::error(401, "UNAUTHORIZED")),
        What::Expired => Some(Reply::status(403).header("content-type", "application/json").body(Bytes::from_static(
            br#"{"errors":[{"code":"DENIED","message":"Your authorization token has expired. Reauthenticate and try again."}]}"#,
        ))),
        What::Cut(_) | What::Short(_) | What::Corrupt | What::Longer | What::NoLocation | What::Late(_) | What::Hang => None,
    }
}

/// Turns the answer into what goes over the wire.
pub(super) fn finish(mut reply: Reply, what: Option<&What>) -> Response {
    let length = reply.length.unwrap_or(reply.body.len());
    let mut announced = length;
    let mut cut = false;
    match what {
        Some(What::Cut(bytes)) => {
            reply.body.truncate(*bytes);
            announced = announced.max(bytes + 1);
            cut = true;
        }
        Some(What::Short(bytes)) => {
            reply.body.truncate(*bytes);
            announced = reply.body.len();
        }
        Some(What::Corrupt) => {
            let mut bytes = reply.body.to_vec();
            if let Some(last) = bytes.last_mut() {
                *last ^= 1;
            }
            reply.body = bytes.into();
        }
        Some(What::Longer) => {
            let mut bytes = reply.body.to_vec();
            bytes.extend_from_slice(&[b' '; 4096]);
            announced = bytes.len();
            reply.body = bytes.into();
        }
        Some(What::NoLocation) => reply.headers.retain(|(key, _)| *key != "location"),
        _ => {}
    }
    let mut response = Response::builder().status(reply.status);
    for (key, value) in reply.headers {
        response = response.header(key, value);
    }
    if !matches!(reply.status, 204 | 304) {
        response = response.header("content-length", announced);
    }
    let body = if cut {
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        Body::from_stream(stream::iter([Ok(reply.body), Err(reset)]))
    } else if reply.length.is_some() {
        // axum takes the announced length for HEAD from the header.
        Body::empty()
    } else {
        Body::from(reply.body)
    };
    response.body(body).unwrap()
}
