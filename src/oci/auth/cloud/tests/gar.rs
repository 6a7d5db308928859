//! Google's token services. The fake verifies the assertion of a service account with the public half of its key.

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};

use super::*;
use crate::oci::auth::cloud::GarConfig;

const EMAIL: &str = "builder@project.iam.gserviceaccount.com";

fn token(name: &str) -> Then {
    ok(json!({"access_token": name, "expires_in": 3599, "token_type": "Bearer"}).to_string())
}

/// All of Google; the tokens say how they were bought.
fn google(seen: &Seen, public: &[u8]) -> Then {
    let form = seen.form();
    let get = |name: &str| form.get(name).map_or("", String::as_str);
    match (seen.path.as_str(), get("grant_type")) {
        ("/token", "urn:ietf:params:oauth:grant-type:jwt-bearer") => {
            let (signed, signature) = get("assertion").rsplit_once('.').unwrap();
            let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
            if UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public).verify(signed.as_bytes(), &signature).is_err() {
                return Then::Answer(400, r#"{"error":"invalid_grant","error_description":"Invalid JWT Signature."}"#.into());
            }
            let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(signed.split_once('.').unwrap().1).unwrap()).unwrap();
            assert_eq!(
                (claims["iss"].as_str(), claims["scope"].as_str()),
                (Some(EMAIL), Some("https://www.googleapis.com/auth/cloud-platform"))
            );
            assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 3600);
            token("google-by-key")
        }
        ("/token", "refresh_token") if get("refresh_token") == "person" => token("google-by-person"),
        ("/sts", "urn:ietf:params:oauth:grant-type:token-exchange") if get("subject_token") == "pod-token" => {
            assert_eq!(get("audience"), "//iam.googleapis.com/projects/1/providers/p");
            token("google-by-federation")
        }
        ("/v1/projects/-/serviceAccounts/other@project.iam.gserviceaccount.com:generateAccessToken", _) => {
            ok(json!({"accessToken": format!("other-by-{}", seen.header("authorization")), "expireTime": "2030-01-01T00:00:00Z"})
                .to_string())
        }
        ("/computeMetadata/v1/instance/service-accounts/default/token", _) if seen.header("metadata-flavor") == "Google" => {
            token("google-by-machine")
        }
        _ => Then::Answer(404, r#"{"error":{"code":404,"status":"NOT_FOUND","message":"nothing here"}}"#.into()),
    }
}

struct World {
    fake: Fake,
    pem: String,
}

impl World {
    async fn new() -> Self {
        let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der.as_ref()));
        let public = key.public_key().as_ref().to_vec();
        Self { fake: Fake::start(move |seen| google(seen, &public)).await, pem }
    }

    fn key(&self) -> Value {
        json!({"type": "service_account", "client_email": EMAIL, "private_key": self.pem, "private_key_id": "k", "token_uri": format!("{}/token", self.fake.url())})
    }

    fn federation(&self, file: &str) -> Value {
        json!({
            "type": "external_account", "audience": "//iam.googleapis.com/projects/1/providers/p", "token_url": format!("{}/sts", self.fake.url()),
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "credential_source": {"file": file, "format": {"type": "json", "subject_token_field_name": "token"}},
        })
    }

    async fn who(&self, config: GarConfig, document: Option<&Value>, metadata: &str) -> String {
        let document = document.map(|value| file(&value.to_string()));
        let url = self.fake.url();
        let mut env = vec![("GCE_METADATA_HOST", metadata), ("CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS", &url)];
        env.extend(document.as_ref().map(|file| ("GOOGLE_APPLICATION_CREDENTIALS", path(file))));
        match fetch(&CloudSource::Gar(config), &env).await {
            Ok(credential) => {
                assert_eq!(credential.username, "oauth2accesstoken");
                assert!(credential.expires_at.unwrap() > jiff::Timestamp::now());
                credential.password.expose_secret().to_owned()
            }
            Err(error) => {
                let text = format!("{error} {error:?}");
                assert!(!text.contains("PRIVATE KEY") && !text.contains("pod-token"), "{text}");
                error.to_string().replace(&self.fake.host, "FAKE")
            }
        }
    }
}

fn gar() -> GarConfig {
    GarConfig { registry: "europe-docker.pkg.dev".into(), ..GarConfig::default() }
}

#[tokio::test]
async fn key_federation_person_and_machine() {
    let world = World::new().await;
    let host = world.fake.host.as_str();
    let subject = file(r#"{"token":"pod-token"}"#);
    let person = json!({"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "person", "token_uri": format!("{}/token", world.fake.url())});
    assert_eq!(world.who(gar(), Some(&world.key()), host).await, "google-by-key");
    assert_eq!(world.who(gar(), Some(&world.federation(path(&subject))), host).await, "google-by-federation");
    assert_eq!(world.who(gar(), Some(&person), host).await, "google-by-person");
    assert_eq!(world.who(gar(), None, host).await, "google-by-machine");
    let inline = GarConfig { key_json: Some(world.key().to_string().into()), ..gar() };
    assert_eq!(world.who(inline, None, host).await, "google-by-key");
}

#[tokio::test]
async fn another_account_is_impersonated() {
    let world = World::new().await;
    let host = world.fake.host.as_str();
    let wants = |email: &str| GarConfig { service_account_email: Some(email.into()), ..gar() };
    let other = "other@project.iam.gserviceaccount.com";
    assert_eq!(world.who(wants(other), Some(&world.key()), host).await, "other-by-Bearer google-by-key");
    assert_eq!(world.who(wants(other), None, host).await, "other-by-Bearer google-by-machine");
    assert_eq!(world.who(wants(EMAIL), Some(&world.key()), host).await, "google-by-key");
    assert_eq!(world.who(wants("../x@y"), None, host).await, "ServiceAccountEmail '../x@y' is not the address of a service account");
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let world = World::new().await;
    let closed = nobody().await;
    let host = world.fake.host.as_str();
    let message = world.who(gar(), None, &closed).await;
    assert!(
        message.starts_with("no Google Cloud credentials found (tried GOOGLE_APPLICATION_CREDENTIALS is not set; gcloud:"),
        "{message}"
    );
    let mut stranger = world.key();
    stranger["private_key"] = World::new().await.pem.into();
    assert_eq!(
        world.who(gar(), Some(&stranger), host).await,
        "Google's token service (FAKE) denies the request: invalid_grant: Invalid JWT Signature."
    );
    let mut broken = world.key();
    broken["private_key"] = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----".into();
    assert!(world.who(gar(), Some(&broken), host).await.ends_with("is not a PKCS#8 RSA key in PEM form; download the key file again"));
    let executable = json!({"type": "external_account", "audience": "a", "subject_token_type": "t", "credential_source": {"executable": {"command": "x"}}});
    assert!(world.who(gar(), Some(&executable), host).await.contains("has a credential_source that is not supported"));
    let pinned = GarConfig { workload_identity_provider: Some("projects/1/providers/q".into()), ..gar() };
    let subject = file(r#"{"token":"pod-token"}"#);
    assert!(world.who(pinned, Some(&world.federation(path(&subject))), host).await.starts_with("WorkloadIdentityProvider asks for"));
    let elsewhere = GarConfig { registry: "evil-pkg.dev.example".into(), ..gar() };
    assert!(world.who(elsewhere, None, host).await.starts_with("'evil-pkg.dev.example' is not a Google registry"));
}
