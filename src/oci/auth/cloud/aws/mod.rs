//! AWS access keys: those of the plan, of a role, of a profile, or of the place this runner runs at.
//!
//! In: an [`AwsSource`]. Out: [`AwsKeys`] to sign with. The default chain has the order of AWS's SDKs: environment, web identity, shared
//! files, container, instance. Called by `ecr`.

mod chain;
mod metadata;
mod profile;
pub(super) mod sigv4;
mod sts;

use std::{fmt, time::Duration};

use jiff::Timestamp;
use reqwest::{Client, RequestBuilder};
use secrecy::SecretString;

use super::{
    CloudError,
    call::{Cx, Service},
};

/// An access key. `Debug` shows its id alone.
#[derive(Clone)]
pub struct AwsKeys {
    /// Its id; no secret.
    pub access_key_id: String,
    /// The key.
    pub secret_access_key: SecretString,
    /// Token of a temporary key.
    pub session_token: Option<SecretString>,
}

impl fmt::Debug for AwsKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsKeys").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

/// Where AWS access keys come from.
#[derive(Debug, Clone, Default)]
pub enum AwsSource {
    /// The environment, a web identity, the shared files, the container or the instance: whichever is first.
    #[default]
    Default,
    /// A profile of `~/.aws/config` and `~/.aws/credentials`.
    Profile(String),
    /// These.
    Static(AwsKeys),
    /// A role, assumed with keys of the default chain, or as its `via` says.
    AssumeRole(AssumeRole),
}

/// A role to assume.
#[derive(Debug, Clone, Default)]
pub struct AssumeRole {
    /// `arn:aws:iam::ACCOUNT:role/NAME`.
    pub role_arn: String,
    /// Name of the session in AWS's audit log; `build-runner` if none.
    pub session_name: Option<String>,
    /// How long its keys are good; AWS's own default, an hour, if none.
    pub duration: Option<Duration>,
    /// A role to assume first.
    pub via: Option<TwoStep>,
    /// Assume the (first) role with the identity token of the GitHub Actions job this runner runs in.
    pub github_oidc: bool,
}

/// The roles on the way to the role that is wanted.
#[derive(Debug, Clone, Default)]
pub struct TwoStep {
    /// The role that may assume the one that is wanted.
    pub role_arn: String,
    /// Keys to begin with; those of the default chain if none.
    pub keys: Option<AwsKeys>,
    /// A role to assume even before `role_arn`.
    pub source_role_arn: Option<String>,
}

/// The keys of `source`, asking STS in `region` where a role is to be assumed.
pub(super) async fn resolve(cx: &Cx<'_>, source: &AwsSource, region: &str) -> Result<AwsKeys, CloudError> {
    match source {
        AwsSource::Default => chain::default_chain(cx, region).await,
        AwsSource::Profile(name) => profile::named(cx, name, region).await,
        AwsSource::Static(keys) => Ok(keys.clone()),
        AwsSource::AssumeRole(role) => assume(cx, role, region).await,
    }
}

async fn assume(cx: &Cx<'_>, role: &AssumeRole, region: &str) -> Result<AwsKeys, CloudError> {
    let mut steps = Vec::new();
    if let Some(via) = &role.via {
        if via.role_arn.is_empty() {
            return Err(CloudError::Plan("assume_role.two_step_config needs iam_role_arn, the role to assume first".to_owned()));
        }
        steps.extend(via.source_role_arn.as_deref().filter(|arn| !arn.is_empty()));
        steps.push(&via.role_arn);
    }
    steps.push(&role.role_arn);
    let session = sts::Session { name: role.session_name.as_deref().unwrap_or("build-runner"), duration: role.duration, external_id: None };
    let mut steps = steps.into_iter();
    let mut keys = if role.github_oidc {
        let token = sts::github_token(cx).await?;
        let Some(first) = steps.next() else { return Err(CloudError::Plan("assume_role needs role_arn".to_owned())) };
        sts::assume_with_token(cx, region, first, &session, &token).await?
    } else if let Some(keys) = role.via.as_ref().and_then(|via| via.keys.clone()) {
        keys
    } else {
        chain::default_chain(cx, region).await?
    };
    for arn in steps {
        keys = sts::assume(cx, region, &keys, arn, &session).await?;
    }
    Ok(keys)
}

/// An endpoint: `AWS_ENDPOINT_URL_<SERVICE>`, `AWS_ENDPOINT_URL`, or the public one of `prefix` in the region's partition.
pub(super) fn endpoint(cx: &Cx<'_>, name: &'static str, variable: &str, prefix: &str, region: &str) -> Result<Service, CloudError> {
    for place in [variable, "AWS_ENDPOINT_URL"] {
        if let Some(url) = cx.var(place) {
            return Service::new(name, &url, place);
        }
    }
    let plain = !region.is_empty() && region.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !plain {
        return Err(CloudError::Plan(format!("'{region}' is not an AWS region; write it as eu-west-1")));
    }
    let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    Service::new(name, &format!("https://{prefix}.{region}.{suffix}/"), variable)
}

/// A signed `POST /`, built anew for each try.
pub(super) struct Signed<'a> {
    pub(super) service: &'a Service,
    pub(super) keys: &'a AwsKeys,
    pub(super) region: &'a str,
    /// Name in the signature's scope: `ecr`, `ecr-public`, `sts`.
    pub(super) scope: &'a str,
    pub(super) content_type: &'a str,
    /// `x-amz-target` of the JSON protocol.
    pub(super) target: Option<&'a str>,
    pub(super) body: String,
}

impl Signed<'_> {
    pub(super) fn build(&self, client: &Client) -> RequestBuilder {
        let host = self.service.host();
        let mut headers = vec![("content-type", self.content_type), ("host", host.as_str())];
        headers.extend(self.target.map(|target| ("x-amz-target", target)));
        let scope = sigv4::Scope { region: self.region, service: self.scope };
        let added = sigv4::sign(self.keys, scope, Timestamp::now(), "POST", &headers, self.body.as_bytes());
        let mut url = self.service.url.clone();
        url.set_path("/");
        url.set_query(None);
        let mut request = client.post(url).body(self.body.clone());
        for (name, value) in headers.into_iter().filter(|(name, _)| *name != "host") {
            request = request.header(name, value);
        }
        added.into_iter().fold(request, |request, (name, value)| match reqwest::header::HeaderValue::from_str(&value) {
            Ok(mut value) => {
                value.set_sensitive(true);
                request.header(name, value)
            }
            // The builder keeps the error and `send` reports it, without the value.
            Err(_) => request.header(name, value),
        })
    }
}
