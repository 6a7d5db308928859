//! One host, one set of credentials: which `Authorization` to send.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Mutex as AsyncMutex;

use super::{
    Challenge, Credentials, Error, Resolved, Scope, Secret, cloud,
    docker_config::{CredentialFiles, Found},
    helper, parse_challenges,
    token::{Token, TokenServer, first_message},
};
use crate::oci::{Cx, Settings};

/// Decides what to send to one host with one set of credentials. See the module's documentation.
pub struct Authenticator {
    host: String,
    plain_http: bool,
    credentials: Credentials,
    files: CredentialFiles,
    environment: BTreeMap<String, String>,
    http: reqwest::Client,
    /// What the registry asked for last; `None` until it asked.
    scheme: Mutex<Option<Challenge>>,
    /// Found once, renewed when they run out.
    resolved: AsyncMutex<Option<Resolved>>,
    /// Bearer tokens by scope. The lock is held while one is fetched, so that everybody else waits for that one.
    tokens: AsyncMutex<Vec<(Scope, Token)>>,
}

/// Most tokens that are kept; a run touches a handful of repositories.
const MAX_TOKENS: usize = 64;

/// The user name that says that the password is an identity token.
const IDENTITY_TOKEN: &str = "<token>";

/// Credentials that run out are renewed this long before.
const MARGIN: std::time::Duration = std::time::Duration::from_mins(2);

impl Authenticator {
    /// Nothing is looked up or asked before the registry wants it.
    #[must_use]
    pub fn new(host: String, plain_http: bool, credentials: Credentials, settings: &Settings, http: reqwest::Client) -> Self {
        let files = CredentialFiles::of(&settings.docker_config, |name| settings.variable(name));
        let environment = settings.environment.clone();
        let (scheme, resolved, tokens) = (Mutex::new(None), AsyncMutex::new(None), AsyncMutex::new(Vec::new()));
        Self { host, plain_http, credentials, files, environment, http, scheme, resolved, tokens }
    }

    /// What to send with a request about `scope`, as far as that is known without asking the registry: `None` before its first challenge.
    ///
    /// # Errors
    /// Credentials that ran out and cannot be renewed.
    pub async fn header(&self, scope: &Scope, cx: Cx<'_>) -> Result<Option<HeaderValue>, Error> {
        let challenge = self.scheme.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match challenge {
            None => Ok(None),
            Some(challenge) => self.answer(&challenge, scope, None, cx).await.map(Some),
        }
    }

    /// What to send after a refusal (a 401, or a 403 for which [`Authenticator::looks_expired`]). `sent` is what the refused request carried.
    ///
    /// # Errors
    /// [`Error::Denied`] when there is nothing better to send than what was refused.
    pub async fn challenged(
        &self,
        scope: &Scope,
        headers: &HeaderMap,
        sent: Option<&HeaderValue>,
        cx: Cx<'_>,
    ) -> Result<HeaderValue, Error> {
        let offered: Vec<_> = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|v| v.to_str().ok()).flat_map(parse_challenges).collect();
        let challenge = self.choose(&offered)?;
        *self.scheme.lock().unwrap_or_else(PoisonError::into_inner) = Some(challenge.clone());
        if let Some(sent) = sent {
            self.forget(sent, cx).await?;
        }
        let header = self.answer(&challenge, scope, sent, cx).await?;
        if sent == Some(&header) {
            return Err(self.denied(scope, String::new(), cx).await);
        }
        Ok(header)
    }

    /// Drops a password that was refused, if another one may be had where it came from. Of many that were refused with the same one, the
    /// first to come here drops it; the others find a new one.
    async fn forget(&self, sent: &HeaderValue, cx: Cx<'_>) -> Result<(), Error> {
        if matches!(self.credentials, Credentials::Anonymous | Credentials::Static { .. }) {
            return Ok(());
        }
        let mut held = cx.cancel.run(self.resolved.lock()).await?;
        if let Some(Resolved { secret: Some(Secret::Basic { username, password }), .. }) = held.as_ref()
            && basic(username, password, cx)? == *sent
        {
            *held = None;
        }
        Ok(())
    }

    /// The error for a request that was refused in spite of everything; `body` is the registry's answer.
    pub async fn refused(&self, scope: &Scope, body: &[u8], cx: Cx<'_>) -> Error {
        self.denied(scope, first_message(body), cx).await
    }

    /// Whether a 403 means credentials that ran out: Amazon ECR says so in words (`docker login` docs: "authorization token has expired").
    #[must_use]
    pub fn looks_expired(status: u16, body: &[u8]) -> bool {
        status == 403 && String::from_utf8_lossy(body).to_ascii_lowercase().contains("expired")
    }

    /// Bearer before Basic: a registry that offers both wants tokens.
    fn choose(&self, offered: &[Challenge]) -> Result<Challenge, Error> {
        let of = |scheme: &str| offered.iter().find(|challenge| challenge.scheme == scheme).cloned();
        if let Some(challenge) = of("bearer").or_else(|| of("basic")) {
            return Ok(challenge);
        }
        // An expired ECR token comes as a bare 403: the scheme that was used before is the one to use again.
        let before = self.scheme.lock().unwrap_or_else(PoisonError::into_inner).clone();
        before.ok_or_else(|| {
            let schemes: Vec<_> = offered.iter().map(|challenge| challenge.scheme.as_str()).collect();
            let reason = match schemes.as_slice() {
                [] => "it refuses without saying how to log in".to_owned(),
                some => format!("it offers {}; only Bearer and Basic are spoken", some.join(", ")),
            };
            Error::Challenge { host: self.host.clone(), reason }
        })
    }

    /// A header that answers `challenge`, and is not the one that was refused if another can be had.
    async fn answer(&self, challenge: &Challenge, scope: &Scope, refused: Option<&HeaderValue>, cx: Cx<'_>) -> Result<HeaderValue, Error> {
        let resolved = self.resolve(scope, cx).await?;
        if let Some(Secret::Bearer(token)) = &resolved.secret {
            return bearer(token);
        }
        if challenge.scheme == "basic" {
            let Some(Secret::Basic { username, password }) = &resolved.secret else {
                return Err(self.denied(scope, "it wants a user name and password".to_owned(), cx).await);
            };
            return basic(username, password, cx);
        }
        let server = TokenServer::of(challenge, &self.host, self.plain_http)?;
        let mut tokens = cx.cancel.run(self.tokens.lock()).await?;
        let now = Timestamp::now();
        tokens.retain(|(_, token)| token.renew_at > now);
        if let Some((_, token)) = tokens.iter().find(|(held, _)| held.covers(scope)) {
            let header = bearer(&token.value)?;
            if refused != Some(&header) {
                return Ok(header);
            }
        }
        // What was refused is refused for everybody.
        tokens.retain(|(held, _)| !held.covers(scope));
        let token = server.fetch(&self.http, &resolved, scope, cx).await?;
        let header = bearer(&token.value)?;
        if tokens.len() >= MAX_TOKENS {
            tokens.remove(0);
        }
        tokens.push((scope.clone(), token));
        Ok(header)
    }

    /// The credentials: found once; again when they run out, or when `again` and they are of a kind that can be renewed.
    async fn resolve(&self, scope: &Scope, cx: Cx<'_>) -> Result<Resolved, Error> {
        let mut held = cx.cancel.run(self.resolved.lock()).await?;
        let soon = Timestamp::now().checked_add(MARGIN).unwrap_or(Timestamp::MAX);
        if let Some(resolved) = held.as_ref()
            && resolved.expires_at.is_none_or(|end| end > soon)
        {
            return Ok(resolved.clone());
        }
        let found = self.find(scope, cx).await?;
        *held = Some(found.clone());
        Ok(found)
    }

    async fn find(&self, scope: &Scope, cx: Cx<'_>) -> Result<Resolved, Error> {
        let anonymous = |with: &str| Resolved { secret: None, with: with.to_owned(), expires_at: None };
        match &self.credentials {
            Credentials::Anonymous => Ok(anonymous("to anonymous clients; give the plan credentials")),
            Credentials::Static { username, password, origin } => {
                cx.log.add_secret(password.expose_secret());
                let secret = Secret::Basic { username: username.clone(), password: password.clone() };
                Ok(Resolved { secret: Some(secret), with: format!("with the user name and password of {origin}"), expires_at: None })
            }
            Credentials::Cloud(source) => {
                let variable = |name: &str| self.environment.get(name).filter(|value| !value.is_empty()).cloned();
                let credential = cloud::fetch(source, cx.cancel, cx.log, &self.http, &variable).await?;
                let secret = Secret::Basic { username: credential.username, password: credential.password };
                let with = "with the credentials that the cloud handed out; check the role's rights on the repository".to_owned();
                Ok(Resolved { secret: Some(secret), with, expires_at: credential.expires_at })
            }
            Credentials::Configured => {
                let hint = "to anonymous clients; give the plan credentials, or log in with docker or podman";
                let Some((found, path)) = self.files.find(&self.host, &scope.repository)? else { return Ok(anonymous(hint)) };
                let from = path.display();
                let (secret, with) = match found {
                    Found::Basic { username, password } => {
                        (Some(Secret::Basic { username, password }), format!("with the user name and password of {from}"))
                    }
                    Found::IdentityToken(token) => (Some(Secret::Refresh(token)), format!("with the identity token of {from}")),
                    Found::RegistryToken(token) => (Some(Secret::Bearer(token)), format!("with the registry token of {from}")),
                    Found::Helper { name, server } => {
                        let secret = helper::ask(&name, &server, &self.environment, cx).await?;
                        let with = if secret.is_some() { format!("with what docker-credential-{name} knows") } else { hint.to_owned() };
                        (secret, with)
                    }
                };
                if let Some(Secret::Basic { password: text, .. } | Secret::Refresh(text) | Secret::Bearer(text)) = &secret {
                    cx.log.add_secret(text.expose_secret());
                }
                Ok(Resolved { secret, with, expires_at: None })
            }
        }
    }

    /// The credentials as a user name and a password, for programs that log in by themselves; `None` when there are none.
    ///
    /// # Errors
    /// When they cannot be had, or are a token for the registry alone.
    pub async fn user_and_password(&self, scope: &Scope, cx: Cx<'_>) -> Result<Option<(String, SecretString)>, Error> {
        match self.resolve(scope, cx).await?.secret {
            None => Ok(None),
            Some(Secret::Basic { username, password }) => Ok(Some((username, password))),
            // What docker's own files and helpers write for one (docker/cli `cli/config/credentials`).
            Some(Secret::Refresh(token)) => Ok(Some((IDENTITY_TOKEN.to_owned(), token))),
            Some(Secret::Bearer(_)) => {
                let reason = "what there is for it is a registry token, which no other program can log in with".to_owned();
                Err(Error::Challenge { host: self.host.clone(), reason })
            }
        }
    }

    async fn denied(&self, scope: &Scope, detail: String, cx: Cx<'_>) -> Error {
        let resolved = match self.resolve(scope, cx).await {
            Ok(resolved) => resolved,
            Err(error) => return error,
        };
        let expired = resolved.expires_at.is_some_and(|end| end <= Timestamp::now());
        Error::Denied {
            host: self.host.clone(),
            repository: scope.repository.clone(),
            action: scope.action(),
            with: resolved.with,
            detail,
            expired,
        }
    }
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator").field("host", &self.host).field("credentials", &self.credentials).finish_non_exhaustive()
    }
}

fn basic(username: &str, password: &SecretString, cx: Cx<'_>) -> Result<HeaderValue, Error> {
    let encoded = STANDARD.encode(format!("{username}:{}", password.expose_secret()));
    cx.log.add_secret(&encoded);
    sensitive(&format!("Basic {encoded}"))
}

fn bearer(token: &SecretString) -> Result<HeaderValue, Error> {
    sensitive(&format!("Bearer {}", token.expose_secret()))
}

/// A header value that HTTP libraries do not print or index.
fn sensitive(text: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| Error::Challenge { host: String::new(), reason: "the credentials hold characters that cannot be sent".to_owned() })?;
    value.set_sensitive(true);
    Ok(value)
}
