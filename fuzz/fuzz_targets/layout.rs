//! Image layouts that somebody else wrote: whatever stands in `index.json` and in the manifests, reading ends in an answer.
#![no_main]

use std::fs;
use std::sync::LazyLock;

use build_runner::digest::Digest;
use build_runner::logs::{JobLog, Progress};
use build_runner::oci::{Client, Cx, Location, Settings};
use build_runner::shutdown::Cancel;
use libfuzzer_sys::fuzz_target;

static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime"));
static CLIENT: LazyLock<Client> = LazyLock::new(|| Client::new(Settings::default()).expect("a client"));

fuzz_target!(|input: (bool, &str, &[u8], &[u8])| {
    let (whole_index, tag, index, manifest) = input;
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    let digest = Digest::of(manifest);
    fs::create_dir_all(root.join("blobs/sha256")).expect("a folder");
    fs::write(root.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("a file");
    fs::write(root.join("blobs/sha256").join(digest.hex()), manifest).expect("a blob");
    let entry = serde_json::json!({"schemaVersion": 2, "manifests": [{
        "mediaType": "application/vnd.oci.image.index.v1+json", "digest": digest, "size": manifest.len(),
        "annotations": {"org.opencontainers.image.ref.name": tag}}]});
    let index = if whole_index { index.to_owned() } else { entry.to_string().into_bytes() };
    fs::write(root.join("index.json"), index).expect("an index");
    let (cancel, log, progress) = (Cancel::new(), JobLog::discard(), Progress::default());
    let cx = Cx { cancel: &cancel, log: &log, progress: &progress };
    RUNTIME.block_on(async {
        let Ok(repository) = CLIENT.open(&Location::Layout { path: root.to_owned() }) else { return };
        for tag in repository.tags(cx).await.unwrap_or_default() {
            let _ = repository.resolve(cx, &tag).await;
        }
        if let Ok((found, bytes)) = repository.manifest(cx, tag).await {
            assert!(found.digest.matches(&bytes), "what was read is not what was asked for");
        }
        let _ = repository.referrers(cx, &digest).await;
    });
});
