//! The operator API, as much of it as the commands need.
//!
//! In: where the control plane is, and a token from a file. Out: JSON. Invariants: the token goes to that host alone (redirects are not
//! followed) and is in no message; every answer is bounded in size and, but for streams, in time; what may be repeated is tried again for a
//! few seconds.

use std::{fmt::Write as _, time::Duration};

use bytes::{Bytes, BytesMut};
use reqwest::{
    Certificate, Method, RequestBuilder, Response,
    header::{AUTHORIZATION, HeaderValue},
};
use serde_json::Value;
use url::Url;

use super::{args::PlaneArgs, error::Error};
use crate::{
    config::Config,
    retry::{Policy, retry},
    shutdown::Cancel,
};

/// Longest a request may take that is not a stream.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Biggest answer: a page of jobs, or of log records.
const MAX_ANSWER: usize = 64 << 20;
/// Biggest token file; tokens are some fifty characters.
const MAX_TOKEN: u64 = 16 << 10;
/// For a plane that is being restarted; a mistyped address should not take long to be told.
const PATIENCE: Policy = Policy { tries: 4, min_delay: Duration::from_millis(150), max_delay: Duration::from_secs(2) };

/// A control plane, as an operator sees it.
pub(super) struct Plane {
    http: reqwest::Client,
    base: Url,
    token: HeaderValue,
}

impl Plane {
    /// The control plane that the arguments name. Nothing is sent yet.
    pub(super) fn new(arguments: &PlaneArgs, config: &Config) -> Result<Self, Error> {
        let missing = "no control plane: give --server URL (for instance http://127.0.0.1:8080) or set BUILD_RUNNER_SERVER";
        let base = server(arguments.server.as_deref().filter(|text| !text.is_empty()).ok_or_else(|| Error::Usage(missing.to_owned()))?)?;
        let token = token(arguments)?;
        // Whoever was first wins, and it is always the same one.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let builder = reqwest::Client::builder()
            .http1_only()
            .user_agent(concat!("build-runner/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .tcp_nodelay(true);
        let builder = match (base.scheme(), &config.ca_file) {
            ("http", _) => builder.tls_certs_only([]),
            (_, None) => builder,
            (_, Some(file)) => {
                let unusable = || Error::Usage(format!("ca_file {} is no bundle of PEM certificates that can be read", file.display()));
                let bundle = fs_err::read(file).map_err(|_| unusable())?;
                builder.tls_certs_merge(Certificate::from_pem_bundle(&bundle).map_err(|_| unusable())?)
            }
        };
        let builder = if is_loopback(&base) { builder.no_proxy() } else { builder };
        let http = builder.build().map_err(|error| Error::Usage(format!("HTTPS cannot be used: {}", innermost(&error))))?;
        Ok(Self { http, base, token })
    }

    /// `/v1/jobs` and what is below it.
    pub(super) fn jobs(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["v1", "jobs"]).extend(path);
        }
        url
    }

    /// The same with a query.
    pub(super) fn asking<'q>(&self, path: &[&str], query: impl IntoIterator<Item = (&'q str, &'q str)>) -> Url {
        let mut url = self.jobs(path);
        url.query_pairs_mut().extend_pairs(query);
        url
    }

    /// A request with the token in it.
    pub(super) fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.http.request(method, url).header(AUTHORIZATION, self.token.clone())
    }

    /// Asks until there is an answer, or no hope of one, and reads its JSON. Only for what may be repeated.
    pub(super) async fn ask(&self, request: impl Fn() -> RequestBuilder) -> Result<Value, Error> {
        let told = |error: &Error, wait: Duration| tracing::debug!(%error, ?wait, "trying again");
        retry(PATIENCE, &Cancel::new(), Error::advice, told, || async {
            let exchange = async {
                let response = self.send(request()).await?;
                let body = self.body(response).await?;
                serde_json::from_slice(&body).map_err(|_| Error::Broken(format!("{} answered something that is not JSON", self.name())))
            };
            let late = || Error::Broken(format!("{} gave no complete answer within {} s", self.name(), TIMEOUT.as_secs()));
            tokio::time::timeout(TIMEOUT, exchange).await.map_err(|_| late())?
        })
        .await
    }

    /// Sends one request; the answer is one of success.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response, Error> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = self.body(response).await.unwrap_or_default();
        Err(Error::Refused { status: status.as_u16(), message: refusal(&self.name(), status, &body) })
    }

    async fn body(&self, mut response: Response) -> Result<Bytes, Error> {
        let mut body = BytesMut::new();
        while let Some(piece) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            if body.len() + piece.len() > MAX_ANSWER {
                return Err(Error::Broken(format!("{} answered more than {MAX_ANSWER} bytes", self.name())));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body.freeze())
    }

    /// The error of a connection that did not come about, or broke.
    pub(super) fn unreachable(&self, error: &reqwest::Error) -> Error {
        let reason = if error.is_timeout() { "no connection in time".to_owned() } else { innermost(error) };
        Error::Unreachable { server: self.name(), reason }
    }

    /// Scheme, host and port.
    pub(super) fn name(&self) -> String {
        self.base.origin().ascii_serialization()
    }
}

fn server(text: &str) -> Result<Url, Error> {
    let wrong = |problem: &str| Error::Usage(format!("--server: {problem}; write it like http://127.0.0.1:8080"));
    let url = Url::parse(text).map_err(|error| wrong(&format!("not a URL ({error})")))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong("not an http:// or https:// URL"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("there is more than host and path in it, and the token goes into a file"));
    }
    Ok(url)
}

fn token(arguments: &PlaneArgs) -> Result<HeaderValue, Error> {
    use std::io::Read as _;
    let missing =
        "no token: give --token-file FILE (the control plane writes operator.token to its data folder) or set BUILD_RUNNER_TOKEN_FILE";
    let file = arguments.token_file.as_ref().ok_or_else(|| Error::Usage(missing.to_owned()))?;
    let mut text = zeroize::Zeroizing::new(String::new());
    let read = std::fs::File::open(file).and_then(|file| file.take(MAX_TOKEN).read_to_string(&mut text));
    read.map_err(|error| Error::Usage(format!("the token file {} cannot be read: {}", file.display(), error.kind())))?;
    let token = text.trim();
    let plain = !token.is_empty() && token.chars().all(|c| c.is_ascii_graphic());
    let header = HeaderValue::from_str(&format!("Bearer {token}")).ok().filter(|_| plain);
    let mut header = header.ok_or_else(|| Error::Usage(format!("the token file {} does not hold a token", file.display())))?;
    header.set_sensitive(true);
    Ok(header)
}

/// What the control plane said, in one sentence, with every mistake of a job on a line of its own.
fn refusal(server: &str, status: reqwest::StatusCode, body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |key: &str| body[key].as_str().unwrap_or_default();
    let said = if text("description").is_empty() { text("error") } else { text("description") };
    let mut message = format!("{server} refused it");
    let _ = match said {
        "" => write!(message, " with status {status}"),
        said => write!(message, ": {said}"),
    };
    let problems = body["problems"].as_array().map(Vec::as_slice).unwrap_or_default();
    for problem in problems.iter().filter(|_| problems.len() > 1) {
        let part = |key: &str| problem[key].as_str().unwrap_or_default();
        let _ = write!(message, "\n  {}: {}", part("path"), part("message"));
    }
    if matches!(status.as_u16(), 401 | 403) {
        message.push_str("; check --token-file: an operator's token is needed");
    }
    message
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// The deepest cause: what the layers above repeat in other words.
fn innermost(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |error| error.source()).last().map_or_else(|| error.to_string(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_plain_addresses() {
        assert!(server("http://127.0.0.1:8080").is_ok() && server("https://plane.example.com/build").is_ok());
        for bad in ["127.0.0.1:8080", "ftp://x", "https://u:hunter2@x", "https://x?token=hunter2"] {
            let message = server(bad).expect_err(bad).to_string();
            assert!(message.starts_with("--server: ") && !message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn a_refusal_says_what_the_plane_said() {
        let body = br#"{"error":"invalid job","user_error":true,"description":"plan.a: x (and 1 more)","problems":[{"path":"plan.a","message":"x"},{"path":"plan.b","message":"y"}]}"#;
        let message = refusal("http://p", reqwest::StatusCode::UNPROCESSABLE_ENTITY, body);
        assert_eq!(message, "http://p refused it: plan.a: x (and 1 more)\n  plan.a: x\n  plan.b: y");
        let message = refusal("http://p", reqwest::StatusCode::BAD_GATEWAY, b"<html>");
        assert_eq!(message, "http://p refused it with status 502 Bad Gateway");
    }
}
