//! Registry credentials from the clouds: Amazon ECR, Azure Container Registry, Google Artifact Registry.
//!
//! ```text
//! CloudSource ─► ecr: keys (plan │ role │ profile │ default chain) ─► GetAuthorizationToken
//!             ├► acr: Entra token (secret │ federated │ managed identity) ─► /oauth2/exchange   ─► CloudCredential
//!             └► gar: service account key │ federation │ metadata server (─► impersonation)
//! ```
//!
//! In: a [`CloudSource`], the environment and an HTTP client that follows no redirects. Out: a name and password for the registry, and when
//! they run out. Invariants: every secret that is read or received is made known to the log before it is used; a cloud's credentials are
//! only given out for that cloud's own registry hosts (and for loopback); no error holds a secret; every call is bounded in time, size and
//! tries. Called by the credential resolution of `oci`.
//!
//! The tests run against fakes of each endpoint, because the real ones cannot be had in a test: the fakes check what is sent (signatures
//! included) as the clouds document it, and fail on demand. Only the signature itself is held to the cloud's own published vectors.

mod acr;
mod aws;
mod azure;
mod call;
mod ecr;
mod error;
mod explain;
mod from_plan;
mod gar;
mod google;
mod xml;

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use reqwest::Client;
use secrecy::SecretString;

use crate::{logs::JobLog, shutdown::Cancel};

pub use acr::AcrConfig;
pub use aws::{AssumeRole, AwsKeys, AwsSource, TwoStep};
pub use call::Env;
pub use ecr::EcrConfig;
pub use error::CloudError;
pub use gar::GarConfig;

/// Where the credentials of a cloud's registry come from.
#[derive(Debug, Clone)]
pub enum CloudSource {
    /// Amazon ECR.
    Ecr(EcrConfig),
    /// Azure Container Registry.
    Acr(AcrConfig),
    /// Google Artifact Registry, and `gcr.io`.
    Gar(GarConfig),
}

/// What a registry takes as Basic credentials, or against a token at its token server.
#[derive(Debug, Clone)]
pub struct CloudCredential {
    /// Name; no secret.
    pub username: String,
    /// Password.
    pub password: SecretString,
    /// When it runs out, if that is known.
    pub expires_at: Option<Timestamp>,
    /// The registry it is for, `HOST[:PORT]`: the one of the configuration, or the one the cloud named.
    pub registry: Option<String>,
}

/// Gets the credentials of `source`.
///
/// # Errors
/// See [`CloudError`]; those of the network are tried again first.
pub async fn fetch(
    source: &CloudSource,
    cancel: &Cancel,
    log: &JobLog,
    http: &Client,
    env: &Env<'_>,
) -> Result<CloudCredential, CloudError> {
    fetch_within(source, &call::Cx { cancel, log, http, direct: call::direct_client()?, env, limits: call::Limits::USUAL }).await
}

async fn fetch_within(source: &CloudSource, cx: &call::Cx<'_>) -> Result<CloudCredential, CloudError> {
    match source {
        CloudSource::Ecr(config) => ecr::fetch(cx, config).await,
        CloudSource::Acr(config) => acr::fetch(cx, config).await,
        CloudSource::Gar(config) => gar::fetch(cx, config).await,
    }
}
