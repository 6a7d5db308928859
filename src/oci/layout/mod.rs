//! Image layouts on disk: an OCI image layout 1.0.0 (image-spec 1.1, `image-layout.md`) as source and as destination.
//!
//! ```text
//! oci-layout                {"imageLayoutVersion":"1.0.0"}; also what runners lock while they change index.json
//! index.json                one entry per tag, annotated org.opencontainers.image.ref.name
//! blobs/sha256/<hex>        manifests, configs and layers alike
//! ```
//!
//! Invariants: every blob written was hashed on the way and has its name only once it is whole and on disk; `index.json` is
//! replaced at once, under a lock, and keeps what other tools wrote; nothing is read through a link that leads out of the folder.
//! Nothing is created before the first write. Referrers are kept under the tag schema `sha256-<hex>`, where oras and regctl
//! look for them.
//!
//! Called by [`super::Repository`] alone.

mod error;
mod folder;
mod index;
#[cfg(test)]
mod tests;
mod write;

use std::{
    io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::io::ReaderStream;

pub use error::{LayoutError, LayoutProblem};
use index::IndexFile;

use super::{
    ByteStream, Cx, Descriptor, Error, Reference,
    error::ContentError,
    manifest::{self, Manifest},
    media_type,
};
use crate::digest::Digest;

/// Bytes read from a blob at a time.
const PIECE: usize = 128 << 10;
/// Most entries of `index.json` that are opened to see what they are about.
const MAX_SCANNED: usize = 4096;

/// A layout folder.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The layout at `path`, which need not exist before something is written.
    ///
    /// # Errors
    /// When there is something at `path` that is no layout.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let root = std::path::absolute(path).map_err(folder::io_error(path))?;
        folder::exists(&root)?;
        Ok(Self { root })
    }

    /// Its absolute path.
    #[must_use]
    pub fn display(&self) -> String {
        self.root.display().to_string()
    }

    /// The absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Runs blocking work on the layout; a cancelled call does not wait for it.
    async fn blocking<T: Send + 'static>(
        &self,
        cx: Cx<'_>,
        work: impl FnOnce(&Self) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let this = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&this));
        cx.cancel.run(done).await?.unwrap_or_else(|dead| Err(folder::io_error(&self.root)(io::Error::other(dead))))
    }

    fn index(&self) -> Result<IndexFile, Error> {
        if !folder::exists(&self.root)? {
            return Ok(IndexFile::empty());
        }
        let path = self.root.join("index.json");
        match folder::read(&self.root, &path, index::MAX_INDEX) {
            Ok(bytes) => Ok(IndexFile::parse(&bytes).map_err(|problem| problem.at(&path))?),
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(IndexFile::empty()),
            Err(error) => Err(error),
        }
    }

    fn missing(&self, what: &str) -> Error {
        if self.root.join("oci-layout").exists() {
            Error::NotFound { what: what.to_owned(), repository: self.display() }
        } else {
            LayoutProblem::Missing.at(&self.root).into()
        }
    }

    /// Reads a blob that is kept in memory.
    fn small(&self, digest: &Digest, expected: Option<u64>, limit: u64) -> Result<Bytes, Error> {
        let path = folder::blob_path(&self.root, digest);
        let bytes = folder::read(&self.root, &path, limit).map_err(|error| self.absent(error, digest))?;
        if let Some(expected) = expected.filter(|&expected| expected != bytes.len() as u64) {
            return Err(ContentError::Size { what: path.display().to_string(), expected, actual: bytes.len() as u64 }.into());
        }
        folder::verify(&path, digest, &bytes)?;
        Ok(bytes.into())
    }

    /// A blob's file that is not there, in the words of a registry.
    fn absent(&self, error: Error, digest: &Digest) -> Error {
        match error {
            Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => self.missing(&format!("blob {digest}")),
            other => other,
        }
    }

    fn manifest_now(&self, reference: &Reference) -> Result<(Descriptor, Bytes), Error> {
        let index = self.index()?;
        let entry = match reference {
            Reference::Tag(tag) => {
                let meant = index.meant(tag).map_err(|problem| problem.at(&self.root.join("index.json")))?;
                Some(meant.ok_or_else(|| self.missing(&format!("tag '{tag}'")))?)
            }
            Reference::Digest(digest) => index.by_digest(digest),
        };
        let digest = match (&entry, reference) {
            (Some(entry), _) => &entry.digest,
            (None, Reference::Digest(digest)) => digest,
            (None, Reference::Tag(tag)) => return Err(self.missing(&format!("tag '{tag}'"))),
        };
        let bytes = self.small(digest, entry.as_ref().map(|entry| entry.size), manifest::MAX_READ)?;
        let media_type = manifest::effective_media_type(entry.as_ref().map(|entry| entry.media_type.as_str()), &bytes);
        Ok((Descriptor::new(media_type, digest.clone(), bytes.len() as u64), bytes))
    }

    /// The manifest that a tag or digest means: also the only entry of a layout without names, and the image of a full name.
    pub async fn manifest(&self, cx: Cx<'_>, reference: &Reference) -> Result<(Descriptor, Bytes), Error> {
        let reference = reference.clone();
        self.blocking(cx, move |layout| layout.manifest_now(&reference)).await
    }

    /// The manifest of exactly that tag or digest, if there is one whose bytes are there.
    pub async fn find(&self, cx: Cx<'_>, reference: &Reference) -> Result<Option<Descriptor>, Error> {
        let reference = reference.clone();
        self.blocking(cx, move |layout| {
            let digest = match &reference {
                Reference::Digest(digest) => digest.clone(),
                Reference::Tag(tag) => match layout.index()?.tagged(tag).map_err(|problem| problem.at(&layout.root.join("index.json")))? {
                    Some(entry) => entry.digest,
                    None => return Ok(None),
                },
            };
            match layout.manifest_now(&Reference::Digest(digest)) {
                Ok((descriptor, _)) => Ok(Some(descriptor)),
                Err(Error::NotFound { .. } | Error::Layout(LayoutError { problem: LayoutProblem::Missing, .. })) => Ok(None),
                Err(error) => Err(error),
            }
        })
        .await
    }

    /// Whether the blob is there, in full as far as its size tells.
    pub async fn has_blob(&self, cx: Cx<'_>, blob: &Descriptor) -> Result<bool, Error> {
        let blob = blob.clone();
        self.blocking(cx, move |layout| Ok(layout.holds(&blob))).await
    }

    fn holds(&self, blob: &Descriptor) -> bool {
        let path = folder::blob_path(&self.root, &blob.digest);
        folder::open(&self.root, &path).is_ok_and(|(_, size)| size == blob.size)
    }

    /// A blob's bytes from `offset` on. Their digest is for the reader to check.
    pub async fn open_blob(&self, cx: Cx<'_>, blob: &Descriptor, offset: u64) -> Result<ByteStream, Error> {
        let wanted = blob.clone();
        let (file, path) = self
            .blocking(cx, move |layout| {
                let path = folder::blob_path(&layout.root, &wanted.digest);
                let (file, size) = folder::open(&layout.root, &path).map_err(|error| layout.absent(error, &wanted.digest))?;
                if size != wanted.size {
                    return Err(ContentError::Size { what: path.display().to_string(), expected: wanted.size, actual: size }.into());
                }
                Ok((file, path))
            })
            .await?;
        let fail = move |source| Error::Io { path: path.clone(), source };
        let mut file = tokio::fs::File::from_std(file);
        file.set_max_buf_size(PIECE);
        file.seek(io::SeekFrom::Start(offset)).await.map_err(&fail)?;
        let rest = file.take(blob.size.saturating_sub(offset));
        Ok(ReaderStream::with_capacity(rest, PIECE).map(move |piece| piece.map_err(&fail)).boxed())
    }

    /// Every tag, sorted.
    pub async fn tags(&self, cx: Cx<'_>) -> Result<Vec<String>, Error> {
        self.blocking(cx, |layout| Ok(layout.index()?.tags())).await
    }

    /// Manifests about `subject`: those of the tag schema, and those other tools list in `index.json` itself.
    pub async fn referrers(&self, cx: Cx<'_>, subject: &Digest) -> Result<Option<Vec<Descriptor>>, Error> {
        let subject = subject.clone();
        self.blocking(cx, move |layout| layout.referrers_now(&subject).map(Some)).await
    }

    fn referrers_now(&self, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
        let index = self.index()?;
        let schema = super::referrers::fallback_tag(subject);
        let mut found: Vec<Descriptor> = Vec::new();
        if let Some(entry) = index.tagged(&schema).map_err(|problem| problem.at(&self.root.join("index.json")))? {
            let bytes = self.small(&entry.digest, Some(entry.size), manifest::MAX_READ)?;
            found.extend_from_slice(Manifest::parse(media_type::OCI_INDEX, &bytes)?.manifests());
        }
        for entry in index.entries().take(MAX_SCANNED).filter(Descriptor::is_manifest) {
            // An entry that cannot be read is no reason to fail on what is asked for here.
            let Ok(bytes) = self.small(&entry.digest, Some(entry.size), manifest::MAX_READ) else { continue };
            let Ok(parsed) = Manifest::parse(&entry.media_type, &bytes) else { continue };
            if parsed.subject().is_some_and(|about| about.digest == *subject) && found.iter().all(|other| other.digest != entry.digest) {
                found.push(super::referrers::describe(Descriptor::new(entry.media_type, entry.digest, entry.size), &parsed));
            }
        }
        Ok(found)
    }
}
