//! Bounded GETs for chart repositories: credentials for the repository's own host alone, retries, no downgrade to plain HTTP.

use std::{path::Path, time::Duration};

use bytes::{Bytes, BytesMut};
use percent_encoding::percent_decode_str;
use reqwest::{StatusCode, header::RETRY_AFTER};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use crate::{
    executor::Context,
    job::{Failure, FailureKind},
    logs::{JobLog, Meter},
    retry::{Advice, Policy, retry},
    shutdown::Cancelled,
};

/// For a connection, TLS included.
const CONNECT: Duration = Duration::from_secs(15);
/// For the next byte.
const IDLE: Duration = Duration::from_mins(1);
/// Redirects followed for one file.
const MAX_REDIRECTS: usize = 10;

/// Why a file could not be fetched. URLs are shown without credentials and query.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("'{url}' is not a URL to fetch charts from: {why}")]
    Url { url: String, why: &'static str },
    #[error("{url} does not exist (404); check the repository URL")]
    NotFound { url: String },
    #[error("{url} may not be read ({status}); put the user name and password into the repository URL: https://USER:PASSWORD@host/…")]
    Denied { url: String, status: u16 },
    #[error("{url}: the server answered {status}")]
    Status { url: String, status: u16, retry_after: Option<Duration> },
    #[error("{url} cannot be reached: {reason}")]
    Unreachable { url: String, reason: String },
    #[error("{url} leads astray: {reason}")]
    Redirect { url: String, reason: String },
    #[error("{url} has more than {} MiB, the most that is read", limit >> 20)]
    TooLarge { url: String, limit: u64 },
    #[error("the certificates in '{file}' cannot be read: {why}; give a PEM file")]
    CaFile { file: String, why: String },
    #[error("the HTTP client cannot be set up: {0}")]
    Setup(#[source] reqwest::Error),
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl FetchError {
    fn advice(&self) -> Advice {
        match self {
            Self::Status { retry_after: Some(wait), .. } => Advice::RetryAfter(*wait),
            Self::Status { status: 408 | 425 | 429 | 500 | 502 | 503 | 504, .. } | Self::Unreachable { .. } => Advice::Retry,
            Self::Status { .. }
            | Self::Url { .. }
            | Self::NotFound { .. }
            | Self::Denied { .. }
            | Self::Redirect { .. }
            | Self::TooLarge { .. }
            | Self::CaFile { .. }
            | Self::Setup(_)
            | Self::Cancelled(_) => Advice::GiveUp,
        }
    }
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        let kind = match &error {
            FetchError::Url { .. } => FailureKind::InvalidPlan,
            FetchError::NotFound { .. } => FailureKind::SourceNotFound,
            FetchError::Denied { .. } => FailureKind::AuthDenied,
            FetchError::Status { .. } | FetchError::Unreachable { .. } => FailureKind::SourceUnavailable,
            FetchError::Redirect { .. } => FailureKind::InvalidSource,
            FetchError::TooLarge { .. } => FailureKind::LimitExceeded,
            FetchError::CaFile { .. } => FailureKind::Io,
            FetchError::Setup(_) => FailureKind::Internal,
            FetchError::Cancelled(stopped) => return (*stopped).into(),
        };
        Self::new(kind, error.to_string())
    }
}

/// User name and password of a repository, and where they may go.
#[derive(Debug, Clone)]
struct Credentials {
    origin: url::Origin,
    user: String,
    password: SecretString,
}

/// A client for one repository.
#[derive(Debug)]
pub(crate) struct Http {
    client: reqwest::Client,
    credentials: Option<Credentials>,
    /// Of the repository, without credentials, its path ending in `/`.
    base: Url,
}

impl Http {
    /// A client for the repository at `url`; its credentials are taken out of the URL and never logged.
    /// `ca_file`: certificates trusted besides the system's.
    pub(crate) fn open(url: &str, ca_file: Option<&Path>, log: &JobLog) -> Result<Self, FetchError> {
        let refuse = |why| FetchError::Url { url: shown_text(url), why };
        let mut base = Url::parse(url).map_err(|_| refuse("it cannot be read; write it like https://charts.example.com"))?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none_or(str::is_empty) {
            return Err(refuse("use https://, http:// or oci://"));
        }
        let credentials = take_credentials(&mut base, log);
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let redirects = reqwest::redirect::Policy::custom(|attempt| {
            let downgrade = attempt.url().scheme() == "http" && attempt.previous().iter().any(|url| url.scheme() == "https");
            if downgrade {
                attempt.error("the server redirects from https to http")
            } else if attempt.previous().len() > MAX_REDIRECTS {
                attempt.error("too many redirects")
            } else {
                attempt.follow()
            }
        });
        // Whoever is first wins, and it is always the same one.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut builder = reqwest::Client::builder();
        if is_loopback(&base) {
            builder = builder.no_proxy();
        }
        if let Some(file) = ca_file {
            let unreadable = |why: String| FetchError::CaFile { file: file.display().to_string(), why };
            let pem = std::fs::read(file).map_err(|error| unreadable(error.to_string()))?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| unreadable(error.to_string()))?;
            builder = builder.tls_certs_merge(certificates);
        }
        let client = builder
            .connect_timeout(CONNECT)
            .read_timeout(IDLE)
            .redirect(redirects)
            .user_agent(concat!("build-runner/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(FetchError::Setup)?;
        Ok(Self { client, credentials, base })
    }

    /// The repository, without credentials.
    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// `reference` made absolute; the repository's query goes along (tokens of hosted repositories), as with helm.
    pub(crate) fn resolve(&self, reference: &str) -> Result<Url, FetchError> {
        let why = "the index names no usable URL for the chart";
        let mut url = self.base.join(reference).map_err(|_| FetchError::Url { url: shown_text(reference), why })?;
        if Url::parse(reference).is_err() {
            url.set_query(self.base.query());
        }
        Ok(url)
    }

    /// At most `limit` bytes of `url`.
    pub(crate) async fn get(&self, url: &Url, limit: u64, cx: &Context) -> Result<Bytes, FetchError> {
        let Context { cancel, log, progress, .. } = cx;
        let meter = progress.meter(shown(url), 0);
        let on_retry = |error: &FetchError, wait: Duration| log.warn(format_args!("{error}; trying again in {:.1} s", wait.as_secs_f32()));
        retry(Policy::NETWORK, cancel, FetchError::advice, on_retry, || async { cancel.run(self.attempt(url, limit, &meter)).await? }).await
    }

    async fn attempt(&self, url: &Url, limit: u64, meter: &Meter) -> Result<Bytes, FetchError> {
        let failed = |error: reqwest::Error| {
            let (url, redirect, reason) = (shown(url), error.is_redirect(), innermost(&error.without_url()));
            if redirect { FetchError::Redirect { url, reason } } else { FetchError::Unreachable { url, reason } }
        };
        let mut request = self.client.get(url.clone());
        if let Some(credentials) = self.credentials.as_ref().filter(|credentials| credentials.origin == url.origin()) {
            request = request.basic_auth(&credentials.user, Some(credentials.password.expose_secret()));
        }
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status();
        if !status.is_success() {
            return Err(refusal(url, status, response.headers().get(RETRY_AFTER)));
        }
        let too_large = || FetchError::TooLarge { url: shown(url), limit };
        if response.content_length().is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        meter.reset(0);
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            meter.add(chunk.len() as u64);
            body.extend_from_slice(&chunk);
            if body.len() as u64 > limit {
                return Err(too_large());
            }
        }
        Ok(body.freeze())
    }
}

fn refusal(url: &Url, status: StatusCode, retry_after: Option<&reqwest::header::HeaderValue>) -> FetchError {
    let url = shown(url);
    match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => FetchError::NotFound { url },
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => FetchError::Denied { url, status: status.as_u16() },
        _ => {
            let seconds = retry_after.and_then(|value| value.to_str().ok()).and_then(|text| text.trim().parse().ok());
            FetchError::Status { url, status: status.as_u16(), retry_after: seconds.map(Duration::from_secs) }
        }
    }
}

/// Whether the URL is on this machine, where no proxy leads.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Takes user name and password out of `url`; both are secrets from here on.
fn take_credentials(url: &mut Url, log: &JobLog) -> Option<Credentials> {
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let (user, password) = (decode(url.username()), url.password().map(decode).unwrap_or_default());
    for written in [url.username(), url.password().unwrap_or_default(), &user, &password] {
        // A user name beside a password is no secret, but one alone is a token.
        if !written.is_empty() && (password.is_empty() || (*written != user && written != url.username())) {
            log.add_secret(written);
        }
    }
    let had_any = !user.is_empty() || !password.is_empty();
    if url.set_username("").is_err() || url.set_password(None).is_err() || !had_any {
        return None;
    }
    Some(Credentials { origin: url.origin(), user, password: password.into() })
}

/// A URL without credentials and query, for people.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

/// Text that should have been a URL, without anything before an `@` and without a query.
pub(crate) fn shown_text(text: &str) -> String {
    // "user:secret@host" is a URL of scheme "user" to a parser.
    if let Ok(url) = Url::parse(text)
        && url.has_host()
    {
        return shown(&url);
    }
    let text = text.split(['?', '#']).next().unwrap_or_default();
    text.rsplit_once('@').map_or(text, |(_, rest)| rest).chars().take(200).collect()
}

/// The cause behind the causes, which is the one that says something.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if error.is_timeout() { "no answer in time".to_owned() } else { cause.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(url: &str) -> Result<Http, FetchError> {
        Http::open(url, None, &JobLog::discard())
    }

    #[test]
    fn credentials_leave_the_url_and_stay_with_the_host() {
        let http = open("https://us%40er:pa%2Fss@charts.example.com/stable?token=t").expect("a repository");
        let credentials = http.credentials.as_ref().expect("credentials");
        assert_eq!((credentials.user.as_str(), credentials.password.expose_secret()), ("us@er", "pa/ss"));
        assert_eq!(http.base().as_str(), "https://charts.example.com/stable/?token=t");
        assert!(!format!("{http:?}").contains("pa/ss"));
        assert_eq!(http.resolve("a-1.tgz").expect("joins").as_str(), "https://charts.example.com/stable/a-1.tgz?token=t");
        let other = http.resolve("https://cdn.example.com/a-1.tgz").expect("absolute");
        assert_eq!(other.as_str(), "https://cdn.example.com/a-1.tgz");
        assert_ne!(credentials.origin, other.origin());
    }

    #[test]
    fn odd_urls_are_refused_without_their_secrets() {
        for (url, message) in [
            (
                "charts.example.com",
                "'charts.example.com' is not a URL to fetch charts from: it cannot be read; write it like https://charts.example.com",
            ),
            (
                "ftp://u:secret@example.com/x?y=z",
                "'ftp://example.com/x' is not a URL to fetch charts from: use https://, http:// or oci://",
            ),
            ("u:secret@example.com", "'example.com' is not a URL to fetch charts from: use https://, http:// or oci://"),
        ] {
            let error = open(url).expect_err(url).to_string();
            assert!(!error.contains("secret"), "{error}");
            assert!(error == message || url.starts_with("u:"), "{error}");
        }
    }
}
