//! ECR, STS and AWS's metadata services. The fake verifies every signature with the keys it handed out.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;

use super::{super::aws::sigv4, *};
use crate::oci::auth::cloud::{AssumeRole, AwsKeys, AwsSource, EcrConfig, TwoStep};

/// Keys that belong to `id`; roles and machines have a token besides.
fn keys(id: &str) -> AwsKeys {
    let token = (!id.starts_with("AKIA")).then(|| format!("token-of-{id}").into());
    AwsKeys { access_key_id: id.to_owned(), secret_access_key: format!("secret-of-{id}").into(), session_token: token }
}

/// Who signed the request: the id of the key, if the signature is right.
fn signer(seen: &Seen) -> Option<String> {
    let header = seen.header("authorization");
    let credential = header.strip_prefix("AWS4-HMAC-SHA256 Credential=")?;
    let (credential, rest) = credential.split_once(", SignedHeaders=")?;
    let (names, _) = rest.split_once(", Signature=")?;
    let [id, day, region, service, "aws4_request"] = credential.split('/').collect::<Vec<_>>()[..] else { return None };
    let keys = keys(id);
    if seen.header("x-amz-security-token") != keys.session_token.as_ref().map_or("", |token| token.expose_secret()) {
        return None;
    }
    let date = seen.header("x-amz-date");
    let now: Timestamp =
        jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", date).unwrap().to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp();
    assert!(date.starts_with(day) && (Timestamp::now() - now).get_seconds().abs() < 60);
    let added = ["x-amz-date", "x-amz-security-token"];
    let headers: Vec<_> = names.split(';').filter(|name| !added.contains(name)).map(|name| (name, seen.header(name))).collect();
    assert!(headers.iter().any(|(name, _)| *name == "host"));
    let scope = sigv4::Scope { region, service };
    let expected = sigv4::sign(&keys, scope, now, &seen.method, &headers, seen.body.as_bytes());
    expected.iter().any(|(name, value)| *name == "authorization" && value == header).then(|| format!("{id}/{region}/{service}"))
}

fn role_keys(role: &str) -> Then {
    let id = format!("ASIA-{}", role.rsplit('/').next().unwrap());
    ok(format!(
        "<R><AssumedRoleUser><Arn>x</Arn></AssumedRoleUser><Credentials><AccessKeyId>{id}</AccessKeyId><SecretAccessKey>secret-of-{id}</SecretAccessKey><SessionToken>token-of-{id}</SessionToken></Credentials></R>"
    ))
}

fn machine_keys(id: &str) -> Then {
    ok(format!(
        r#"{{"AccessKeyId":"{id}","SecretAccessKey":"secret-of-{id}","Token":"token-of-{id}","Expiration":"2030-01-01T00:00:00Z"}}"#
    ))
}

fn denied() -> Then {
    Then::Answer(403, "<Error><Code>SignatureDoesNotMatch</Code><Message>no</Message></Error>".to_owned())
}

/// Everything of AWS in one place; the password tells who asked.
fn aws(seen: &Seen) -> Then {
    let form = seen.form();
    match (seen.method.as_str(), seen.path.as_str(), form.get("Action").map(String::as_str)) {
        ("POST", "/", Some("AssumeRole")) => match signer(seen) {
            Some(_) => role_keys(&form["RoleArn"]),
            None => denied(),
        },
        ("POST", "/", Some("AssumeRoleWithWebIdentity")) if form["WebIdentityToken"] == "pod-token" && signer(seen).is_none() => {
            role_keys(&form["RoleArn"])
        }
        ("POST", "/", None) => {
            let Some(signer) = signer(seen) else { return denied() };
            let token = STANDARD.encode(format!("AWS:password-for-{signer}"));
            match seen.header("x-amz-target") {
                "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken" => ok(format!(
                    r#"{{"authorizationData":[{{"authorizationToken":"{token}","expiresAt":1900000000.5,"proxyEndpoint":"https://1.dkr.ecr.eu-west-1.amazonaws.com"}}]}}"#
                )),
                "SpencerFrontendService.GetAuthorizationToken" => {
                    ok(format!(r#"{{"authorizationData":{{"authorizationToken":"{token}","expiresAt":1.9E9}}}}"#))
                }
                other => panic!("unknown target {other}"),
            }
        }
        ("PUT", "/latest/api/token", _) if seen.header("x-aws-ec2-metadata-token-ttl-seconds") == "300" => ok("imds-token"),
        ("GET", "/latest/meta-data/iam/security-credentials/", _) if seen.header("x-aws-ec2-metadata-token") == "imds-token" => {
            ok("node-role\n")
        }
        ("GET", "/latest/meta-data/iam/security-credentials/node-role", _) => machine_keys("ASIA-node"),
        ("GET", "/pod-identity", _) if seen.header("authorization") == "pod-token" => machine_keys("ASIA-pod"),
        ("GET", "/github", _) if seen.query == "a=b&audience=sts.amazonaws.com" && seen.header("authorization") == "Bearer gh" => {
            ok(r#"{"value":"pod-token"}"#)
        }
        _ => Then::Answer(400, format!("unexpected {seen:?}")),
    }
}

fn ecr(credentials: AwsSource) -> CloudSource {
    CloudSource::Ecr(EcrConfig { registry: None, region: Some("eu-west-1".into()), credentials })
}

async fn who(source: &CloudSource, env: &[(&str, &str)]) -> String {
    let fake = Fake::start(aws).await;
    let url = fake.url();
    let full = format!("{url}/pod-identity");
    let github = format!("{url}/github?a=b");
    let mut all = vec![("AWS_ENDPOINT_URL", url.as_str())];
    all.extend(env.iter().map(|(name, value)| match *value {
        "URL" => (*name, url.as_str()),
        "URL/pod-identity" => (*name, full.as_str()),
        "URL/github" => (*name, github.as_str()),
        value => (*name, value),
    }));
    match fetch(source, &all).await {
        Ok(credential) => credential.password.expose_secret().trim_start_matches("password-for-").to_owned(),
        Err(error) => error.to_string().replace(&fake.host, "FAKE"),
    }
}

const ROLE: &str = "arn:aws:iam::1:role/target";

#[tokio::test]
async fn static_keys_buy_a_password() {
    let fake = Fake::start(aws).await;
    let credential = fetch(&ecr(AwsSource::Static(keys("AKIAPLAN"))), &[("AWS_ENDPOINT_URL_ECR", &fake.url())]).await.unwrap();
    assert_eq!(credential.username, "AWS");
    assert_eq!(credential.password.expose_secret(), "password-for-AKIAPLAN/eu-west-1/ecr");
    assert_eq!(credential.expires_at.map(Timestamp::as_second), Some(1_900_000_000));
    assert_eq!(credential.registry.as_deref(), Some("1.dkr.ecr.eu-west-1.amazonaws.com"));
    assert_eq!(fake.count(), 1);
}

#[tokio::test]
async fn the_registry_decides_about_region_and_service() {
    let source = |registry: &str| {
        let config = EcrConfig {
            registry: Some(registry.into()),
            region: Some("eu-west-1".into()),
            credentials: AwsSource::Static(keys("AKIAPLAN")),
        };
        CloudSource::Ecr(config)
    };
    assert_eq!(who(&source("2.dkr.ecr.us-east-2.amazonaws.com"), &[]).await, "AKIAPLAN/us-east-2/ecr");
    assert_eq!(who(&source("public.ecr.aws"), &[]).await, "AKIAPLAN/us-east-1/ecr-public");
    assert_eq!(
        who(&source("registry.evil.example"), &[]).await,
        "'registry.evil.example' is not an ECR registry (ACCOUNT.dkr.ecr.REGION.amazonaws.com or public.ecr.aws), so it is not sent AWS \
         credentials; use another RegistryType for it"
    );
    let config = CloudSource::Ecr(EcrConfig::default());
    assert_eq!(who(&config, &[]).await, "the ECR registry needs a region: set Region in the plan, or AWS_REGION");
}

#[tokio::test]
async fn roles_are_assumed_one_after_the_other() {
    let role = |via| {
        let role = AssumeRole {
            role_arn: ROLE.into(),
            session_name: Some("job one".into()),
            duration: Some(Duration::from_mins(30)),
            via,
            github_oidc: false,
        };
        ecr(AwsSource::AssumeRole(role))
    };
    let env = [("AWS_ACCESS_KEY_ID", "AKIAENV"), ("AWS_SECRET_ACCESS_KEY", "secret-of-AKIAENV")];
    assert_eq!(who(&role(None), &env).await, "ASIA-target/eu-west-1/ecr");
    let via = TwoStep {
        role_arn: "arn:aws:iam::1:role/middle".into(),
        keys: Some(keys("AKIAPLAN")),
        source_role_arn: Some("arn:aws:iam::1:role/first".into()),
    };
    let fake = Fake::start(aws).await;
    fetch(&role(Some(via)), &[("AWS_ENDPOINT_URL", &fake.url())]).await.unwrap();
    let seen = fake.seen.lock().unwrap();
    let by: Vec<_> = seen.iter().map(|seen| signer(seen).unwrap()).collect();
    assert_eq!(by, ["AKIAPLAN/eu-west-1/sts", "ASIA-first/eu-west-1/sts", "ASIA-middle/eu-west-1/sts", "ASIA-target/eu-west-1/ecr"]);
    let form = seen[0].form();
    assert_eq!((form["RoleSessionName"].as_str(), form["DurationSeconds"].as_str()), ("job-one", "1800"));
}

#[tokio::test]
async fn the_default_chain_takes_the_first_source_there_is() {
    let token = file("pod-token\n");
    let default = ecr(AwsSource::Default);
    let environment = [("AWS_ACCESS_KEY_ID", "AKIAENV"), ("AWS_SECRET_ACCESS_KEY", "secret-of-AKIAENV")];
    let web = [("AWS_WEB_IDENTITY_TOKEN_FILE", path(&token)), ("AWS_ROLE_ARN", "arn:aws:iam::1:role/web")];
    let pod = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", "URL/pod-identity"), ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", path(&token))];
    let node = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", "URL")];
    assert_eq!(who(&default, &[environment, web, pod].concat()).await, "AKIAENV/eu-west-1/ecr");
    assert_eq!(who(&default, &[web, pod].concat()).await, "ASIA-web/eu-west-1/ecr");
    assert_eq!(who(&default, &[&pod[..], &node[..]].concat()).await, "ASIA-pod/eu-west-1/ecr");
    assert_eq!(who(&default, &node).await, "ASIA-node/eu-west-1/ecr");
    let role = AssumeRole { role_arn: ROLE.into(), github_oidc: true, ..AssumeRole::default() };
    let github = [("ACTIONS_ID_TOKEN_REQUEST_URL", "URL/github"), ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "gh")];
    assert_eq!(who(&ecr(AwsSource::AssumeRole(role)), &github).await, "ASIA-target/eu-west-1/ecr");
}

#[tokio::test]
async fn nothing_found_names_everything_that_was_tried() {
    let closed = format!("http://{}", nobody().await);
    let message = who(&ecr(AwsSource::Default), &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &closed)]).await;
    for part in [
        "no AWS credentials found",
        "AWS_ACCESS_KEY_ID is not set",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "shared files",
        "container",
        "instance: the EC2 metadata",
        "set AWS_ACCESS_KEY_ID and",
    ] {
        assert!(message.contains(part), "{part} is not in: {message}");
    }
    let message = who(&ecr(AwsSource::Default), &[("AWS_EC2_METADATA_DISABLED", "true")]).await;
    assert!(message.contains("instance: AWS_EC2_METADATA_DISABLED is set"), "{message}");
}

#[tokio::test]
async fn profiles_chain_and_say_what_they_lack() {
    let credentials =
        file("[base]\naws_access_key_id = AKIABASE\naws_secret_access_key = secret-of-AKIABASE\n[tool]\ncredential_process = x\n");
    let config = file(
        "[profile role]\nrole_arn = arn:aws:iam::1:role/target\nsource_profile = base\n[profile loop]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = pool\n[profile pool]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = loop\n",
    );
    let env = [("AWS_SHARED_CREDENTIALS_FILE", path(&credentials)), ("AWS_CONFIG_FILE", path(&config))];
    for (name, expected) in [
        ("base", "AKIABASE/eu-west-1/ecr"),
        ("role", "ASIA-target/eu-west-1/ecr"),
        ("tool", "the AWS profile 'tool' uses credential_process, which the runner does not start; put keys or a role into the profile"),
        ("gone", "the AWS profile 'gone' does not exist; add it to ~/.aws/credentials or ~/.aws/config, or set AWS_CONFIG_FILE"),
    ] {
        assert_eq!(who(&ecr(AwsSource::Profile(name.into())), &env).await, expected);
    }
    assert!(who(&ecr(AwsSource::Profile("loop".into())), &env).await.ends_with("is reached through a loop of source_profile settings"));
    assert_eq!(who(&ecr(AwsSource::Default), &[env[0], env[1], ("AWS_PROFILE", "base")]).await, "AKIABASE/eu-west-1/ecr");
}

#[tokio::test]
async fn failures_are_told_apart_and_hold_no_secret() {
    use crate::job::FailureKind::{AuthDenied, AuthExpired, RegistryRefused, RegistryUnavailable};
    let plan = || ecr(AwsSource::Static(keys("AKIAPLAN")));
    let echo = "<Error><Code>SignatureDoesNotMatch</Code><Message>no\nx-amz-security-token:PLANTED</Message></Error>";
    for (status, body, kind, requests) in [
        (400, r#"{"__type":"ExpiredTokenException","message":"over"}"#, AuthExpired, 1),
        (403, echo, AuthDenied, 1),
        (400, r#"{"__type":"ThrottlingException"}"#, RegistryUnavailable, 3),
        (503, "<html>PLANTED</html>", RegistryUnavailable, 3),
        (200, "<html>PLANTED</html>", RegistryRefused, 1),
        (200, r#"{"authorizationData":["PLANTED"]}"#, RegistryRefused, 1),
        (200, r#"{"authorizationData":[{"authorizationToken":"PLANTED"}]}"#, RegistryRefused, 1),
        (302, "", RegistryRefused, 1),
    ] {
        let fake = Fake::start(move |_| Then::Answer(status, body.to_owned())).await;
        let error = error(&plan(), &[("AWS_ENDPOINT_URL", &fake.url())]).await;
        assert_eq!((error.kind(), fake.count()), (kind, requests), "{error}");
        let shown = format!("{error} {error:?}");
        let all = format!("{shown} {}", crate::job::Failure::from(error).message);
        assert!(!all.contains("PLANTED") && !all.contains("secret-of"), "{all}");
    }
    let wrong = AwsKeys { secret_access_key: "wrong".into(), ..keys("AKIAPLAN") };
    assert_eq!(who(&ecr(AwsSource::Static(wrong)), &[]).await, "Amazon ECR (FAKE) denies the request: SignatureDoesNotMatch: no");
}
