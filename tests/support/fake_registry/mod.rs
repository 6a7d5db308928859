//! An OCI registry in memory that can be told to misbehave.
//!
//! It speaks distribution-spec 1.1 (blobs, uploads in one or many pieces, mounts, manifests, tags, referrers) over plain HTTP on a
//! random loopback port, and logs every request. A second port, "storage", stands for the content network that some
//! registries send clients to; credentials must never arrive there.
//!
//! Used by the black-box tests of everything that talks to registries.

mod auth;
mod blobs;
mod fault;
mod manifests;
mod store;

use std::{net::SocketAddr, sync::Arc};

use axum::{Router, body::Body, extract::State as Extract, http::Request, response::Response};
use build_runner::{
    digest::Digest,
    oci::{Credentials, Location},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

pub(crate) use auth::Auth;
pub(crate) use fault::{Fault, What};
pub(crate) use store::Seen;
use store::{Call, Reply, State};

/// Media type of an image manifest.
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of an image index.
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// How the registry behaves all the time; [`Fault`]s are for single requests.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a habit of its own")]
pub(crate) struct Options {
    /// What it asks of clients.
    pub(crate) auth: Auth,
    /// Whether it has the referrers API and answers `OCI-Subject`.
    pub(crate) referrers: bool,
    /// As ECR: manifests are answered 201 without `Location`, and uploads cannot be continued after their first piece.
    pub(crate) ecr: bool,
    /// Answers without `Docker-Content-Digest`.
    pub(crate) no_digest_header: bool,
    /// Does not compare uploads with the digest they are closed with.
    pub(crate) trusting: bool,
    /// Sends uploads to the storage port.
    pub(crate) uploads_elsewhere: bool,
    /// Redirects blob downloads to the storage port.
    pub(crate) downloads_elsewhere: bool,
    /// More requests than this at a time are answered 429 without `Retry-After`.
    pub(crate) max_in_flight: Option<usize>,
}

/// Which of the two ports a request came in by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Port {
    /// The registry itself.
    Registry,
    /// The content network.
    Storage,
}

/// A running registry; stops when dropped.
pub(crate) struct Fake {
    /// `127.0.0.1:port`.
    pub(crate) host: String,
    state: Arc<State>,
    _servers: JoinSet<()>,
}

impl Fake {
    /// Starts one.
    pub(crate) async fn start(options: Options) -> Self {
        let (registry, host) = listen().await;
        let (storage, storage_host) = listen().await;
        let state = Arc::new(State::new(options, host.to_string(), storage_host.to_string()));
        let mut servers = JoinSet::new();
        for (listener, port) in [(registry, Port::Registry), (storage, Port::Storage)] {
            let app = Router::new().fallback(answer).with_state((Arc::clone(&state), port));
            servers.spawn(async move { axum::serve(listener, app).await.unwrap() });
        }
        Self { host: host.to_string(), state, _servers: servers }
    }

    /// Where a repository is, with the credentials that it asks for.
    pub(crate) fn location(&self, repository: &str) -> Location {
        let auth = match self.state.options.auth {
            Auth::None => Credentials::Anonymous,
            Auth::Basic(user, password) | Auth::Token { user, password, .. } => {
                Credentials::Static { username: user.to_owned(), password: password.to_owned().into(), origin: "the test".to_owned() }
            }
        };
        Location::registry(&self.host, repository, true, auth).unwrap()
    }

    /// Where a repository is, without credentials.
    pub(crate) fn anonymous(&self, repository: &str) -> Location {
        Location::registry(&self.host, repository, true, Credentials::Anonymous).unwrap()
    }

    /// Resolves when a request of `method` whose path contains `part` has come in.
    pub(crate) async fn seen(&self, method: &str, part: &str) {
        loop {
            let arrival = self.state.arrival.notified();
            if self.count(method, part) > 0 {
                return;
            }
            arrival.await;
        }
    }

    /// Misbehaves as told, from now on.
    pub(crate) fn fault(&self, fault: Fault) {
        self.state.faults.lock().unwrap().push(fault);
    }

    /// Every request so far, in order of arrival.
    pub(crate) fn log(&self) -> Vec<Seen> {
        self.state.log.lock().unwrap().clone()
    }

    /// Forgets the requests so far.
    pub(crate) fn clear_log(&self) {
        self.state.log.lock().unwrap().clear();
    }

    /// Number of requests of `method` whose path contains `part`; an empty text matches all.
    pub(crate) fn count(&self, method: &str, part: &str) -> usize {
        self.log().iter().filter(|seen| (method.is_empty() || seen.method == method) && seen.path.contains(part)).count()
    }

    /// Declares every token given out so far expired.
    pub(crate) fn revoke_tokens(&self) {
        self.state.tokens.lock().unwrap().clear();
    }

    /// Puts a blob in place.
    pub(crate) fn put_blob(&self, repository: &str, content: &[u8]) -> Digest {
        self.state.put_blob(repository, content.to_vec().into())
    }

    /// Puts a manifest in place without looking at it.
    pub(crate) fn put_manifest(&self, repository: &str, tag: Option<&str>, media_type: &str, content: &Value) -> Digest {
        let bytes = serde_json::to_vec(content).unwrap();
        self.state.put_manifest(repository, tag, media_type, bytes.into())
    }

    /// Puts an image of these layers in place and gives its manifest's digest.
    pub(crate) fn image(&self, repository: &str, tag: &str, layers: &[Vec<u8>]) -> Digest {
        let config = self.descriptor(repository, "application/vnd.oci.image.config.v1+json", br#"{"architecture":"amd64","os":"linux"}"#);
        let layers: Vec<_> =
            layers.iter().map(|layer| self.descriptor(repository, "application/vnd.oci.image.layer.v1.tar+gzip", layer)).collect();
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers});
        self.put_manifest(repository, Some(tag), MANIFEST, &manifest)
    }

    /// Puts a blob in place and describes it.
    pub(crate) fn descriptor(&self, repository: &str, media_type: &str, content: &[u8]) -> Value {
        json!({"mediaType": media_type, "digest": self.put_blob(repository, content).as_str(), "size": content.len()})
    }

    /// What a tag points at.
    pub(crate) fn tag(&self, repository: &str, tag: &str) -> Option<String> {
        self.state.tag(repository, tag)
    }

    /// Every tag of a repository.
    pub(crate) fn tags(&self, repository: &str) -> Vec<String> {
        self.state.tags(repository)
    }

    /// A manifest as it was pushed.
    pub(crate) fn manifest(&self, repository: &str, digest: &str) -> Option<(String, Vec<u8>)> {
        self.state.manifest(repository, digest).map(|(media_type, bytes)| (media_type, bytes.to_vec()))
    }

    /// Whether a repository has the blob.
    pub(crate) fn has_blob(&self, repository: &str, digest: &str) -> bool {
        self.state.blob(repository, digest).is_some()
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn answer(Extract((state, port)): Extract<(Arc<State>, Port)>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let call = Call::new(port, &parts);
    let _in_flight = state.enter();
    let entry = state.note(&call);
    let fault = state.take_fault(&call);
    match fault {
        Some(What::Hang) => std::future::pending().await,
        Some(What::Late(milliseconds)) => tokio::time::sleep(std::time::Duration::from_millis(milliseconds)).await,
        _ => {}
    }
    let reply = match fault.as_ref().and_then(fault::instead) {
        Some(reply) => {
            // A server that refuses early still drains the request, else the client sees a reset instead of the answer.
            let _ = axum::body::to_bytes(body, store::MAX_BODY).await;
            reply
        }
        None => route(&state, &call, body).await,
    };
    state.note_status(entry, reply.status);
    fault::finish(reply, fault.as_ref())
}

async fn route(state: &State, call: &Call, body: Body) -> Reply {
    let Ok(body) = axum::body::to_bytes(body, store::MAX_BODY).await else { return Reply::status(400) };
    if call.port == Port::Registry {
        if call.path == "/token" {
            return auth::token(state, call);
        }
        if state.over_limit() {
            return Reply::status(429);
        }
        if let Some(refused) = auth::check(state, call) {
            return refused;
        }
    }
    let Some(rest) = call.path.strip_prefix("/v2/") else { return Reply::error(404, "NOT_FOUND") };
    if rest.is_empty() {
        return Reply::status(200);
    }
    for (part, handler) in HANDLERS {
        if let Some((repository, name)) = rest.split_once(part) {
            return handler(state, call, repository, name, &body);
        }
    }
    Reply::error(404, "NOT_FOUND")
}

type Handler = fn(&State, &Call, &str, &str, &axum::body::Bytes) -> Reply;

const HANDLERS: [(&str, Handler); 5] = [
    ("/blobs/uploads/", blobs::upload),
    ("/blobs/", blobs::blob),
    ("/manifests/", manifests::manifest),
    ("/referrers/", manifests::referrers),
    ("/tags/list", manifests::tags),
];
