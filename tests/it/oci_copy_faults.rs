//! Copies from and to registries that misbehave: what is survived, and what each thing that is not survived is called.
//!
//! Whatever happens, no tag may name an artifact that is not all there.

use build_runner::{
    digest::Digest,
    job::{Failure, FailureKind},
    oci::Repository,
};
use serde_json::json;

use super::oci_copy::{Bench, layers};
use crate::support::fake_registry::{Auth, Fake, Fault, INDEX, MANIFEST, Options, What};

struct Pair {
    bench: Bench,
    source: Fake,
    destination: Fake,
    digest: String,
}

impl Pair {
    async fn with(source: Options, destination: Options) -> Self {
        let (source, destination) = (Fake::start(source).await, Fake::start(destination).await);
        let digest = source.image("a", "v1", &layers(4, 3 << 20)).to_string();
        Self { bench: Bench::new(), source, destination, digest }
    }

    async fn start() -> Self {
        Self::with(Options::default(), Options::default()).await
    }

    fn repositories(&self) -> (Repository, Repository) {
        (self.bench.open(&self.source, "a"), self.bench.open(&self.destination, "b"))
    }

    async fn copy(&self) -> Result<(), Failure> {
        let (from, to) = self.repositories();
        self.bench.copy(&from, "v1", &to, "v1").await.map(|_| ()).map_err(Failure::from)
    }

    async fn survives(&self, what: &str) {
        if let Err(failure) = self.copy().await {
            panic!("{what}: {}: {}", failure.kind, failure.message);
        }
        assert_eq!(self.destination.tag("b", "v1"), Some(self.digest.clone()), "{what}");
    }

    async fn fails(&self, what: &str, kind: FailureKind, part: &str) {
        let failure = self.copy().await.err().unwrap_or_else(|| panic!("{what}: it worked"));
        assert_eq!(failure.kind, kind, "{what}: {}", failure.message);
        assert!(failure.message.contains(part), "{what}: {}", failure.message);
        assert!(self.destination.tags("b").is_empty(), "{what}: a tag was pushed");
    }
}

#[tokio::test]
async fn passing_faults_are_survived() {
    let source: [(&str, Fault); 7] = [
        ("throttled source", Fault::once("GET", "/blobs/", What::RetryAfter(429, 1))),
        ("failing source", Fault::once("GET", "/blobs/", What::Status(503)).times(2)),
        ("unauthorised in between", Fault::once("GET", "/manifests/", What::Status(502))),
        ("download cut at its beginning", Fault::once("GET", "/blobs/", What::Cut(0)).after(1)),
        ("download cut in the middle", Fault::once("GET", "/blobs/", What::Cut(1 << 20)).after(1).times(3)),
        ("manifest cut", Fault::once("GET", "/manifests/v1", What::Cut(10))),
        ("one bit flipped on the way", Fault::once("GET", "/blobs/", What::Corrupt).after(2)),
    ];
    for (what, fault) in source {
        let pair = Pair::start().await;
        pair.source.fault(fault);
        pair.survives(what).await;
    }
    let destination: [(&str, Fault); 7] = [
        ("throttled session", Fault::once("POST", "/blobs/uploads/", What::RetryAfter(429, 1))),
        ("throttled without saying how long", Fault::once("POST", "/blobs/uploads/", What::Status(429)).times(2)),
        ("failing upload", Fault::once("PUT", "/blobs/uploads/", What::Status(500)).times(2)),
        ("throttled manifest", Fault::once("PUT", "/manifests/", What::RetryAfter(503, 1))),
        ("failing lookup", Fault::once("HEAD", "/manifests/", What::Status(504))),
        ("upload refused whole", Fault::once("PUT", "/blobs/uploads/", What::Status(400)).times(1)),
        ("mount refused", Fault::once("POST", "/blobs/uploads/", What::Status(405))),
    ];
    for (what, fault) in destination {
        let pair = Pair::start().await;
        pair.destination.fault(fault);
        pair.survives(what).await;
    }
}

#[tokio::test]
async fn an_interrupted_download_goes_on_where_it_stopped() {
    let pair = Pair::start().await;
    pair.source.fault(Fault::once("GET", "/blobs/", What::Cut(2 << 20)).after(1));
    pair.survives("cut").await;
    let ranges: Vec<_> = pair.source.log().into_iter().filter(|seen| !seen.range.is_empty()).map(|seen| seen.range).collect();
    assert_eq!(ranges.len(), 1, "{ranges:?}");
    let offset: u64 = ranges[0].trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap();
    assert!(offset > 0 && offset <= 2 << 20, "{offset}");
}

#[tokio::test]
async fn tokens_that_run_out_are_renewed() {
    let token = |uses| Options { auth: Auth::Token { user: "u", password: "p", uses }, ..Options::default() };
    // Enough for everything that is in flight at once, not enough for all of it.
    Pair::with(token(8), token(8)).await.survives("short-lived tokens").await;
    let basic = || Options { auth: Auth::Basic("u", "p"), ..Options::default() };
    let pair = Pair::with(basic(), basic()).await;
    pair.survives("basic authentication").await;
    let pair = Pair::with(token(100), token(100)).await;
    pair.destination.fault(Fault::once("PUT", "/blobs/uploads/", What::Unauthorised));
    pair.source.fault(Fault::once("GET", "/blobs/", What::Unauthorised).after(1));
    pair.survives("401 in between").await;
    pair.destination.revoke_tokens();
    let (from, to) = pair.repositories();
    pair.bench.copy(&from, "v1", &to, "v2").await.unwrap();
}

#[tokio::test]
async fn a_registry_as_amazon_s_is_served() {
    let ecr = Options { ecr: true, no_digest_header: true, auth: Auth::Basic("u", "p"), ..Options::default() };
    Pair::with(Options::default(), ecr).await.survives("no Location, no digest header").await;
}

#[tokio::test]
async fn lasting_faults_have_names_and_leave_no_tag() {
    let source: [(&str, Fault, FailureKind, &str); 8] = [
        ("wrong content", Fault::once("GET", "/blobs/", What::Corrupt).after(1).always(), FailureKind::DigestMismatch, "has the digest"),
        ("short blobs", Fault::once("GET", "/blobs/", What::Short(7)).after(1).always(), FailureKind::DigestMismatch, "bytes, not"),
        ("long blobs", Fault::once("GET", "/blobs/", What::Longer).after(1).always(), FailureKind::DigestMismatch, "bytes, not"),
        ("wrong manifest", Fault::once("GET", "/manifests/", What::Corrupt).always(), FailureKind::DigestMismatch, "has the digest"),
        ("page instead of manifest", Fault::once("GET", "/manifests/", What::Html).always(), FailureKind::RegistryRefused, "web page"),
        ("nothing there", Fault::once("GET", "/manifests/", What::Status(404)).always(), FailureKind::SourceNotFound, "tag 'v1'"),
        ("always down", Fault::once("GET", "/blobs/", What::Status(503)).always(), FailureKind::RegistryUnavailable, "503"),
        ("always cut", Fault::once("GET", "/blobs/", What::Cut(100)).after(1).always(), FailureKind::RegistryUnavailable, ""),
    ];
    for (what, fault, kind, part) in source {
        let pair = Pair::start().await;
        pair.source.fault(fault);
        pair.fails(what, kind, part).await;
    }
    let destination: [(&str, Fault, FailureKind, &str); 5] = [
        ("no Location", Fault::once("POST", "/blobs/uploads/", What::NoLocation).always(), FailureKind::RegistryRefused, "Location"),
        ("always throttled", Fault::once("POST", "/blobs/", What::Status(429)).always(), FailureKind::RegistryUnavailable, "429"),
        ("manifest refused", Fault::once("PUT", "/manifests/", What::Status(400)).always(), FailureKind::RegistryRefused, "400"),
        ("expired for good", Fault::once("POST", "/blobs/", What::Expired).always(), FailureKind::AuthDenied, "denies push"),
        ("no right", Fault::once("POST", "/blobs/", What::Status(403)).always(), FailureKind::AuthDenied, "denies push"),
    ];
    for (what, fault, kind, part) in destination {
        let pair = Pair::with(Options::default(), Options { auth: Auth::Basic("u", "p"), ..Options::default() }).await;
        pair.destination.fault(fault);
        pair.fails(what, kind, part).await;
    }
}

#[tokio::test]
async fn a_web_page_instead_of_a_blob_is_not_passed_on() {
    let pair = Pair::start().await;
    pair.source.fault(Fault::once("GET", "/blobs/", What::Html).after(1).always());
    let failure = pair.copy().await.unwrap_err();
    assert!(matches!(failure.kind, FailureKind::DigestMismatch | FailureKind::RegistryRefused), "{failure:?}");
    assert!(pair.destination.tags("b").is_empty());
}

#[tokio::test]
async fn wrong_credentials_are_told_from_missing_ones() {
    let basic = Options { auth: Auth::Basic("u", "p"), ..Options::default() };
    let pair = Pair::with(Options::default(), basic).await;
    let from = pair.bench.open(&pair.source, "a");
    let anonymous = pair.bench.client.open(&pair.destination.anonymous("b")).unwrap();
    let failure = Failure::from(pair.bench.copy(&from, "v1", &anonymous, "v1").await.unwrap_err());
    assert_eq!(failure.kind, FailureKind::AuthDenied, "{}", failure.message);
    assert!(pair.destination.tags("b").is_empty());
}

#[tokio::test]
async fn docker_s_first_format_is_refused_by_name() {
    let pair = Pair::start().await;
    let old = serde_json::json!({"schemaVersion": 1, "name": "a", "tag": "old", "fsLayers": []});
    let kind = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    pair.source.put_manifest("a", Some("old"), kind, &old);
    let (from, to) = pair.repositories();
    let error = pair.bench.copy(&from, "old", &to, "v1").await.unwrap_err().to_string();
    assert!(error.contains("schema 1"), "{error}");
}

#[tokio::test]
async fn what_is_no_manifest_is_not_an_image_and_what_an_index_lost_is_told() {
    let pair = Pair::start().await;
    let (from, to) = pair.repositories();
    let copied = async |tag: &str| {
        let failure = Failure::from(pair.bench.copy(&from, tag, &to, "out").await.unwrap_err());
        assert!(pair.destination.tags("b").is_empty(), "{tag}: a tag was pushed");
        (failure.kind, failure.message)
    };
    pair.source.put_manifest("a", Some("gateway"), "application/json", &json!({"status": "ok"}));
    let (kind, message) = copied("gateway").await;
    assert_eq!(kind, FailureKind::RegistryRefused);
    assert!(message.contains("'application/json'") && message.contains("what kind of manifest it is"), "{message}");

    let gone = json!({"mediaType": MANIFEST, "digest": Digest::of(b"gone").as_str(), "size": 4, "platform": {"os": "linux", "architecture": "arm64"}});
    pair.source.put_manifest("a", Some("partial"), INDEX, &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [gone]}));
    let (kind, message) = copied("partial").await;
    assert_eq!(kind, FailureKind::SourceNotFound);
    let expected =
        format!("manifest {} for linux/arm64, which an index lists, does not exist in {}/a", Digest::of(b"gone"), pair.source.host);
    assert_eq!(message, expected);
}
