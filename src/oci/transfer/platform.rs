//! Some platforms of an index.

use std::collections::HashSet;

use serde_json::Value;

use super::{PartialIndex, engine::Engine, graph::Node};
use crate::{
    digest::Digest,
    job::Platform,
    oci::{Descriptor, Error, Manifest},
};

/// Largest image configuration that is read for its platform.
pub(super) const MAX_CONFIG: u64 = 4 << 20;
/// Annotation of BuildKit's attestation manifests: the image they are about
/// (moby/buildkit `docs/attestations/attestation-storage.md`).
const REFERENCE: &str = "vnd.docker.reference.digest";

/// What is left of the root.
pub(super) struct Selected {
    pub(super) root: Node,
    /// Entries of the root to copy; `None` for all.
    pub(super) only: Option<HashSet<Digest>>,
}

/// Operating system and architecture out of an image configuration.
pub(super) fn of_config(config: &[u8]) -> Option<Platform> {
    let platform: Platform = serde_json::from_slice(config).ok()?;
    (!platform.os.is_empty() && !platform.architecture.is_empty()).then_some(platform)
}

/// The variant a platform has when it names none (containerd `platforms/database.go`).
fn variant(platform: &Platform) -> Option<&str> {
    platform.variant.as_deref().or(match platform.architecture.as_str() {
        "arm64" => Some("v8"),
        "arm" => Some("v7"),
        _ => None,
    })
}

fn matches(wanted: &Platform, offered: &Platform) -> bool {
    wanted.os == offered.os
        && wanted.architecture == offered.architecture
        && (wanted.variant.is_none() || variant(wanted) == variant(offered))
        && (wanted.os_version.is_none() || wanted.os_version == offered.os_version)
}

/// Keeps the platforms that the options name.
pub(super) async fn select(engine: &Engine, root: Node, reference: &str) -> Result<Selected, Error> {
    let wanted = &engine.options.platforms;
    if wanted.is_empty() {
        return Ok(Selected { root, only: None });
    }
    match &root.manifest {
        Manifest::Index(index) => {
            let kept =
                keep(wanted, &index.manifests).map_err(|missing| engine.no_platform(missing, reference, &offered(&index.manifests)))?;
            if index.manifests.iter().all(|entry| kept.contains(&entry.digest)) {
                return Ok(Selected { root, only: None });
            }
            match engine.options.partial_index {
                PartialIndex::Sparse => Ok(Selected { root, only: Some(kept) }),
                PartialIndex::Rebuilt => Ok(Selected { root: rebuild(&root, &kept)?, only: None }),
            }
        }
        Manifest::Image(image) => {
            let config = engine.source.blob(engine.cx(), &image.config, MAX_CONFIG).await?;
            let has: Vec<_> = of_config(&config).into_iter().collect();
            match wanted.iter().find(|wanted| !has.iter().any(|has| matches(wanted, has))) {
                Some(missing) => Err(engine.no_platform(missing, reference, &has)),
                None => Ok(Selected { root, only: None }),
            }
        }
        Manifest::Artifact(_) | Manifest::Unknown => Err(engine.no_platform(&wanted[0], reference, &[])),
    }
}

fn offered(entries: &[Descriptor]) -> Vec<Platform> {
    entries.iter().filter_map(|entry| entry.platform.clone()).filter(|platform| platform.os != "unknown").collect()
}

/// Digests of the entries that match, and of the attestations about them; the first platform nothing matches otherwise.
fn keep<'a>(wanted: &'a [Platform], entries: &[Descriptor]) -> Result<HashSet<Digest>, &'a Platform> {
    let mut kept = HashSet::new();
    for platform in wanted {
        let before = kept.len();
        let matching = entries.iter().filter(|entry| entry.platform.as_ref().is_some_and(|has| matches(platform, has)));
        let mut found = false;
        for entry in matching {
            kept.insert(entry.digest.clone());
            found = true;
        }
        if !found && kept.len() == before {
            return Err(platform);
        }
    }
    let about = |entry: &&Descriptor| {
        entry.annotations.get(REFERENCE).is_some_and(|digest| digest.parse::<Digest>().is_ok_and(|digest| kept.contains(&digest)))
    };
    let attestations: Vec<_> = entries.iter().filter(about).map(|entry| entry.digest.clone()).collect();
    kept.extend(attestations);
    Ok(kept)
}

/// The same index without the other entries. Everything else in it stays as it was written, unknown keys included.
fn rebuild(root: &Node, kept: &HashSet<Digest>) -> Result<Node, Error> {
    let mut document: Value = serde_json::from_slice(&root.bytes).unwrap_or_default();
    if let Some(entries) = document["manifests"].as_array_mut() {
        entries
            .retain(|entry| entry["digest"].as_str().and_then(|digest| digest.parse::<Digest>().ok()).is_some_and(|d| kept.contains(&d)));
    }
    let bytes = document.to_string().into_bytes();
    let descriptor = Descriptor::of(root.descriptor.media_type.clone(), &bytes);
    Node::new(descriptor, bytes.into(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::media_type;
    use serde_json::json;

    fn platform(text: &str) -> Platform {
        let mut parts = text.split('/').map(str::to_owned);
        let (os, architecture) = (parts.next().unwrap(), parts.next().unwrap());
        Platform { os, architecture, variant: parts.next(), os_version: None }
    }

    fn entry(name: &str, runs_on: &str) -> Descriptor {
        Descriptor { platform: Some(platform(runs_on)), ..Descriptor::of(media_type::OCI_MANIFEST, name.as_bytes()) }
    }

    #[test]
    fn attestations_follow_their_image() {
        let (amd, arm) = (entry("amd", "linux/amd64"), entry("arm", "linux/arm64/v8"));
        let about =
            |image: &Descriptor| entry(&format!("about {}", image.digest), "unknown/unknown").annotate(REFERENCE, image.digest.as_str());
        let (about_amd, about_arm) = (about(&amd), about(&arm));
        let index = json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "odd": {"b": 1, "a": 2},
            "manifests": [&amd, &arm, &about_amd, &about_arm]});
        let bytes = index.to_string().into_bytes();
        let root = Node::new(Descriptor::of(media_type::OCI_INDEX, &bytes), bytes.into(), 0).unwrap();
        let kept = keep(&[platform("linux/arm64")], root.manifest.manifests()).unwrap();
        let rebuilt = rebuild(&root, &kept).unwrap();
        assert_eq!(rebuilt.manifest.manifests(), [arm, about_arm]);
        assert!(String::from_utf8_lossy(&rebuilt.bytes).contains(r#""odd":{"b":1,"a":2}"#));
    }

    #[test]
    fn variants_count_only_when_they_are_asked_for() {
        let entries = [entry("6", "linux/arm/v6"), entry("7", "linux/arm"), entry("64", "linux/arm64")];
        let kept = |wanted: &str| keep(&[platform(wanted)], &entries).map(|kept| kept.len()).map_err(ToString::to_string);
        assert_eq!(kept("linux/arm"), Ok(2));
        assert_eq!(kept("linux/arm/v7"), Ok(1));
        assert_eq!(kept("linux/arm64/v8"), Ok(1));
        assert_eq!(kept("linux/s390x"), Err("linux/s390x".to_owned()));
    }
}
