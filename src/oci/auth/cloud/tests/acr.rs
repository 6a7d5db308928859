//! Entra ID, Azure's metadata service and the registry's exchange.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::*;
use crate::oci::auth::cloud::AcrConfig;

/// All of Azure; the refresh token's second part says whom it is for, its third part who bought it.
fn azure(seen: &Seen) -> Then {
    let form = seen.form();
    let get = |name: &str| form.get(name).map_or("", String::as_str);
    match (seen.method.as_str(), seen.path.as_str()) {
        ("POST", "/tenant-1/oauth2/v2.0/token") => {
            assert_eq!((get("grant_type"), get("scope")), ("client_credentials", "https://containerregistry.azure.net/.default"));
            match (get("client_id"), get("client_secret"), get("client_assertion")) {
                ("app-1", "right", "") => ok(r#"{"access_token":"entra-by-secret"}"#),
                ("app-1", "", "pod-token") if get("client_assertion_type").ends_with("jwt-bearer") => {
                    ok(r#"{"access_token":"entra-by-pod"}"#)
                }
                _ => Then::Answer(401, r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret."}"#.into()),
            }
        }
        ("GET", "/metadata/identity/oauth2/token") if seen.header("metadata") == "true" => {
            assert!(seen.query.contains("resource=https%3A%2F%2Fcontainerregistry.azure.net"), "{}", seen.query);
            if seen.query.contains("client_id=none") {
                return Then::Answer(400, r#"{"error":"invalid_request","error_description":"Identity not found"}"#.into());
            }
            ok(r#"{"access_token":"entra-by-machine"}"#)
        }
        ("POST", "/oauth2/exchange") if get("grant_type") == "access_token" && get("service") == seen.header("host") => {
            let claims = URL_SAFE_NO_PAD.encode(r#"{"exp":1900000000}"#);
            ok(format!(r#"{{"refresh_token":"h.{claims}.{}"}}"#, get("access_token")))
        }
        _ => Then::Answer(404, String::new()),
    }
}

async fn who(env: &[(&str, &str)]) -> String {
    let fake = Fake::start(azure).await;
    let url = fake.url();
    let mut all = vec![("AZURE_AUTHORITY_HOST", url.as_str()), ("AZURE_POD_IDENTITY_AUTHORITY_HOST", url.as_str())];
    all.extend_from_slice(env);
    let source = CloudSource::Acr(AcrConfig { registry: fake.host.clone(), plain_http: true, ..AcrConfig::default() });
    match fetch(&source, &all).await {
        Ok(credential) => {
            assert_eq!(credential.username, "00000000-0000-0000-0000-000000000000");
            assert_eq!(credential.expires_at.map(jiff::Timestamp::as_second), Some(1_900_000_000));
            credential.password.expose_secret().rsplit('.').next().unwrap().to_owned()
        }
        Err(error) => error.to_string().replace(&fake.host, "FAKE"),
    }
}

#[tokio::test]
async fn secret_then_workload_then_machine() {
    let token = file("pod-token\n");
    let app = [("AZURE_TENANT_ID", "tenant-1"), ("AZURE_CLIENT_ID", "app-1")];
    let pod = ("AZURE_FEDERATED_TOKEN_FILE", path(&token));
    assert_eq!(who(&[app[0], app[1], pod, ("AZURE_CLIENT_SECRET", "right")]).await, "entra-by-secret");
    assert_eq!(who(&[app[0], app[1], pod]).await, "entra-by-pod");
    assert_eq!(who(&app).await, "entra-by-machine");
    assert_eq!(who(&[]).await, "entra-by-machine");
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let app = [("AZURE_TENANT_ID", "tenant-1"), ("AZURE_CLIENT_ID", "app-1")];
    assert_eq!(
        who(&[app[0], app[1], ("AZURE_CLIENT_SECRET", "wrong-secret")]).await,
        "Entra ID (FAKE) denies the request: invalid_client: AADSTS7000215: Invalid client secret."
    );
    assert_eq!(
        who(&[app[0], ("AZURE_CLIENT_ID", "none")]).await,
        "no Azure credentials found (tried client secret: AZURE_CLIENT_SECRET is not set; workload identity: AZURE_FEDERATED_TOKEN_FILE is \
         not set; managed identity: invalid_request: Identity not found); set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, use \
         workload identity, or give the machine a managed identity"
    );
    assert_eq!(
        who(&[("AZURE_TENANT_ID", "../x"), app[1], ("AZURE_CLIENT_SECRET", "right")]).await,
        "'../x' is not an Azure tenant: it is a GUID or a domain name"
    );
}

#[tokio::test]
async fn no_token_is_bought_for_a_strangers_registry() {
    let fake = Fake::start(azure).await;
    for host in
        ["evil.example", "azurecr.io.evil.example", "x.azurecr.io@evil.example", "evil.example/x.azurecr.io", "evil.example?x.azurecr.io"]
    {
        let source = CloudSource::Acr(AcrConfig { registry: host.into(), ..AcrConfig::default() });
        let error = error(&source, &[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &fake.url())]).await;
        assert!(matches!(error, CloudError::Plan(_)), "{error}");
    }
    assert_eq!(fake.count(), 0);
}
