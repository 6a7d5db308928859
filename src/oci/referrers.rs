//! What is about a manifest: signatures, SBOMs, attestations.
//!
//! Three ways lead there: the referrers API (distribution-spec 1.1, "Listing Referrers"), the tag schema that stands in for it on
//! registries without (`sha256-<hex>`, an index kept by clients), and cosign's older tags (`sha256-<hex>.sig`, `.att`, `.sbom`).
//! Reading tries them in that order; writing keeps the tag schema up to date where a registry does not do it by itself.
//!
//! Called by `transfer`, by `push` for artifacts with a subject, and by layouts.

use std::{collections::BTreeMap, time::Duration};

use super::{Cx, Descriptor, Error, Index, Manifest, Repository, media_type};
use crate::digest::Digest;

/// Endings of cosign's digest tags (cosign `pkg/oci/remote/remote.go`).
pub(super) const DIGEST_TAGS: [&str; 3] = ["sig", "att", "sbom"];
/// How often a lost update of the tag schema is done again.
const UPDATES: usize = 5;
/// The same, where an update that stays lost is an error.
const WATCHED_UPDATES: usize = 20;
/// How long others may take between reading a list and writing it, at the least.
const SETTLE: Duration = Duration::from_millis(50);

/// Tag under which clients keep the referrers of `subject` (distribution-spec 1.1, "Referrers Tag Schema").
pub(crate) fn fallback_tag(subject: &Digest) -> String {
    format!("{}-{}", subject.algorithm().as_str(), &subject.hex()[..subject.hex().len().min(64)])
}

/// Whether a tag is one that clients keep things about a manifest under, and no name of an artifact.
pub(crate) fn is_digest_tag(tag: &str) -> bool {
    let hex = tag.strip_prefix("sha256-").or_else(|| tag.strip_prefix("sha512-")).unwrap_or_default();
    hex.len() >= 64 && hex.bytes().take(64).all(|digit| digit.is_ascii_hexdigit())
}

/// The descriptor of a referrer as lists of referrers show it: with artifact type and annotations.
pub(super) fn describe(descriptor: Descriptor, manifest: &Manifest) -> Descriptor {
    Descriptor {
        artifact_type: manifest.artifact_type().map(str::to_owned),
        annotations: manifest.annotations().cloned().unwrap_or_default(),
        ..descriptor
    }
}

/// The index of the tag schema with `referrers` added; `None` when all are listed already.
pub(super) fn extended(current: Manifest, referrers: &[Descriptor]) -> Option<Index> {
    let mut index = match current {
        Manifest::Index(index) => index,
        Manifest::Image(_) | Manifest::Artifact(_) | Manifest::Unknown => Index {
            schema_version: 2,
            media_type: media_type::OCI_INDEX.to_owned(),
            artifact_type: None,
            manifests: Vec::new(),
            subject: None,
            annotations: BTreeMap::new(),
        },
    };
    let before = index.manifests.len();
    for referrer in referrers {
        if index.manifests.iter().all(|entry| entry.digest != referrer.digest) {
            index.manifests.push(referrer.clone());
        }
    }
    (index.manifests.len() > before).then_some(index)
}

/// What the tag schema of `subject` names: an index, or nothing understandable.
pub(super) async fn read_tag(cx: Cx<'_>, repository: &Repository, subject: &Digest) -> Result<Manifest, Error> {
    match repository.manifest(cx, &fallback_tag(subject)).await {
        // Anything else under that tag is somebody's own image, not a list of referrers.
        Ok((descriptor, bytes)) if media_type::is_index(&descriptor.media_type) => Ok(Manifest::parse(&descriptor.media_type, &bytes)?),
        Ok(_) => Ok(Manifest::Unknown),
        Err(error) if error.is_not_found() => Ok(Manifest::Unknown),
        Err(error) => Err(error),
    }
}

/// Descriptors of everything in `repository` that says it is about `subject`: from the referrers API, or where there is none from the
/// tag schema. Whether it says so itself is for the reader to check.
///
/// # Errors
/// When that cannot be found out.
pub async fn referrers_of(cx: Cx<'_>, repository: &Repository, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
    match repository.referrers(cx, subject).await? {
        Some(listed) => Ok(listed),
        None => Ok(read_tag(cx, repository, subject).await?.manifests().to_vec()),
    }
}

/// Lists `referrers` under the tag schema of `subject`, for registries that did not answer `OCI-Subject` when it was pushed.
///
/// Two clients that do so at the same time overwrite each other's list, so what the tag names is read again afterwards.
///
/// # Errors
/// When the list cannot be read or written, or somebody keeps overwriting it.
pub(super) async fn register(cx: Cx<'_>, repository: &Repository, subject: &Digest, referrers: &[Descriptor]) -> Result<(), Error> {
    let tag = fallback_tag(subject);
    for _ in 0..UPDATES {
        let Some(index) = extended(read_tag(cx, repository, subject).await?, referrers) else { return Ok(()) };
        let bytes = index.to_bytes()?;
        let descriptor = Descriptor::of(media_type::OCI_INDEX, &bytes);
        repository.put_manifest(cx, &tag, &descriptor, bytes).await?;
        if repository.find(cx, &tag).await?.is_none_or(|now| now.digest == descriptor.digest) {
            return Ok(());
        }
    }
    cx.log.warn(format_args!("{}: others keep changing tag '{tag}'; referrers may be missing from it", repository.display()));
    Ok(())
}

/// As [`register`] for one referrer, and sure of it: who wrote the list at the same moment may do so once more after our last look, so that is
/// taken when they must be done.
///
/// # Errors
/// When the list cannot be read or written, or somebody keeps overwriting it.
pub(super) async fn register_and_watch(cx: Cx<'_>, repository: &Repository, subject: &Digest, referrer: &Descriptor) -> Result<(), Error> {
    let tag = fallback_tag(subject);
    for round in 0..WATCHED_UPDATES {
        let began = tokio::time::Instant::now();
        let Some(index) = extended(read_tag(cx, repository, subject).await?, std::slice::from_ref(referrer)) else { return Ok(()) };
        let bytes = index.to_bytes()?;
        let descriptor = Descriptor::of(media_type::OCI_INDEX, &bytes);
        repository.put_manifest(cx, &tag, &descriptor, bytes).await?;
        // Another that read before our write has written within the time that reading and writing take.
        let mut settled = (2 * began.elapsed()).max(SETTLE);
        if round > 0 {
            // Those who overwrote one another once must not do so in step for ever.
            let mut random = [0_u8; 1];
            let _ = getrandom::fill(&mut random);
            settled += Duration::from_millis(u64::from(random[0]));
        }
        cx.cancel.run(tokio::time::sleep(settled)).await?;
    }
    if extended(read_tag(cx, repository, subject).await?, std::slice::from_ref(referrer)).is_none() {
        return Ok(());
    }
    let reason = format!("others keep changing tag '{tag}' of {}, the list of referrers", repository.display());
    Err(Error::Connection { host: repository.display(), reason, transient: true })
}

/// Manifests about `subject` whose artifact type `wanted` takes, from the referrers API or else from the tag schema.
///
/// A registry that learnt the API lately does not list with it what clients kept under the tag: it is read, too, when the API names nothing.
///
/// # Errors
/// When that cannot be found out.
pub(crate) async fn list(
    cx: Cx<'_>,
    repository: &Repository,
    subject: &Digest,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<Descriptor>, Error> {
    // Registries from before the field list the type of the configuration, or none: those are looked into.
    let fits = |entry: &Descriptor| {
        let kind = entry.artifact_type.as_deref().unwrap_or_default();
        kind.is_empty() || kind == media_type::EMPTY || wanted(kind)
    };
    let mut listed = repository.referrers(cx, subject).await?.unwrap_or_default();
    listed.retain(&fits);
    if listed.is_empty() && matches!(repository, Repository::Registry(_)) {
        listed = read_tag(cx, repository, subject).await?.manifests().to_vec();
        listed.retain(&fits);
    }
    let mut confirmed = Vec::with_capacity(listed.len());
    for entry in listed {
        if entry.artifact_type.as_deref().is_some_and(&wanted) {
            confirmed.push(entry);
            continue;
        }
        let parsed = repository.manifest(cx, entry.digest.as_str()).await.and_then(|(descriptor, bytes)| {
            let manifest = Manifest::parse(&descriptor.media_type, &bytes)?;
            Ok(describe(descriptor, &manifest))
        });
        match parsed {
            Ok(described) => confirmed.extend(Some(described).filter(|entry| entry.artifact_type.as_deref().is_some_and(&wanted))),
            // What nobody can read is not what is wanted; whoever may push must not be able to hide the rest behind it.
            Err(error @ (Error::NotFound { .. } | Error::Content(_) | Error::Layout(_))) => {
                tracing::debug!(referrer = %entry.digest, %error, "cannot be read");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(confirmed)
}

/// Whether `referrer` is listed under `subject`.
pub(super) async fn lists(cx: Cx<'_>, repository: &Repository, subject: &Digest, referrer: &Digest) -> Result<bool, Error> {
    let listed = match repository.referrers(cx, subject).await? {
        Some(listed) => listed,
        None => read_tag(cx, repository, subject).await?.manifests().to_vec(),
    };
    Ok(listed.iter().any(|entry| entry.digest == *referrer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_schema_is_the_specification_s() {
        let digest = Digest::of(b"");
        assert_eq!(fallback_tag(&digest), format!("sha256-{}", digest.hex()));
        let long: Digest = format!("sha512:{}", "a".repeat(128)).parse().unwrap();
        assert_eq!(fallback_tag(&long), format!("sha512-{}", "a".repeat(64)));
    }

    #[test]
    fn tags_about_a_manifest_are_no_names() {
        let tag = fallback_tag(&Digest::of(b""));
        assert!(is_digest_tag(&tag) && is_digest_tag(&format!("{tag}.sig")));
        assert!(!is_digest_tag("sha256-abc") && !is_digest_tag("1.0.0") && !is_digest_tag(&tag[1..]));
    }

    #[test]
    fn a_referrer_is_listed_once() {
        let referrer = Descriptor::of(media_type::OCI_MANIFEST, b"1");
        let index = extended(Manifest::Unknown, std::slice::from_ref(&referrer)).unwrap();
        assert_eq!(index.manifests, std::slice::from_ref(&referrer));
        assert_eq!(extended(Manifest::Index(index), &[referrer]), None);
    }
}
