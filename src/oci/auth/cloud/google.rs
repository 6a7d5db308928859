//! Google OAuth access tokens: service account key, user refresh token, federation, metadata server.
//!
//! In: a credential document (`GOOGLE_APPLICATION_CREDENTIALS` and friends) or nothing. Out: an [`AccessToken`]. Sources: "Application Default
//! Credentials" and AIP-4110 to AIP-4117. Called by `gar`.

use std::path::{Path, PathBuf};

use aws_lc_rs::{rand::SystemRandom, rsa::KeyPair, signature};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    CloudError,
    call::{Cx, FORM, Service, form},
};

/// The only scope that Artifact Registry takes for pushes.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";

/// An access token and when it runs out.
#[derive(Debug, Clone)]
pub(super) struct AccessToken {
    pub(super) token: SecretString,
    pub(super) expires_at: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    expires_in: Option<i64>,
}

impl Answer {
    fn take(self, cx: &Cx<'_>) -> AccessToken {
        let expires_at = self.expires_in.and_then(|seconds| Timestamp::now().checked_add(SignedDuration::from_secs(seconds)).ok());
        AccessToken { token: cx.secret(self.access_token), expires_at }
    }
}

/// A credential document; `place` names it in errors.
pub(super) struct Document {
    place: String,
    value: Value,
}

impl Document {
    pub(super) fn parse(text: &str, place: String) -> Result<Self, CloudError> {
        match serde_json::from_str(text) {
            Ok(value @ Value::Object(_)) => Ok(Self { place, value }),
            Ok(_) | Err(_) => {
                Err(CloudError::setting(place, "is not a JSON object; give a key file or a federation configuration of Google Cloud"))
            }
        }
    }

    /// The file of `GOOGLE_APPLICATION_CREDENTIALS`, or the one that gcloud writes; `None` if there is neither.
    pub(super) async fn find(cx: &Cx<'_>) -> Result<Option<Self>, CloudError> {
        const PURPOSE: &str = "the Google Cloud credential file";
        let path = if let Some(path) = cx.var("GOOGLE_APPLICATION_CREDENTIALS") {
            PathBuf::from(path)
        } else {
            let home = || Some(PathBuf::from(cx.var("HOME")?).join(".config/gcloud"));
            let Some(folder) = cx.var("CLOUDSDK_CONFIG").map(PathBuf::from).or_else(home) else { return Ok(None) };
            let usual = folder.join("application_default_credentials.json");
            if !matches!(cx.cancel.run(tokio::fs::try_exists(&usual)).await?, Ok(true)) {
                return Ok(None);
            }
            usual
        };
        let text = cx.read(&path, PURPOSE).await?;
        Self::parse(&text, format!("{PURPOSE} {}", path.display())).map(Some)
    }

    fn optional(&self, pointer: &str) -> Option<&str> {
        self.value.pointer(pointer)?.as_str().filter(|text| !text.is_empty())
    }

    fn required(&self, pointer: &str) -> Result<&str, CloudError> {
        let missing = || CloudError::setting(&self.place, format!("has no {}", pointer.trim_start_matches('/').replace('/', ".")));
        self.optional(pointer).ok_or_else(missing)
    }

    /// The account it is the key of.
    pub(super) fn email(&self) -> Option<&str> {
        self.optional("/client_email")
    }

    /// The workload identity provider it federates through: `projects/N/locations/global/workloadIdentityPools/P/providers/Q`.
    pub(super) fn provider(&self) -> Option<&str> {
        self.optional("/audience")?.strip_prefix("//iam.googleapis.com/")
    }

    /// Buys an access token.
    pub(super) async fn token(&self, cx: &Cx<'_>) -> Result<AccessToken, CloudError> {
        match self.required("/type")? {
            "service_account" => self.service_account(cx).await,
            "authorized_user" => self.authorized_user(cx).await,
            "external_account" => self.external_account(cx).await,
            other => Err(CloudError::setting(
                &self.place,
                format!("has the type '{other}', which is not supported; use service_account, external_account or authorized_user"),
            )),
        }
    }

    /// A signed assertion (RFC 7523) against a token.
    async fn service_account(&self, cx: &Cx<'_>) -> Result<AccessToken, CloudError> {
        let key = self.required("/private_key")?;
        cx.log.add_secret(key);
        let uri = self.optional("/token_uri").unwrap_or(TOKEN_URI);
        let now = Timestamp::now().as_second();
        let claims = json!({"iss": self.required("/client_email")?, "scope": SCOPE, "aud": uri, "iat": now, "exp": now + 3600});
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": self.optional("/private_key_id")});
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = rs256(key, signed.as_bytes()).ok_or_else(|| {
            CloudError::setting(&self.place, "has a private_key that is not a PKCS#8 RSA key in PEM form; download the key file again")
        })?;
        let assertion = cx.secret(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)));
        let fields = [("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", assertion.expose_secret())];
        self.buy(cx, uri, "token_uri", &fields).await
    }

    async fn authorized_user(&self, cx: &Cx<'_>) -> Result<AccessToken, CloudError> {
        let (secret, refresh) = (self.required("/client_secret")?, self.required("/refresh_token")?);
        cx.log.add_secret(refresh);
        let fields = [
            ("grant_type", "refresh_token"),
            ("client_id", self.required("/client_id")?),
            ("client_secret", secret),
            ("refresh_token", refresh),
        ];
        self.buy(cx, self.optional("/token_uri").unwrap_or(TOKEN_URI), "token_uri", &fields).await
    }

    /// Token exchange (RFC 8693), and the impersonation that the configuration may ask for.
    async fn external_account(&self, cx: &Cx<'_>) -> Result<AccessToken, CloudError> {
        let subject = self.subject(cx).await?;
        let fields = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("audience", self.required("/audience")?),
            ("scope", SCOPE),
            ("subject_token_type", self.required("/subject_token_type")?),
            ("subject_token", subject.expose_secret()),
        ];
        let uri = self.optional("/token_url").unwrap_or("https://sts.googleapis.com/v1/token");
        let token = self.buy(cx, uri, "token_url", &fields).await?;
        match self.optional("/service_account_impersonation_url") {
            Some(url) => impersonate(cx, &token, url, &format!("{}: service_account_impersonation_url", self.place)).await,
            None => Ok(token),
        }
    }

    async fn buy(&self, cx: &Cx<'_>, uri: &str, field: &str, fields: &[(&str, &str)]) -> Result<AccessToken, CloudError> {
        let service = Service::new("Google's token service", uri, &format!("{}: {field}", self.place))?;
        let body = form(fields);
        let post = |http: &reqwest::Client| http.post(service.url.clone()).header("content-type", FORM).body(body.clone());
        Ok(cx.call(&service, post).await?.json::<Answer>()?.take(cx))
    }

    /// The foreign token that is exchanged: from a file, or from a URL on this machine or at the issuer.
    async fn subject(&self, cx: &Cx<'_>) -> Result<SecretString, CloudError> {
        let text = if let Some(file) = self.optional("/credential_source/file") {
            cx.read(Path::new(file), "the subject token").await?
        } else if let Some(url) = self.optional("/credential_source/url") {
            let service = Service::new("the subject token's source", url, &format!("{}: credential_source.url", self.place))?;
            let headers = self.value.pointer("/credential_source/headers").and_then(Value::as_object);
            let headers: Vec<_> =
                headers.into_iter().flatten().filter_map(|(name, value)| Some((name.as_str(), value.as_str()?))).collect();
            let get = |http: &reqwest::Client| {
                headers.iter().fold(http.get(service.url.clone()), |request, (name, value)| request.header(*name, *value))
            };
            cx.call(&service, get).await?.text()?.to_owned()
        } else {
            let problem = "has a credential_source that is not supported; use one with a file or url (projected tokens, GitHub Actions)";
            return Err(CloudError::setting(&self.place, problem));
        };
        if self.optional("/credential_source/format/type") != Some("json") {
            return Ok(cx.secret(text.trim().to_owned()));
        }
        let field = self.required("/credential_source/format/subject_token_field_name")?;
        let value: Option<Value> = serde_json::from_str(&text).ok();
        match value.as_ref().and_then(|value| value.get(field)?.as_str()) {
            Some(token) => Ok(cx.secret(token.to_owned())),
            None => Err(CloudError::setting(&self.place, format!("names a credential_source without the field '{field}'"))),
        }
    }
}

/// RSASSA-PKCS1-v1_5 with SHA-256; `None` if `pem` is no such key.
fn rs256(pem: &str, message: &[u8]) -> Option<Vec<u8>> {
    let (_, rest) = pem.split_once("-----BEGIN PRIVATE KEY-----")?;
    let (text, _) = rest.split_once("-----END PRIVATE KEY-----")?;
    let der = STANDARD.decode(text.split_ascii_whitespace().collect::<String>()).ok()?;
    let key = KeyPair::from_pkcs8(&der).ok()?;
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).ok()?;
    Some(signature)
}

/// The token of a service account, for a token that may impersonate it.
pub(super) async fn impersonate(cx: &Cx<'_>, token: &AccessToken, url: &str, place: &str) -> Result<AccessToken, CloudError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Impersonated {
        access_token: String,
        expire_time: Option<Timestamp>,
    }
    let service = Service::new("Google's IAM credentials service", url, place)?;
    let body = json!({"scope": [SCOPE], "lifetime": "3600s"});
    let post = |http: &reqwest::Client| http.post(service.url.clone()).bearer_auth(token.token.expose_secret()).json(&body);
    let answer: Impersonated = cx.call(&service, post).await?.json()?;
    Ok(AccessToken { token: cx.secret(answer.access_token), expires_at: answer.expire_time })
}

/// The token of the machine's or pod's own account; the inner error says why there is none.
pub(super) async fn metadata(cx: &Cx<'_>) -> Result<Result<AccessToken, String>, CloudError> {
    const VARIABLE: &str = "GCE_METADATA_HOST";
    let host = cx.var(VARIABLE).unwrap_or_else(|| "metadata.google.internal".to_owned());
    let url = format!("http://{host}/computeMetadata/v1/instance/service-accounts/default/token");
    let service = Service::metadata("the Google metadata server", &url, VARIABLE)?;
    match cx.call(&service, |http| http.get(service.url.clone()).header("metadata-flavor", "Google")).await {
        Ok(reply) => Ok(Ok(reply.json::<Answer>()?.take(cx))),
        Err(CloudError::Unavailable { reason, .. }) => Ok(Err(format!("{} is not available: {reason}", service.label()))),
        Err(CloudError::Refused { status: 404, .. }) => Ok(Err("the machine has no service account".to_owned())),
        Err(error) => Err(error),
    }
}
