//! Reading request bodies: bounded in size, in time, and unpacked.
//!
//! In: a request. Out: bytes or a decoded value, or the [`Refusal`] that says what is wrong with it. A body that is too large is still read to
//! a point, so that the client sees the answer instead of a broken connection.

use std::io::Read as _;

use axum::{
    body::Body,
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

use super::{error::Refusal, options::Limits};
use crate::source::control_plane::otlp::Coding;

/// How much of a body that is too large is read before the connection is given up.
const DISCARD: usize = 64 << 20;

/// A request's body with its headers, not read yet.
pub(crate) struct Incoming {
    headers: HeaderMap,
    body: Body,
}

impl<S: Sync> FromRequest<S> for Incoming {
    type Rejection = std::convert::Infallible;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Self::Rejection> {
        let (parts, body) = request.into_parts();
        Ok(Self { headers: parts.headers, body })
    }
}

impl Incoming {
    /// The whole body as it comes.
    pub(crate) async fn content(self, limit: usize, limits: &Limits) -> Result<Content, Refusal> {
        let coding = self.coding()?;
        let bytes = timeout_at(Instant::now() + limits.arrival, read(self.body, limit)).await.map_err(|_| Refusal::slow())??;
        Ok(Content { bytes, coding })
    }

    /// The whole body, unpacked. `limit` counts both before and after unpacking.
    pub(crate) async fn bytes(self, limit: usize, limits: &Limits) -> Result<Bytes, Refusal> {
        let content = self.content(limit, limits).await?;
        match content.coding {
            Coding::Identity => Ok(content.bytes),
            // Unpacking takes a processor for a while, which nobody else on this thread should have to wait for.
            Coding::Gzip => tokio::task::spawn_blocking(move || unpack(&content.bytes, limit)).await.map_err(|_| Refusal::internal())?,
        }
    }

    /// The body as JSON; an empty one is taken as `{}`.
    pub(crate) async fn json<T: DeserializeOwned>(self, limit: usize, limits: &Limits) -> Result<T, Refusal> {
        self.expect("application/json", |kind| kind == "application/json" || kind.ends_with("+json"))?;
        let bytes = self.bytes(limit, limits).await?;
        decode(&bytes)
    }

    /// Refuses any other type of content than `wanted`; content without a type is given the benefit of the doubt.
    pub(crate) fn expect(&self, name: &str, wanted: impl Fn(&str) -> bool) -> Result<(), Refusal> {
        let Some(value) = self.headers.get(header::CONTENT_TYPE) else { return Ok(()) };
        let text = value.to_str().unwrap_or_default();
        let kind = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if kind.is_empty() || wanted(&kind) {
            return Ok(());
        }
        Err(Refusal::unsupported(format!("the content has to be {name}; say so in the header Content-Type")))
    }

    fn coding(&self) -> Result<Coding, Refusal> {
        let header = self.headers.get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?"));
        let refuse = || Refusal::unsupported("the only Content-Encoding understood here is gzip; send the content plain or with that");
        Coding::of(header).ok_or_else(refuse)
    }
}

/// A body that has arrived.
pub(crate) struct Content {
    /// As it came.
    pub(crate) bytes: Bytes,
    /// How it is packed.
    pub(crate) coding: Coding,
}

/// JSON, with the place of the mistake.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    let bytes = if bytes.is_empty() { b"{}" } else { bytes };
    serde_json::from_slice(bytes).map_err(|error| {
        let what = if error.is_data() { "the body does not fit" } else { "the body is not JSON" };
        Refusal::malformed(format!("{what}: {error}"))
    })
}

async fn read(body: Body, limit: usize) -> Result<Bytes, Refusal> {
    let mut pieces = body.into_data_stream();
    let mut whole = BytesMut::new();
    let (mut first, mut length) = (None, 0_usize);
    while let Some(piece) = pieces.next().await {
        // Broken off by the client, who does not hear the answer either.
        let piece = piece.map_err(|_| Refusal::malformed("the body ended before its time"))?;
        length = length.saturating_add(piece.len());
        if length > DISCARD.max(limit) {
            break;
        }
        if length > limit {
            (first, whole) = (None, BytesMut::new());
        } else if first.is_none() && whole.is_empty() {
            // Most bodies come in one piece, which need not be copied.
            first = Some(piece);
        } else {
            whole.extend_from_slice(&first.take().unwrap_or_default());
            whole.extend_from_slice(&piece);
        }
    }
    if length > limit {
        return Err(Refusal::too_large("the body", limit));
    }
    Ok(first.unwrap_or_else(|| whole.freeze()))
}

fn unpack(packed: &[u8], limit: usize) -> Result<Bytes, Refusal> {
    let mut whole = Vec::new();
    let mut reader = flate2::read::MultiGzDecoder::new(packed).take(u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1));
    reader.read_to_end(&mut whole).map_err(|_| Refusal::malformed("the body is not gzip, though its Content-Encoding says so"))?;
    if whole.len() > limit {
        return Err(Refusal::too_large("the unpacked body", limit));
    }
    Ok(whole.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_bomb_is_stopped_at_the_limit() {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(&vec![0; 8 << 20]).expect("in memory");
        let bomb = packer.finish().expect("in memory");
        assert!(bomb.len() < 100_000);
        assert_eq!(unpack(&bomb, 1 << 20).expect_err("a bomb").status(), 413);
        assert_eq!(unpack(&bomb, 8 << 20).expect("just fits").len(), 8 << 20);
        assert_eq!(unpack(b"plain", 10).expect_err("not gzip").status(), 400);
    }

    #[tokio::test]
    async fn pieces_are_joined_and_counted() {
        let body = |pieces: &'static [&'static str]| {
            Body::from_stream(futures_util::stream::iter(pieces.iter().map(|p| Ok::<_, std::io::Error>(*p))))
        };
        assert_eq!(read(body(&["ab", "", "cd", "e"]), 5).await.expect("fits"), "abcde");
        assert_eq!(read(body(&["abc"]), 3).await.expect("fits"), "abc");
        assert_eq!(read(body(&["abc", "d"]), 3).await.expect_err("too long").status(), 413);
    }

    #[test]
    fn json_mistakes_have_a_place() {
        let refusal = decode::<serde_json::Value>(b"{\n  \"a\": }").expect_err("broken");
        assert!(format!("{refusal:?}").contains("line 2 column 8"), "{refusal:?}");
    }
}
