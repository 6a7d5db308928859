//! Asking a token server for a bearer token.
//!
//! With user name and password: `GET realm?service=…&scope=…` with Basic, which every server understands (distribution, "Token Authentication Specification").
//! With a refresh token: `POST` of an OAuth2 form (distribution, "OAuth2 Token Authentication").

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use reqwest::{StatusCode, header};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::Url;

use super::{Challenge, Error, Resolved, Scope, Secret};
use crate::oci::Cx;

/// How long a token lives when the server does not say (distribution, "Token Authentication Specification": 60 seconds).
const DEFAULT_LIFE: Duration = Duration::from_mins(1);

/// Longest life that is believed.
const MAX_LIFE: Duration = Duration::from_hours(12);

/// Largest answer that is read: tokens of cloud registries reach 10 KiB.
const MAX_ANSWER: usize = 256 << 10;

/// How long the token server may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A bearer token and when to stop using it.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) value: SecretString,
    /// 80 % of its life: renewed from then on.
    pub(super) renew_at: Timestamp,
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

/// What a bearer challenge asks to be fetched, and from where.
pub(super) struct TokenServer {
    realm: Url,
    service: Option<String>,
}

impl TokenServer {
    /// The server that the challenge names. A registry spoken to over TLS may not send credentials to a server without.
    pub(super) fn of(challenge: &Challenge, registry: &str, plain_http: bool) -> Result<Self, Error> {
        let fail = |reason: String| Error::Challenge { host: registry.to_owned(), reason };
        let text = challenge.params.get("realm").ok_or_else(|| fail("its bearer challenge names no realm".to_owned()))?;
        let realm = Url::parse(text).map_err(|error| fail(format!("the realm '{text}' is not a URL ({error})")))?;
        let host = realm.host_str().unwrap_or_default();
        match realm.scheme() {
            "https" => {}
            "http" if plain_http || is_loopback(host) => {}
            other => return Err(fail(format!("the token server {other}://{host} is not spoken to over TLS"))),
        }
        if realm.username() != "" || realm.password().is_some() {
            return Err(fail("the realm carries credentials of its own".to_owned()));
        }
        Ok(Self { realm, service: challenge.params.get("service").cloned() })
    }

    fn host(&self) -> String {
        let host = self.realm.host_str().unwrap_or_default();
        self.realm.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// One token for `scope`.
    pub(super) async fn fetch(&self, http: &reqwest::Client, resolved: &Resolved, scope: &Scope, cx: Cx<'_>) -> Result<Token, Error> {
        let request = match &resolved.secret {
            Some(Secret::Refresh(token)) => self.form(http, token, scope),
            Some(Secret::Basic { username, password }) => {
                let basic = STANDARD.encode(format!("{username}:{}", password.expose_secret()));
                cx.log.add_secret(&basic);
                self.query(http, scope).header(header::AUTHORIZATION, format!("Basic {basic}"))
            }
            Some(Secret::Bearer(_)) | None => self.query(http, scope),
        };
        let now = Timestamp::now();
        let (status, headers, body) = cx.cancel.run(tokio::time::timeout(PATIENCE, read(request))).await?.map_or_else(
            |_| Err(self.trouble(format!("no answer within {} s", PATIENCE.as_secs()), true, None)),
            |answer| answer.map_err(|error| self.trouble(innermost(&error), true, None)),
        )?;
        if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN {
            return Err(self.denied(resolved, scope, &body));
        }
        if !status.is_success() {
            let transient = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::REQUEST_TIMEOUT;
            let after = headers.get(header::RETRY_AFTER).and_then(|v| v.to_str().ok()?.trim().parse().ok()).map(Duration::from_secs);
            return Err(self.trouble(format!("answered {status}"), transient, after));
        }
        let answer: Answer = serde_json::from_slice(&body)
            .map_err(|_| self.trouble(format!("answered {status} with something that is not a token"), false, None))?;
        let text = answer.token.filter(|t| !t.is_empty()).or(answer.access_token).filter(|t| !t.is_empty());
        let text = text.ok_or_else(|| self.trouble("answered without a token".to_owned(), false, None))?;
        cx.log.add_secret(&text);
        let life = answer.expires_in.map_or(DEFAULT_LIFE, Duration::from_secs).min(MAX_LIFE);
        Ok(Token { value: text.into(), renew_at: now.checked_add(life.mul_f64(0.8)).unwrap_or(now) })
    }

    fn query(&self, http: &reqwest::Client, scope: &Scope) -> reqwest::RequestBuilder {
        let mut url = self.realm.clone();
        {
            let mut pairs = url.query_pairs_mut();
            if let Some(service) = &self.service {
                pairs.append_pair("service", service);
            }
            for one in scope.to_scopes() {
                pairs.append_pair("scope", &one);
            }
        }
        http.get(url)
    }

    fn form(&self, http: &reqwest::Client, token: &SecretString, scope: &Scope) -> reqwest::RequestBuilder {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "refresh_token")
            .append_pair("client_id", "build-runner")
            .append_pair("service", self.service.as_deref().unwrap_or_default())
            .append_pair("scope", &scope.to_scopes().join(" "))
            .append_pair("refresh_token", token.expose_secret());
        http.post(self.realm.clone()).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(form.finish())
    }

    fn denied(&self, resolved: &Resolved, scope: &Scope, body: &[u8]) -> Error {
        Error::Denied {
            host: self.host(),
            repository: scope.repository.clone(),
            action: scope.action(),
            with: resolved.with.clone(),
            detail: first_message(body),
            expired: false,
        }
    }

    fn trouble(&self, reason: String, transient: bool, retry_after: Option<Duration>) -> Error {
        Error::TokenServer { host: self.host(), reason, transient, retry_after }
    }
}

async fn read(request: reqwest::RequestBuilder) -> reqwest::Result<(StatusCode, header::HeaderMap, Vec<u8>)> {
    let mut response = request.send().await?;
    let (status, headers) = (response.status(), response.headers().clone());
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await? {
        body.extend_from_slice(&piece);
        if body.len() > MAX_ANSWER {
            body.clear();
            break;
        }
    }
    Ok((status, headers, body))
}

/// The innermost cause: the outer ones repeat the URL, whose query is nobody's business.
pub(super) fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// `errors[0].message` of a distribution error, or `details` of a plain one; cut short.
pub(super) fn first_message(body: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let text = value.pointer("/errors/0/message").or_else(|| value.get("details")).or_else(|| value.get("message"));
    text.and_then(|text| text.as_str()).unwrap_or_default().chars().filter(|c| !c.is_control()).take(200).collect()
}

pub(super) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.ends_with(".localhost") || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
