//! Google Artifact Registry and `gcr.io`: an OAuth access token as password.
//!
//! In: a [`GarConfig`]. Out: name `oauth2accesstoken` and a token that is good for an hour. Order of sources: the plan's key, the file of
//! `GOOGLE_APPLICATION_CREDENTIALS`, gcloud's own, the metadata server; then impersonation, if another account is wanted.

use secrecy::{ExposeSecret as _, SecretString};

use super::{
    CloudCredential, CloudError,
    call::{Cx, host_name, is_loopback},
    google::{self, Document},
};

const REMEDY: &str = "set GOOGLE_APPLICATION_CREDENTIALS to a key file or federation configuration, or give the machine a service account";

/// An Artifact Registry host.
#[derive(Debug, Clone, Default)]
pub struct GarConfig {
    /// `LOCATION-docker.pkg.dev`, `gcr.io`.
    pub registry: String,
    /// Content of a service account's key file, or of a federation configuration.
    pub key_json: Option<SecretString>,
    /// Account to act as; the one of the credentials if none.
    pub service_account_email: Option<String>,
    /// The workload identity provider that the credentials have to go through.
    pub workload_identity_provider: Option<String>,
}

/// Name and password for the registry.
pub(super) async fn fetch(cx: &Cx<'_>, config: &GarConfig) -> Result<CloudCredential, CloudError> {
    let registry = &config.registry;
    let googles = |name: String| name.ends_with(".pkg.dev") || name == "gcr.io" || name.ends_with(".gcr.io");
    if !host_name(registry).is_some_and(googles) && !is_loopback(registry) {
        return Err(CloudError::Plan(format!(
            "'{registry}' is not a Google registry (LOCATION-docker.pkg.dev, gcr.io), so it is not sent Google credentials; use another RegistryType for it"
        )));
    }
    let document = match &config.key_json {
        Some(text) => Some(Document::parse(text.expose_secret(), "the plan's key".to_owned())?),
        None => Document::find(cx).await?,
    };
    if let Some(provider) = config.workload_identity_provider.as_deref().filter(|provider| !provider.is_empty()) {
        let provider = provider.trim_start_matches("//iam.googleapis.com/");
        if document.as_ref().and_then(Document::provider) != Some(provider) {
            return Err(CloudError::Plan(format!(
                "WorkloadIdentityProvider asks for '{provider}'; set GOOGLE_APPLICATION_CREDENTIALS to an external_account configuration whose audience it is"
            )));
        }
    }
    let token = match &document {
        Some(document) => document.token(cx).await?,
        None => google::metadata(cx).await?.map_err(|missing| CloudError::NoCredentials {
            cloud: "Google Cloud",
            tried: vec![
                "GOOGLE_APPLICATION_CREDENTIALS is not set".to_owned(),
                "gcloud: no application_default_credentials.json".to_owned(),
                missing,
            ],
            remedy: REMEDY,
        })?,
    };
    let wanted = config.service_account_email.as_deref().filter(|email| !email.is_empty());
    let token = match wanted.filter(|email| document.as_ref().and_then(Document::email) != Some(*email)) {
        Some(email) => google::impersonate(cx, &token, &impersonation_url(cx, email)?, "ServiceAccountEmail").await?,
        None => token,
    };
    Ok(CloudCredential {
        username: "oauth2accesstoken".to_owned(),
        password: token.token,
        expires_at: token.expires_at,
        registry: Some(registry.clone()),
    })
}

/// `CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS` is gcloud's own name for another endpoint.
fn impersonation_url(cx: &Cx<'_>, email: &str) -> Result<String, CloudError> {
    if !email.contains('@') || !email.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '@' | '.' | '-' | '_')) {
        return Err(CloudError::Plan(format!("ServiceAccountEmail '{email}' is not the address of a service account")));
    }
    let base =
        cx.var("CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS").unwrap_or_else(|| "https://iamcredentials.googleapis.com/".to_owned());
    Ok(format!("{}/v1/projects/-/serviceAccounts/{email}:generateAccessToken", base.trim_end_matches('/')))
}
