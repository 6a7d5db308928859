//! Amazon ECR: `GetAuthorizationToken`, private and public.
//!
//! In: an [`EcrConfig`]. Out: name `AWS` and a password that is good for twelve hours on every registry of the region that the keys may use.
//! The password is only given out for hosts that are ECR's: a job must not be able to send it elsewhere.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde::Deserialize;

use super::{
    AwsSource, CloudCredential, CloudError,
    aws::{self, Signed},
    call::{Cx, host_name, is_loopback},
};

/// An ECR registry.
#[derive(Debug, Clone, Default)]
pub struct EcrConfig {
    /// `HOST[:PORT]`; the account's own registry of the region if none.
    pub registry: Option<String>,
    /// Region, where the registry's name does not tell; `AWS_REGION`, `AWS_DEFAULT_REGION` if neither does.
    pub region: Option<String>,
    /// Where the keys come from.
    pub credentials: AwsSource,
}

const PUBLIC: &str = "public.ecr.aws";
const NO_REGION: &str = "the ECR registry needs a region: set Region in the plan, or AWS_REGION";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Token {
    #[serde(rename = "authorizationToken")]
    encoded: String,
    expires_at: Option<f64>,
    proxy_endpoint: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Private {
    authorization_data: Vec<Token>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Public {
    authorization_data: Token,
}

/// Name and password for the registry.
pub(super) async fn fetch(cx: &Cx<'_>, config: &EcrConfig) -> Result<CloudCredential, CloudError> {
    let registry = config.registry.as_deref().filter(|registry| !registry.is_empty());
    let name = match registry {
        Some(registry) => Some(host_name(registry).ok_or_else(|| CloudError::Plan(format!("'{registry}' is not a registry host")))?),
        None => None,
    };
    let public = name.as_deref() == Some(PUBLIC);
    let region = if public { "us-east-1".to_owned() } else { region(cx, config, name.as_deref())? };
    let keys = aws::resolve(cx, &config.credentials, &region).await?;
    cx.log.add_secret(secrecy::ExposeSecret::expose_secret(&keys.secret_access_key));
    let (service, scope, target) = if public {
        let service = aws::endpoint(cx, "Amazon ECR Public", "AWS_ENDPOINT_URL_ECR_PUBLIC", "api.ecr-public", &region)?;
        (service, "ecr-public", "SpencerFrontendService.GetAuthorizationToken")
    } else {
        let service = aws::endpoint(cx, "Amazon ECR", "AWS_ENDPOINT_URL_ECR", "api.ecr", &region)?;
        (service, "ecr", "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken")
    };
    let signed = Signed {
        service: &service,
        keys: &keys,
        region: &region,
        scope,
        content_type: "application/x-amz-json-1.1",
        target: Some(target),
        body: "{}".to_owned(),
    };
    let reply = cx.call(&service, |client| signed.build(client)).await?;
    let token = if public {
        reply.json::<Public>()?.authorization_data
    } else {
        let mut all = reply.json::<Private>()?.authorization_data;
        if all.is_empty() {
            return Err(service.garbled("it has no authorizationData"));
        }
        all.swap_remove(0)
    };
    cx.log.add_secret(&token.encoded);
    let decoded = STANDARD.decode(&token.encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let Some((username, password)) = decoded.as_deref().and_then(|text| text.split_once(':')) else {
        return Err(service.garbled("authorizationToken is not the base64 form of NAME:PASSWORD"));
    };
    let password = cx.secret(password.to_owned());
    let own =
        token.proxy_endpoint.as_deref().map(|url| url.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/'));
    let trusted = registry.is_none_or(|registry| {
        own == Some(registry) || is_loopback(registry) || name.as_deref().is_some_and(|name| name == PUBLIC || region_of(name).is_some())
    });
    if !trusted {
        let registry = registry.unwrap_or_default();
        return Err(CloudError::Plan(format!(
            "'{registry}' is not an ECR registry (ACCOUNT.dkr.ecr.REGION.amazonaws.com or {PUBLIC}), so it is not sent AWS credentials; use another RegistryType for it"
        )));
    }
    Ok(CloudCredential {
        username: username.to_owned(),
        password,
        expires_at: token
            .expires_at
            .and_then(|seconds| Timestamp::from_duration(jiff::SignedDuration::try_from_secs_f64(seconds).ok()?).ok()),
        registry: registry.or(own).map(str::to_owned),
    })
}

fn region(cx: &Cx<'_>, config: &EcrConfig, name: Option<&str>) -> Result<String, CloudError> {
    name.and_then(region_of)
        .map(str::to_owned)
        .or_else(|| config.region.clone().filter(|region| !region.is_empty()))
        .or_else(|| cx.var("AWS_REGION"))
        .or_else(|| cx.var("AWS_DEFAULT_REGION"))
        .ok_or_else(|| CloudError::Plan(NO_REGION.to_owned()))
}

/// Region in `ACCOUNT.dkr.ecr[-fips].REGION.amazonaws.com[.cn]`, and in the dual-stack `ACCOUNT.dkr-ecr.REGION.on.aws`.
fn region_of(name: &str) -> Option<&str> {
    let (account, rest) = name.split_once('.')?;
    if account.is_empty() || !account.chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let region = if let Some(rest) = rest.strip_prefix("dkr.ecr.").or_else(|| rest.strip_prefix("dkr.ecr-fips.")) {
        rest.strip_suffix(".amazonaws.com").or_else(|| rest.strip_suffix(".amazonaws.com.cn"))?
    } else {
        rest.strip_prefix("dkr-ecr.").or_else(|| rest.strip_prefix("dkr-ecr-fips."))?.strip_suffix(".on.aws")?
    };
    (!region.is_empty() && !region.contains('.')).then_some(region)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_stands_in_the_name() {
        for (name, region) in [
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", Some("eu-west-1")),
            ("1.dkr.ecr-fips.us-east-1.amazonaws.com", Some("us-east-1")),
            ("1.dkr.ecr.cn-north-1.amazonaws.com.cn", Some("cn-north-1")),
            ("1.dkr-ecr.eu-west-1.on.aws", Some("eu-west-1")),
            ("1.dkr.ecr.eu-west-1.amazonaws.com.evil.example", None),
            ("evil.dkr.ecr.eu-west-1.amazonaws.com", None),
            ("1.dkr.ecr.a.b.amazonaws.com", None),
            ("public.ecr.aws", None),
        ] {
            assert_eq!(region_of(name), region, "{name}");
        }
    }
}
