//! The default chain: the first source of AWS keys that this process has.
//!
//! A source that is not set up is passed over and remembered for the error; one that is set up and fails ends the search, because using
//! another identity than the one somebody configured is worse than stopping.

use std::path::Path;

use super::{AwsKeys, metadata, profile, sts};
use crate::oci::auth::cloud::{CloudError, call::Cx};

const REMEDY: &str = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, give the pod or instance a role, or set AWS_PROFILE";

/// Keys from wherever this process has them.
pub(super) async fn default_chain(cx: &Cx<'_>, region: &str) -> Result<AwsKeys, CloudError> {
    if let Some(keys) = environment(cx)? {
        return Ok(keys);
    }
    let mut tried = vec!["environment: AWS_ACCESS_KEY_ID is not set".to_owned()];
    match (cx.var("AWS_WEB_IDENTITY_TOKEN_FILE"), cx.var("AWS_ROLE_ARN")) {
        (Some(file), Some(role)) => {
            let session_name = cx.var("AWS_ROLE_SESSION_NAME");
            return web_identity(cx, region, &file, &role, session_name.as_deref()).await;
        }
        (Some(_), None) => return Err(CloudError::setting("AWS_WEB_IDENTITY_TOKEN_FILE", "is set without AWS_ROLE_ARN; set both")),
        (None, _) => tried.push("web identity: AWS_WEB_IDENTITY_TOKEN_FILE is not set".to_owned()),
    }
    match profile::default(cx, region).await? {
        Some(keys) => return Ok(keys),
        None => tried.push("shared files: no profile 'default' with keys or a role".to_owned()),
    }
    match metadata::container(cx).await? {
        Some(keys) => return Ok(keys),
        None => tried.push("container: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and _FULL_URI are not set".to_owned()),
    }
    match metadata::instance(cx).await? {
        Ok(keys) => Ok(keys),
        Err(missing) => {
            tried.push(format!("instance: {missing}"));
            Err(CloudError::NoCredentials { cloud: "AWS", tried, remedy: REMEDY })
        }
    }
}

/// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`.
pub(super) fn environment(cx: &Cx<'_>) -> Result<Option<AwsKeys>, CloudError> {
    match (cx.var("AWS_ACCESS_KEY_ID"), cx.var("AWS_SECRET_ACCESS_KEY")) {
        (Some(access_key_id), Some(secret)) => Ok(Some(AwsKeys {
            access_key_id,
            secret_access_key: cx.secret(secret),
            session_token: cx.var("AWS_SESSION_TOKEN").map(|token| cx.secret(token)),
        })),
        (Some(_), None) => Err(CloudError::setting("AWS_ACCESS_KEY_ID", "is set without AWS_SECRET_ACCESS_KEY; set both")),
        (None, _) => Ok(None),
    }
}

/// A role for the token in `file`: what EKS, and every other cluster with an OIDC issuer, gives its pods. The file is read each time;
/// its owner renews it.
pub(super) async fn web_identity(cx: &Cx<'_>, region: &str, file: &str, role: &str, session: Option<&str>) -> Result<AwsKeys, CloudError> {
    let token = cx.read(Path::new(file), "the web identity token").await?;
    let token = cx.secret(token.trim().to_owned());
    let session = sts::Session { name: session.unwrap_or("build-runner"), duration: None, external_id: None };
    sts::assume_with_token(cx, region, role, &session, &token).await
}
