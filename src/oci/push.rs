//! Pushing one artifact that was made here.

use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
    time::Duration,
};

use bytes::Bytes;
use futures_util::StreamExt as _;

use super::{
    Accepted, BlobSource, Cx, Descriptor, Error, ImageManifest, Repository, error::ContentError, media_type, reference, referrers,
};
use crate::{
    digest::Digest,
    job::Artifact,
    retry::{self, Advice, Policy},
};

/// Content of one blob.
#[derive(Debug, Clone)]
pub enum Content {
    /// In memory.
    Bytes(Bytes),
    /// In a file.
    File(PathBuf),
}

/// One blob of a package.
#[derive(Debug, Clone)]
pub struct Blob {
    /// Media type, digest, size, annotations.
    pub descriptor: Descriptor,
    /// Its bytes.
    pub content: Content,
}

/// An artifact to push: a manifest in the making.
#[derive(Debug, Clone)]
pub struct Package {
    /// `artifactType` of the manifest; required when the config is empty (image-spec 1.1).
    pub artifact_type: Option<String>,
    /// Configuration; [`Blob::empty`] if there is none.
    pub config: Blob,
    /// Layers in order.
    pub layers: Vec<Blob>,
    /// Annotations of the manifest.
    pub annotations: BTreeMap<String, String>,
    /// The manifest this one is about.
    pub subject: Option<Descriptor>,
}

impl Blob {
    /// A blob in memory.
    #[must_use]
    pub fn new(media_type: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { descriptor: Descriptor::of(media_type, &bytes), content: Content::Bytes(bytes) }
    }

    /// A blob in a file that is described already.
    #[must_use]
    pub const fn file(descriptor: Descriptor, path: PathBuf) -> Self {
        Self { descriptor, content: Content::File(path) }
    }

    /// The empty descriptor and its two bytes.
    #[must_use]
    pub fn empty() -> Self {
        Self { descriptor: Descriptor::empty(), content: Content::Bytes(Bytes::from_static(media_type::EMPTY_JSON)) }
    }

    /// Adds an annotation.
    #[must_use]
    pub fn annotate(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.descriptor = self.descriptor.annotate(key, value);
        self
    }

    /// Where its bytes come from when it is uploaded.
    #[must_use]
    pub fn source(&self) -> Box<dyn BlobSource> {
        match &self.content {
            Content::Bytes(bytes) => Box::new(bytes.clone()),
            Content::File(path) => Box::new(super::FileSource { path: path.clone(), size: self.descriptor.size }),
        }
    }
}

/// How long a registry may take to know what it was told.
const READ_BACK: Policy = Policy { tries: 4, min_delay: Duration::from_millis(300), max_delay: Duration::from_secs(3) };

/// Blobs of one package that are pushed at the same time.
const PARALLEL: usize = 8;

impl Package {
    /// The manifest, the same bytes for the same package.
    fn manifest(&self) -> Result<(Descriptor, Bytes), Error> {
        let manifest = ImageManifest {
            schema_version: 2,
            media_type: media_type::OCI_MANIFEST.to_owned(),
            artifact_type: self.artifact_type.clone(),
            config: self.config.descriptor.clone(),
            layers: self.layers.iter().map(|layer| layer.descriptor.clone()).collect(),
            subject: self.subject.clone(),
            annotations: self.annotations.clone(),
        };
        let bytes = manifest.to_bytes()?;
        let artifact_type = manifest.artifact_type.unwrap_or(manifest.config.media_type);
        let descriptor = Descriptor::of(media_type::OCI_MANIFEST, &bytes);
        Ok((Descriptor { artifact_type: Some(artifact_type), annotations: manifest.annotations, ..descriptor }, bytes))
    }

    /// Every blob once.
    fn blobs(&self) -> Vec<&Blob> {
        let mut seen = HashSet::new();
        std::iter::once(&self.config).chain(&self.layers).filter(|blob| seen.insert(&blob.descriptor.digest)).collect()
    }
}

/// Pushes `package` under `tag`: blobs first, the manifest last and by tag, so that no tag ever names half an artifact. A
/// repository that does not name the digest of what it stored is asked what the tag names now. When the repository has the manifest already, nothing but the tag is written, if that.
///
/// # Errors
/// When the repository refuses any of it, or names something else afterwards.
pub async fn push(cx: Cx<'_>, repository: &Repository, tag: &str, package: Package) -> Result<Artifact, Error> {
    reference::check_tag(tag)?;
    repository.will_write();
    let (manifest, bytes) = package.manifest()?;
    let blobs = package.blobs();
    let size = manifest.size + blobs.iter().map(|blob| blob.descriptor.size).sum::<u64>();
    let artifact = |found: &Descriptor| Artifact {
        repository: repository.display(),
        tag: tag.to_owned(),
        digest: found.digest.clone(),
        media_type: found.media_type.clone(),
        size,
        platform: None,
    };
    if let Some(found) = repository.find(cx, tag).await?.filter(|found| found.digest == manifest.digest) {
        cx.log.info(format_args!("{}:{tag} is {} already", repository.display(), found.digest));
        return Ok(artifact(&found));
    }
    upload_all(cx, repository, blobs).await?;
    let accepted = repository.put_manifest(cx, tag, &manifest, bytes).await?;
    if let (false, Some(subject)) = (accepted.lists_subject, &package.subject) {
        referrers::register(cx, repository, &subject.digest, std::slice::from_ref(&manifest)).await?;
    }
    if accepted.confirms_digest {
        return Ok(artifact(&manifest));
    }
    Ok(artifact(&read_back(cx, repository, tag, &manifest.digest).await?))
}

/// Pushes a package with a subject by its digest alone: it is found by what it is about. Returns its descriptor as lists of referrers show it. When the
/// repository has and lists it already, nothing is written.
///
/// # Errors
/// When the repository refuses any of it, or others keep removing it from the list of referrers.
pub async fn push_referrer(cx: Cx<'_>, repository: &Repository, package: Package) -> Result<Descriptor, Error> {
    repository.will_write();
    let (manifest, bytes) = package.manifest()?;
    let reference = manifest.digest.to_string();
    let store = || store(cx, repository, &package, &manifest, &bytes);
    let Some(subject) = &package.subject else {
        store().await?;
        return Ok(manifest);
    };
    // A runner that was killed may have stored it and not listed it.
    let present = repository.find(cx, &reference).await?.is_some();
    let lists = if present && referrers::lists(cx, repository, &subject.digest, &manifest.digest).await? {
        true
    } else {
        store().await?.lists_subject
    };
    if !lists {
        referrers::register_and_watch(cx, repository, &subject.digest, &manifest).await?;
    }
    Ok(manifest)
}

/// Blobs and manifest, by digest.
async fn store(cx: Cx<'_>, repository: &Repository, package: &Package, manifest: &Descriptor, bytes: &Bytes) -> Result<Accepted, Error> {
    upload_all(cx, repository, package.blobs()).await?;
    repository.put_manifest(cx, manifest.digest.as_str(), manifest, bytes.clone()).await
}

async fn upload_all(cx: Cx<'_>, repository: &Repository, blobs: Vec<&Blob>) -> Result<(), Error> {
    let uploads: Vec<_> = blobs.into_iter().map(|blob| upload(cx, repository, blob)).collect();
    let mut uploads = futures_util::stream::iter(uploads).buffer_unordered(PARALLEL);
    while let Some(done) = uploads.next().await {
        done?;
    }
    Ok(())
}

/// What a tag names after it was pushed. Some registries take a moment to know (GitHub's, NVIDIA/k8s-test-infra#390).
async fn read_back(cx: Cx<'_>, repository: &Repository, tag: &str, expected: &Digest) -> Result<Descriptor, Error> {
    let advise = |error: &Error| match error {
        Error::NotFound { .. } | Error::Content(ContentError::Digest { .. }) => Advice::Retry,
        // Everything else was tried often enough.
        _ => Advice::GiveUp,
    };
    let tell = |error: &Error, _| tracing::debug!(%error, "reading back what was pushed");
    retry::retry(READ_BACK, cx.cancel, advise, tell, || async {
        let found = repository.resolve(cx, tag).await?;
        if found.digest == *expected {
            return Ok(found);
        }
        let what = format!("tag '{tag}' of {}, read back,", repository.display());
        Err(ContentError::Digest { what, expected: expected.clone(), actual: found.digest }.into())
    })
    .await
}

async fn upload(cx: Cx<'_>, repository: &Repository, blob: &Blob) -> Result<(), Error> {
    let descriptor = &blob.descriptor;
    let meter = cx.progress.meter(descriptor.digest.to_string(), descriptor.size);
    let stored = repository.put_blob(cx, descriptor, blob.source().as_ref(), None).await?;
    meter.add(descriptor.size);
    tracing::debug!(blob = %descriptor.digest, size = descriptor.size, ?stored, "pushed");
    Ok(())
}
