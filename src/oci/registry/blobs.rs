//! Blobs: whether they are there, and their bytes. A download that breaks off goes on where it stopped.

use futures_util::StreamExt as _;
use reqwest::{
    Method, StatusCode,
    header::{HeaderValue, RANGE},
};

use super::Registry;
use crate::{
    logs::{JobLog, Progress},
    oci::{
        ByteStream, Cx, Descriptor, Error,
        error::ContentError,
        transport::{Answer, Request},
    },
    retry::Advice,
    shutdown::Cancel,
};

/// Progress after which a broken download gets all its tries back.
const PROGRESS: u64 = 1 << 20;

/// Most times one download is continued, however well it goes in between.
const MAX_RESUMES: usize = 100;

/// A download under way.
struct Download {
    registry: Registry,
    blob: Descriptor,
    stream: ByteStream,
    /// Bytes handed out, the offset it began at included.
    position: u64,
    /// Position after the last break.
    resumed_at: u64,
    /// Tries since there was progress.
    tries: usize,
    resumes: usize,
    cancel: Cancel,
    log: JobLog,
}

impl Registry {
    pub(super) fn name_blob(&self, blob: &Descriptor) -> String {
        format!("blob {} of {}", blob.digest, self.display())
    }

    /// Whether a blob is there.
    ///
    /// # Errors
    /// When that cannot be found out.
    pub async fn has_blob(&self, cx: Cx<'_>, blob: &Descriptor) -> Result<bool, Error> {
        let url = self.url(cx, &format!("blobs/{}", blob.digest)).await?;
        let scope = self.read_scope();
        let request = Request::new(Method::HEAD, url, &scope);
        self.retrying(cx, || async {
            let answer = self.read(cx, &request).await?;
            match answer.status() {
                StatusCode::OK => Ok(true),
                StatusCode::NOT_FOUND => Ok(false),
                _ => Err(answer.into_error(request.name()).await),
            }
        })
        .await
    }

    /// A blob's bytes from `offset` on; their number is checked, their digest is not.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such blob.
    pub async fn open_blob(&self, cx: Cx<'_>, blob: &Descriptor, offset: u64) -> Result<ByteStream, Error> {
        let stream = self.retrying(cx, || self.get_blob(cx, blob, offset)).await?;
        let download = Download {
            registry: self.clone(),
            blob: blob.clone(),
            stream,
            position: offset,
            resumed_at: offset,
            tries: 0,
            resumes: 0,
            cancel: cx.cancel.clone(),
            log: cx.log.clone(),
        };
        Ok(futures_util::stream::try_unfold(
            download,
            |mut download| async move { Ok(download.next().await?.map(|piece| (piece, download))) },
        )
        .boxed())
    }

    /// Asks for a blob once.
    async fn get_blob(&self, cx: Cx<'_>, blob: &Descriptor, offset: u64) -> Result<ByteStream, Error> {
        let url = self.url(cx, &format!("blobs/{}", blob.digest)).await?;
        let scope = self.read_scope();
        let mut request = Request::new(Method::GET, url, &scope);
        if offset > 0 {
            // Digits are always a valid header value.
            if let Ok(range) = HeaderValue::from_str(&format!("bytes={offset}-")) {
                request = request.header(RANGE, range);
            }
        }
        let answer = self.read(cx, &request).await?;
        let what = || self.name_blob(blob);
        let begins_at = match answer.status() {
            StatusCode::OK => 0,
            StatusCode::PARTIAL_CONTENT => range_start(&answer).unwrap_or(offset),
            StatusCode::NOT_FOUND => {
                return Err(match answer.into_error(request.name()).await {
                    Error::Response(_) => self.not_found(format!("blob {}", blob.digest)),
                    other => other,
                });
            }
            _ => return Err(answer.into_error(request.name()).await),
        };
        if begins_at > offset {
            return Err(ContentError::NotARegistry {
                host: self.host().to_owned(),
                reason: format!("{}: another range than asked for", what()),
            }
            .into());
        }
        if let Some(length) = answer.response.content_length().filter(|length| begins_at + length != blob.size) {
            return Err(ContentError::Size { what: what(), expected: blob.size, actual: begins_at + length }.into());
        }
        let stream = answer.stream(self.settings());
        Ok(if begins_at == offset { stream } else { skip(stream, offset - begins_at) })
    }
}

/// First byte of `Content-Range: bytes 5-9/10`.
fn range_start(answer: &Answer) -> Option<u64> {
    answer.header("content-range")?.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}

/// Leaves out the first `count` bytes, for a server that does not do ranges.
fn skip(stream: ByteStream, count: u64) -> ByteStream {
    let mut left = count;
    stream
        .filter_map(move |piece| {
            let piece = piece.map(|mut bytes| {
                let cut = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                left -= cut as u64;
                bytes.split_off(cut)
            });
            std::future::ready(match piece {
                Ok(bytes) if bytes.is_empty() => None,
                piece => Some(piece),
            })
        })
        .boxed()
}

impl Download {
    /// The next piece; `None` at the end, which is never before the last byte.
    async fn next(&mut self) -> Result<Option<bytes::Bytes>, Error> {
        loop {
            let error = match self.cancel.run(self.stream.next()).await? {
                Some(Ok(piece)) => {
                    self.position += piece.len() as u64;
                    if self.position > self.blob.size {
                        return Err(self.wrong_size());
                    }
                    return Ok(Some(piece));
                }
                None if self.position == self.blob.size => return Ok(None),
                None => self.wrong_size(),
                Some(Err(error)) => error,
            };
            self.resume(error).await?;
        }
    }

    fn wrong_size(&self) -> Error {
        ContentError::Size { what: self.registry.name_blob(&self.blob), expected: self.blob.size, actual: self.position }.into()
    }

    /// Continues after `error`, or gives it back.
    async fn resume(&mut self, error: Error) -> Result<(), Error> {
        if self.position - self.resumed_at >= PROGRESS {
            self.tries = 0;
        }
        self.tries += 1;
        self.resumes += 1;
        if error.advice() == Advice::GiveUp || self.tries >= self.registry.settings().retry.tries || self.resumes > MAX_RESUMES {
            return Err(error);
        }
        self.log.warn(format_args!("{error}; continuing {} at byte {} of {}", self.blob.digest, self.position, self.blob.size));
        self.resumed_at = self.position;
        let progress = Progress::default();
        let cx = Cx { cancel: &self.cancel, log: &self.log, progress: &progress };
        let (registry, blob, position) = (&self.registry, &self.blob, self.position);
        self.stream = registry.retrying(cx, || registry.get_blob(cx, blob, position)).await?;
        Ok(())
    }
}
