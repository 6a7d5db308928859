//! Where a blob's bytes come from when they are uploaded.
//!
//! An upload that failed half way begins again, so it needs a source that can be opened more than once: [`BlobSource`]. Its
//! streams own what they need; nothing is buffered beyond one piece.

use std::{path::PathBuf, pin::Pin};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::io::ReaderStream;

use super::{Cx, Error};

/// Size of the pieces a file is read in.
const PIECE: usize = 128 << 10;

/// A blob's bytes, in pieces.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>;

/// Something that gives the same bytes each time it is opened.
#[async_trait]
pub trait BlobSource: Send + Sync {
    /// The bytes from `offset` to the end. Called again, possibly with another offset, whenever an upload has to begin again.
    async fn open(&self, cx: Cx<'_>, offset: u64) -> Result<ByteStream, Error>;
}

#[async_trait]
impl BlobSource for Bytes {
    async fn open(&self, _cx: Cx<'_>, offset: u64) -> Result<ByteStream, Error> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        Ok(futures_util::stream::once(std::future::ready(Ok(self.slice(start..)))).boxed())
    }
}

/// A file. What it holds must not change while it is uploaded; if it does, the digest gives it away.
#[derive(Debug, Clone)]
pub struct FileSource {
    /// The file.
    pub path: PathBuf,
    /// Bytes of it that are sent.
    pub size: u64,
}

#[async_trait]
impl BlobSource for FileSource {
    async fn open(&self, cx: Cx<'_>, offset: u64) -> Result<ByteStream, Error> {
        let path = self.path.clone();
        let fail = move |source| Error::Io { path: path.clone(), source };
        let mut file = cx.cancel.run(tokio::fs::File::open(&self.path)).await?.map_err(&fail)?;
        file.seek(std::io::SeekFrom::Start(offset)).await.map_err(&fail)?;
        let rest = file.take(self.size.saturating_sub(offset));
        Ok(ReaderStream::with_capacity(rest, PIECE).map(move |piece| piece.map_err(&fail)).boxed())
    }
}
