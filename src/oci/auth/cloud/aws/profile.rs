//! The shared files of AWS's tools: `~/.aws/credentials` and `~/.aws/config` (`AWS_SHARED_CREDENTIALS_FILE`, `AWS_CONFIG_FILE`).
//!
//! Read: keys, `role_arn` with `source_profile`, `credential_source` or `web_identity_token_file`, `region` is left to the caller. Refused
//! with a reason: `credential_process` (it would run a program outside the runner's own process handling) and single sign-on (it needs a
//! person).

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use super::{AwsKeys, chain, metadata, sts};
use crate::oci::auth::cloud::{CloudError, call::Cx};

/// Longest chain of `source_profile`s.
const MAX_DEPTH: usize = 5;

type Section = BTreeMap<String, String>;

/// Keys of the profile `name`; it has to exist.
pub(super) async fn named(cx: &Cx<'_>, name: &str, region: &str) -> Result<AwsKeys, CloudError> {
    let profiles = load(cx).await?;
    resolve(cx, &profiles, name, region, 0).await
}

/// Keys of `AWS_PROFILE`, which has to exist then, or of the profile `default` if there is one with keys or a role.
pub(super) async fn default(cx: &Cx<'_>, region: &str) -> Result<Option<AwsKeys>, CloudError> {
    if let Some(name) = cx.var("AWS_PROFILE") {
        return named(cx, &name, region).await.map(Some);
    }
    let profiles = load(cx).await?;
    let useful = |section: &Section| {
        ["aws_access_key_id", "role_arn", "credential_process", "sso_session", "sso_start_url"].iter().any(|key| section.contains_key(*key))
    };
    if profiles.get("default").is_some_and(useful) {
        return resolve(cx, &profiles, "default", region, 0).await.map(Some);
    }
    Ok(None)
}

async fn load(cx: &Cx<'_>) -> Result<BTreeMap<String, Section>, CloudError> {
    let home = cx.var("HOME").map(PathBuf::from);
    let mut profiles = BTreeMap::new();
    for (variable, usual, prefix) in
        [("AWS_CONFIG_FILE", ".aws/config", "profile "), ("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials", "")]
    {
        let given = cx.var(variable).map(PathBuf::from);
        let Some(path) = given.clone().or_else(|| home.as_ref().map(|home| home.join(usual))) else { continue };
        match cx.read(&path, "the AWS file").await {
            Ok(text) => parse(&text, prefix, &mut profiles),
            Err(CloudError::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound && given.is_none() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(profiles)
}

/// Adds a file's profiles; what a later file says wins. In the configuration file all but `default` have the prefix `profile `.
fn parse(text: &str, prefix: &str, profiles: &mut BTreeMap<String, Section>) {
    let mut current: Option<String> = None;
    for line in text.lines() {
        // Indented lines are values of a nested setting (`s3 =`), none of which matters here.
        if line.starts_with([' ', '\t', '#', ';']) || line.is_empty() {
            continue;
        }
        if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            let header = header.trim();
            current = if header == "default" { Some(header) } else { header.strip_prefix(prefix).map(str::trim) }.map(str::to_owned);
        } else if let (Some(section), Some((key, value))) = (&current, line.split_once('=')) {
            profiles.entry(section.clone()).or_default().insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
}

async fn resolve(cx: &Cx<'_>, profiles: &BTreeMap<String, Section>, name: &str, region: &str, depth: usize) -> Result<AwsKeys, CloudError> {
    let wrong = |problem: &str| CloudError::setting(format!("the AWS profile '{name}'"), problem);
    if depth > MAX_DEPTH {
        return Err(wrong("is reached through a loop of source_profile settings"));
    }
    let Some(profile) = profiles.get(name) else {
        return Err(wrong("does not exist; add it to ~/.aws/credentials or ~/.aws/config, or set AWS_CONFIG_FILE"));
    };
    let get = |key: &str| profile.get(key).map(String::as_str).filter(|value| !value.is_empty());
    // A profile may be its own source: then its keys are meant, not its role again.
    let own_keys = get("aws_access_key_id").zip(get("aws_secret_access_key")).map(|(id, secret)| AwsKeys {
        access_key_id: id.to_owned(),
        secret_access_key: cx.secret(secret.to_owned()),
        session_token: get("aws_session_token").map(|token| cx.secret(token.to_owned())),
    });
    let Some(role_arn) = get("role_arn") else {
        return own_keys.ok_or_else(|| {
            if get("credential_process").is_some() {
                wrong("uses credential_process, which the runner does not start; put keys or a role into the profile")
            } else if get("sso_session").or_else(|| get("sso_start_url")).is_some() {
                wrong("uses single sign-on, which needs a person; put keys or a role into the profile")
            } else {
                wrong("has neither aws_access_key_id and aws_secret_access_key nor role_arn")
            }
        });
    };
    if let Some(file) = get("web_identity_token_file") {
        return chain::web_identity(cx, region, file, role_arn, get("role_session_name")).await;
    }
    let keys = match (get("source_profile"), get("credential_source")) {
        (Some(source), _) if source == name => own_keys.ok_or_else(|| wrong("is its own source_profile and has no keys"))?,
        (Some(source), _) => Box::pin(resolve(cx, profiles, source, region, depth + 1)).await?,
        (None, Some("Environment")) => {
            chain::environment(cx)?.ok_or_else(|| wrong("has credential_source = Environment, but AWS_ACCESS_KEY_ID is not set"))?
        }
        (None, Some("EcsContainer")) => {
            metadata::container(cx).await?.ok_or_else(|| wrong("has credential_source = EcsContainer, but this is no such container"))?
        }
        (None, Some("Ec2InstanceMetadata")) => {
            metadata::instance(cx).await?.map_err(|missing| wrong(&format!("needs the instance's role: {missing}")))?
        }
        (None, _) => return Err(wrong("has role_arn without source_profile or credential_source; add one")),
    };
    let duration = get("duration_seconds").and_then(|text| text.parse().ok()).map(Duration::from_secs);
    let session = sts::Session { name: get("role_session_name").unwrap_or("build-runner"), duration, external_id: get("external_id") };
    sts::assume(cx, region, &keys, role_arn, &session).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_files_make_one_profile() {
        let mut profiles = BTreeMap::new();
        let config = "[default]\nregion = eu-west-1\ns3 =\n  aws_access_key_id = no\n[profile a]\nrole_arn=r\n[b]\nrole_arn=ignored\n[sso-session x]\ny=z\n";
        parse(config, "profile ", &mut profiles);
        parse("# c\n[a]\naws_access_key_id = AKIA\n[default]\nregion = x\n", "", &mut profiles);
        assert_eq!(profiles.keys().collect::<Vec<_>>(), ["a", "default"]);
        assert_eq!(profiles["a"].keys().collect::<Vec<_>>(), ["aws_access_key_id", "role_arn"]);
        assert_eq!(profiles["default"]["region"], "x");
        assert_eq!(profiles["default"].get("aws_access_key_id"), None);
    }
}
