//! Copies between registries that behave: what is sent, in how many requests, and what comes along.

use std::collections::BTreeSet;

use build_runner::{
    digest::Digest,
    job::{CancelCause, Platform},
    logs::{JobLog, Progress},
    oci::{
        self, Client, Cx, DockerConfig, Error, Location, Repository, Settings,
        transfer::{CopyOptions, CopyReport, Verify},
    },
    retry::Policy,
    shutdown::Cancel,
};
use serde_json::{Value, json};

use crate::support::fake_registry::{Auth, Fake, Fault, INDEX, MANIFEST, Options, Port, What};

/// A client and what its calls need.
pub(crate) struct Bench {
    pub(crate) client: Client,
    pub(crate) cancel: Cancel,
    log: JobLog,
    progress: Progress,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let retry = Policy { tries: 5, min_delay: std::time::Duration::from_millis(1), max_delay: std::time::Duration::from_secs(2) };
        let settings = Settings { docker_config: DockerConfig::None, retry, ..Settings::default() };
        let client = Client::new(settings).unwrap();
        Self { client, cancel: Cancel::new(), log: JobLog::default(), progress: Progress::default() }
    }

    pub(crate) fn cx(&self) -> Cx<'_> {
        Cx { cancel: &self.cancel, log: &self.log, progress: &self.progress }
    }

    pub(crate) fn open(&self, fake: &Fake, name: &str) -> Repository {
        self.client.open(&fake.location(name)).unwrap()
    }

    pub(crate) fn layout(&self, path: &std::path::Path) -> Repository {
        self.client.open(&Location::Layout { path: path.to_owned() }).unwrap()
    }

    pub(crate) async fn copy(&self, from: &Repository, reference: &str, to: &Repository, tag: &str) -> Result<CopyReport, Error> {
        oci::copy(self.cx(), from, reference, to, tag, &CopyOptions::default()).await
    }
}

pub(crate) fn layers(count: u8, size: usize) -> Vec<Vec<u8>> {
    (0..count).map(|number| (0..size).map(|at| number.wrapping_add(u8::try_from(at % 251).unwrap())).collect()).collect()
}

fn index_of(entries: &[Value]) -> Value {
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})
}

fn entry(fake: &Fake, repository: &str, digest: &Digest, more: &Value) -> Value {
    let (media_type, bytes) = fake.manifest(repository, digest.as_str()).unwrap();
    let mut entry = json!({"mediaType": media_type, "digest": digest.as_str(), "size": bytes.len()});
    for (key, value) in more.as_object().unwrap() {
        entry[key] = value.clone();
    }
    entry
}

/// An artifact about `subject`.
fn referrer(fake: &Fake, repository: &str, subject: &Digest, content: &[u8]) -> Digest {
    let blob = fake.descriptor(repository, "application/spdx+json", content);
    let config = fake.descriptor(repository, "application/vnd.oci.empty.v1+json", b"{}");
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/spdx+json", "config": config,
        "layers": [blob], "subject": entry(fake, repository, subject, &json!({}))});
    fake.put_manifest(repository, None, MANIFEST, &manifest)
}

#[tokio::test]
async fn a_fresh_image_of_nine_blobs_takes_at_most_22_requests() {
    let (bench, source, destination) = (Bench::new(), Fake::start(Options::default()).await, Fake::start(Options::default()).await);
    let digest = source.image("a/b", "v1", &layers(8, 100_000));
    let (from, to) = (bench.open(&source, "a/b"), bench.open(&destination, "c/d"));
    let report = bench.copy(&from, "v1", &to, "v2").await.unwrap();
    assert_eq!(report.artifact.digest, digest);
    assert_eq!(destination.tag("c/d", "v2").as_deref(), Some(digest.as_str()));
    assert_eq!(destination.manifest("c/d", digest.as_str()), source.manifest("a/b", digest.as_str()));
    assert_eq!((report.blobs.uploaded, report.no_op), (9, false));
    assert_eq!(report.artifact.platform.map(|platform| platform.to_string()).as_deref(), Some("linux/amd64"));
    assert!(report.artifact.size > 800_000);
    assert!(destination.log().len() <= 22, "{:#?}", destination.log());

    destination.clear_log();
    let again = bench.copy(&bench.open(&source, "a/b"), "v1", &bench.open(&destination, "c/d"), "v2").await.unwrap();
    assert_eq!((again.no_op, &again.artifact.digest, again.artifact.size), (true, &digest, report.artifact.size));
    assert_eq!(destination.log().len(), 1, "{:#?}", destination.log());

    destination.clear_log();
    bench.copy(&from, digest.as_str(), &to, "v3").await.unwrap();
    assert_eq!(destination.count("PUT", "/blobs/"), 0, "the same content under another tag: {:#?}", destination.log());
    assert_eq!(destination.tag("c/d", "v3").as_deref(), Some(digest.as_str()));
}

#[tokio::test]
async fn a_far_destination_hears_of_the_blobs_while_it_looks_for_the_root() {
    let (bench, source, destination) = (Bench::new(), Fake::start(Options::default()).await, Fake::start(Options::default()).await);
    source.image("a/b", "v1", &layers(3, 1000));
    destination.fault(Fault::once("HEAD", "/manifests/v1", What::Late(30)));
    destination.fault(Fault::once("HEAD", "/manifests/sha256:", What::Hang));
    let (from, to) = (bench.open(&source, "a/b"), bench.open(&destination, "a/b"));
    tokio::select! {
        result = bench.copy(&from, "v1", &to, "v1") => panic!("nothing has told that the root is missing: {result:?}"),
        () = destination.seen("POST", "/blobs/uploads/") => {}
    }
    assert_eq!(destination.tag("a/b", "v1"), None);
}

#[tokio::test]
async fn the_tag_is_read_back_where_the_registry_does_not_name_what_it_stored() {
    for no_digest_header in [false, true] {
        let (bench, source) = (Bench::new(), Fake::start(Options::default()).await);
        let destination = Fake::start(Options { no_digest_header, ..Options::default() }).await;
        source.image("a", "v1", &layers(1, 1000));
        bench.copy(&bench.open(&source, "a"), "v1", &bench.open(&destination, "a"), "v1").await.unwrap();
        let log = destination.log();
        let stored = log.iter().position(|seen| seen.method == "PUT" && seen.path.ends_with("/manifests/v1")).unwrap();
        let read_back = log[stored + 1..].iter().any(|seen| seen.path.ends_with("/manifests/v1"));
        assert_eq!(read_back, no_digest_header, "{log:#?}");
    }
}

#[tokio::test]
async fn what_the_destination_has_is_not_sent_again() {
    let (bench, source, destination) = (Bench::new(), Fake::start(Options::default()).await, Fake::start(Options::default()).await);
    let layers = layers(8, 1000);
    source.image("a/b", "v1", &layers);
    for layer in &layers[..5] {
        destination.put_blob("c/d", layer);
    }
    let report = bench.copy(&bench.open(&source, "a/b"), "v1", &bench.open(&destination, "c/d"), "v1").await.unwrap();
    assert_eq!((report.blobs.uploaded, report.blobs.present), (4, 5));
    assert_eq!(destination.count("PUT", "/blobs/uploads/"), 4);
}

#[tokio::test]
async fn within_a_registry_blobs_are_mounted() {
    for auth in [Auth::None, Auth::Token { user: "u", password: "p", uses: 1000 }] {
        let (bench, fake) = (Bench::new(), Fake::start(Options { auth, ..Options::default() }).await);
        let digest = fake.image("a/b", "v1", &layers(8, 1000));
        let report = bench.copy(&bench.open(&fake, "a/b"), "v1", &bench.open(&fake, "c/d"), "v1").await.unwrap();
        assert_eq!((report.blobs.mounted, report.blobs.bytes), (9, 0));
        assert_eq!(fake.count("PUT", "/blobs/uploads/"), 0);
        assert_eq!(fake.tag("c/d", "v1").as_deref(), Some(digest.as_str()));
    }
}

#[tokio::test]
async fn nested_indexes_travel_whole_and_each_blob_once() {
    let (bench, source, destination) = (Bench::new(), Fake::start(Options::default()).await, Fake::start(Options::default()).await);
    let shared = layers(3, 5000);
    let (one, two) = (source.image("a", "1", &shared), source.image("a", "2", &shared[..2]));
    let inner = source.put_manifest("a", None, INDEX, &index_of(&[entry(&source, "a", &one, &json!({}))]));
    // The same image directly and through the inner index.
    let entries = [
        entry(&source, "a", &one, &json!({"platform": {"os": "linux", "architecture": "amd64"}})),
        entry(&source, "a", &two, &json!({"platform": {"os": "linux", "architecture": "arm64"}})),
        entry(&source, "a", &inner, &json!({})),
    ];
    let root = source.put_manifest("a", Some("all"), INDEX, &index_of(&entries));
    // The fake refuses manifests whose references are missing, so the order is checked on the way.
    let report = bench.copy(&bench.open(&source, "a"), "all", &bench.open(&destination, "b"), "all").await.unwrap();
    assert_eq!((report.artifact.digest, report.blobs.uploaded), (root.clone(), 4));
    for digest in [&one, &two, &inner, &root] {
        assert_eq!(destination.manifest("b", digest.as_str()), source.manifest("a", digest.as_str()));
    }
    assert_eq!(destination.tags("b"), ["all"]);
}

#[tokio::test]
async fn a_root_that_lost_its_parts_is_made_whole() {
    let (bench, source, destination) = (Bench::new(), Fake::start(Options::default()).await, Fake::start(Options::default()).await);
    let image = source.image("a", "1", &layers(2, 1000));
    let index = index_of(&[entry(&source, "a", &image, &json!({}))]);
    let root = source.put_manifest("a", Some("all"), INDEX, &index);
    // What a clean-up by age leaves of an index.
    assert_eq!(destination.put_manifest("b", None, INDEX, &index), root);
    let report = bench.copy(&bench.open(&source, "a"), "all", &bench.open(&destination, "b"), "all").await.unwrap();
    assert_eq!((report.artifact.digest, report.blobs.uploaded), (root.clone(), 3));
    assert_eq!(destination.manifest("b", image.as_str()), source.manifest("a", image.as_str()));
    assert_eq!(destination.tag("b", "all").as_deref(), Some(root.as_str()));
}

#[tokio::test]
async fn referrers_and_digest_tags_come_along_whatever_each_side_can() {
    for (has_api, takes_subjects) in [(true, true), (true, false), (false, true), (false, false)] {
        let bench = Bench::new();
        let source = Fake::start(Options { referrers: has_api, ..Options::default() }).await;
        let destination = Fake::start(Options { referrers: takes_subjects, ..Options::default() }).await;
        let image = source.image("a", "v1", &layers(2, 100));
        let root = source.put_manifest("a", Some("all"), INDEX, &index_of(&[entry(&source, "a", &image, &json!({}))]));
        let sbom = referrer(&source, "a", &root, b"sbom of the index");
        let signed_sbom = referrer(&source, "a", &sbom, b"signature of the sbom");
        let child = referrer(&source, "a", &image, b"sbom of the image");
        if !has_api {
            for (subject, about) in [(&root, &sbom), (&sbom, &signed_sbom), (&image, &child)] {
                let tag = format!("sha256-{}", subject.hex());
                source.put_manifest("a", Some(&tag), INDEX, &index_of(&[entry(&source, "a", about, &json!({}))]));
            }
        }
        let signature = source.image("a", &format!("sha256-{}.sig", root.hex()), &layers(1, 10));
        let report = bench.copy(&bench.open(&source, "a"), "all", &bench.open(&destination, "b"), "all").await.unwrap();
        let copied: BTreeSet<_> = report.referrers.iter().map(|referrer| referrer.descriptor.digest.clone()).collect();
        assert_eq!(copied, [&sbom, &signed_sbom, &child, &signature].into_iter().cloned().collect());
        for digest in &copied {
            assert_eq!(destination.manifest("b", digest.as_str()), source.manifest("a", digest.as_str()));
        }
        assert_eq!(destination.tag("b", &format!("sha256-{}.sig", root.hex())).as_deref(), Some(signature.as_str()));
        // Whoever asks the destination finds them.
        let to = bench.open(&destination, "b");
        if takes_subjects {
            assert_eq!(to.referrers(bench.cx(), &root).await.unwrap().unwrap()[0].digest, sbom);
            assert_eq!(destination.tags("b").len(), 2);
        } else {
            let tag = format!("sha256-{}", sbom.hex());
            let (_, bytes) = destination.manifest("b", &destination.tag("b", &tag).unwrap()).unwrap();
            let listed: Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(listed["manifests"][0]["digest"], signed_sbom.as_str());
            assert_eq!(listed["manifests"][0]["artifactType"], "application/spdx+json");
        }

        // A signature that is added later comes along although the tag has not moved.
        let again = bench.copy(&bench.open(&source, "a"), "all", &to, "all").await.unwrap();
        assert!(again.no_op);
        let late = source.image("a", &format!("sha256-{}.att", root.hex()), &layers(1, 11));
        let third = bench.copy(&bench.open(&source, "a"), "all", &to, "all").await.unwrap();
        assert!(!third.no_op);
        assert_eq!(destination.tag("b", &format!("sha256-{}.att", root.hex())).as_deref(), Some(late.as_str()));
    }
}

#[tokio::test]
async fn junk_about_an_image_is_left_out() {
    for api in [true, false] {
        let bench = Bench::new();
        let source = Fake::start(Options { referrers: api, ..Options::default() }).await;
        let destination = Fake::start(Options::default()).await;
        let image = source.image("a", "v1", &layers(2, 100));
        let subject = entry(&source, "a", &image, &json!({}));
        let good = referrer(&source, "a", &image, b"sbom");
        let gone = json!({"mediaType": MANIFEST, "digest": Digest::of(b"gone").as_str(), "size": 4});
        let config = source.descriptor("a", "application/vnd.oci.empty.v1+json", b"{}");
        let junk = [
            (MANIFEST, json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": "none", "subject": subject})),
            (MANIFEST, json!({"schemaVersion": 2, "config": config, "layers": [{"digest": "md5:00", "size": 1}], "subject": subject})),
            ("application/vnd.docker.distribution.manifest.v1+prettyjws", json!({"schemaVersion": 1, "subject": subject})),
            (INDEX, json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [gone], "subject": subject})),
        ]
        .map(|(kind, content)| source.put_manifest("a", None, kind, &content));
        if !api {
            let mut listed: Vec<_> = junk.iter().chain([&good]).map(|one| entry(&source, "a", one, &json!({}))).collect();
            listed[0]["size"] = json!(1);
            source.put_manifest("a", Some(&format!("sha256-{}", image.hex())), INDEX, &index_of(&listed));
        }
        let signature = source.image("a", &format!("sha256-{}.sig", image.hex()), &layers(1, 10));
        source.put_manifest("a", Some(&format!("sha256-{}.att", image.hex())), MANIFEST, &json!({"schemaVersion": 2}));
        let report = bench.copy(&bench.open(&source, "a"), "v1", &bench.open(&destination, "b"), "v1").await.unwrap();
        let copied: BTreeSet<_> = report.referrers.iter().map(|referrer| referrer.descriptor.digest.clone()).collect();
        assert_eq!(copied, [good, signature].into(), "api: {api}");
        assert_eq!(destination.tag("b", "v1").as_deref(), Some(image.as_str()));
    }
}

#[tokio::test]
async fn a_list_of_referrers_that_is_junk_is_left_out_and_damage_is_not() {
    let bench = Bench::new();
    let (source, destination) = (Fake::start(Options::default()).await, Fake::start(Options::default()).await);
    let image = source.image("a", "v1", &layers(1, 100));
    let list = format!("sha256-{}", image.hex());
    source.put_manifest("a", Some(&list), INDEX, &json!({"schemaVersion": 2, "manifests": "none"}));
    let (from, to) = (bench.open(&source, "a"), bench.open(&destination, "b"));
    assert!(bench.copy(&from, "v1", &to, "v1").await.unwrap().referrers.is_empty());

    let about = referrer(&source, "a", &image, b"sbom");
    source.put_manifest("a", Some(&list), INDEX, &index_of(&[entry(&source, "a", &about, &json!({}))]));
    source.fault(Fault::once("GET", format!("/manifests/{about}"), What::Corrupt).always());
    let error = bench.copy(&from, "v1", &to, "v2").await.unwrap_err().to_string();
    assert!(error.contains("has the digest"), "{error}");
    assert_eq!(destination.tag("b", "v2"), None);
}

#[tokio::test]
async fn referrers_stay_behind_when_they_are_not_wanted() {
    let bench = Bench::new();
    let (source, destination) =
        (Fake::start(Options { referrers: true, ..Options::default() }).await, Fake::start(Options::default()).await);
    let image = source.image("a", "v1", &layers(1, 100));
    referrer(&source, "a", &image, b"sbom");
    let options = CopyOptions { referrers: false, ..CopyOptions::default() };
    let (from, to) = (bench.open(&source, "a"), bench.open(&destination, "b"));
    let report = oci::copy(bench.cx(), &from, "v1", &to, "v1", &options).await.unwrap();
    assert!(report.referrers.is_empty());
    assert_eq!(source.count("", "/referrers/"), 0);
}

#[tokio::test]
async fn a_platform_is_copied_with_its_attestation() {
    let (bench, source, destination) = (Bench::new(), Fake::start(Options::default()).await, Fake::start(Options::default()).await);
    let images = [source.image("a", "1", &layers(1, 100)), source.image("a", "2", &layers(2, 100))];
    let attestations = [source.image("a", "3", &layers(1, 7)), source.image("a", "4", &layers(1, 8))];
    let mut entries = Vec::new();
    for (image, arch) in images.iter().zip(["amd64", "arm64"]) {
        entries.push(entry(&source, "a", image, &json!({"platform": {"os": "linux", "architecture": arch}})));
    }
    for (attestation, image) in attestations.iter().zip(&images) {
        let more = json!({"platform": {"os": "unknown", "architecture": "unknown"}, "annotations":
            {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": image.as_str()}});
        entries.push(entry(&source, "a", attestation, &more));
    }
    let root = source.put_manifest("a", Some("all"), INDEX, &index_of(&entries));
    let linux =
        |architecture: &str| Platform { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: None, os_version: None };
    let (from, to) = (bench.open(&source, "a"), bench.open(&destination, "b"));
    let options = CopyOptions { platforms: vec![linux("arm64")], ..CopyOptions::default() };
    let report = oci::copy(bench.cx(), &from, "all", &to, "arm", &options).await.unwrap();
    assert_ne!(report.artifact.digest, root);
    let (_, bytes) = destination.manifest("b", report.artifact.digest.as_str()).unwrap();
    let index: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(index["manifests"], json!([entries[1], entries[3]]));
    assert!(destination.manifest("b", images[0].as_str()).is_none());

    let all = CopyOptions { platforms: vec![linux("arm64"), linux("amd64")], ..CopyOptions::default() };
    assert_eq!(oci::copy(bench.cx(), &from, "all", &to, "both", &all).await.unwrap().artifact.digest, root);

    let none = CopyOptions { platforms: vec![linux("s390x")], ..CopyOptions::default() };
    let error = oci::copy(bench.cx(), &from, "all", &to, "none", &none).await.unwrap_err().to_string();
    assert!(error.contains("linux/s390x") && error.contains("linux/amd64, linux/arm64"), "{error}");
}

#[tokio::test]
async fn into_a_layout_and_back_keeps_every_digest() {
    let bench = Bench::new();
    let source = Fake::start(Options { referrers: true, ..Options::default() }).await;
    let destination = Fake::start(Options { referrers: true, ..Options::default() }).await;
    let image = source.image("a", "v1", &layers(3, 300_000));
    let root = source.put_manifest("a", Some("all"), INDEX, &index_of(&[entry(&source, "a", &image, &json!({}))]));
    let sbom = referrer(&source, "a", &root, b"sbom");
    let signature = source.image("a", &format!("sha256-{}.sig", root.hex()), &layers(1, 10));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("layout");
    let there = bench.copy(&bench.open(&source, "a"), "all", &bench.layout(&path), "v9").await.unwrap();
    assert_eq!((there.artifact.digest, there.referrers.len()), (root.clone(), 2));
    assert_eq!(there.artifact.repository, path.display().to_string());
    assert!(bench.copy(&bench.open(&source, "a"), "all", &bench.layout(&path), "v9").await.unwrap().no_op);
    let back = bench.copy(&bench.layout(&path), "v9", &bench.open(&destination, "b"), "v1").await.unwrap();
    assert_eq!(back.artifact.digest, root);
    for digest in [&root, &image, &sbom, &signature] {
        assert_eq!(destination.manifest("b", digest.as_str()), source.manifest("a", digest.as_str()));
    }
    assert_eq!(bench.open(&destination, "b").referrers(bench.cx(), &root).await.unwrap().unwrap().len(), 1);
}

#[tokio::test]
async fn credentials_stay_with_their_registry() {
    for auth in [Auth::Basic("u", "p"), Auth::Token { user: "u", password: "p", uses: 16 }] {
        let bench = Bench::new();
        let elsewhere = Options { auth: auth.clone(), uploads_elsewhere: true, downloads_elsewhere: true, ..Options::default() };
        let (source, destination) = (Fake::start(elsewhere.clone()).await, Fake::start(elsewhere).await);
        let digest = source.image("a", "v1", &layers(8, 200_000));
        bench.copy(&bench.open(&source, "a"), "v1", &bench.open(&destination, "b"), "v1").await.unwrap();
        assert_eq!(destination.tag("b", "v1").as_deref(), Some(digest.as_str()));
        let logs = source.log().into_iter().chain(destination.log());
        let (mut stored, mut leaked) = (0, 0);
        for seen in logs.filter(|seen| seen.port == Port::Storage) {
            stored += 1;
            leaked += usize::from(seen.authorization);
        }
        assert!(stored >= 18, "{stored}");
        assert_eq!(leaked, 0);
    }
}

#[tokio::test]
async fn deep_looks_behind_an_equal_root() {
    let (bench, source, destination) = (Bench::new(), Fake::start(Options::default()).await, Fake::start(Options::default()).await);
    let digest = source.image("a", "v1", &layers(3, 100));
    let (media_type, bytes) = source.manifest("a", digest.as_str()).unwrap();
    // A pull-through cache that knows the manifest and none of its blobs.
    destination.put_manifest("b", Some("v1"), &media_type, &serde_json::from_slice(&bytes).unwrap());
    let (from, to) = (bench.open(&source, "a"), bench.open(&destination, "b"));
    assert!(bench.copy(&from, "v1", &to, "v1").await.unwrap().no_op);
    let options = CopyOptions { deep: true, ..CopyOptions::default() };
    let report = oci::copy(bench.cx(), &from, "v1", &to, "v1", &options).await.unwrap();
    assert_eq!((report.no_op, report.blobs.uploaded), (false, 4));
}

#[tokio::test]
async fn layers_that_are_not_to_be_distributed_stay_where_they_are() {
    let (bench, source, destination) = (Bench::new(), Fake::start(Options::default()).await, Fake::start(Options::default()).await);
    let config = source.descriptor("a", "application/vnd.oci.image.config.v1+json", b"{}");
    let mut foreign = source.descriptor("a", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", b"windows");
    foreign["urls"] = json!(["https://example.org/windows"]);
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [foreign]});
    source.put_manifest("a", Some("v1"), MANIFEST, &manifest);
    let report = bench.copy(&bench.open(&source, "a"), "v1", &bench.open(&destination, "b"), "v1").await.unwrap();
    assert_eq!(report.blobs.uploaded, 1);
    assert!(!destination.has_blob("b", foreign["digest"].as_str().unwrap()));
}

#[tokio::test]
async fn a_registry_that_takes_few_at_a_time_gets_few_at_a_time() {
    let (bench, source) = (Bench::new(), Fake::start(Options::default()).await);
    let destination = Fake::start(Options { max_in_flight: Some(4), ..Options::default() }).await;
    let digest = source.image("a", "v1", &layers(40, 2000));
    bench.copy(&bench.open(&source, "a"), "v1", &bench.open(&destination, "b"), "v1").await.unwrap();
    assert_eq!(destination.tag("b", "v1").as_deref(), Some(digest.as_str()));
}

#[tokio::test]
async fn a_stopped_copy_leaves_no_tag() {
    let (bench, source, destination) = (Bench::new(), Fake::start(Options::default()).await, Fake::start(Options::default()).await);
    source.image("a", "v1", &layers(8, 10_000));
    // Held up for good: only the cancellation ends it.
    destination.fault(Fault::once("PUT", "/blobs/uploads/", What::Hang).always());
    let (from, to) = (bench.open(&source, "a"), bench.open(&destination, "b"));
    let stop = async {
        destination.seen("PUT", "/blobs/uploads/").await;
        bench.cancel.cancel(CancelCause::Requested);
    };
    let (result, ()) = tokio::join!(bench.copy(&from, "v1", &to, "v1"), stop);
    assert!(matches!(result, Err(Error::Cancelled(_))), "{result:?}");
    assert!(destination.tags("b").is_empty());
}

#[tokio::test]
async fn everything_is_hashed_when_the_destination_s_word_is_not_enough() {
    let (bench, source) = (Bench::new(), Fake::start(Options::default()).await);
    let destination = Fake::start(Options { trusting: true, no_digest_header: true, ..Options::default() }).await;
    source.image("a", "v1", &layers(2, 5000));
    source.fault(Fault::once("GET", "/blobs/", What::Corrupt).after(1).always());
    let (from, to) = (bench.open(&source, "a"), bench.open(&destination, "b"));
    for verify in [Verify::Always, Verify::Destination] {
        let options = CopyOptions { verify, ..CopyOptions::default() };
        let error = oci::copy(bench.cx(), &from, "v1", &to, "v1", &options).await.unwrap_err();
        assert!(error.to_string().contains("has the digest"), "{verify:?}: {error}");
        assert!(destination.tags("b").is_empty());
    }
}
