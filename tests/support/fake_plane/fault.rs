//! Requests that go wrong.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    response::Response,
};
use futures_util::{StreamExt as _, stream};

use super::{api::Reply, call::Endpoint};

/// What goes wrong. The first group leaves the request without effect, the second spoils the answer to one that took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// An error of the plane with this status.
    Status(u16),
    /// 200 and something that is not JSON.
    Garbage,
    /// 200 and a page for people, as captive portals and logins answer.
    Page,
    /// An error page of a proxy.
    ErrorPage(u16),
    /// 200 and more than anybody would want to read.
    Endless,
    /// No answer, ever.
    Hang,
    /// The connection ends without an answer.
    Cut,

    /// Done, but the connection ends without an answer.
    Lost,
    /// Done, but half of the answer is missing.
    Half,
    /// Done, but the answer never comes and the connection stays.
    Mute,
    /// Done, and answered byte by byte.
    Drip,
}

/// A rule for the requests to one endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    endpoint: Endpoint,
    times: usize,
    what: What,
}

impl Fault {
    /// For the next request to `endpoint`.
    pub(crate) fn once(endpoint: Endpoint, what: What) -> Self {
        Self { endpoint, times: 1, what }
    }

    /// For so many requests.
    pub(crate) fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    /// For all requests from now on.
    pub(crate) fn always(self) -> Self {
        self.times(usize::MAX)
    }

    pub(super) fn take(&mut self, endpoint: Endpoint) -> Option<What> {
        if self.endpoint != endpoint || self.times == 0 {
            return None;
        }
        self.times = self.times.saturating_sub(1);
        Some(self.what)
    }
}

/// Ends the connection: whoever reads from it finds it closed.
pub(super) fn cut() -> ! {
    // The task of the connection goes with the panic; its socket is closed and nothing is printed.
    std::panic::resume_unwind(Box::new("cut"))
}

/// The answer to a request that has no effect.
pub(super) fn instead(what: What) -> Option<Response> {
    let page = |status| response(status, "text/html", Body::from("<html><body>Please sign in</body></html>"));
    match what {
        What::Status(status) => Some(Reply::error(status, "planted").into_response()),
        What::Garbage => Some(response(200, "application/json", Body::from("}{ not \u{0} json"))),
        What::Page => Some(page(200)),
        What::ErrorPage(status) => Some(page(status)),
        What::Endless => Some(response(
            200,
            "application/json",
            Body::from_stream(stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 65536])))),
        )),
        What::Cut => cut(),
        What::Hang | What::Lost | What::Half | What::Mute | What::Drip => None,
    }
}

/// The right answer, or what is left of it.
pub(super) async fn spoil(reply: Reply, what: Option<What>) -> Response {
    match what {
        Some(What::Lost) => cut(),
        Some(What::Mute) => std::future::pending().await,
        Some(What::Half) => {
            let half = Bytes::copy_from_slice(&reply.body[..reply.body.len() / 2]);
            let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
            response(reply.status, reply.media_type, Body::from_stream(stream::iter([Ok(half), Err(reset)])))
        }
        Some(What::Drip) => {
            // All of it within a second or so: slow, but alive.
            let pieces: Vec<Bytes> = reply.body.chunks(reply.body.len() / 20 + 1).map(Bytes::copy_from_slice).collect();
            let drops = stream::iter(pieces).then(|drop| async move {
                tokio::time::sleep(Duration::from_millis(40)).await;
                Ok::<_, std::io::Error>(drop)
            });
            response(reply.status, reply.media_type, Body::from_stream(drops))
        }
        _ => reply.into_response(),
    }
}

pub(super) fn response(status: u16, media_type: &str, body: Body) -> Response {
    Response::builder().status(status).header("content-type", media_type).body(body).unwrap()
}
