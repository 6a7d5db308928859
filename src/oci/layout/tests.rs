//! Layouts against files that other tools, other runners and other people put there.

use serde_json::json;

use super::*;
use crate::{
    logs::{JobLog, Progress},
    oci::Stored,
    shutdown::Cancel,
};

#[derive(Default)]
struct Bench {
    cancel: Cancel,
    log: JobLog,
    progress: Progress,
}

impl Bench {
    fn cx(&self) -> Cx<'_> {
        Cx { cancel: &self.cancel, log: &self.log, progress: &self.progress }
    }
}

fn tag(name: &str) -> Reference {
    Reference::Tag(name.to_owned())
}

fn image(comment: &str, subject: Option<&Descriptor>) -> (Descriptor, Bytes) {
    let manifest = json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "config": Descriptor::empty(), "layers": [],
        "subject": subject, "annotations": {"comment": comment}});
    let bytes = Bytes::from(manifest.to_string());
    (Descriptor::of(media_type::OCI_MANIFEST, &bytes), bytes)
}

async fn text(layout: &Layout, bench: &Bench, blob: &Descriptor, offset: u64) -> Result<String, Error> {
    let mut stream = layout.open_blob(bench.cx(), blob, offset).await?;
    let mut text = Vec::new();
    while let Some(piece) = stream.next().await {
        text.extend_from_slice(&piece?);
    }
    Ok(String::from_utf8(text).unwrap())
}

#[tokio::test]
async fn what_is_written_is_read_back() {
    let bench = Bench::default();
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("new/layout");
    let layout = Layout::open(&root).unwrap();
    assert!(!root.exists(), "opening creates nothing");
    let blob = Descriptor::of("x/y", b"hello");
    assert_eq!(layout.put_blob(bench.cx(), &blob, &Bytes::from_static(b"hello")).await.unwrap(), Stored::Uploaded);
    assert_eq!(layout.put_blob(bench.cx(), &blob, &Bytes::from_static(b"hello")).await.unwrap(), Stored::Present);
    assert_eq!(text(&layout, &bench, &blob, 1).await.unwrap(), "ello");
    let (descriptor, bytes) = image("1", None);
    layout.put_manifest(bench.cx(), &tag("v1"), &descriptor, bytes.clone()).await.unwrap();
    assert_eq!(layout.find(bench.cx(), &tag("v1")).await.unwrap(), Some(descriptor.clone()));
    assert_eq!(layout.manifest(bench.cx(), &tag("v1")).await.unwrap(), (descriptor.clone(), bytes.clone()));
    assert_eq!(layout.manifest(bench.cx(), &descriptor.digest.clone().into()).await.unwrap(), (descriptor, bytes));
    assert_eq!(layout.find(bench.cx(), &tag("v2")).await.unwrap(), None);
    let error = layout.manifest(bench.cx(), &tag("v2")).await.unwrap_err();
    assert!(error.is_not_found(), "{error}");
    let left: Vec<_> = std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn runners_side_by_side_lose_no_tag_and_no_referrer() {
    let bench = Bench::default();
    let folder = tempfile::tempdir().unwrap();
    let (subject, _) = image("subject", None);
    let writes = (0..24).map(|number| {
        let (bench, subject, path) = (&bench, &subject, folder.path());
        async move {
            // Each with a layout of its own, as other processes have.
            let layout = Layout::open(path).unwrap();
            let (descriptor, bytes) = image(&number.to_string(), Some(subject));
            layout.put_manifest(bench.cx(), &tag(&format!("v{number}")), &descriptor, bytes).await.unwrap();
        }
    });
    futures_util::future::join_all(writes).await;
    let layout = Layout::open(folder.path()).unwrap();
    assert_eq!(layout.tags(bench.cx()).await.unwrap().len(), 25);
    let referrers = layout.referrers(bench.cx(), &subject.digest).await.unwrap().unwrap();
    assert_eq!(referrers.len(), 24);
    assert!(referrers[0].annotations.contains_key("comment"));
}

#[tokio::test]
async fn content_other_than_promised_is_not_kept() {
    let bench = Bench::default();
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::open(folder.path()).unwrap();
    let blob = Descriptor::of("x/y", b"hello");
    for (content, part) in [("hellO", "has the digest"), ("hell", "has 4 bytes"), ("hello, world", "has 12 bytes")] {
        let error = layout.put_blob(bench.cx(), &blob, &Bytes::from(content)).await.unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
    assert!(!layout.has_blob(bench.cx(), &blob).await.unwrap());
    assert_eq!(std::fs::read_dir(folder.path().join("blobs/sha256")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "no temporary file stays");
}

#[tokio::test]
async fn hostile_layouts_are_refused() {
    let bench = Bench::default();
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("layout");
    let layout = Layout::open(&root).unwrap();
    let (descriptor, bytes) = image("1", None);
    layout.put_manifest(bench.cx(), &tag("v1"), &descriptor, bytes.clone()).await.unwrap();
    let path = folder::blob_path(&root, &descriptor.digest);
    let reading = async |part: &str| {
        let error = layout.manifest(bench.cx(), &tag("v1")).await.unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };

    std::fs::write(&path, vec![b' '; bytes.len()]).unwrap();
    reading("has the digest").await;
    std::fs::write(&path, b"{}").unwrap();
    reading("has 2 bytes").await;
    std::fs::remove_file(&path).unwrap();
    reading("does not exist").await;
    let outside = folder.path().join("outside");
    std::fs::write(&outside, &bytes).unwrap();
    std::os::unix::fs::symlink(&outside, &path).unwrap();
    reading("leads out of the layout folder").await;
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    reading("not a regular file").await;
    std::fs::remove_dir(&path).unwrap();
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    reading("not a regular file").await;
    std::fs::remove_file(&path).unwrap();

    let index = root.join("index.json");
    std::fs::write(&index, "{\"manifests\": 7}").unwrap();
    reading("'manifests' is not a list").await;
    std::fs::File::create(&index).unwrap().set_len(index::MAX_INDEX + 1).unwrap();
    reading("larger than the 8388608 bytes").await;
    std::fs::write(root.join("oci-layout"), r#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
    assert!(Layout::open(&root).unwrap_err().to_string().contains("version '2.0.0'"));
    assert!(Layout::open(folder.path()).unwrap_err().to_string().contains("holds other files"));
}

#[tokio::test]
async fn a_stopped_write_leaves_nothing() {
    struct Stuck(Cancel);
    #[async_trait::async_trait]
    impl crate::oci::BlobSource for Stuck {
        async fn open(&self, _: Cx<'_>, _: u64) -> Result<ByteStream, Error> {
            let cancel = self.0.clone();
            let first = futures_util::stream::once(async { Ok(Bytes::from_static(b"he")) });
            Ok(first
                .chain(futures_util::stream::once(async move {
                    cancel.cancel(crate::job::CancelCause::Requested);
                    std::future::pending().await
                }))
                .boxed())
        }
    }
    let bench = Bench::default();
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::open(folder.path()).unwrap();
    let blob = Descriptor::of("x/y", b"hello");
    let result = layout.put_blob(bench.cx(), &blob, &Stuck(bench.cancel.clone())).await;
    assert!(matches!(result, Err(Error::Cancelled(_))));
    assert!(!folder::blob_path(folder.path(), &blob.digest).exists());
}

#[tokio::test]
async fn what_a_killed_runner_left_unfinished_goes_and_what_is_being_written_stays() {
    let bench = Bench::default();
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::open(folder.path()).unwrap();
    let (descriptor, bytes) = image("1", None);
    layout.put_manifest(bench.cx(), &tag("v1"), &descriptor, bytes.clone()).await.unwrap();
    let old = std::time::UNIX_EPOCH;
    let left = |name: &str| {
        let file = std::fs::File::create(folder.path().join(name)).unwrap();
        file.set_modified(old).unwrap();
        drop(file);
    };
    left(".build-runner-left");
    left("somebody-else-s");
    let written = folder::temporary(folder.path()).unwrap();
    written.as_file().set_modified(old).unwrap();
    let young = folder.path().join(".build-runner-young");
    std::fs::write(&young, "").unwrap();
    layout.put_manifest(bench.cx(), &tag("v2"), &descriptor, bytes).await.unwrap();
    assert!(!folder.path().join(".build-runner-left").exists());
    assert!(folder.path().join("somebody-else-s").exists() && written.path().exists() && young.exists());
}
