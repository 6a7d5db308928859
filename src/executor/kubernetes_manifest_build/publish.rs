//! The artifact: one that Flux and Argo CD both read.
//!
//! Flux takes the first layer whatever its type, if it is gzip; Argo CD wants exactly one layer of a type it knows, by default
//! `application/vnd.oci.image.layer.v1.tar+gzip`. So there is one such layer, with `manifest.yaml` at its root as a regular file (Argo CD reads a folder
//! without going deeper, and refuses links that leave it), and the empty config that image-spec 1.1 has for artifacts.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::{
    executor::{
        Context,
        shared::{ANNOTATION, blocking},
    },
    job::{Artifact, Failure},
    oci::{
        self, Descriptor, Repository, media_type,
        pack::{self, Effort, Meta, PackError, Packed},
    },
};

/// Type of the artifact.
pub(super) const ARTIFACT_TYPE: &str = "application/vnd.build-runner.manifests.v1";
/// The one file in it.
const FILE: &str = "manifest.yaml";
/// What a tool that saves layers as files calls the layer.
const LAYER: &str = "manifest.tar.gz";

/// A pushed artifact, and the bytes of its manifest alone.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) artifact: Artifact,
    pub(super) manifest_size: u64,
}

/// Annotations of the manifest. What was derived goes before what the plan's labels say.
pub(super) fn annotations(derived: BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut all: BTreeMap<_, _> =
        labels.iter().filter(|(key, _)| !key.is_empty()).map(|(key, value)| (key.clone(), value.clone())).collect();
    all.entry(format!("{ANNOTATION}title")).or_insert_with(|| FILE.to_owned());
    all.extend(derived);
    all
}

/// Packs `text` and pushes it under `tag`.
pub(super) async fn publish(
    cx: &Context,
    repository: &Repository,
    tag: &str,
    text: String,
    annotations: BTreeMap<String, String>,
) -> Result<Published, Failure> {
    cx.step("package");
    let path = cx.workspace.root().join(LAYER);
    let (file, cancel, text) = (path.clone(), cx.cancel.clone(), Bytes::from(text));
    // No time in the archive: the same objects have the same layer, whichever commit they are from.
    let work = move || pack::to_file(&file, Effort::Usual, &cancel, |packer| packer.bytes(FILE, Meta::FILE, &text));
    let packed: Result<Packed, PackError> = cx.cancel.run(blocking(work)).await??;
    let packed = packed?;

    cx.step("push");
    let config = oci::Blob::empty();
    let blobs = packed.size + config.descriptor.size;
    let layer = oci::Blob::file(Descriptor::new(media_type::OCI_LAYER_GZIP, packed.digest, packed.size), path);
    let package = oci::Package {
        artifact_type: Some(ARTIFACT_TYPE.to_owned()),
        config,
        layers: vec![layer.annotate(format!("{ANNOTATION}title"), LAYER)],
        annotations,
        subject: None,
    };
    let artifact = oci::push(cx.oci_cx(), repository, tag, package).await?;
    Ok(Published { manifest_size: artifact.size.saturating_sub(blobs), artifact })
}
