//! The client of registries and layouts, and the repository it opens.

use std::{path::Path, sync::Arc};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use tokio::io::AsyncWriteExt as _;

use super::{
    BlobSource, ByteStream, Descriptor, Error, Location, Reference, Registry, Settings, error::ContentError, layout::Layout,
    transport::Transport, verify::verified,
};
use crate::{
    digest::Digest,
    logs::{JobLog, Progress},
    shutdown::Cancel,
};

/// What every call that talks to anybody needs.
#[derive(Debug, Clone, Copy)]
pub struct Cx<'a> {
    /// Stops the call.
    pub cancel: &'a Cancel,
    /// Hears of retries, and of secrets to hide.
    pub log: &'a JobLog,
    /// Bytes moved.
    pub progress: &'a Progress,
}

/// Client of registries and layouts. Cheap to clone; connections and back-off are shared by all clones, credentials by none.
#[derive(Debug, Clone)]
pub struct Client {
    transport: Arc<Transport>,
}

/// How a blob got to where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// All its bytes were sent.
    Uploaded,
    /// The registry took it from another of its repositories.
    Mounted,
    /// It was there before.
    Present,
}

/// What a repository says about a manifest it has stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// It lists the manifest under its `subject` itself (`OCI-Subject`, distribution-spec "Pushing Manifests with Subject").
    pub lists_subject: bool,
    /// It named the digest of what it has stored, and the digest is the right one: nothing is left to be read back.
    pub confirms_digest: bool,
}

/// An open repository or layout. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Repository {
    /// Of a registry.
    Registry(Registry),
    /// A folder.
    Layout(Layout),
}

impl Client {
    /// A client. Nothing is connected to yet.
    ///
    /// # Errors
    /// When a certificate bundle of the settings cannot be read.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        Ok(Self { transport: Arc::new(Transport::new(settings)?) })
    }

    /// What it was made from.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        self.transport.settings()
    }

    /// Opens a repository or layout; nobody is asked yet. Tokens are not shared with other openings of the same location.
    ///
    /// # Errors
    /// When the location cannot be used as it stands.
    pub fn open(&self, location: &Location) -> Result<Repository, Error> {
        match location {
            Location::Registry { host, repository, plain_http, auth } => {
                Ok(Repository::Registry(Registry::new(Arc::clone(&self.transport), host, repository, *plain_http, auth.clone())))
            }
            Location::Layout { path } => Layout::open(path).map(Repository::Layout),
        }
    }
}

impl Repository {
    /// `HOST/NAME` or the absolute path of the layout, as receipts name it.
    #[must_use]
    pub fn display(&self) -> String {
        match self {
            Self::Registry(registry) => registry.display(),
            Self::Layout(layout) => layout.display(),
        }
    }

    /// Says that it will be written to, so that one token of a registry does for everything. Call it before anything else.
    pub fn will_write(&self) {
        match self {
            Self::Registry(registry) => registry.will_write(),
            Self::Layout(_) => {}
        }
    }

    /// Descriptor of the manifest under a tag or digest.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none.
    pub async fn resolve(&self, cx: Cx<'_>, reference: &str) -> Result<Descriptor, Error> {
        match self {
            Self::Registry(registry) => {
                let missing = || Error::NotFound { what: super::registry::name_manifest(reference), repository: self.display() };
                registry.find(cx, &reference.parse()?).await?.ok_or_else(missing)
            }
            // Generous with names that other tools write, which `find` is not.
            Self::Layout(_) => Ok(self.manifest(cx, reference).await?.0),
        }
    }

    /// Descriptor of the manifest under a tag or digest, if there is one.
    ///
    /// # Errors
    /// When that cannot be found out.
    pub async fn find(&self, cx: Cx<'_>, reference: &str) -> Result<Option<Descriptor>, Error> {
        let reference: Reference = reference.parse()?;
        match self {
            Self::Registry(registry) => registry.find(cx, &reference).await,
            Self::Layout(layout) => layout.find(cx, &reference).await,
        }
    }

    /// The manifest under a tag or digest, byte for byte, its digest verified.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none.
    pub async fn manifest(&self, cx: Cx<'_>, reference: &str) -> Result<(Descriptor, Bytes), Error> {
        let reference: Reference = reference.parse()?;
        match self {
            Self::Registry(registry) => registry.manifest(cx, &reference).await,
            Self::Layout(layout) => layout.manifest(cx, &reference).await,
        }
    }

    /// Stores a manifest, byte for byte, under a tag or its digest; everything it refers to has to be there.
    ///
    /// # Errors
    /// When the registry refuses it or says it got something else.
    pub async fn put_manifest(&self, cx: Cx<'_>, reference: &str, descriptor: &Descriptor, bytes: Bytes) -> Result<Accepted, Error> {
        let reference: Reference = reference.parse()?;
        match self {
            Self::Registry(registry) => registry.put_manifest(cx, &reference, descriptor, bytes).await,
            Self::Layout(layout) => {
                layout.put_manifest(cx, &reference, descriptor, bytes).await?;
                Ok(Accepted { lists_subject: true, confirms_digest: false })
            }
        }
    }

    /// Whether a blob is there.
    ///
    /// # Errors
    /// When that cannot be found out.
    pub async fn has_blob(&self, cx: Cx<'_>, blob: &Descriptor) -> Result<bool, Error> {
        match self {
            Self::Registry(registry) => registry.has_blob(cx, blob).await,
            Self::Layout(layout) => layout.has_blob(cx, blob).await,
        }
    }

    /// A blob's bytes from `offset` on. An interrupted download is continued where it stopped. The size is always checked; the
    /// digest is not: see [`verified`] for who needs it.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such blob.
    pub async fn open_blob(&self, cx: Cx<'_>, blob: &Descriptor, offset: u64) -> Result<ByteStream, Error> {
        match self {
            Self::Registry(registry) => registry.open_blob(cx, blob, offset).await,
            Self::Layout(layout) => layout.open_blob(cx, blob, offset).await,
        }
    }

    /// A whole blob of at most `max` bytes, verified.
    ///
    /// # Errors
    /// When it is longer, missing or damaged.
    pub async fn blob(&self, cx: Cx<'_>, blob: &Descriptor, max: u64) -> Result<Bytes, Error> {
        if blob.size > max {
            return Err(ContentError::TooLarge { what: format!("blob {} of {}", blob.digest, self.display()), limit: max }.into());
        }
        if let Some(content) = blob.inline() {
            return Ok(content);
        }
        let mut stream = verified(self.open_blob(cx, blob, 0).await?, blob, self.display());
        let mut content = BytesMut::new();
        while let Some(piece) = cx.cancel.run(stream.next()).await? {
            content.extend_from_slice(&piece?);
        }
        Ok(content.freeze())
    }

    /// Downloads a blob into a new file, verified. The file is removed when that fails.
    ///
    /// # Errors
    /// When the blob is missing or damaged, or the file cannot be written.
    pub async fn download(&self, cx: Cx<'_>, blob: &Descriptor, to: &Path) -> Result<(), Error> {
        let result = self.download_to(cx, blob, to).await;
        if result.is_err() {
            // The error that counts is the one above.
            let _ = tokio::fs::remove_file(to).await;
        }
        result
    }

    async fn download_to(&self, cx: Cx<'_>, blob: &Descriptor, to: &Path) -> Result<(), Error> {
        let fail = |source| Error::Io { path: to.to_owned(), source };
        let meter = cx.progress.meter(blob.digest.to_string(), blob.size);
        let mut file = tokio::fs::File::create_new(to).await.map_err(fail)?;
        let mut stream = verified(self.open_blob(cx, blob, 0).await?, blob, self.display());
        while let Some(piece) = cx.cancel.run(stream.next()).await? {
            let piece = piece?;
            file.write_all(&piece).await.map_err(fail)?;
            meter.add(piece.len() as u64);
        }
        file.flush().await.map_err(fail)
    }

    /// Stores a blob. `mount` names another repository that may have it: of the same registry it is then taken from there.
    ///
    /// # Errors
    /// When the registry refuses it, or the source does not have what the descriptor says.
    pub async fn put_blob(&self, cx: Cx<'_>, blob: &Descriptor, source: &dyn BlobSource, mount: Option<&Self>) -> Result<Stored, Error> {
        match self {
            Self::Registry(registry) => {
                let mount = mount.and_then(|other| match other {
                    Self::Registry(other) => Some(other),
                    Self::Layout(_) => None,
                });
                registry.put_blob(cx, blob, source, mount).await
            }
            Self::Layout(layout) => layout.put_blob(cx, blob, source).await,
        }
    }

    /// Every tag, in the registry's order.
    ///
    /// # Errors
    /// When there is no such repository.
    pub async fn tags(&self, cx: Cx<'_>) -> Result<Vec<String>, Error> {
        match self {
            Self::Registry(registry) => registry.tags(cx).await,
            Self::Layout(layout) => layout.tags(cx).await,
        }
    }

    /// Manifests whose `subject` is that digest; `None` when the registry has no such interface and the fallback tag has to be
    /// read instead.
    ///
    /// # Errors
    /// When that cannot be found out.
    pub async fn referrers(&self, cx: Cx<'_>, subject: &Digest) -> Result<Option<Vec<Descriptor>>, Error> {
        match self {
            Self::Registry(registry) => registry.referrers(cx, subject).await,
            Self::Layout(layout) => layout.referrers(cx, subject).await,
        }
    }
}
