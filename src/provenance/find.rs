//! The bundles that are attached to an artifact.

use std::{cmp::Reverse, ops::ControlFlow};

use super::{
    bundle::{ARTIFACT_TYPE_PREFIX, Bundle, BundleError, MAX_BUNDLE},
    statement::SLSA_PROVENANCE,
};
use crate::{
    digest::Digest,
    oci::{Cx, Descriptor, Error, Manifest, Repository, referrers},
};

/// Annotation of a bundle's manifest: what its statement says (cosign `pkg/oci/remote/write.go`).
pub(super) const PREDICATE_TYPE: &str = "dev.sigstore.bundle.predicateType";
/// Annotation of a bundle's manifest: when it was made, RFC 3339.
pub(super) const CREATED: &str = "org.opencontainers.image.created";

/// Most bundles of one artifact that are read.
pub(super) const MAX_BUNDLES: usize = 256;

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

/// Shows `look` the bundles about `subject`, one after the other until it has seen enough: those first that say they are provenance, and of them the newest.
/// Returns how many were there beyond the [`MAX_BUNDLES`] that are read: whoever may push can add more, and nobody may fail for that.
///
/// # Errors
/// When the repository cannot be asked. What is wrong with one bundle is told with that bundle.
pub(super) async fn bundles(
    cx: Cx<'_>,
    repository: &Repository,
    subject: &Digest,
    mut look: impl FnMut(Found) -> ControlFlow<()>,
) -> Result<usize, Error> {
    let mut entries = referrers::list(cx, repository, subject, |kind| kind.starts_with(ARTIFACT_TYPE_PREFIX)).await?;
    // Lists that clients keep have the newest last.
    entries.reverse();
    entries.sort_by_cached_key(|entry| {
        let says = |key: &str| entry.annotations.get(key).cloned();
        let class = says(PREDICATE_TYPE).map_or(1, |kind| if kind == SLSA_PROVENANCE { 0 } else { 2 });
        (class, Reverse(says(CREATED)))
    });
    let unread = entries.len().saturating_sub(MAX_BUNDLES);
    for entry in entries.into_iter().take(MAX_BUNDLES) {
        let bundle = match bundle(cx, repository, &entry).await {
            Ok(bundle) => bundle,
            // Listed and gone: somebody removed it, and the list is a little behind.
            Err(error) if error.is_not_found() => {
                tracing::debug!(referrer = %entry.digest, "is listed and does not exist");
                continue;
            }
            Err(error @ (Error::Content(_) | Error::Layout(_))) => Err(Unreadable::Content(error)),
            Err(error) => return Err(error),
        };
        if look(Found { digest: entry.digest, bundle }).is_break() {
            break;
        }
    }
    Ok(unread)
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
