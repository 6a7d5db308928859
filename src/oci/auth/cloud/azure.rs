//! Entra ID access tokens: client secret, federated token (workload identity), managed identity.
//!
//! In: tenant and client, from the plan or the environment. Out: an access token for container registries. The order is that of Azure's
//! `DefaultAzureCredential`; sources that need a person (command line, browser) are left out. Called by `acr`.

use std::path::Path;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::{
    AcrConfig, CloudError,
    call::{Cx, FORM, Service, form},
};

/// The audience of container registries: unlike that of the resource manager, which registries take too, it is good for nothing else.
const RESOURCE: &str = "https://containerregistry.azure.net";
const REMEDY: &str =
    "set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, use workload identity, or give the machine a managed identity";

/// An access token and the tenant it is of, when that is known.
pub(super) struct EntraToken {
    pub(super) access: SecretString,
    pub(super) tenant: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
}

/// A token for container registries.
pub(super) async fn token(cx: &Cx<'_>, config: &AcrConfig) -> Result<EntraToken, CloudError> {
    let given = |plan: &Option<String>, name: &str| plan.clone().filter(|text| !text.is_empty()).or_else(|| cx.var(name));
    let tenant = given(&config.tenant_id, "AZURE_TENANT_ID");
    let client = given(&config.client_id, "AZURE_CLIENT_ID");
    let secret = config.client_secret.clone().or_else(|| cx.var("AZURE_CLIENT_SECRET").map(Into::into));
    let mut tried = Vec::new();
    let missing = |name: &str| format!("{name} is not set");
    let application = match (&tenant, &client) {
        (Some(tenant), Some(client)) => Ok((tenant, client)),
        (None, _) => Err(missing("AZURE_TENANT_ID")),
        (_, None) => Err(missing("AZURE_CLIENT_ID")),
    };
    match (&application, &secret) {
        (Ok((tenant, client)), Some(secret)) => {
            cx.log.add_secret(secret.expose_secret());
            return ask(cx, tenant, client, &[("client_secret", secret.expose_secret())]).await;
        }
        (_, None) => tried.push(format!("client secret: {}", missing("AZURE_CLIENT_SECRET"))),
        (Err(problem), _) => tried.push(format!("client secret: {problem}")),
    }
    match (&application, cx.var("AZURE_FEDERATED_TOKEN_FILE")) {
        (Ok((tenant, client)), Some(file)) => {
            let assertion = cx.read(Path::new(&file), "the federated token").await?;
            let assertion = cx.secret(assertion.trim().to_owned());
            let proof = [
                ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                ("client_assertion", assertion.expose_secret()),
            ];
            return ask(cx, tenant, client, &proof).await;
        }
        (_, None) => tried.push(format!("workload identity: {}", missing("AZURE_FEDERATED_TOKEN_FILE"))),
        (Err(problem), _) => tried.push(format!("workload identity: {problem}")),
    }
    match managed_identity(cx, client.as_deref()).await? {
        Ok(access) => Ok(EntraToken { access, tenant }),
        Err(problem) => {
            tried.push(format!("managed identity: {problem}"));
            Err(CloudError::NoCredentials { cloud: "Azure", tried, remedy: REMEDY })
        }
    }
}

/// Client credentials grant (RFC 6749 §4.4), with a secret or an assertion as proof.
async fn ask(cx: &Cx<'_>, tenant: &str, client: &str, proof: &[(&str, &str)]) -> Result<EntraToken, CloudError> {
    const AUTHORITY: &str = "AZURE_AUTHORITY_HOST";
    if !tenant.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.')) {
        return Err(CloudError::Plan(format!("'{tenant}' is not an Azure tenant: it is a GUID or a domain name")));
    }
    let authority = cx.var(AUTHORITY).unwrap_or_else(|| "https://login.microsoftonline.com".to_owned());
    let url = format!("{}/{tenant}/oauth2/v2.0/token", authority.trim_end_matches('/'));
    let service = Service::new("Entra ID", &url, AUTHORITY)?;
    let scope = format!("{RESOURCE}/.default");
    let mut fields = vec![("grant_type", "client_credentials"), ("client_id", client), ("scope", scope.as_str())];
    fields.extend_from_slice(proof);
    let body = form(&fields);
    let post = |http: &reqwest::Client| http.post(service.url.clone()).header("content-type", FORM).body(body.clone());
    let answer: Answer = cx.call(&service, post).await?.json()?;
    Ok(EntraToken { access: cx.secret(answer.access_token), tenant: Some(tenant.to_owned()) })
}

/// The identity of the app service, container app or machine; the inner error says why there is none.
async fn managed_identity(cx: &Cx<'_>, client: Option<&str>) -> Result<Result<SecretString, String>, CloudError> {
    const MACHINE: &str = "AZURE_POD_IDENTITY_AUTHORITY_HOST";
    const APP: &str = "IDENTITY_ENDPOINT";
    let (mut service, version, header) = if let (Some(url), Some(header)) = (cx.var(APP), cx.var("IDENTITY_HEADER")) {
        (Service::metadata("the identity endpoint", &url, APP)?, "2019-08-01", ("x-identity-header", cx.secret(header)))
    } else {
        let base = cx.var(MACHINE).unwrap_or_else(|| "http://169.254.169.254".to_owned());
        let url = format!("{}/metadata/identity/oauth2/token", base.trim_end_matches('/'));
        (Service::metadata("the Azure metadata service", &url, MACHINE)?, "2018-02-01", ("metadata", SecretString::from("true")))
    };
    service.url.query_pairs_mut().append_pair("api-version", version).append_pair("resource", RESOURCE);
    if let Some(client) = client {
        service.url.query_pairs_mut().append_pair("client_id", client);
    }
    let get = |http: &reqwest::Client| http.get(service.url.clone()).header(header.0, header.1.expose_secret());
    match cx.call(&service, get).await {
        Ok(reply) => Ok(Ok(cx.secret(reply.json::<Answer>()?.access_token))),
        Err(CloudError::Unavailable { reason, .. }) => Ok(Err(format!("{} is not available: {reason}", service.label()))),
        // 400 "Identity not found": the machine is one of Azure's and has no identity.
        Err(CloudError::Refused { status: 400, detail, .. }) => Ok(Err(detail)),
        Err(error) => Err(error),
    }
}
