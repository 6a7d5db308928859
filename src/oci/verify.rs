//! Checking bytes on their way.

use async_trait::async_trait;
use futures_util::StreamExt as _;

use super::{BlobSource, ByteStream, Cx, Descriptor, Error, error::ContentError};
use crate::digest::Hasher;

/// The same stream, ending in an error when its bytes do not have the blob's digest and size. Only for streams that begin at 0.
/// For whoever keeps the bytes: a registry checks what is uploaded to it itself.
///
/// The last piece is handed out only when all of them are right, so that an upload of wrong bytes stays incomplete.
#[must_use]
pub fn verified(stream: ByteStream, blob: &Descriptor, place: String) -> ByteStream {
    let check = Check { hasher: Some(Hasher::new(blob.digest.algorithm())), count: 0, expected: blob.clone(), place };
    futures_util::stream::try_unfold((stream, check), |(mut stream, mut check)| async move {
        match stream.next().await {
            Some(piece) => {
                let piece = piece?;
                check.update(&piece)?;
                Ok(Some((piece, (stream, check))))
            }
            None => check.end().map(|()| None),
        }
    })
    .boxed()
}

/// What has come of a blob so far.
struct Check {
    /// `None` once the digest was found right.
    hasher: Option<Hasher>,
    count: u64,
    expected: Descriptor,
    place: String,
}

impl Check {
    fn what(&self) -> String {
        format!("blob {} of {}", self.expected.digest, self.place)
    }

    fn update(&mut self, piece: &[u8]) -> Result<(), Error> {
        self.count += piece.len() as u64;
        if self.count > self.expected.size {
            return Err(self.wrong_size());
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(piece);
        }
        if self.count == self.expected.size { self.finish() } else { Ok(()) }
    }

    fn end(&mut self) -> Result<(), Error> {
        if self.count == self.expected.size { self.finish() } else { Err(self.wrong_size()) }
    }

    fn finish(&mut self) -> Result<(), Error> {
        let Some(actual) = self.hasher.take().map(Hasher::finish) else { return Ok(()) };
        if actual == self.expected.digest {
            return Ok(());
        }
        Err(ContentError::Digest { what: self.what(), expected: self.expected.digest.clone(), actual }.into())
    }

    fn wrong_size(&self) -> Error {
        ContentError::Size { what: self.what(), expected: self.expected.size, actual: self.count }.into()
    }
}

/// A source whose bytes are checked as they are sent.
pub(super) struct Verified<'a> {
    pub(super) source: &'a dyn BlobSource,
    pub(super) blob: &'a Descriptor,
    pub(super) place: &'static str,
}

#[async_trait]
impl BlobSource for Verified<'_> {
    async fn open(&self, cx: Cx<'_>, offset: u64) -> Result<ByteStream, Error> {
        let stream = self.source.open(cx, offset).await?;
        Ok(if offset == 0 { verified(stream, self.blob, self.place.to_owned()) } else { stream })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    async fn read(pieces: &[&'static [u8]], content: &[u8]) -> (Vec<u8>, Option<String>) {
        let stream = futures_util::stream::iter(pieces.iter().map(|piece| Ok(Bytes::from_static(piece))).collect::<Vec<_>>()).boxed();
        let mut stream = verified(stream, &Descriptor::of("x", content), "here".to_owned());
        let mut all = Vec::new();
        while let Some(piece) = stream.next().await {
            match piece {
                Ok(piece) => all.extend_from_slice(&piece),
                Err(error) => return (all, Some(error.to_string())),
            }
        }
        (all, None)
    }

    #[tokio::test]
    async fn wrong_bytes_never_become_complete() {
        assert_eq!(read(&[b"ab", b"c"], b"abc").await, (b"abc".to_vec(), None));
        assert_eq!(read(&[], b"").await, (Vec::new(), None));
        let (got, error) = read(&[b"ab", b"x"], b"abc").await;
        assert_eq!(got, b"ab");
        assert!(error.is_some_and(|e| e.contains("digest")));
        let (got, error) = read(&[b"ab"], b"abc").await;
        assert!(got.len() < 3 && error.is_some_and(|e| e.contains("2 bytes, not 3")));
        let (got, error) = read(&[b"ab", b"cd"], b"abc").await;
        assert!(got.len() < 3 && error.is_some_and(|e| e.contains("4 bytes, not 3")));
    }
}
