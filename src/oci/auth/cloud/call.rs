//! One request to a cloud's token service: bounded in time, size and tries, and its errors told apart.
//!
//! In: a closure that builds the request anew for every try (signatures carry the time). Out: a [`Reply`] with a status of success, or
//! the [`CloudError`] its body explains. Used by every source of this folder, by nothing else.

use std::{path::Path, time::Duration};

use reqwest::{Client, RequestBuilder, header::RETRY_AFTER};
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use tokio::io::AsyncReadExt as _;
use url::Url;

use super::{CloudError, explain};
use crate::{
    logs::JobLog,
    retry::{Policy, retry},
    shutdown::Cancel,
};

/// Longest answer and longest credential file that is read.
const MAX_BYTES: usize = 256 * 1024;

/// The process's environment, or a test's. `Sync`, so that futures that hold it can move between threads.
pub type Env<'a> = dyn Fn(&str) -> Option<String> + Sync + 'a;

/// How long and how often.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// One call to a service, answer included.
    pub(super) call: Duration,
    /// One call to a metadata service: it is on this machine, or not there at all.
    pub(super) metadata: Duration,
    /// Tries of a call to a service.
    pub(super) retry: Policy,
    /// Tries of a call to a metadata service.
    pub(super) metadata_retry: Policy,
}

impl Limits {
    pub(super) const USUAL: Self = Self {
        call: Duration::from_secs(10),
        metadata: Duration::from_secs(2),
        retry: Policy { tries: 4, min_delay: Duration::from_millis(250), max_delay: Duration::from_secs(10) },
        metadata_retry: Policy { tries: 2, min_delay: Duration::from_millis(100), max_delay: Duration::from_secs(2) },
    };
}

/// What every call needs.
pub(super) struct Cx<'a> {
    pub(super) cancel: &'a Cancel,
    pub(super) log: &'a JobLog,
    pub(super) http: &'a Client,
    /// For metadata services: they speak plain HTTP on this machine and must not be asked through a proxy.
    pub(super) direct: Client,
    pub(super) env: &'a Env<'a>,
    pub(super) limits: Limits,
}

/// Whom to ask.
#[derive(Debug, Clone)]
pub(super) struct Service {
    name: &'static str,
    pub(super) url: Url,
    metadata: bool,
}

impl Service {
    /// A service of the cloud. `place` is named in the error when `url` is none.
    pub(super) fn new(name: &'static str, url: &str, place: &str) -> Result<Self, CloudError> {
        let url = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let url = url.ok_or_else(|| CloudError::setting(place, "is not a URL; write it as https://HOST"))?;
        Ok(Self { name, url, metadata: false })
    }

    /// A service on this machine: short timeout, no proxy.
    pub(super) fn metadata(name: &'static str, url: &str, place: &str) -> Result<Self, CloudError> {
        Ok(Self { metadata: true, ..Self::new(name, url, place)? })
    }

    pub(super) fn label(&self) -> String {
        format!("{} ({})", self.name, self.host())
    }

    /// Host, with its port if that is not the usual one: what a client sends as `Host`.
    pub(super) fn host(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        self.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    pub(super) fn unavailable(&self, reason: impl Into<String>) -> CloudError {
        CloudError::Unavailable { service: self.label(), reason: reason.into(), retry_after: None }
    }

    pub(super) fn garbled(&self, reason: impl Into<String>) -> CloudError {
        CloudError::Garbled { service: self.label(), reason: reason.into() }
    }
}

/// An answer with a status of success.
pub(super) struct Reply {
    service: Service,
    body: Vec<u8>,
}

impl Reply {
    /// The body as JSON. The parser's own message may quote values, so only the place is told.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, CloudError> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let problem = if error.is_data() { "JSON without the fields that were expected" } else { "no JSON" };
            self.service.garbled(format!("{problem} (line {}, column {})", error.line(), error.column()))
        })
    }

    pub(super) fn text(&self) -> Result<&str, CloudError> {
        std::str::from_utf8(&self.body).map_err(|_| self.service.garbled("not UTF-8 text"))
    }
}

impl Cx<'_> {
    /// A variable that is set and not empty.
    pub(super) fn var(&self, name: &str) -> Option<String> {
        (self.env)(name).filter(|value| !value.is_empty())
    }

    /// Takes `text` into custody: from now on it never leaves the process.
    pub(super) fn secret(&self, text: String) -> SecretString {
        self.log.add_secret(&text);
        text.into()
    }

    /// A small text file.
    pub(super) async fn read(&self, path: &Path, purpose: &'static str) -> Result<String, CloudError> {
        let read = async {
            let mut text = String::new();
            let file = tokio::fs::File::open(path).await?;
            file.take(MAX_BYTES as u64 + 1).read_to_string(&mut text).await?;
            if text.len() > MAX_BYTES { Err(std::io::ErrorKind::FileTooLarge.into()) } else { Ok(text) }
        };
        self.cancel.run(read).await?.map_err(|source| CloudError::File { purpose, path: path.to_owned(), source })
    }

    /// Asks until there is an answer or no hope of one.
    pub(super) async fn call(&self, service: &Service, build: impl Fn(&Client) -> RequestBuilder) -> Result<Reply, CloudError> {
        let (policy, timeout, client) = if service.metadata {
            (self.limits.metadata_retry, self.limits.metadata, &self.direct)
        } else {
            (self.limits.retry, self.limits.call, self.http)
        };
        let report = |error: &CloudError, wait: Duration| {
            if !service.metadata {
                self.log.warn(format_args!("{error}; trying again in {:.1} s", wait.as_secs_f64()));
            }
        };
        retry(policy, self.cancel, CloudError::advice, report, || self.attempt(service, build(client).timeout(timeout))).await
    }

    async fn attempt(&self, service: &Service, request: RequestBuilder) -> Result<Reply, CloudError> {
        let exchange = async {
            let mut response = request.send().await.map_err(|error| service.unavailable(reason(error)))?;
            let status = response.status();
            let wait = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(|error| service.unavailable(reason(error)))? {
                body.extend_from_slice(&chunk);
                if body.len() > MAX_BYTES {
                    return Err(service.garbled(format!("longer than {MAX_BYTES} bytes")));
                }
            }
            if status.is_success() {
                return Ok(Reply { service: service.clone(), body });
            }
            Err(explain::failure(service.label(), status, wait.map(Duration::from_secs), &body, self.log))
        };
        self.cancel.run(exchange).await?
    }
}

/// The innermost cause in words, without the URL: a query may hold secrets.
fn reason(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let error = error.without_url();
    let mut innermost: &dyn std::error::Error = &error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Body of an `application/x-www-form-urlencoded` request.
pub(super) fn form(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// Media type of [`form`].
pub(super) const FORM: &str = "application/x-www-form-urlencoded";

/// A client for metadata services: no proxy, no redirect, no TLS worth the name (it trusts nobody).
pub(super) fn direct_client() -> Result<Client, CloudError> {
    let broken = |error: &dyn std::error::Error| CloudError::setting("the HTTP client for metadata services", error.to_string());
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| broken(&error))?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .tls_backend_preconfigured(tls)
        .build()
        .map_err(|error| broken(&error))
}

/// Whether a registry is on this machine: tests, and port forwards.
pub(super) fn is_loopback(registry: &str) -> bool {
    let Ok(url) = Url::parse(&format!("http://{registry}")) else { return false };
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Host name of `HOST[:PORT]`, as a URL parser reads it: nothing that only looks like a cloud's registry passes.
pub(super) fn host_name(registry: &str) -> Option<String> {
    let url = Url::parse(&format!("https://{registry}")).ok()?;
    let bare =
        url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
    bare.then(|| url.host_str().map(str::to_owned)).flatten()
}
