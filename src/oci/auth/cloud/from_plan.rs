//! From the plan's registry object to a [`CloudSource`].
//!
//! In: [`plan::Registry`]. Out: the source, or nothing when the registry is not a cloud's or the plan gives a user name and password, which
//! win over everything. Pure.

use std::time::Duration;

use secrecy::SecretString;

use super::{AcrConfig, AssumeRole, AwsKeys, AwsSource, CloudError, CloudSource, EcrConfig, GarConfig, TwoStep};
use crate::plan;

impl CloudSource {
    /// The source for `registry`, whose host is `host`; `None` for ECR means the account's own registry of the region.
    ///
    /// # Errors
    /// [`CloudError::Plan`] for what this runner cannot do: a secret it would have to look up, Google's identity for an Amazon role, no host.
    pub fn from_plan(registry: &plan::Registry, host: Option<&str>) -> Result<Option<Self>, CloudError> {
        if registry.oci_auth.is_some() {
            return Ok(None);
        }
        let host_or = |what: &str| host.map(str::to_owned).ok_or_else(|| CloudError::Plan(format!("LoginServer is missing; {what}")));
        Ok(Some(match registry.registry_type {
            plan::RegistryType::Ecr => {
                let auth = registry.ecr_auth.as_ref();
                Self::Ecr(EcrConfig {
                    registry: host.map(str::to_owned),
                    region: registry.region.clone().or_else(|| auth?.region.clone()),
                    credentials: auth.map_or(Ok(AwsSource::Default), aws)?,
                })
            }
            plan::RegistryType::Acr => {
                let app = registry.acr_app_registration.as_ref();
                let principal = registry.acr_auth.as_ref().and_then(|auth| auth.service_principal.as_ref());
                Self::Acr(AcrConfig {
                    registry: host_or("write NAME.azurecr.io")?,
                    plain_http: registry.plain_http,
                    tenant_id: app.and_then(|app| app.tenant_id.clone()).or_else(|| principal?.subscription_tenant_id.clone()),
                    client_id: app.and_then(|app| app.client_id.clone()),
                    client_secret: None,
                })
            }
            plan::RegistryType::Gar => Self::Gar(GarConfig {
                registry: host_or("write LOCATION-docker.pkg.dev")?,
                key_json: None,
                service_account_email: registry.service_account_email.clone(),
                workload_identity_provider: registry.workload_identity_provider.clone(),
            }),
            plan::RegistryType::PrivateOci | plan::RegistryType::PublicOci | plan::RegistryType::OciLayout => return Ok(None),
        }))
    }
}

/// Keys of the plan before its role, its role before its profile, as the hosted control plane's runners have it.
fn aws(auth: &plan::AwsAuth) -> Result<AwsSource, CloudError> {
    if auth.use_gcp_oidc {
        return Err(CloudError::Plan(
            "ECRAuth.use_gcp_oidc is not supported; use assume_role with keys, a role or GitHub's identity".to_owned(),
        ));
    }
    if let Some(fixed) = &auth.static_credentials {
        return keys(fixed, "ECRAuth.static").map(AwsSource::Static);
    }
    if let Some(role) = &auth.assume_role {
        let via = role.two_step_config.as_ref().map(two_step).transpose()?;
        return Ok(AwsSource::AssumeRole(AssumeRole {
            role_arn: role.role_arn.clone(),
            session_name: role.session_name.clone(),
            duration: (role.session_duration_seconds > 0).then(|| Duration::from_secs(role.session_duration_seconds.into())),
            via,
            github_oidc: role.use_github_oidc,
        }));
    }
    Ok(auth.profile.clone().filter(|name| !name.is_empty()).map_or(AwsSource::Default, AwsSource::Profile))
}

fn two_step(step: &plan::AwsTwoStep) -> Result<TwoStep, CloudError> {
    let fixed = step.src_static_credentials.as_ref();
    Ok(TwoStep {
        role_arn: step.iam_role_arn.clone().unwrap_or_default(),
        keys: fixed.map(|fixed| keys(fixed, "ECRAuth.assume_role.two_step_config.src_static_credentials")).transpose()?,
        source_role_arn: step.src_iam_role_arn.clone(),
    })
}

fn keys(fixed: &plan::AwsStatic, place: &str) -> Result<AwsKeys, CloudError> {
    let value = |secret: &plan::Secret| -> Result<SecretString, CloudError> {
        let missing =
            || CloudError::Plan(format!("{place} refers to a Kubernetes Secret, which is not looked up for registries; give the value"));
        secret.value().cloned().ok_or_else(missing)
    };
    Ok(AwsKeys {
        access_key_id: fixed.access_key_id.clone(),
        secret_access_key: value(&fixed.secret_access_key)?,
        session_token: fixed.session_token.as_ref().map(value).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_role_arrives() {
        let mut registry = plan::Registry::new(plan::RegistryType::Ecr, "a/b");
        assert!(matches!(
            CloudSource::from_plan(&registry, None),
            Ok(Some(CloudSource::Ecr(EcrConfig { credentials: AwsSource::Default, .. })))
        ));
        let fixed =
            plan::AwsStatic { access_key_id: "AKIA".into(), secret_access_key: plan::Secret::Value("s".into()), session_token: None };
        let two_step = plan::AwsTwoStep {
            iam_role_arn: Some("second".into()),
            src_static_credentials: Some(fixed),
            src_iam_role_arn: Some("first".into()),
        };
        registry.ecr_auth = Some(plan::AwsAuth {
            static_credentials: None,
            assume_role: Some(plan::AwsAssumeRole {
                role_arn: "third".into(),
                session_name: Some("me".into()),
                session_duration_seconds: 1800,
                two_step_config: Some(two_step),
                use_github_oidc: false,
            }),
            profile: None,
            use_default: false,
            cache_id: None,
            region: Some("eu-west-1".into()),
            use_gcp_oidc: false,
        });
        let Ok(Some(CloudSource::Ecr(config))) = CloudSource::from_plan(&registry, Some("h")) else { panic!("not ECR") };
        assert_eq!((config.registry.as_deref(), config.region.as_deref()), (Some("h"), Some("eu-west-1")));
        let AwsSource::AssumeRole(role) = config.credentials else { panic!("no role") };
        let via = role.via.unwrap();
        assert_eq!((role.role_arn.as_str(), via.role_arn.as_str(), via.source_role_arn.as_deref()), ("third", "second", Some("first")));
        assert_eq!((role.duration, via.keys.unwrap().access_key_id.as_str()), (Some(Duration::from_mins(30)), "AKIA"));
        registry.oci_auth = Some(plan::OciAuth { username: None, password: None });
        assert!(matches!(CloudSource::from_plan(&registry, None), Ok(None)));
    }

    #[test]
    fn what_needs_a_host_says_so() {
        let registry = plan::Registry::new(plan::RegistryType::Gar, "a/b");
        let error = CloudSource::from_plan(&registry, None).unwrap_err();
        assert_eq!(error.to_string(), "LoginServer is missing; write LOCATION-docker.pkg.dev");
    }
}
