//! Sending one request once: timeouts that follow the bytes, errors told apart by whose they are.
//!
//! There is no limit on the whole of an upload or download, only on standing still.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use reqwest::{
    Body, Response,
    header::{AUTHORIZATION, CONTENT_LENGTH, HeaderValue},
};

use super::{
    super::{ByteStream, Cx, Error, settings::Timeouts},
    Payload, Request, SendError, failure,
};

/// What the two ends of an upload know of each other.
#[derive(Default)]
struct Flow {
    /// Bytes the connection has taken.
    sent: AtomicU64,
    /// Why the source stopped early.
    source_error: Mutex<Option<Error>>,
}

/// Sends `request` once and returns whatever is answered.
pub(super) async fn send(
    cx: Cx<'_>,
    client: &reqwest::Client,
    timeouts: Timeouts,
    request: &Request<'_>,
    authorization: Option<&HeaderValue>,
) -> Result<Response, SendError> {
    let host = request.url.authority().to_owned();
    let mut builder = client.request(request.method.clone(), request.url.clone()).headers(request.headers.clone());
    if let Some(authorization) = authorization {
        builder = builder.header(AUTHORIZATION, authorization);
    }
    let flow = Arc::new(Flow::default());
    let total = match request.payload {
        Payload::Empty => {
            // POST, PUT and PATCH without a body say so, or some registries answer 411.
            if request.method != reqwest::Method::GET && request.method != reqwest::Method::HEAD {
                builder = builder.header(CONTENT_LENGTH, 0);
            }
            0
        }
        Payload::Bytes(bytes) => {
            builder = builder.body(bytes.clone());
            0
        }
        Payload::Stream { source, offset, len } => {
            let stream = source.open(cx, offset).await.map_err(SendError::Source)?;
            builder = builder.header(CONTENT_LENGTH, len).body(Body::wrap_stream(counted(stream, Arc::clone(&flow))));
            len
        }
    };
    let answer = cx.cancel.run(while_moving(builder.send(), &flow.sent, total, timeouts)).await;
    let source_error = flow.source_error.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (answer, source_error) {
        (Err(cancelled), _) => Err(SendError::Request(cancelled.into())),
        (Ok(_), Some(error)) => Err(SendError::Source(error)),
        (Ok(Some(Ok(response))), None) => Ok(response),
        (Ok(Some(Err(error))), None) => Err(SendError::Request(failure::connection(&host, &error))),
        (Ok(None), None) => Err(SendError::Request(stalled(&host, timeouts))),
    }
}

fn stalled(host: &str, timeouts: Timeouts) -> Error {
    Error::Connection { host: host.to_owned(), reason: format!("nothing moved for {} s", timeouts.idle.as_secs()), transient: true }
}

/// Counts what the connection takes, and keeps the source's error for later: `reqwest` would bury it.
fn counted(stream: ByteStream, flow: Arc<Flow>) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Send {
    stream.map(move |piece| match piece {
        Ok(piece) => {
            flow.sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
            Ok(piece)
        }
        Err(error) => {
            *flow.source_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            Err(std::io::Error::other("the source of the upload failed"))
        }
    })
}

/// Waits for `work` as long as bytes move; `None` when they do not.
async fn while_moving<T>(work: impl Future<Output = T>, sent: &AtomicU64, total: u64, timeouts: Timeouts) -> Option<T> {
    tokio::pin!(work);
    let mut before = u64::MAX;
    loop {
        let now = sent.load(Ordering::Relaxed);
        if now == before {
            return None;
        }
        before = now;
        let patience: Duration = if total > 0 && now >= total { timeouts.commit } else { timeouts.idle };
        tokio::select! {
            done = &mut work => return Some(done),
            () = tokio::time::sleep(patience) => {}
        }
    }
}

/// The body of an answer; a pause longer than `idle` is an error.
pub(in super::super) fn body(host: String, response: Response, timeouts: Timeouts) -> ByteStream {
    futures_util::stream::try_unfold((response, host), move |(mut response, host)| async move {
        match tokio::time::timeout(timeouts.idle, response.chunk()).await {
            Err(_) => Err(stalled(&host, timeouts)),
            Ok(Err(error)) => Err(failure::connection(&host, &error)),
            Ok(Ok(None)) => Ok(None),
            Ok(Ok(Some(piece))) => Ok(Some((piece, (response, host)))),
        }
    })
    .boxed()
}
