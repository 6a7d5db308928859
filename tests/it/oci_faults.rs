//! The registry client against registries that misbehave: scripted answers, and real ones behind a line that breaks.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, Response},
};
use build_runner::{
    digest::Digest,
    job::{CancelCause, Failure, FailureKind},
    logs::{JobLog, Progress},
    oci::{
        Blob, Client, Credentials, Cx, Descriptor, DockerConfig, Location, Package, Repository, Settings, Stored, Timeouts, media_type,
        push,
    },
    retry::Policy,
    shutdown::Cancel,
};
use tokio::task::JoinSet;

use crate::support::{
    proxy::{Cut, Faults, Proxy},
    registry::Registry,
};

/// One request that a scripted server has seen.
#[derive(Debug, Clone)]
struct Seen {
    /// Method, path and query.
    line: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Seen {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// Status, headers, body.
type Reply = (u16, Vec<(&'static str, String)>, Vec<u8>);

/// A server whose every answer is a function of the request and of those before it.
struct Script {
    host: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    _server: JoinSet<()>,
}

type Answer = dyn Fn(&Seen, usize) -> Reply + Send + Sync;

#[derive(Clone)]
struct Shared {
    seen: Arc<Mutex<Vec<Seen>>>,
    answer: Arc<Answer>,
}

async fn serve(State(shared): State<Shared>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let line = format!("{} {}", parts.method, parts.uri.path_and_query().unwrap());
    let seen = Seen { line, headers: parts.headers, body: to_bytes(body, 64 << 20).await.unwrap() };
    let number = {
        let mut all = shared.seen.lock().unwrap();
        all.push(seen.clone());
        all.iter().filter(|other| other.line == seen.line).count()
    };
    let (status, headers, body) = (shared.answer)(&seen, number);
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(Body::from(body)).unwrap()
}

impl Script {
    /// `answer` gets the request and how many times that very line came before, this time included.
    async fn start(answer: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let app = Router::new().fallback(serve).with_state(Shared { seen: Arc::clone(&seen), answer: Arc::new(answer) });
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { host, seen, _server: server }
    }

    fn lines(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|seen| seen.line.clone()).collect()
    }

    fn seen(&self, prefix: &str) -> Vec<Seen> {
        self.seen.lock().unwrap().iter().filter(|seen| seen.line.starts_with(prefix)).cloned().collect()
    }
}

fn reply(status: u16, headers: &[(&'static str, &str)], body: impl Into<Vec<u8>>) -> Reply {
    (status, headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(), body.into())
}

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

fn settings() -> Settings {
    Settings {
        docker_config: DockerConfig::None,
        retry: Policy { tries: 4, min_delay: Duration::from_millis(5), max_delay: Duration::from_secs(5) },
        ..Settings::default()
    }
}

fn open_with(host: &str, settings: Settings) -> Repository {
    let login = Credentials::Static { username: "u".to_owned(), password: "planted-4711".into(), origin: "the plan".to_owned() };
    let location = Location::registry(host, "app", true, login).unwrap();
    Client::new(settings).unwrap().open(&location).unwrap()
}

fn open(host: &str) -> Repository {
    open_with(host, settings())
}

fn failure(error: build_runner::oci::Error) -> (FailureKind, String) {
    let failure = Failure::from(error);
    (failure.kind, failure.message)
}

fn manifest() -> (Descriptor, Bytes) {
    let bytes = Bytes::from_static(br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]}"#);
    (Descriptor::of(media_type::OCI_MANIFEST, &bytes), bytes)
}

fn noise(size: usize) -> Bytes {
    (0..size).map(|at| u8::try_from((at * 131 + at / 251) % 256).unwrap()).collect::<Vec<_>>().into()
}

#[tokio::test]
async fn a_web_page_is_not_a_registry() {
    let page = |_: &Seen, _| reply(200, &[("content-type", "text/html; charset=utf-8")], "<html>hello</html>");
    let (server, world) = (Script::start(page).await, World::default());
    for error in [
        open(&server.host).resolve(world.cx(), "1").await.unwrap_err(),
        open(&server.host).manifest(world.cx(), "1").await.unwrap_err(),
        open(&server.host).tags(world.cx()).await.unwrap_err(),
    ] {
        let (kind, message) = failure(error);
        assert_eq!(kind, FailureKind::RegistryRefused);
        assert!(message.starts_with(&format!("{} does not answer like a registry", server.host)), "{message}");
    }
}

#[tokio::test]
async fn a_manifest_with_another_digest_is_never_taken() {
    let (descriptor, bytes) = manifest();
    let wrong = Digest::of(b"another");
    let kind = ("content-type", media_type::OCI_MANIFEST);
    let (said, sent) = (wrong.to_string(), bytes.clone());
    let server = Script::start(move |seen, _| match seen.line.split(' ').next() {
        Some("PUT") => reply(201, &[("docker-content-digest", &said)], ""),
        _ => reply(200, &[kind, ("docker-content-digest", &said)], sent.clone()),
    })
    .await;
    let (world, repository) = (World::default(), open(&server.host));
    let (kind, message) = failure(repository.manifest(world.cx(), "1").await.unwrap_err());
    assert_eq!(kind, FailureKind::DigestMismatch);
    assert!(message.contains(wrong.as_str()) && message.contains("tag '1'"), "{message}");
    // Asked for by digest the bytes decide, whatever the header says.
    assert_eq!(repository.manifest(world.cx(), descriptor.digest.as_str()).await.unwrap().1, bytes);
    let error = repository.put_manifest(world.cx(), "1", &descriptor, bytes).await.unwrap_err();
    assert_eq!(failure(error).0, FailureKind::DigestMismatch);
}

#[tokio::test]
async fn throttling_is_waited_out_as_long_as_asked() {
    let server = Script::start(|seen, number| match (seen.line.as_str(), number) {
        ("PUT /v2/app/manifests/1", 1) => reply(429, &[("retry-after", "1")], r#"{"errors":[{"code":"TOOMANYREQUESTS"}]}"#),
        ("PUT /v2/app/manifests/1", 2) => reply(503, &[], ""),
        _ => reply(201, &[], ""),
    })
    .await;
    let (world, repository) = (World::default(), open(&server.host));
    let (descriptor, bytes) = manifest();
    let start = Instant::now();
    repository.put_manifest(world.cx(), "1", &descriptor, bytes.clone()).await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1));
    let puts = server.seen("PUT");
    assert_eq!(puts.len(), 3);
    assert!(puts.iter().all(|put| put.body == bytes));
}

#[tokio::test]
async fn a_registry_that_stays_down_is_external_and_named() {
    let server = Script::start(|_, _| reply(500, &[("content-type", "text/html")], "<html>boom</html>")).await;
    let world = World::default();
    let error = open(&server.host).manifest(world.cx(), "1").await.unwrap_err();
    let (kind, message) = failure(error);
    assert_eq!(kind, FailureKind::RegistryUnavailable);
    assert_eq!(message, format!("{} answered 500 to GET /v2/app/manifests/1: a web page", server.host));
    assert_eq!(server.lines().len(), 4);
}

#[tokio::test]
async fn credentials_do_not_follow_a_redirect_to_another_host() {
    let content = noise(1000);
    let blob = Descriptor::of("x", &content);
    let other = Script::start({
        let content = content.clone();
        move |_, _| reply(200, &[], content.clone())
    })
    .await;
    let target = format!("http://{}/cdn?signature=s", other.host);
    let server = Script::start(move |seen, _| match seen.header("authorization") {
        None => reply(401, &[("www-authenticate", "Basic realm=\"x\"")], ""),
        Some(_) => reply(307, &[("location", &target)], ""),
    })
    .await;
    let world = World::default();
    assert_eq!(open(&server.host).blob(world.cx(), &blob, 2000).await.unwrap(), content);
    assert_eq!(server.seen("GET").iter().filter(|seen| seen.header("authorization").is_some()).count(), 1);
    assert!(other.seen("GET").iter().all(|seen| seen.header("authorization").is_none()));
}

#[tokio::test]
async fn redirects_end_somewhere() {
    let server = Script::start(|seen, number| {
        let path = seen.line.split(' ').nth(1).unwrap();
        reply(302, &[("location", &format!("{path}?{number}"))], "")
    })
    .await;
    let world = World::default();
    let error = open(&server.host).manifest(world.cx(), "1").await.unwrap_err();
    assert!(error.to_string().contains("more than 10 redirects"), "{error}");
}

#[tokio::test]
async fn a_token_is_fetched_once_and_again_when_it_is_revoked() {
    let (descriptor, bytes) = manifest();
    let digest = descriptor.digest.to_string();
    let own = Arc::new(Mutex::new(String::new()));
    let server = Script::start({
        let own = Arc::clone(&own);
        move |seen, number| {
            if seen.line.starts_with("GET /token") {
                return reply(200, &[("content-type", "application/json")], format!(r#"{{"token":"t{number}","expires_in":3600}}"#));
            }
            let challenge = format!("Bearer realm=\"http://{}/token\",service=\"s\",scope=\"repository:app:pull\"", own.lock().unwrap());
            let good = if seen.line.ends_with("/2") { "Bearer t2" } else { "Bearer t1" };
            if seen.header("authorization") != Some(good) {
                return reply(401, &[("www-authenticate", &challenge)], "");
            }
            reply(200, &[("content-type", media_type::OCI_MANIFEST), ("docker-content-digest", &digest)], bytes.clone())
        }
    })
    .await;
    own.lock().unwrap().clone_from(&server.host);
    let (world, repository) = (World::default(), open(&server.host));
    repository.will_write();
    for tag in ["1", "1", "2"] {
        assert_eq!(repository.manifest(world.cx(), tag).await.unwrap().0, descriptor);
    }
    let tokens = server.seen("GET /token");
    assert_eq!(tokens.len(), 2, "{:?}", server.lines());
    assert!(tokens[0].line.contains("app%3Apull%2Cpush") || tokens[0].line.contains("app:pull,push"), "{}", tokens[0].line);
}

#[tokio::test]
async fn an_expired_ecr_password_is_denied_with_its_reason() {
    let expired = r#"{"errors":[{"code":"DENIED","message":"Your authorization token has expired. Reauthenticate and try again."}]}"#;
    let server = Script::start(move |seen, _| match seen.header("authorization") {
        None => reply(401, &[("www-authenticate", "Basic realm=\"x\"")], ""),
        Some(_) => reply(403, &[], expired),
    })
    .await;
    let world = World::default();
    let (kind, message) = failure(open(&server.host).manifest(world.cx(), "1").await.unwrap_err());
    assert_eq!(kind, FailureKind::AuthDenied);
    assert!(message.contains("denies pull on 'app' with the user name and password of the plan"), "{message}");
    assert!(!message.contains("planted-4711"));
}

/// A registry that takes uploads in one manner only: `limit` bytes at most in one PATCH, nothing in the PUT.
fn picky(limit: usize, stored: Arc<Mutex<Vec<u8>>>) -> impl Fn(&Seen, usize) -> Reply + Send + Sync {
    move |seen, _| {
        let mut stored = stored.lock().unwrap();
        let location = ("location", "session?state=1");
        match seen.line.split(' ').next().unwrap() {
            "POST" if seen.line.contains("mount") => reply(400, &[], ""),
            "POST" => {
                stored.clear();
                reply(202, &[location], "")
            }
            // As nginx says it.
            "PATCH" if seen.body.len() > limit => reply(413, &[("content-type", "text/html")], "<html>413 Request Entity Too Large</html>"),
            "PATCH" => {
                let range = format!("{}-{}", stored.len(), stored.len() + seen.body.len() - 1);
                assert_eq!(seen.header("content-range"), Some(range.as_str()));
                stored.extend_from_slice(&seen.body);
                reply(202, &[location, ("range", &format!("0-{}", stored.len() - 1))], "")
            }
            "PUT" if !seen.body.is_empty() => reply(400, &[], ""),
            "PUT" => reply(201, &[], ""),
            _ => reply(404, &[], ""),
        }
    }
}

#[tokio::test]
async fn uploads_change_their_manner_until_the_registry_takes_them() {
    let content = noise(20 << 20);
    let blob = Descriptor::of("x", &content);
    for (limit, patches) in [(usize::MAX, 1), (8 << 20, 3)] {
        let stored = Arc::new(Mutex::new(Vec::new()));
        let server = Script::start(picky(limit, Arc::clone(&stored))).await;
        let world = World::default();
        assert_eq!(open(&server.host).put_blob(world.cx(), &blob, &content, None).await.unwrap(), Stored::Uploaded);
        assert!(Digest::of(&stored.lock().unwrap()) == blob.digest);
        let taken = server.seen("PATCH").iter().filter(|seen| seen.body.len() <= limit).count();
        assert_eq!(taken, patches);
        let put = server.seen("PUT").pop().unwrap();
        assert!(put.line.contains("state=1") && put.line.contains("digest=sha256"), "{}", put.line);
    }
}

#[tokio::test]
async fn a_proxy_that_takes_too_little_is_not_taken_for_something_else_than_a_registry() {
    let server = Script::start(picky(1 << 20, Arc::default())).await;
    let (world, content) = (World::default(), noise(9 << 20));
    let error = open(&server.host).put_blob(world.cx(), &Descriptor::of("x", &content), &content, None).await.unwrap_err();
    let (kind, message) = failure(error);
    assert_eq!(kind, FailureKind::RegistryRefused);
    assert!(message.contains("answered 413 to PATCH") && message.contains("a proxy before it"), "{message}");
}

#[tokio::test]
async fn an_upload_location_on_another_host_gets_no_credentials() {
    let store = Script::start(|_, _| reply(201, &[], "")).await;
    let location = format!("http://{}/upload?sig=1", store.host);
    let server = Script::start(move |seen, _| match seen.header("authorization") {
        None => reply(401, &[("www-authenticate", "Basic realm=\"x\"")], ""),
        Some(_) => reply(202, &[("location", &location)], ""),
    })
    .await;
    let world = World::default();
    let blob = Descriptor::of("x", b"content");
    open(&server.host).put_blob(world.cx(), &blob, &Bytes::from_static(b"content"), None).await.unwrap();
    let puts = store.seen("PUT");
    assert_eq!(puts.len(), 1);
    assert!(puts[0].header("authorization").is_none());
    assert_eq!((puts[0].header("content-length"), puts[0].header("transfer-encoding")), (Some("7"), None));
}

#[tokio::test]
async fn a_blob_of_another_size_is_refused_before_it_is_read() {
    let server = Script::start(|_, _| reply(200, &[], "0123456789")).await;
    let world = World::default();
    let blob = Descriptor { size: 5, ..Descriptor::of("x", b"01234") };
    let (kind, message) = failure(open(&server.host).blob(world.cx(), &blob, 100).await.unwrap_err());
    assert_eq!(kind, FailureKind::DigestMismatch);
    assert!(message.ends_with("has 10 bytes, not 5"), "{message}");
}

#[tokio::test]
async fn tags_are_read_page_by_page_but_never_from_elsewhere() {
    let server = Script::start(|seen, _| match seen.line.as_str() {
        "GET /v2/app/tags/list" => reply(200, &[("link", "</v2/app/tags/list?last=b&n=2>; rel=\"next\"")], r#"{"tags":["a","b"]}"#),
        // Two headers, and a target with a comma in it (RFC 8288).
        "GET /v2/app/tags/list?last=b&n=2" => reply(
            200,
            &[
                ("link", "</v2/app/tags/list?page=1,2>; rel=prev"),
                ("link", "</v2/app/tags/list?page=3,2>; title=\"a, b\"; rel=\"last next\""),
            ],
            r#"{"tags":["c"]}"#,
        ),
        "GET /v2/app/tags/list?page=3,2" => reply(200, &[], r#"{"tags":["d"]}"#),
        "GET /v2/app/referrers/sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a" => reply(
            200,
            &[("link", "<http://elsewhere.example/x>; rel=next"), ("content-type", media_type::OCI_INDEX)],
            r#"{"schemaVersion":2,"manifests":[]}"#,
        ),
        _ => reply(404, &[], ""),
    })
    .await;
    let (world, repository) = (World::default(), open(&server.host));
    assert_eq!(repository.tags(world.cx()).await.unwrap(), ["a", "b", "c", "d"]);
    let error = repository.referrers(world.cx(), &Digest::of(b"{}")).await.unwrap_err();
    assert!(error.to_string().contains("another host"), "{error}");
    assert_eq!(repository.referrers(world.cx(), &Digest::of(b"none")).await.unwrap(), None);
}

#[tokio::test]
async fn a_silent_registry_is_given_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let timeouts = Timeouts { idle: Duration::from_millis(50), ..Timeouts::default() };
    let world = World::default();
    let error = open_with(&host, Settings { timeouts, ..settings() }).find(world.cx(), "1").await.unwrap_err();
    assert_eq!(failure(error).0, FailureKind::RegistryUnavailable);
}

#[tokio::test]
async fn cancelling_ends_a_call_at_once() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let world = World::default();
    let repository = open(&host);
    let cancel = world.cancel.clone();
    let (result, ()) = tokio::join!(repository.find(world.cx(), "1"), async move {
        let _client = listener.accept().await.unwrap();
        cancel.cancel(CancelCause::Requested);
    });
    assert!(matches!(result, Err(build_runner::oci::Error::Cancelled(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_download_goes_on_where_it_stopped() {
    let registry = Registry::start();
    let world = World::default();
    let content = noise(12 << 20);
    let blob = Descriptor::of("x", &content);
    open(&registry.host()).put_blob(world.cx(), &blob, &content, None).await.unwrap();
    let cut = Cut { upload: false, after: 5 << 20, times: 2 };
    let proxy = Proxy::start(registry.address(), Faults { cut: Some(cut), ..Faults::default() });
    assert!(open(&proxy.host()).blob(world.cx(), &blob, 64 << 20).await.unwrap() == content);
    assert_eq!(proxy.cuts(), 2);
    // Partial answers are 206: what arrived was not asked for again.
    let gets: Vec<_> = registry.requests().into_iter().filter(|request| request.method == "GET").map(|request| request.status).collect();
    assert_eq!(gets, [200, 206, 206]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_upload_is_done_again() {
    let registry = Registry::start();
    let world = World::default();
    let content = noise(40 << 20);
    let blob = Descriptor::of("x", &content);
    let cut = Cut { upload: true, after: 25 << 20, times: 1 };
    let proxy = Proxy::start(registry.address(), Faults { cut: Some(cut), ..Faults::default() });
    let repository = open(&proxy.host());
    assert_eq!(repository.put_blob(world.cx(), &blob, &content, None).await.unwrap(), Stored::Uploaded);
    assert_eq!(proxy.cuts(), 1);
    assert!(repository.blob(world.cx(), &blob, 64 << 20).await.unwrap() == content);
}

#[tokio::test]
async fn a_broken_upload_goes_on_where_it_stopped_if_the_registry_can() {
    let content = noise(20 << 20);
    let blob = Descriptor::of("x", &content);
    let half = content.len() / 2;
    let stored = Arc::new(Mutex::new(Vec::new()));
    let server = Script::start({
        let stored = Arc::clone(&stored);
        move |seen, _| {
            let mut stored = stored.lock().unwrap();
            let range = |stored: &[u8]| format!("0-{}", stored.len() - 1);
            match seen.line.split(' ').next().unwrap() {
                "POST" => reply(202, &[("location", "/v2/app/blobs/uploads/s")], ""),
                // The line breaks half way.
                "PUT" if !seen.body.is_empty() => {
                    stored.extend_from_slice(&seen.body[..half]);
                    reply(502, &[], "")
                }
                "GET" => reply(204, &[("location", "/v2/app/blobs/uploads/s"), ("range", &range(&stored))], ""),
                "PATCH" => {
                    assert_eq!(seen.header("content-range"), Some(format!("{half}-{}", half * 2 - 1).as_str()));
                    stored.extend_from_slice(&seen.body);
                    reply(202, &[("location", "/v2/app/blobs/uploads/s"), ("range", &range(&stored))], "")
                }
                _ => reply(201, &[], ""),
            }
        }
    })
    .await;
    let world = World::default();
    assert_eq!(open(&server.host).put_blob(world.cx(), &blob, &content, None).await.unwrap(), Stored::Uploaded);
    assert!(Digest::of(&stored.lock().unwrap()) == blob.digest);
    let methods: Vec<_> = server.lines().iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(methods, ["POST", "PUT", "GET", "PATCH", "PUT"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_tag_is_pushed_when_a_blob_cannot_be() {
    let registry = Registry::start();
    let world = World::default();
    let cut = Cut { upload: true, after: 1 << 20, times: 1000 };
    let proxy = Proxy::start(registry.address(), Faults { cut: Some(cut), ..Faults::default() });
    let package = Package {
        artifact_type: Some("a/b".to_owned()),
        config: Blob::empty(),
        layers: vec![Blob::new("x/y", noise(4 << 20))],
        annotations: BTreeMap::new(),
        subject: None,
    };
    let error = push(world.cx(), &open(&proxy.host()), "1", package).await.unwrap_err();
    assert_eq!(failure(error).0, FailureKind::RegistryUnavailable);
    assert_eq!(open(&registry.host()).find(world.cx(), "1").await.unwrap(), None);
}

#[tokio::test]
async fn a_registry_that_takes_a_moment_to_know_its_tag_is_given_it() {
    let package = Package {
        artifact_type: Some("a/b".to_owned()),
        config: Blob::empty(),
        layers: Vec::new(),
        annotations: BTreeMap::new(),
        subject: None,
    };
    let pushed = Arc::new(Mutex::new(String::new()));
    let server = Script::start(move |seen, number| {
        let mut pushed = pushed.lock().unwrap();
        match seen.line.split(' ').next().unwrap() {
            "POST" => reply(202, &[("location", "/upload")], ""),
            "PUT" if seen.line.contains("manifests") => {
                *pushed = Digest::of(&seen.body).to_string();
                reply(201, &[], "")
            }
            "PUT" => reply(201, &[], ""),
            _ if number < 3 => reply(404, &[], ""),
            _ => reply(200, &[("docker-content-digest", &pushed), ("content-type", media_type::OCI_MANIFEST), ("content-length", "9")], ""),
        }
    })
    .await;
    let world = World::default();
    let artifact = push(world.cx(), &open(&server.host), "1", package).await.unwrap();
    assert_eq!(artifact.tag, "1");
    assert_eq!(server.seen("HEAD").len(), 3);
}

/// Distribution 2.8 while another client mounts the same blob into the repository.
#[tokio::test]
async fn a_registry_that_denies_its_blobs_for_a_moment_is_given_it() {
    const DENIAL: &str = r#"{"errors":[{"code":"DIGEST_INVALID","message":"provided digest did not match uploaded content"},
                            {"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown to registry"}]}"#;
    for (denials, accepted) in [(2, true), (usize::MAX, false)] {
        let server = Script::start(move |_, number| if number <= denials { reply(400, &[], DENIAL) } else { reply(201, &[], "") }).await;
        let (descriptor, bytes) = manifest();
        let stored = open(&server.host).put_manifest(World::default().cx(), "1", &descriptor, bytes).await;
        match stored.map_err(failure) {
            Ok(_) => assert!(accepted),
            Err((kind, message)) => {
                assert!(!accepted && kind == FailureKind::RegistryRefused && message.contains("blob unknown"), "{message}");
            }
        }
    }
}
