//! Keys that AWS puts beside the process: the container's (ECS, EKS Pod Identity) and the instance's (`IMDSv2`).

use std::path::Path;

use secrecy::ExposeSecret as _;
use serde::Deserialize;

use super::AwsKeys;
use crate::oci::auth::cloud::{
    CloudError,
    call::{Cx, Reply, Service, is_loopback},
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    access_key_id: String,
    secret_access_key: String,
    token: Option<String>,
}

fn keys(cx: &Cx<'_>, reply: &Reply) -> Result<AwsKeys, CloudError> {
    let answer: Answer = reply.json()?;
    Ok(AwsKeys {
        access_key_id: answer.access_key_id,
        secret_access_key: cx.secret(answer.secret_access_key),
        session_token: answer.token.map(|token| cx.secret(token)),
    })
}

/// Keys of the container; `None` if its variables are not set.
pub(super) async fn container(cx: &Cx<'_>) -> Result<Option<AwsKeys>, CloudError> {
    const NAME: &str = "the AWS container credential endpoint";
    const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
    const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
    let service = if let Some(path) = cx.var(RELATIVE) {
        Service::metadata(NAME, &format!("http://169.254.170.2{path}"), RELATIVE)?
    } else if let Some(url) = cx.var(FULL) {
        Service::metadata(NAME, &url, FULL)?
    } else {
        return Ok(None);
    };
    // The addresses that AWS's SDKs send the token to in the clear: ECS, EKS Pod Identity, and this machine.
    let known = matches!(service.url.host_str(), Some("169.254.170.2" | "169.254.170.23" | "[fd00:ec2::23]"));
    if service.url.scheme() != "https" && !known && !is_loopback(&service.host()) {
        return Err(CloudError::setting(FULL, "names a host that the token may only be sent to over https"));
    }
    let token = if let Some(file) = cx.var("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        Some(cx.read(Path::new(&file), "the container authorization token").await?.trim().to_owned())
    } else {
        cx.var("AWS_CONTAINER_AUTHORIZATION_TOKEN")
    };
    let token = token.map(|token| cx.secret(token));
    let ask = |client: &reqwest::Client| {
        let request = client.get(service.url.clone());
        token.iter().fold(request, |request, token| request.header("authorization", token.expose_secret()))
    };
    keys(cx, &cx.call(&service, ask).await?).map(Some)
}

/// Keys of the instance's role by `IMDSv2`; the inner error says why there are none.
pub(super) async fn instance(cx: &Cx<'_>) -> Result<Result<AwsKeys, String>, CloudError> {
    const NAME: &str = "the EC2 metadata service";
    const VARIABLE: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
    if cx.var("AWS_EC2_METADATA_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(Err("AWS_EC2_METADATA_DISABLED is set".to_owned()));
    }
    let base = cx.var(VARIABLE).unwrap_or_else(|| "http://169.254.169.254".to_owned());
    let at = |path: &str| Service::metadata(NAME, &format!("{}{path}", base.trim_end_matches('/')), VARIABLE);
    let service = at("/latest/api/token")?;
    let ask = |client: &reqwest::Client| {
        client.put(service.url.clone()).header("x-aws-ec2-metadata-token-ttl-seconds", "300").header("content-length", "0")
    };
    let token = match cx.call(&service, ask).await {
        Ok(reply) => cx.secret(reply.text()?.trim().to_owned()),
        // Not on EC2; or in a container whose answers are dropped on the way.
        Err(CloudError::Unavailable { reason, .. }) => {
            return Ok(Err(format!("{NAME} is not available: {reason}; on EC2, a container needs a hop limit of 2")));
        }
        Err(error) => return Err(error),
    };
    let get = async |service: &Service| {
        cx.call(service, |client| client.get(service.url.clone()).header("x-aws-ec2-metadata-token", token.expose_secret())).await
    };
    let role = match get(&at("/latest/meta-data/iam/security-credentials/")?).await {
        Ok(reply) => reply.text()?.lines().next().unwrap_or_default().trim().to_owned(),
        Err(CloudError::Refused { status: 404, .. }) => String::new(),
        Err(error) => return Err(error),
    };
    if role.is_empty() {
        return Ok(Err("the instance has no role".to_owned()));
    }
    keys(cx, &get(&at(&format!("/latest/meta-data/iam/security-credentials/{role}"))?).await?).map(Ok)
}
