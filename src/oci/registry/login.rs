//! How other programs log in to the registry: for tools that pull by themselves and understand only user name and password.

use secrecy::SecretString;

use super::Registry;
use crate::oci::{Cx, Error};

/// A registry host as a tool's configuration names it.
#[derive(Debug, Clone)]
pub struct Login {
    /// `HOST` or `HOST:PORT`; Docker Hub is `docker.io`.
    pub host: String,
    /// Whether it is spoken to over plain HTTP.
    pub plain_http: bool,
    /// User name and password; absent when there are none.
    pub user: Option<(String, SecretString)>,
}

impl Registry {
    /// User name and password for the registry, asking the cloud or the machine's credential helpers if that is where they come from.
    ///
    /// # Errors
    /// When there are some and they cannot be had, or are of a kind that is good for nobody but this client (a registry token).
    pub async fn login(&self, cx: Cx<'_>) -> Result<Login, Error> {
        let home = self.home(cx).await?;
        let user = home.auth(&self.0.transport).await?.user_and_password(&self.read_scope(), cx).await?;
        Ok(Login { host: self.0.host.clone(), plain_http: home.is_plain_http(), user })
    }
}
