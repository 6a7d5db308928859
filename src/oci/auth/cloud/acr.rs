//! Azure Container Registry: an Entra token against a refresh token of the registry.
//!
//! In: an [`AcrConfig`]. Out: the all-zero name and a refresh token as password (about three hours), which the registry takes as Basic
//! credentials and its token server as those of a client. `POST /oauth2/exchange`: "Azure Container Registry REST API, authentication".

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::{
    CloudCredential, CloudError, azure,
    call::{Cx, FORM, Service, form, host_name, is_loopback},
};

/// Name that says "the password is a token".
const USERNAME: &str = "00000000-0000-0000-0000-000000000000";

/// An Azure container registry. What is none comes from the environment.
#[derive(Debug, Clone, Default)]
pub struct AcrConfig {
    /// `NAME.azurecr.io`.
    pub registry: String,
    /// Spoken to over plain HTTP; only ever for loopback.
    pub plain_http: bool,
    /// Tenant; `AZURE_TENANT_ID`.
    pub tenant_id: Option<String>,
    /// Application; `AZURE_CLIENT_ID`.
    pub client_id: Option<String>,
    /// Its secret; `AZURE_CLIENT_SECRET`.
    pub client_secret: Option<SecretString>,
}

#[derive(Deserialize)]
struct Answer {
    refresh_token: String,
}

/// Name and password for the registry.
pub(super) async fn fetch(cx: &Cx<'_>, config: &AcrConfig) -> Result<CloudCredential, CloudError> {
    let registry = &config.registry;
    let azure = host_name(registry).is_some_and(|name| [".azurecr.io", ".azurecr.cn", ".azurecr.us"].iter().any(|end| name.ends_with(end)));
    if !azure && !is_loopback(registry) {
        return Err(CloudError::Plan(format!(
            "'{registry}' is not an Azure container registry (NAME.azurecr.io), so it is not sent Azure credentials; use another RegistryType for it"
        )));
    }
    let entra = azure::token(cx, config).await?;
    let scheme = if config.plain_http && is_loopback(registry) { "http" } else { "https" };
    let service = Service::new("Azure Container Registry", &format!("{scheme}://{registry}/oauth2/exchange"), "LoginServer")?;
    let mut fields = vec![("grant_type", "access_token"), ("service", registry.as_str()), ("access_token", entra.access.expose_secret())];
    fields.extend(entra.tenant.as_deref().map(|tenant| ("tenant", tenant)));
    let body = form(&fields);
    let post = |http: &reqwest::Client| http.post(service.url.clone()).header("content-type", FORM).body(body.clone());
    let answer: Answer = cx.call(&service, post).await?.json()?;
    // The token says itself when it runs out; one that does not is renewed after an hour, well before any registry's three.
    let expires_at = expiry(&answer.refresh_token).or_else(|| Timestamp::now().checked_add(SignedDuration::from_hours(1)).ok());
    Ok(CloudCredential {
        username: USERNAME.to_owned(),
        password: cx.secret(answer.refresh_token),
        expires_at,
        registry: Some(registry.clone()),
    })
}

/// `exp` of a JSON Web Token, unverified: it only decides when to ask again.
fn expiry(token: &str) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Claims {
        exp: i64,
    }
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?.trim_end_matches('=')).ok()?;
    Timestamp::from_second(serde_json::from_slice::<Claims>(&claims).ok()?.exp).ok()
}
