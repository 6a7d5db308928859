//! Finding signatures: bundles among the referrers of a manifest, and cosign's tag `sha256-<hex>.sig`.

use std::collections::HashSet;

use crate::{
    digest::Digest,
    oci::{self, Cx, Descriptor, Error, Manifest, Repository, error::ContentError, media_type},
    provenance::bundle::{ARTIFACT_TYPE_PREFIX, MAX_BUNDLE},
};

use super::claim::Claim;

/// Layer of cosign's signature tag (cosign `pkg/types/media.go`).
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// Largest simple signing payload; they have a few hundred bytes.
const MAX_PAYLOAD: u64 = 1 << 20;
/// Most signatures that are looked at in one place; everybody with the right to push can add more.
const MAX_CLAIMS: usize = 100;
/// Most bytes of signatures of one place that are kept.
const MAX_BYTES: u64 = 32 << 20;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Signatures of the manifest.
    pub(super) claims: Vec<Claim>,
    /// What looked like one, and why it is none.
    pub(super) damaged: Vec<String>,
    /// Signatures of this place that were looked at, good or not.
    seen: usize,
    /// Their bytes.
    bytes: u64,
}

impl Found {
    /// Begins with another place: what is in one must not be able to hide what is in the other.
    fn turn(&mut self) {
        (self.seen, self.bytes) = (0, 0);
    }

    /// Whether no more is looked at in this place, which is then told.
    fn is_full(&mut self, place: &str) -> bool {
        let full = self.seen >= MAX_CLAIMS || self.bytes >= MAX_BYTES;
        if full {
            self.damaged.push(format!("{place}: more signatures than the {MAX_CLAIMS} that are looked at"));
        }
        full
    }

    fn add(&mut self, place: &str, bytes: u64, claim: Result<Claim, super::error::Damage>) {
        self.bytes += bytes;
        match claim {
            Ok(claim) => {
                self.seen += 1;
                self.claims.push(claim);
            }
            Err(damage) => self.reject(place, damage),
        }
    }

    fn reject(&mut self, place: &str, why: impl std::fmt::Display) {
        self.seen += 1;
        self.damaged.push(format!("{place}: {why}"));
    }
}

/// Every signature of `subject`, as far as limits go. Junk is noted and passed over: whoever may push must not be able to hide a good
/// signature behind a bad one.
pub(super) async fn claims(cx: Cx<'_>, repository: &Repository, subject: &Descriptor) -> Result<Found, Error> {
    let (root, manifest) = repository.manifest(cx, subject.digest.as_str()).await?;
    let mut found = Found::default();
    let mut seen = HashSet::new();
    let listed = match oci::referrers_of(cx, repository, &root.digest).await {
        // Where clients keep the list themselves, any of them can spoil it.
        Err(Error::Content(error @ ContentError::NotAManifest { .. })) => {
            found.reject("the list of bundles", error);
            Vec::new()
        }
        listed => listed?,
    };
    for entry in listed {
        if may_be_bundle(&entry) && seen.insert(entry.digest.clone()) {
            if found.is_full("bundles") {
                break;
            }
            bundles(cx, repository, &root.digest, &manifest, &entry, &mut found).await?;
        }
    }
    found.turn();
    tagged(cx, repository, &root.digest, &mut found).await?;
    Ok(found)
}

/// Whether the list says nothing against it. Some registries list the type of the config (go-containerregistry) or none.
fn may_be_bundle(entry: &Descriptor) -> bool {
    let kind = entry.artifact_type.as_deref().unwrap_or_default();
    entry.is_manifest() && (kind.starts_with(ARTIFACT_TYPE_PREFIX) || matches!(kind, "" | media_type::EMPTY))
}

/// The bundles of one referrer.
async fn bundles(
    cx: Cx<'_>,
    repository: &Repository,
    subject: &Digest,
    manifest: &[u8],
    entry: &Descriptor,
    found: &mut Found,
) -> Result<(), Error> {
    let place = format!("bundle {}", entry.digest);
    let parsed = match repository.manifest(cx, entry.digest.as_str()).await {
        Ok((descriptor, bytes)) => Manifest::parse(&descriptor.media_type, &bytes),
        Err(error) if error.is_not_found() => return Ok(()),
        Err(Error::Content(error)) => Err(error),
        Err(error) => return Err(error),
    };
    let image = match parsed {
        Ok(Manifest::Image(image)) if image.subject.as_ref().is_some_and(|about| about.digest == *subject) => image,
        Ok(_) => return Ok(()),
        Err(error) => {
            found.reject(&place, error);
            return Ok(());
        }
    };
    for layer in image.layers.iter().filter(|layer| layer.media_type.starts_with(ARTIFACT_TYPE_PREFIX)) {
        if found.is_full(&place) {
            break;
        }
        if let Some(bytes) = content(cx, repository, layer, MAX_BUNDLE, &place, found).await? {
            found.add(&place, layer.size, Claim::bundle(&bytes, subject, manifest, place.clone()));
        }
    }
    Ok(())
}

/// The signatures under cosign's tag.
async fn tagged(cx: Cx<'_>, repository: &Repository, subject: &Digest, found: &mut Found) -> Result<(), Error> {
    let tag = format!("{}.sig", oci::fallback_tag(subject));
    let (descriptor, bytes) = match repository.manifest(cx, &tag).await {
        Ok(found) => found,
        Err(error) if error.is_not_found() => return Ok(()),
        Err(error) => return Err(error),
    };
    let place = format!("tag {tag}");
    match Manifest::parse(&descriptor.media_type, &bytes) {
        Ok(Manifest::Image(image)) => {
            for (number, layer) in image.layers.iter().filter(|layer| layer.media_type == SIMPLE_SIGNING).enumerate() {
                if found.is_full(&place) {
                    break;
                }
                let place = format!("{place}, signature {}", number + 1);
                if let Some(payload) = content(cx, repository, layer, MAX_PAYLOAD, &place, found).await? {
                    found.add(&place, layer.size, Claim::simple_signing(layer, &payload, subject, place.clone()));
                }
            }
        }
        Ok(_) => found.reject(&place, "it is no list of signatures"),
        Err(error) => found.reject(&place, error),
    }
    Ok(())
}

/// A blob, unless it is missing, too large or damaged.
async fn content(
    cx: Cx<'_>,
    repository: &Repository,
    layer: &Descriptor,
    max: u64,
    place: &str,
    found: &mut Found,
) -> Result<Option<bytes::Bytes>, Error> {
    match repository.blob(cx, layer, max).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error @ (Error::NotFound { .. } | Error::Content(_))) => {
            found.reject(place, error);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
