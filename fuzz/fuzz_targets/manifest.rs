//! Manifests and indexes as a registry may send them; one that was understood means the same when written again.
#![no_main]

use build_runner::oci::{Manifest, manifest, media_type};
use libfuzzer_sys::fuzz_target;

const TYPES: [Option<&str>; 6] = [
    None,
    Some("application/json; charset=utf-8"),
    Some(media_type::OCI_MANIFEST),
    Some(media_type::OCI_INDEX),
    Some(media_type::DOCKER_MANIFEST),
    Some(media_type::DOCKER_LIST),
];

fuzz_target!(|input: (u8, &[u8])| {
    let (sent, bytes) = input;
    let media_type = manifest::effective_media_type(TYPES[usize::from(sent) % TYPES.len()], bytes);
    let Ok(manifest) = Manifest::parse(&media_type, bytes) else { return };
    let _ = (manifest.blobs().count(), manifest.manifests().len(), manifest.subject(), manifest.annotations(), manifest.artifact_type());
    for descriptor in manifest.blobs().chain(manifest.manifests()) {
        if let Some(data) = descriptor.inline() {
            assert!(descriptor.digest.matches(&data), "inline data that is not what the digest says");
        }
    }
    let written = match &manifest {
        Manifest::Image(image) => image.to_bytes(),
        Manifest::Index(index) => index.to_bytes(),
        Manifest::Artifact(_) | Manifest::Unknown => return,
    };
    if let Ok(written) = written {
        assert_eq!(Manifest::parse(&media_type, &written).expect("what we write we can read"), manifest);
    }
});
