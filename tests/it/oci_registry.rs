//! The registry client against real registries: docker-registry with and without TLS and a password, and go-containerregistry's.

use std::collections::BTreeMap;

use build_runner::{
    digest::{Algorithm, Digest, Hasher},
    job::{Failure, FailureKind},
    logs::{JobLog, Progress},
    oci::{
        self, Blob, Client, Content, ContentError, Credentials, Cx, Descriptor, DockerConfig, Error, HostSettings, Location, Package,
        Repository, Settings, Stored, media_type, push, transfer::CopyOptions,
    },
    shutdown::Cancel,
};
use bytes::Bytes;

use crate::support::registry::{Options, PASSWORD, Program, Registry, USER};

/// What every call needs.
#[derive(Default)]
struct World {
    cancel: Cancel,
    log: JobLog,
    progress: Progress,
}

impl World {
    fn cx(&self) -> Cx<'_> {
        Cx { cancel: &self.cancel, log: &self.log, progress: &self.progress }
    }
}

fn settings(registry: &Registry) -> Settings {
    let host = HostSettings { plain_http: false, ca_file: registry.ca().map(Into::into) };
    Settings { hosts: BTreeMap::from([(registry.host(), host)]), docker_config: DockerConfig::None, ..Settings::default() }
}

fn password(password: &str) -> Credentials {
    Credentials::Static { username: USER.to_owned(), password: password.to_owned().into(), origin: "OCIAuth of the plan".to_owned() }
}

fn open(registry: &Registry, name: &str, credentials: Credentials) -> Repository {
    let location = Location::registry(&registry.host(), name, false, credentials).unwrap();
    Client::new(settings(registry)).unwrap().open(&location).unwrap()
}

fn package(layers: usize, size: usize) -> Package {
    let layer = |number: usize| {
        let bytes: Vec<u8> = (0..size).map(|at| u8::try_from((at * 31 + number * 7) % 251).unwrap()).collect();
        Blob::new(media_type::OCI_LAYER_GZIP, bytes)
    };
    Package {
        artifact_type: Some("application/vnd.example".to_owned()),
        config: Blob::empty(),
        layers: (0..layers).map(layer).collect(),
        annotations: BTreeMap::from([("org.opencontainers.image.title".to_owned(), "test".to_owned())]),
        subject: None,
    }
}

fn bytes_of(blob: &Blob) -> Bytes {
    match &blob.content {
        Content::Bytes(bytes) => bytes.clone(),
        Content::File(path) => std::fs::read(path).unwrap().into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_and_reads_back_everywhere() {
    let programs = [
        Options::default(),
        Options { tls: true, auth: true, ..Options::default() },
        Options { program: Program::Distribution3, ..Options::default() },
        Options { program: Program::Referrers, ..Options::default() },
    ];
    for options in programs {
        let registry = Registry::with(&options);
        let world = World::default();
        let repository = open(&registry, "team/app", if options.auth { password(PASSWORD) } else { Credentials::Anonymous });
        let package = package(3, 300_000);
        let artifact = push(world.cx(), &repository, "1.0", package.clone()).await.unwrap();
        assert_eq!(artifact.repository, registry.repository("team/app"));
        let (descriptor, bytes) = repository.manifest(world.cx(), "1.0").await.unwrap();
        assert_eq!((&descriptor.digest, descriptor.media_type.as_str()), (&artifact.digest, media_type::OCI_MANIFEST));
        assert_eq!(Digest::of(&bytes), artifact.digest);
        assert_eq!(artifact.size, bytes.len() as u64 + 2 + 3 * 300_000);
        for layer in &package.layers {
            assert_eq!(repository.blob(world.cx(), &layer.descriptor, 1 << 20).await.unwrap(), bytes_of(layer));
        }
        assert_eq!(repository.tags(world.cx()).await.unwrap(), ["1.0"]);
        let again = push(world.cx(), &repository, "1.0", package).await.unwrap();
        assert_eq!(again, artifact);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn needs_few_requests() {
    let registry = Registry::start();
    let world = World::default();
    let repository = open(&registry, "app", Credentials::Anonymous);
    push(world.cx(), &repository, "1", package(8, 1000)).await.unwrap();
    let fresh = registry.requests();
    // One look, nine times POST and PUT, and the manifest, whose digest the answer names.
    assert_eq!(fresh.len(), 20, "{fresh:#?}");
    push(world.cx(), &repository, "1", package(8, 1000)).await.unwrap();
    assert_eq!(registry.requests().len(), fresh.len() + 1);
    let mut changed = package(8, 1000);
    changed.layers.push(Blob::new(media_type::OCI_LAYER_GZIP, "one more"));
    push(world.cx(), &repository, "2", changed).await.unwrap();
    let third = &registry.requests()[fresh.len() + 1..];
    assert_eq!(third.iter().filter(|request| request.method == "PUT").count(), 2, "one blob and the manifest: {third:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_is_mounted_from_another_repository() {
    let registry = Registry::start();
    let world = World::default();
    let (one, other) = (open(&registry, "one", Credentials::Anonymous), open(&registry, "other", Credentials::Anonymous));
    let blob = Descriptor::of("application/octet-stream", b"content");
    let content = Bytes::from_static(b"content");
    assert_eq!(one.put_blob(world.cx(), &blob, &content, None).await.unwrap(), Stored::Uploaded);
    assert_eq!(one.put_blob(world.cx(), &blob, &content, None).await.unwrap(), Stored::Present);
    assert_eq!(other.put_blob(world.cx(), &blob, &content, Some(&one)).await.unwrap(), Stored::Mounted);
    assert!(other.has_blob(world.cx(), &blob).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told_without_being_shown() {
    let registry = Registry::with(&Options { auth: true, tls: true, ..Options::default() });
    let world = World::default();
    for (credentials, words) in [
        (password("wrong-4711"), "with the user name and password of OCIAuth of the plan"),
        (Credentials::Anonymous, "anonymous"),
        (Credentials::Configured, "anonymous"),
    ] {
        let repository = open(&registry, "app", credentials);
        let failure: Failure = push(world.cx(), &repository, "1", package(1, 10)).await.unwrap_err().into();
        assert_eq!(failure.kind, FailureKind::AuthDenied, "{failure}");
        for part in [registry.host().as_str(), "'app'", "push", words] {
            assert!(failure.message.contains(part), "{part} in: {failure}");
        }
        assert!(!failure.message.contains("wrong-4711"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_untrusted_certificate_is_told_with_its_remedy() {
    let registry = Registry::with(&Options { tls: true, ..Options::default() });
    let world = World::default();
    let location = Location::registry(&registry.host(), "app", false, Credentials::Anonymous).unwrap();
    let repository = Client::new(Settings { docker_config: DockerConfig::None, ..Settings::default() }).unwrap().open(&location).unwrap();
    let error = repository.find(world.cx(), "1").await.unwrap_err();
    assert!(error.to_string().contains("certificate is not trusted") && error.to_string().contains("ca_file"), "{error}");
    let location = Location::registry(&registry.host(), "app", true, Credentials::Anonymous).unwrap();
    let repository = Client::new(settings(&registry)).unwrap().open(&location).unwrap();
    let error = repository.find(world.cx(), "1").await.unwrap_err();
    assert!(error.to_string().contains("PlainHTTP"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn content_that_is_not_what_was_promised_is_never_stored() {
    let registry = Registry::start();
    let world = World::default();
    let repository = open(&registry, "app", Credentials::Anonymous);
    let blob = Descriptor::of("application/octet-stream", b"content");
    let error = repository.put_blob(world.cx(), &blob, &Bytes::from_static(b"CONTENT"), None).await.unwrap_err();
    assert!(matches!(&error, Error::Content(ContentError::Digest { .. })), "{error}");
    assert_eq!(Failure::from(error).kind, FailureKind::DigestMismatch);
    assert!(!repository.has_blob(world.cx(), &blob).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_exist_is_named() {
    let registry = Registry::start();
    let world = World::default();
    let repository = open(&registry, "app", Credentials::Anonymous);
    assert_eq!(repository.find(world.cx(), "1.2").await.unwrap(), None);
    let error = repository.resolve(world.cx(), "1.2").await.unwrap_err();
    assert_eq!(error.to_string(), format!("tag '1.2' does not exist in {}", registry.repository("app")));
    let error = repository.manifest(world.cx(), "1.2").await.unwrap_err();
    assert_eq!(error.to_string(), format!("tag '1.2' does not exist in {}", registry.repository("app")));
    let blob = Descriptor::of("x", b"nowhere");
    assert!(repository.blob(world.cx(), &blob, 100).await.unwrap_err().is_not_found());
    assert!(repository.tags(world.cx()).await.unwrap_err().is_not_found());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_named_by_sha512_keeps_its_name() {
    let registry = Registry::with(&Options { program: Program::Referrers, ..Options::default() });
    let (world, anybody) = (World::default(), || Credentials::Anonymous);
    let (from, to) = (open(&registry, "up", anybody()), open(&registry, "own", anybody()));
    push(world.cx(), &from, "1", package(1, 100)).await.unwrap();
    let (described, bytes) = from.manifest(world.cx(), "1").await.unwrap();
    let mut hasher = Hasher::new(Algorithm::Sha512);
    hasher.update(&bytes);
    let digest = hasher.finish();
    let image = Descriptor { digest: digest.clone(), ..described.clone() };
    from.put_manifest(world.cx(), digest.as_str(), &image, bytes.clone()).await.unwrap();
    let copied = oci::copy(world.cx(), &from, digest.as_str(), &to, "1", &CopyOptions::default()).await.unwrap();
    assert_eq!((&copied.artifact.digest, copied.artifact.tag.as_str()), (&digest, "1"));
    // The registry itself calls what a tag names by SHA-256.
    assert_eq!(to.resolve(world.cx(), "1").await.unwrap().digest, described.digest);
    assert_eq!(to.manifest(world.cx(), digest.as_str()).await.unwrap().1, bytes);

    let old = Registry::start();
    let error =
        oci::copy(world.cx(), &from, digest.as_str(), &open(&old, "own", anybody()), "1", &CopyOptions::default()).await.unwrap_err();
    let failure = Failure::from(error);
    assert_eq!(failure.kind, FailureKind::RegistryRefused);
    assert!(failure.message.contains("manifests/sha512:") && failure.message.contains("DIGEST_INVALID"), "{}", failure.message);
}
