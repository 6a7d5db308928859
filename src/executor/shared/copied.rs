//! What a copy reports, in the log and in the outputs.
//!
//! Called by the executors that copy.

use serde_json::{Map, Value, json};

use crate::{
    job::Outputs,
    oci::transfer::{CopiedReferrer, CopyReport},
};

/// One line for the log.
pub(crate) fn summary(report: &CopyReport) -> String {
    let digest = &report.artifact.digest;
    if report.no_op {
        return format!("{digest} was there already");
    }
    let blobs = report.blobs;
    let new = report.referrers.iter().filter(|referrer| !referrer.present).count();
    format!(
        "copied {digest}: {} blobs sent ({} bytes), {} mounted, {} there already; {new} referrers",
        blobs.uploaded, blobs.bytes, blobs.mounted, blobs.present
    )
}

/// The artifact, and beside it `image`, `referrers` and `blobs`.
pub(crate) fn outputs(report: CopyReport) -> Outputs {
    let image = image(&report);
    let referrers: Vec<Value> = report.referrers.iter().map(referrer).collect();
    let blobs = report.blobs;
    Outputs::of(report.artifact)
        .with("image", image)
        .with("referrers", Value::Array(referrers))
        .with("blobs", json!({"uploaded": blobs.uploaded, "mounted": blobs.mounted, "present": blobs.present, "bytes": blobs.bytes}))
}

/// The hosted control plane's keys; its `size` is that of the manifest alone.
fn image(report: &CopyReport) -> Value {
    let artifact = &report.artifact;
    let mut image = Map::new();
    image.insert("tag".to_owned(), json!(artifact.tag));
    image.insert("repository".to_owned(), json!(artifact.repository));
    image.insert("media_type".to_owned(), json!(artifact.media_type));
    image.insert("digest".to_owned(), json!(artifact.digest));
    image.insert("size".to_owned(), json!(report.root.size));
    if !report.annotations.is_empty() {
        image.insert("annotations".to_owned(), json!(report.annotations));
    }
    if let Some(platform) = &artifact.platform {
        let mut object = Map::new();
        object.insert("architecture".to_owned(), json!(platform.architecture));
        object.insert("os".to_owned(), json!(platform.os));
        for (key, value) in [("os_version", &platform.os_version), ("variant", &platform.variant)] {
            if let Some(value) = value {
                object.insert(key.to_owned(), json!(value));
            }
        }
        image.insert("platform".to_owned(), Value::Object(object));
    }
    Value::Object(image)
}

fn referrer(referrer: &CopiedReferrer) -> Value {
    let mut object = Map::new();
    object.insert("subject".to_owned(), json!(referrer.subject));
    object.insert("digest".to_owned(), json!(referrer.descriptor.digest));
    object.insert("media_type".to_owned(), json!(referrer.descriptor.media_type));
    object.insert("size".to_owned(), json!(referrer.descriptor.size));
    for (key, value) in [("artifact_type", &referrer.descriptor.artifact_type), ("tag", &referrer.tag)] {
        if let Some(value) = value {
            object.insert(key.to_owned(), json!(value));
        }
    }
    object.insert("present".to_owned(), json!(referrer.present));
    Value::Object(object)
}
