//! AWS's Security Token Service: keys of a role, for keys or for an identity token.
//!
//! In: role and session. Out: temporary [`AwsKeys`]. The query API, version 2011-06-15.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::{AwsKeys, Signed, endpoint};
use crate::oci::auth::cloud::{
    CloudError,
    call::{Cx, FORM, Reply, Service, form},
    xml,
};

const NAME: &str = "AWS STS";
const VARIABLE: &str = "AWS_ENDPOINT_URL_STS";

/// What is said about a session besides its role.
#[derive(Debug, Clone, Copy)]
pub(super) struct Session<'a> {
    pub(super) name: &'a str,
    pub(super) duration: Option<Duration>,
    pub(super) external_id: Option<&'a str>,
}

impl Session<'_> {
    /// STS takes 2 to 64 of `[\w+=,.@-]` as a name: whatever else a job's name holds becomes a dash.
    fn fields(&self, action: &str, role_arn: &str) -> Result<Vec<(&'static str, String)>, CloudError> {
        if !(role_arn.starts_with("arn:") && role_arn.contains(":role/")) {
            return Err(CloudError::Plan(format!("'{role_arn}' is not the ARN of a role; write it as arn:aws:iam::ACCOUNT:role/NAME")));
        }
        let fits = |c: char| if c.is_ascii_alphanumeric() || "_+=,.@-".contains(c) { c } else { '-' };
        let name: String = self.name.chars().map(fits).take(64).collect();
        let name = if name.len() < 2 { "build-runner".to_owned() } else { name };
        let mut fields = vec![
            ("Action", action.to_owned()),
            ("Version", "2011-06-15".to_owned()),
            ("RoleArn", role_arn.to_owned()),
            ("RoleSessionName", name),
        ];
        fields.extend(self.duration.map(|duration| ("DurationSeconds", duration.as_secs().to_string())));
        fields.extend(self.external_id.map(|id| ("ExternalId", id.to_owned())));
        Ok(fields)
    }
}

fn encode(fields: &[(&'static str, String)]) -> String {
    form(&fields.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>())
}

/// Keys of `role_arn`, for `keys`.
pub(super) async fn assume(
    cx: &Cx<'_>,
    region: &str,
    keys: &AwsKeys,
    role_arn: &str,
    session: &Session<'_>,
) -> Result<AwsKeys, CloudError> {
    let service = endpoint(cx, NAME, VARIABLE, "sts", region)?;
    let body = encode(&session.fields("AssumeRole", role_arn)?);
    let signed = Signed { service: &service, keys, region, scope: "sts", content_type: FORM, target: None, body };
    let reply = cx.call(&service, |client| signed.build(client)).await.map_err(|error| about(error, role_arn))?;
    read(cx, &service, &reply)
}

/// Keys of `role_arn`, for an identity token that the role trusts. Not signed: the token is the proof.
pub(super) async fn assume_with_token(
    cx: &Cx<'_>,
    region: &str,
    role_arn: &str,
    session: &Session<'_>,
    token: &SecretString,
) -> Result<AwsKeys, CloudError> {
    let service = endpoint(cx, NAME, VARIABLE, "sts", region)?;
    let mut fields = session.fields("AssumeRoleWithWebIdentity", role_arn)?;
    fields.push(("WebIdentityToken", token.expose_secret().to_owned()));
    let body = encode(&fields);
    let ask = |client: &reqwest::Client| client.post(service.url.clone()).header("content-type", FORM).body(body.clone());
    let reply = cx.call(&service, ask).await.map_err(|error| about(error, role_arn))?;
    read(cx, &service, &reply)
}

/// Which role it was about is the first thing a person wants to know.
fn about(error: CloudError, role_arn: &str) -> CloudError {
    match error {
        CloudError::Denied { service, detail } => CloudError::Denied { service, detail: format!("role {role_arn}: {detail}") },
        CloudError::Refused { service, status, detail } => {
            CloudError::Refused { service, status, detail: format!("role {role_arn}: {detail}") }
        }
        other => other,
    }
}

fn read(cx: &Cx<'_>, service: &Service, reply: &Reply) -> Result<AwsKeys, CloudError> {
    let body = reply.text()?;
    let field =
        |name: &str| xml::text(body, name).filter(|text| !text.is_empty()).ok_or_else(|| service.garbled(format!("it has no <{name}>")));
    Ok(AwsKeys {
        access_key_id: field("AccessKeyId")?,
        secret_access_key: cx.secret(field("SecretAccessKey")?),
        session_token: Some(cx.secret(field("SessionToken")?)),
    })
}

/// The identity token of the GitHub Actions job this process runs in.
pub(super) async fn github_token(cx: &Cx<'_>) -> Result<SecretString, CloudError> {
    #[derive(Deserialize)]
    struct Answer {
        value: String,
    }
    const URL: &str = "ACTIONS_ID_TOKEN_REQUEST_URL";
    let (Some(url), Some(bearer)) = (cx.var(URL), cx.var("ACTIONS_ID_TOKEN_REQUEST_TOKEN")) else {
        return Err(CloudError::NoCredentials {
            cloud: "AWS",
            tried: vec![format!("GitHub's identity token: {URL} and ACTIONS_ID_TOKEN_REQUEST_TOKEN are not set")],
            remedy: "run inside a GitHub Actions job with 'permissions: id-token: write', or unset use_github_oidc",
        });
    };
    let bearer = cx.secret(bearer);
    let mut service = Service::new("GitHub's token service", &url, URL)?;
    service.url.query_pairs_mut().append_pair("audience", "sts.amazonaws.com");
    let reply = cx.call(&service, |client| client.get(service.url.clone()).bearer_auth(bearer.expose_secret())).await?;
    Ok(cx.secret(reply.json::<Answer>()?.value))
}
