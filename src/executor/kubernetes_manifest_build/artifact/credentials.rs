//! `credentials_ref`: the content of a docker credentials file, as a Kubernetes Secret of type `kubernetes.io/dockerconfigjson` has it.

use secrecy::ExposeSecret as _;

use crate::{
    executor::Context,
    job::{Failure, FailureKind},
    oci::Credentials,
    plan::Secret,
};

/// The credentials for `host` and `repository` in `secret`. Nothing of it is ever repeated in a message.
pub(super) fn of(cx: &Context, secret: &Secret, host: &str, repository: &str) -> Result<Credentials, Failure> {
    let wrong = |why: &str| Failure::new(FailureKind::InvalidPlan, format!("oci_artifact_source.credentials_ref {why}"));
    let Some(text) = secret.value() else {
        return Err(wrong("names a Kubernetes Secret, which cannot be read here; give the value or a file"));
    };
    cx.log.add_secret(text.expose_secret());
    let found = Credentials::from_docker_config(text.expose_secret(), host, repository, "credentials_ref of the plan");
    let found = found.map_err(|why| wrong(&why))?;
    let Some(Credentials::Static { username, password, origin }) = found else {
        return Err(wrong(&format!("has no credentials for {host}; add auths['{host}']")));
    };
    cx.log.add_basic_auth(&username, password.expose_secret());
    Ok(Credentials::Static { username, password, origin })
}
