//! An artifact that somebody else made, to its files.
//!
//! In: the plan's `oci_artifact_source`. Out: a folder with what was in it, and what it was ([`Pulled`]). Read are the forms of Flux, of Argo
//! CD, of this runner, single YAML files, and both of the hosted control plane's archives: a layer for each file, and a tar+gzip layer for each
//! top-level folder. Invariants: the digest of what is used is known before any of it is; blobs are verified; nothing is unpacked outside of
//! the folder; sizes and counts are bounded.
//! Called by the executor.

mod credentials;
mod files;
mod layers;

use std::{collections::BTreeMap, path::PathBuf};

use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    executor::{
        Context,
        shared::{ANNOTATION, blocking},
    },
    job::{Failure, FailureKind},
    oci::{self, Descriptor, Location, Manifest, Repository, media_type},
    plan::OciArtifactSource,
    provenance::Material,
};

pub(super) use files::read;
use layers::Layer;

/// Most bytes of one layer, and of all of them.
const MAX_BYTES: u64 = 64 << 20;
/// Most layers: the old archives have one for each file.
const MAX_LAYERS: usize = 2_000;

/// An artifact without usable manifests.
#[derive(Debug, thiserror::Error)]
enum ArtifactError {
    #[error("{reference} {why}")]
    Unusable { reference: String, why: String },
    #[error("{reference}: layer {number} {why}")]
    Layer { reference: String, number: usize, why: &'static str },
    #[error("{reference} has more than {limit} {what}")]
    Limit { reference: String, limit: u64, what: &'static str },
}

impl From<ArtifactError> for Failure {
    fn from(error: ArtifactError) -> Self {
        let kind = match error {
            ArtifactError::Limit { .. } => FailureKind::LimitExceeded,
            ArtifactError::Unusable { .. } | ArtifactError::Layer { .. } => FailureKind::InvalidSource,
        };
        Self::new(kind, error.to_string())
    }
}

/// A pulled artifact.
#[derive(Debug)]
pub(super) struct Pulled {
    /// Its files.
    pub(super) folder: PathBuf,
    /// What the image specification's annotations say about it.
    pub(super) annotations: BTreeMap<String, String>,
    /// For the provenance.
    pub(super) material: Material,
    /// For the receipt.
    pub(super) info: Value,
}

/// Opens the repository that the plan names. Nobody is asked yet.
pub(super) fn open(cx: &Context, source: &OciArtifactSource) -> Result<Repository, Failure> {
    let place = source.url.strip_prefix("oci://").unwrap_or(&source.url).trim_end_matches('/');
    let wrong = |error: oci::LocationError| Failure::from(oci::Error::from(error)).context("oci_artifact_source.url");
    let mut location = Location::repository(place, oci::Credentials::Configured).map_err(wrong)?;
    if let (Some(secret), Location::Registry { host, repository, auth, .. }) = (&source.credentials_ref, &mut location) {
        *auth = credentials::of(cx, secret, host, repository)?;
    }
    Ok(cx.oci.open(&location)?)
}

/// Pulls the artifact into the workspace.
pub(super) async fn pull(cx: &Context, repository: &Repository, source: &OciArtifactSource) -> Result<Pulled, Failure> {
    let wanted = source.digest.as_deref().or(source.tag.as_deref()).unwrap_or("latest");
    let separator = if source.digest.is_some() { '@' } else { ':' };
    let reference = format!("{}{separator}{wanted}", repository.display());
    let (root, manifest) = manifest(cx, repository, &reference, wanted).await?;
    cx.log.info(format_args!("{reference} is {}", root.digest));
    let folder = cx.workspace.folder("artifact").map_err(|error| Failure::new(FailureKind::Io, error.to_string()))?;
    let layers = layers(cx, repository, &reference, &manifest).await?;
    let (target, cancel, named) = (folder.clone(), cx.cancel.clone(), reference.clone());
    cx.cancel.run(blocking(move || layers::unpack(&cancel, &target, &named, layers))).await???;

    let kept = |(key, value): (&String, &String)| {
        (key.starts_with(ANNOTATION) && key.len() + value.len() < 4096).then(|| (key.clone(), value.clone()))
    };
    Ok(Pulled {
        folder,
        annotations: manifest.annotations().into_iter().flatten().filter_map(kept).collect(),
        material: Material::content(format!("oci://{reference}"), &root.digest, "source"),
        info: json!({
            "kind": "oci_artifact",
            "repository": repository.display(),
            "reference": wanted,
            "digest": root.digest,
            "media_type": root.media_type,
            "artifact_type": manifest.artifact_type(),
        }),
    })
}

/// The descriptor of what the reference names, and the one manifest that it is or has.
async fn manifest(cx: &Context, repository: &Repository, reference: &str, wanted: &str) -> Result<(Descriptor, Manifest), Failure> {
    let unusable = |why: String| ArtifactError::Unusable { reference: reference.to_owned(), why };
    let (root, bytes) = repository.manifest(cx.oci_cx(), wanted).await?;
    let mut manifest = Manifest::parse(&root.media_type, &bytes).map_err(oci::Error::from)?;
    if let Manifest::Index(index) = &manifest {
        // Attestations stand in an index as images of no platform.
        let is_one = |entry: &&Descriptor| {
            media_type::is_manifest(&entry.media_type) && entry.platform.as_ref().is_none_or(|platform| platform.os != "unknown")
        };
        let entries: Vec<_> = index.manifests.iter().filter(is_one).collect();
        let [only] = entries.as_slice() else {
            return Err(unusable(format!("is an index of {} manifests; name one of them by its digest", entries.len())).into());
        };
        let (found, bytes) = repository.manifest(cx.oci_cx(), only.digest.as_str()).await?;
        manifest = Manifest::parse(&found.media_type, &bytes).map_err(oci::Error::from)?;
    }
    match &manifest {
        Manifest::Image(image) if image.config.media_type == media_type::HELM_CONFIG => {
            Err(unusable("is a Helm chart, not manifests; build it with helm-chart-build".to_owned()).into())
        }
        Manifest::Image(_) | Manifest::Artifact(_) => Ok((root, manifest)),
        Manifest::Index(_) => Err(unusable("is an index of indexes; name the manifest by its digest".to_owned()).into()),
        Manifest::Unknown => Err(unusable(format!("has the media type {}, which is no OCI artifact", root.media_type)).into()),
    }
}

/// Fetches every layer, in order.
async fn layers(cx: &Context, repository: &Repository, reference: &str, manifest: &Manifest) -> Result<Vec<Layer>, Failure> {
    let limit = |limit, what| Failure::from(ArtifactError::Limit { reference: reference.to_owned(), limit, what });
    let descriptors = match manifest {
        Manifest::Image(image) => image.layers.as_slice(),
        Manifest::Artifact(artifact) => artifact.blobs.as_slice(),
        Manifest::Index(_) | Manifest::Unknown => &[],
    };
    if descriptors.len() > MAX_LAYERS {
        return Err(limit(MAX_LAYERS as u64, "layers"));
    }
    if descriptors.iter().map(|layer| layer.size).fold(0, u64::saturating_add) > MAX_BYTES {
        return Err(limit(MAX_BYTES, "bytes in its layers"));
    }
    let mut layers = Vec::new();
    for descriptor in descriptors {
        let content: Bytes = repository.blob(cx.oci_cx(), descriptor, MAX_BYTES).await?;
        layers.push(Layer { descriptor: descriptor.clone(), content });
    }
    Ok(layers)
}
