//! HTTP to registries: trust, plain HTTP, redirects, back-off shared by host, time limits.
//!
//! ```text
//! Request ─► gate of the host ─► auth header ─► send ─► 401: challenge, once more ─► redirect: follow without credentials ─► Answer
//! ```
//!
//! Inputs: a [`Request`], the registry's [`Home`]. Outputs: a response of any status ([`Transport::call`]), or [`SendError`].
//! Invariants: `Authorization` goes to the registry's own scheme, host and port and nowhere else; `https` never leads to `http`; at most
//! [`MAX_HOPS`] redirects. Trying again is the caller's business.
//!
//! Called by `registry` alone.

mod failure;
mod gate;
mod home;
mod probe;
mod request;
mod send;
mod stagger;
mod tls;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use reqwest::{Method, Response, StatusCode, Url, header::LOCATION};

use self::{gate::Gate, tls::ClientKey};
use super::{
    ByteStream, Cx, Error, Settings,
    auth::{self, Authenticator},
    error::ContentError,
    location::{api_host, is_loopback},
};

pub(super) use self::{
    home::Home,
    request::{Payload, Request, SendError},
};

/// Most redirects that are followed.
const MAX_HOPS: usize = 10;

/// Connections, trust and back-off of all registries. Shared by everything one [`super::Client`] opens.
#[derive(Debug)]
pub(super) struct Transport {
    settings: Settings,
    clients: Mutex<HashMap<ClientKey, reqwest::Client>>,
    gates: Mutex<HashMap<String, Arc<Gate>>>,
    /// Loopback hosts and whether they speak plain HTTP.
    plain: Mutex<HashMap<String, bool>>,
}

/// An answer and where it came from.
pub(super) struct Answer {
    pub(super) response: Response,
    /// URL that was asked last.
    pub(super) url: Url,
}

impl Answer {
    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// A header that is text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// `HOST` or `HOST:PORT` that answered.
    fn host(&self) -> &str {
        self.url.authority()
    }

    /// The error this answer is.
    pub(super) async fn into_error(self, request: String) -> Error {
        let (host, status, headers) = (self.host().to_owned(), self.status().as_u16(), self.response.headers().clone());
        let body = failure::error_body(self.response).await;
        failure::response(&host, request, status, &headers, &body)
    }

    /// The body as it comes.
    pub(super) fn stream(self, settings: &Settings) -> ByteStream {
        let host = self.host().to_owned();
        send::body(host, self.response, settings.timeouts)
    }

    /// The whole body, of at most `limit` bytes. A web page is an error.
    pub(super) async fn bytes(self, cx: Cx<'_>, settings: &Settings, what: &str, limit: u64) -> Result<Bytes, Error> {
        if failure::is_html(self.response.headers()) {
            let reason = format!("a web page instead of {what}");
            return Err(ContentError::NotARegistry { host: self.host().to_owned(), reason }.into());
        }
        let too_large = || Error::from(ContentError::TooLarge { what: what.to_owned(), limit });
        if self.response.content_length().is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        let mut stream = self.stream(settings);
        let mut body = BytesMut::new();
        while let Some(piece) = cx.cancel.run(stream.next()).await? {
            let piece = piece?;
            if (body.len() + piece.len()) as u64 > limit {
                return Err(too_large());
            }
            body.extend_from_slice(&piece);
        }
        Ok(body.freeze())
    }

    /// Reads what little is left, so that the connection can be used again.
    pub(super) async fn finish(self) {
        failure::error_body(self.response).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Transport {
    /// Tries every certificate bundle of the settings now: a wrong path is better told before any job begins.
    pub(super) fn new(settings: Settings) -> Result<Self, Error> {
        tls::install_provider();
        let own = settings.hosts.values().filter_map(|host| host.ca_file.as_ref());
        settings.ca_file.iter().chain(own).try_for_each(|file| tls::read_bundle(file).map(drop))?;
        Ok(Self { settings, clients: Mutex::default(), gates: Mutex::default(), plain: Mutex::default() })
    }

    pub(super) const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Root of the registry's interface, `…/v2/`. `plain_http` is what the plan says.
    pub(super) async fn base(&self, cx: Cx<'_>, host: &str, plain_http: bool) -> Result<Url, Error> {
        let plain = plain_http || self.is_plain(cx, host).await?;
        let scheme = if plain { "http" } else { "https" };
        Url::parse(&format!("{scheme}://{}/v2/", api_host(host))).map_err(|error| Error::Connection {
            host: host.to_owned(),
            reason: error.to_string(),
            transient: false,
        })
    }

    /// Whether a host is spoken to over plain HTTP although no plan says so: by configuration, or because it is this machine and
    /// does not answer in TLS.
    async fn is_plain(&self, cx: Cx<'_>, host: &str) -> Result<bool, Error> {
        if self.settings.hosts.get(host).is_some_and(|settings| settings.plain_http) {
            return Ok(true);
        }
        if !is_loopback(host) {
            return Ok(false);
        }
        if let Some(plain) = lock(&self.plain).get(host) {
            return Ok(*plain);
        }
        let port_at = host.rfind(']').unwrap_or(0);
        let authority = if host[port_at..].contains(':') { host.to_owned() } else { format!("{host}:443") };
        // A server that does not answer is not remembered: it may only be starting. TLS is the safe guess, and the error is better.
        let Some(tls) = cx.cancel.run(probe::speaks_tls(&authority)).await? else { return Ok(authority != host) };
        lock(&self.plain).insert(host.to_owned(), !tls);
        Ok(!tls)
    }

    /// The HTTP client for that URL's scheme and host.
    pub(super) fn client(&self, url: &Url) -> Result<reqwest::Client, Error> {
        let host = url.authority();
        let trust = (url.scheme() == "https").then(|| {
            let own = self.settings.hosts.get(host).and_then(|settings| settings.ca_file.clone());
            self.settings.ca_file.iter().cloned().chain(own).collect::<Vec<PathBuf>>()
        });
        self.client_for(ClientKey { trust, proxy: !is_loopback(host) })
    }

    fn client_for(&self, key: ClientKey) -> Result<reqwest::Client, Error> {
        let mut clients = lock(&self.clients);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let client = tls::client(&key, &self.settings)?;
        clients.insert(key, client.clone());
        Ok(client)
    }

    /// How often a host (`HOST` or `HOST:PORT`) has throttled this process.
    pub(super) fn refusals(&self, host: &str) -> u64 {
        lock(&self.gates).get(host).map_or(0, |gate| gate.refusals())
    }

    fn gate(&self, url: &Url) -> Arc<Gate> {
        let mut gates = lock(&self.gates);
        Arc::clone(gates.entry(url.authority().to_owned()).or_default())
    }

    /// Sends `request`, answering a challenge and following redirects. Any status that is neither comes back as it is.
    pub(super) async fn call(&self, cx: Cx<'_>, home: &Home, request: &Request<'_>) -> Result<Answer, SendError> {
        let mut url = request.url.clone();
        for _ in 0..MAX_HOPS {
            if home.base.scheme() == "https" && url.scheme() != "https" {
                let reason = format!("it leads from https to {}://{}", url.scheme(), url.authority());
                return Err(SendError::Request(odd(&home.base, reason)));
            }
            let own = home.owns(&url);
            let answer = if own { self.authorized(cx, home, request, url).await? } else { self.once(cx, request, url, None).await? };
            match redirect(request, &answer).map_err(SendError::Request)? {
                Some(next) => url = next,
                None => return Ok(answer),
            }
        }
        Err(SendError::Request(odd(&home.base, format!("more than {MAX_HOPS} redirects"))))
    }

    /// One exchange with the registry itself: with the credentials it wants, asked for again once when it refuses them.
    async fn authorized(&self, cx: Cx<'_>, home: &Home, request: &Request<'_>, url: Url) -> Result<Answer, SendError> {
        let failed = |error: auth::Error| SendError::Request(error.into());
        let refused = |status| matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        let sent = match home.auth_if_needed() {
            Some(auth) => auth.header(request.scope, cx).await.map_err(failed)?,
            None => None,
        };
        let answer = self.once(cx, request, url.clone(), sent.as_ref()).await?;
        if !refused(answer.status()) {
            return Ok(answer);
        }
        let auth = home.auth(self).await.map_err(SendError::Request)?;
        let (status, headers) = (answer.status(), answer.response.headers().clone());
        let body = failure::error_body(answer.response).await;
        if status == StatusCode::FORBIDDEN && !Authenticator::looks_expired(status.as_u16(), &body) {
            return Err(failed(auth.refused(request.scope, &body, cx).await));
        }
        let header = auth.challenged(request.scope, &headers, sent.as_ref(), cx).await.map_err(failed)?;
        let answer = self.once(cx, request, url, Some(&header)).await?;
        if refused(answer.status()) {
            let body = failure::error_body(answer.response).await;
            return Err(failed(auth.refused(request.scope, &body, cx).await));
        }
        Ok(answer)
    }

    async fn once(
        &self,
        cx: Cx<'_>,
        request: &Request<'_>,
        url: Url,
        authorization: Option<&reqwest::header::HeaderValue>,
    ) -> Result<Answer, SendError> {
        let gate = self.gate(&url);
        gate.pass(cx.cancel).await.map_err(|cancelled| SendError::Request(cancelled.into()))?;
        let client = self.client(&url).map_err(SendError::Request)?;
        let request = Request { method: request.method.clone(), url: url.clone(), headers: request.headers.clone(), ..*request };
        let response = send::send(cx, &client, self.settings.timeouts, &request, authorization).await?;
        if matches!(response.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            gate.close(failure::retry_after(response.headers()));
        }
        Ok(Answer { response, url })
    }
}

/// Whether two URLs have the same scheme, host and port.
pub(super) fn same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme() && one.host() == other.host() && one.port_or_known_default() == other.port_or_known_default()
}

fn odd(host: &Url, reason: String) -> Error {
    ContentError::NotARegistry { host: host.authority().to_owned(), reason }.into()
}

/// Where an answer redirects to, if it does. 301 to 303 change what is asked, so only reads follow them.
fn redirect(request: &Request<'_>, answer: &Answer) -> Result<Option<Url>, Error> {
    let reads = request.method == Method::GET || request.method == Method::HEAD;
    let follows = match answer.status().as_u16() {
        301..=303 => reads,
        307 | 308 => true,
        _ => false,
    };
    if !follows {
        return Ok(None);
    }
    let target = answer.header(LOCATION.as_str()).and_then(|target| answer.url.join(target).ok());
    let target = target.filter(|target| matches!(target.scheme(), "http" | "https") && target.has_host());
    target.map(Some).ok_or_else(|| odd(&answer.url, format!("{}: a redirect to nowhere", request.name())))
}
