use std::path::Path;

use super::*;
use crate::{
    job::{ExecutionId, JobType},
    logs::{JobLog, Progress},
    oci::{Client, Location, Settings, push},
    provenance::{Material, verify},
    shutdown::Cancel,
};

struct Bench {
    folder: tempfile::TempDir,
    repository: Repository,
    cancel: Cancel,
    log: JobLog,
    progress: Progress,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let client = Client::new(Settings::default()).expect("a client");
        let repository = client.open(&Location::layout(Path::new("out"), folder.path())).expect("a layout");
        Self { folder, repository, cancel: Cancel::new(), log: JobLog::discard(), progress: Progress::default() }
    }

    fn cx(&self) -> Cx<'_> {
        Cx { cancel: &self.cancel, log: &self.log, progress: &self.progress }
    }

    fn key(&self, name: &str) -> KeySource {
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        KeySource::State(folder)
    }

    async fn artifact(&self) -> Artifact {
        let package = Package {
            artifact_type: Some("a/b".into()),
            config: Blob::empty(),
            layers: vec![Blob::new("text/plain", "x")],
            annotations: BTreeMap::new(),
            subject: None,
        };
        push(self.cx(), &self.repository, "1", package).await.expect("pushed")
    }

    async fn attest(&self, key: &KeySource, record: &Record, artifact: &Artifact) -> Result<Map<String, Value>, Failure> {
        let now = Timestamp::now();
        let execution = ExecutionId::generate();
        let occasion = Occasion { job_type: JobType::HelmChartBuild, execution: &execution, started_at: now, finished_at: now };
        attest(self.cx(), key, record, std::slice::from_ref(artifact), occasion).await
    }

    fn record(&self) -> Record {
        Record::new(self.repository.clone()).material([Material::commit("https://git/repo", None, &"a".repeat(40))])
    }

    async fn attached(&self, artifact: &Artifact) -> usize {
        self.repository.referrers(self.cx(), &artifact.digest).await.expect("asked").expect("a list").len()
    }
}

#[tokio::test]
async fn the_same_build_is_attested_once_and_another_beside_it() {
    let bench = Bench::new();
    let (artifact, key) = (bench.artifact().await, bench.key("one"));
    let first = bench.attest(&key, &bench.record(), &artifact).await.expect("attested");
    assert_eq!(bench.attest(&key, &bench.record(), &artifact).await.expect("attested"), first);
    assert_eq!(bench.attached(&artifact).await, 1);
    let other = bench.record().parameter("version", "2");
    assert_ne!(bench.attest(&key, &other, &artifact).await.expect("attested"), first);
    let stranger = bench.key("two");
    bench.attest(&stranger, &bench.record(), &artifact).await.expect("attested");
    assert_eq!(bench.attached(&artifact).await, 3);
    for key in [&key, &stranger] {
        let verdict = verify(bench.cx(), &bench.repository, "1", &key.public().expect("a key")).await.expect("asked");
        assert!(verdict.verified.is_some() && !verdict.rejected.is_empty(), "{verdict:?}");
    }
    let nobody = SigningKey::generate().expect("a key");
    let verdict = verify(bench.cx(), &bench.repository, "1", nobody.public()).await.expect("asked");
    assert_eq!((verdict.verified.is_some(), verdict.reason().as_str()), (false, "none of its 3 attestations counts"));
    assert!(verdict.rejected.iter().all(|one| one.reason.starts_with("it is signed by another key, sha256:")), "{verdict:?}");
}

#[tokio::test]
async fn more_bundles_than_are_read_are_in_nobody_s_way() {
    let bench = Bench::new();
    let (artifact, key) = (bench.artifact().await, bench.key("one"));
    let subject = describe(bench.cx(), &bench.repository, &artifact.digest).await.expect("there");
    for number in 0..=find::MAX_BUNDLES {
        let mut junk = package(Bytes::from(format!(r#"{{"junk": {number}}}"#)), subject.clone());
        junk.annotations.insert(find::CREATED.to_owned(), "2020-01-01T00:00:00Z".to_owned());
        push_referrer(bench.cx(), &bench.repository, junk).await.expect("attached");
    }
    let stranger = SigningKey::generate().expect("a key");
    let verdict = verify(bench.cx(), &bench.repository, "1", stranger.public()).await.expect("asked");
    assert_eq!(verdict.reason(), "none of 256 of its attestations counts, and 1 more are not looked at: remove some");
    let first = bench.attest(&key, &bench.record(), &artifact).await.expect("attested");
    assert_eq!(bench.attest(&key, &bench.record(), &artifact).await.expect("attested"), first, "the newest are looked at first");
    let verdict = verify(bench.cx(), &bench.repository, "1", &key.public().expect("a key")).await.expect("asked");
    assert!(verdict.verified.is_some(), "{}", verdict.reason());
}

#[tokio::test]
async fn lists_of_contents_are_attached_once_and_only_what_they_say_they_are() {
    let bench = Bench::new();
    let (artifact, key) = (bench.artifact().await, bench.key("one"));
    let sbom = |media_type: &str, content: &'static str| Sbom { media_type: media_type.into(), content: content.into(), subject: None };
    let with = |sboms: Vec<Sbom>| Record { sboms, ..bench.record() };
    let good = with(vec![
        sbom("application/spdx+json", r#"{"spdxVersion":"SPDX-2.3"}"#),
        sbom("application/vnd.cyclonedx+json", r#"{"bomFormat":"CycloneDX"}"#),
    ]);
    let outputs = bench.attest(&key, &good, &artifact).await.expect("attested");
    assert_eq!(outputs["sboms"][0]["media_type"], "application/spdx+json");
    assert_eq!(outputs["sboms"][1]["subject"], artifact.digest.as_str());
    assert_eq!(bench.attest(&key, &good, &artifact).await.expect("attested"), outputs);
    assert_eq!(bench.attached(&artifact).await, 3);
    for (bad, part) in [
        (sbom("application/spdx+json", "{}"), "is not one: SPDX has 'spdxVersion'"),
        (sbom("application/vnd.cyclonedx+json", "<bom/>"), "is not JSON"),
        (sbom("text/plain", "{}"), "is not one"),
    ] {
        let failure = bench.attest(&key, &with(vec![bad]), &artifact).await.expect_err("refused");
        assert!(failure.kind == FailureKind::InvalidSource && failure.message.contains(part), "{failure}");
    }
    assert_eq!(bench.attached(&artifact).await, 3, "nothing came of those");
}

#[tokio::test]
async fn why_nothing_holds_is_told_for_each_kind_of_damage() {
    let bench = Bench::new();
    let artifact = bench.artifact().await;
    let key = SigningKey::generate().expect("a key");
    let subject = describe(bench.cx(), &bench.repository, &artifact.digest).await.expect("there");
    let now = Timestamp::now();
    let execution = ExecutionId::generate();
    let occasion = Occasion { job_type: JobType::HelmChartBuild, execution: &execution, started_at: now, finished_at: now };
    let good = statement::statement(&bench.record(), std::slice::from_ref(&artifact), occasion, &bench.log);
    let (mut about_another, mut of_another_kind) = (good.clone(), good.clone());
    about_another["subject"][0]["digest"]["sha256"] = json!("00");
    of_another_kind["predicateType"] = json!("https://spdx.dev/Document");
    let mut changed: Value = serde_json::from_slice(&sign(&good, &key).expect("signed")).expect("JSON");
    changed["dsseEnvelope"]["payload"] = json!("e30=");
    for (document, part) in [
        (sign(&about_another, &key).expect("signed"), "its statement is about another artifact: 00"),
        (sign(&of_another_kind, &key).expect("signed"), "of type 'https://spdx.dev/Document', not SLSA provenance v1"),
        (changed.to_string().into(), "it was changed after it was signed"),
        (Bytes::from_static(b"nonsense"), "the bundle is damaged"),
    ] {
        push_referrer(bench.cx(), &bench.repository, package(document, subject.clone())).await.expect("pushed");
        let verdict = verify(bench.cx(), &bench.repository, "1", key.public()).await.expect("asked");
        assert!(verdict.verified.is_none() && verdict.rejected.iter().any(|one| one.reason.contains(part)), "{part}: {verdict:?}");
    }
    push_referrer(bench.cx(), &bench.repository, package(sign(&good, &key).expect("signed"), subject)).await.expect("pushed");
    let verdict = verify(bench.cx(), &bench.repository, "1", key.public()).await.expect("asked");
    assert!(verdict.verified.is_some() && verdict.rejected.len() == 4, "one good one is enough: {verdict:?}");
}

#[tokio::test]
async fn what_cannot_be_read_hides_nothing_that_can() {
    let bench = Bench::new();
    let (artifact, key) = (bench.artifact().await, bench.key("one"));
    bench.attest(&key, &bench.record(), &artifact).await.expect("attested");
    // Listed without a type, so that it has to be looked into. Registries store such a thing.
    let bytes = Bytes::from_static(br#"{"schemaVersion":2,"artifactType":7}"#);
    let junk = Descriptor::of(oci::media_type::OCI_MANIFEST, &bytes);
    std::fs::write(bench.folder.path().join("out/blobs/sha256").join(junk.digest.hex()), &bytes).expect("written");
    let tag = oci::fallback_tag(&artifact.digest);
    let (_, list) = bench.repository.manifest(bench.cx(), &tag).await.expect("a list");
    let mut list: Value = serde_json::from_slice(&list).expect("JSON");
    list["manifests"].as_array_mut().expect("entries").insert(0, json!(junk));
    let bytes = Bytes::from(list.to_string());
    let index = Descriptor::of(oci::media_type::OCI_INDEX, &bytes);
    bench.repository.put_manifest(bench.cx(), &tag, &index, bytes).await.expect("stored");
    assert_eq!(bench.attached(&artifact).await, 2, "it is listed");
    let verdict = verify(bench.cx(), &bench.repository, "1", &key.public().expect("a key")).await.expect("asked");
    assert!(verdict.verified.is_some(), "{verdict:?}");
}

#[tokio::test]
async fn a_digest_without_provenance_may_be_a_platform() {
    let bench = Bench::new();
    let (artifact, key) = (bench.artifact().await, SigningKey::generate().expect("a key"));
    let reason = async |reference: &str| verify(bench.cx(), &bench.repository, reference, key.public()).await.expect("asked").reason();
    assert_eq!(reason("1").await, "there is no attestation");
    assert!(reason(artifact.digest.as_str()).await.contains("hangs on its index: verify the tag"));
}
