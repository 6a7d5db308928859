//! The bundles that are attached to an artifact.

use super::bundle::{ARTIFACT_TYPE_PREFIX, Bundle, BundleError, MAX_BUNDLE};
use crate::{
    digest::Digest,
    oci::{Cx, Descriptor, Error, Manifest, Repository, error::ContentError, referrers},
};

/// Most bundles of one artifact that are read.
const MAX_BUNDLES: usize = 256;

/// An attached bundle, or why what is attached cannot be read as one.
#[derive(Debug)]
pub(super) struct Found {
    /// The manifest that carries it.
    pub(super) digest: Digest,
    pub(super) bundle: Result<Bundle, Unreadable>,
}

/// Why something that is attached as a bundle is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    /// What is in it.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// Its manifest has none, or several.
    #[error("its manifest has {0} layers, not one")]
    Layers(usize),
    /// Its bytes.
    #[error("it is damaged: {0}")]
    Content(Error),
}

/// Every bundle about `subject`.
///
/// # Errors
/// When the repository cannot be asked. What is wrong with one bundle is told with that bundle.
pub(super) async fn bundles(cx: Cx<'_>, repository: &Repository, subject: &Digest) -> Result<Vec<Found>, Error> {
    let entries = referrers::list(cx, repository, subject, |kind| kind.starts_with(ARTIFACT_TYPE_PREFIX)).await?;
    if entries.len() > MAX_BUNDLES {
        return Err(ContentError::TooMany { what: format!("bundles of {subject}"), limit: MAX_BUNDLES }.into());
    }
    let mut found = Vec::with_capacity(entries.len());
    for entry in entries {
        match bundle(cx, repository, &entry).await {
            Ok(bundle) => found.push(Found { digest: entry.digest, bundle }),
            // Listed and gone: somebody removed it, and the list is a little behind.
            Err(error) if error.is_not_found() => tracing::debug!(referrer = %entry.digest, "is listed and does not exist"),
            Err(error @ (Error::Content(_) | Error::Layout(_))) => {
                found.push(Found { digest: entry.digest, bundle: Err(Unreadable::Content(error)) });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

async fn bundle(cx: Cx<'_>, repository: &Repository, entry: &Descriptor) -> Result<Result<Bundle, Unreadable>, Error> {
    let (descriptor, bytes) = repository.manifest(cx, entry.digest.as_str()).await?;
    let layers = match Manifest::parse(&descriptor.media_type, &bytes)? {
        Manifest::Image(image) => image.layers,
        Manifest::Artifact(artifact) => artifact.blobs,
        Manifest::Index(_) | Manifest::Unknown => Vec::new(),
    };
    let [layer] = layers.as_slice() else { return Ok(Err(Unreadable::Layers(layers.len()))) };
    let document = repository.blob(cx, layer, MAX_BUNDLE).await?;
    Ok(Bundle::parse(&document).map_err(Unreadable::from))
}
