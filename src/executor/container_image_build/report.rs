//! What is reported: `outputs.source`, and what the provenance is made of.

use serde_json::{Value, json};

use crate::{
    oci::Repository,
    plan::ContainerImagePullPlan,
    provenance::{Material, Record, cosign::Vouched},
};

use super::resolve::Resolved;

/// `outputs.source`: keys that scripts rely on, all of them always there but `verified_by`, which is there where somebody was asked for.
pub(super) fn source(resolved: &Resolved, plan: &ContainerImagePullPlan, vouched: Option<&Vouched>, no_op: bool) -> Value {
    let mut source = json!({
        "ref": resolved.reference,
        "image": plan.image,
        "resolved_tag": resolved.tag,
        "digest": resolved.root.digest,
        "media_type": resolved.root.media_type,
        "resolved_at": resolved.at,
        "no_op": no_op,
    });
    if let Some(vouched) = vouched {
        source["verified_by"] = json!({"authority": vouched.authority, "signer": vouched.signer});
    }
    source
}

/// How the copy came to be.
pub(super) fn record(destination: Repository, source: &Repository, resolved: &Resolved, plan: &ContainerImagePullPlan) -> Record {
    let uri = match source {
        Repository::Registry(_) => format!("oci://{}", resolved.reference),
        // Folders have other names on other machines.
        Repository::Layout(_) => format!("oci-layout:{}", resolved.tag.as_deref().unwrap_or_default()),
    };
    Record::new(destination)
        .parameter("image", plan.image.as_str())
        .parameter("tag", json!(plan.tag))
        .parameter("update_policy", json!(plan.update_policy))
        .material([Material::content(uri, &resolved.root.digest, "source image")])
}
