//! The layout a backend made: its one root, what platforms it is for, and the annotations that every artifact of ours carries.

use std::{collections::BTreeMap, path::Path};

use serde_json::{Value, json};

use crate::{
    executor::Context,
    job::{Failure, FailureKind, Platform},
    oci::{self, Descriptor, ImageManifest, Index, Location, Manifest, Repository, media_type},
};

/// Largest image configuration that is read: a history of thousands of steps fits.
const MAX_CONFIG: u64 = 8 << 20;
/// Largest `index.json` of a layout with one image in it.
const MAX_INDEX: u64 = 1 << 20;
/// Annotation by which `BuildKit` tells attestations from images (buildkit `docs/attestations/attestation-storage.md`).
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";

/// One image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlatformImage {
    pub(crate) platform: Platform,
    pub(crate) descriptor: Descriptor,
    /// Bytes of manifest, configuration and layers.
    pub(crate) size: u64,
}

/// What a backend made.
#[derive(Debug)]
pub(crate) struct Image {
    /// The layout.
    pub(crate) layout: Repository,
    /// Its root.
    pub(crate) root: Descriptor,
    /// Every image of it, in the order of the index.
    pub(crate) images: Vec<PlatformImage>,
    bytes: bytes::Bytes,
}

/// Opens the layout at `path`.
pub(crate) async fn open(cx: &Context, path: &Path) -> Result<Image, Failure> {
    let layout = cx.oci.open(&Location::Layout { path: path.to_owned() })?;
    let root = root(path).await?;
    let (root, bytes) = layout.manifest(cx.oci_cx(), root.digest.as_str()).await?;
    let mut images = Vec::new();
    match Manifest::parse(&root.media_type, &bytes).map_err(oci::Error::from)? {
        Manifest::Image(manifest) => images.push(describe(cx, &layout, &root, &manifest).await?),
        Manifest::Index(index) => {
            for entry in index.manifests.iter().filter(|entry| !entry.annotations.contains_key(REFERENCE_TYPE)) {
                let (descriptor, bytes) = layout.manifest(cx.oci_cx(), entry.digest.as_str()).await?;
                if let Manifest::Image(manifest) = Manifest::parse(&descriptor.media_type, &bytes).map_err(oci::Error::from)? {
                    images.push(describe(cx, &layout, &descriptor, &manifest).await?);
                }
            }
        }
        Manifest::Artifact(_) | Manifest::Unknown => {}
    }
    if images.is_empty() {
        return Err(Failure::new(FailureKind::Internal, format!("the backend made no image, but something of type {}", root.media_type)));
    }
    Ok(Image { layout, root, images, bytes })
}

/// The only entry of the layout's index.
async fn root(path: &Path) -> Result<Descriptor, Failure> {
    let broken = |why: String| Failure::new(FailureKind::Internal, format!("the layout that the backend wrote cannot be used: {why}"));
    let file = path.join("index.json");
    let size = tokio::fs::metadata(&file).await.map_err(|error| broken(error.to_string()))?.len();
    if size > MAX_INDEX {
        return Err(broken(format!("index.json has {size} bytes")));
    }
    let text = tokio::fs::read(&file).await.map_err(|error| broken(error.to_string()))?;
    let mut index: Index = serde_json::from_slice(&text).map_err(|error| broken(error.to_string()))?;
    index.manifests.dedup_by(|a, b| a.digest == b.digest);
    match index.manifests.pop() {
        Some(only) if index.manifests.is_empty() => Ok(only),
        _ => Err(broken("it has not exactly one image".to_owned())),
    }
}

async fn describe(cx: &Context, layout: &Repository, descriptor: &Descriptor, manifest: &ImageManifest) -> Result<PlatformImage, Failure> {
    #[derive(serde::Deserialize)]
    struct Config {
        #[serde(flatten)]
        platform: Platform,
    }
    let config = layout.blob(cx.oci_cx(), &manifest.config, MAX_CONFIG).await?;
    let config: Config = serde_json::from_slice(&config).map_err(|error| {
        Failure::new(FailureKind::Internal, format!("the image configuration that the backend wrote cannot be read: {error}"))
    })?;
    let size = descriptor.size + manifest.config.size + manifest.layers.iter().map(|layer| layer.size).sum::<u64>();
    Ok(PlatformImage { platform: config.platform, descriptor: descriptor.clone(), size })
}

impl Image {
    /// Adds annotations to the root, which is then another one; those that the backend set stay as they are. Unknown keys of the root survive.
    pub(crate) async fn annotate(mut self, cx: &Context, annotations: BTreeMap<String, String>) -> Result<Self, Failure> {
        let unreadable =
            |error: serde_json::Error| Failure::new(FailureKind::Internal, format!("the manifest that the backend wrote: {error}"));
        let mut document: Value = serde_json::from_slice(&self.bytes).map_err(unreadable)?;
        let mut all = annotations;
        if let Some(Value::Object(present)) = document.get("annotations") {
            all.extend(present.iter().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))));
        }
        if all.is_empty() {
            return Ok(self);
        }
        document["annotations"] = json!(all);
        // BuildKit writes no list where an image has no layers, which other clients do not read (image-spec, `manifest.md`: an array).
        if let Some(layers @ Value::Null) = document.get_mut("layers") {
            *layers = json!([]);
        }
        let bytes = bytes::Bytes::from(serde_json::to_vec(&document).map_err(unreadable)?);
        let root = Descriptor::of(&self.root.media_type, &bytes);
        self.layout.put_manifest(cx.oci_cx(), root.digest.as_str(), &root, bytes.clone()).await?;
        if !media_type::is_index(&root.media_type) {
            for image in &mut self.images {
                image.size = image.size - image.descriptor.size + root.size;
                image.descriptor = root.clone();
            }
        }
        Ok(Self { root, bytes, ..self })
    }
}
