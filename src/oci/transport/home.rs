//! A registry as one repository sees it: its address and who we are to it.

use std::path::PathBuf;

use reqwest::Url;
use tokio::sync::OnceCell;

use super::{Transport, same_origin, tls::ClientKey};
use crate::oci::{
    Cx, Error,
    auth::{Authenticator, Credentials},
    location::is_loopback,
};

/// Address and credentials. The authenticator is made when the registry first asks for credentials: until then nothing of it
/// is needed, not even the certificates a token server would be trusted by.
pub(in super::super) struct Home {
    /// Root of the interface, `…/v2/`.
    pub(super) base: Url,
    host: String,
    credentials: Credentials,
    auth: OnceCell<Authenticator>,
}

impl Home {
    /// Finds out how `host` is spoken to. `plain_http` is what the plan says.
    pub(in super::super) async fn find(
        transport: &Transport,
        cx: Cx<'_>,
        host: &str,
        plain_http: bool,
        credentials: Credentials,
    ) -> Result<Self, Error> {
        let base = transport.base(cx, host, plain_http).await?;
        Ok(Self { base, host: host.to_owned(), credentials, auth: OnceCell::new() })
    }

    /// Whether nothing that is sent there is encrypted.
    pub(in super::super) fn is_plain_http(&self) -> bool {
        self.base.scheme() == "http"
    }

    /// A URL below `…/v2/`.
    pub(in super::super) fn url(&self, path: &str) -> Result<Url, Error> {
        let reason = |error: url::ParseError| Error::Connection { host: self.host.clone(), reason: error.to_string(), transient: false };
        self.base.join(path).map_err(reason)
    }

    /// Whether a URL is the registry's own, which alone may see credentials.
    pub(in super::super) fn owns(&self, url: &Url) -> bool {
        same_origin(&self.base, url)
    }

    /// Where an answer of the registry says to go on. A registry behind a TLS proxy that calls itself `http` is corrected.
    pub(in super::super) fn locate(&self, from: &Url, location: &str) -> Option<Url> {
        let mut url = from.join(location).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())?;
        if self.base.scheme() == "https" && url.scheme() == "http" && url.host() == self.base.host() {
            url.set_scheme("https").ok()?;
            url.set_port(self.base.port()).ok()?;
        }
        Some(url)
    }

    /// The authenticator, if the registry has asked for credentials before.
    pub(super) fn auth_if_needed(&self) -> Option<&Authenticator> {
        self.auth.get()
    }

    /// The authenticator.
    pub(in super::super) async fn auth(&self, transport: &Transport) -> Result<&Authenticator, Error> {
        let make = || async {
            // Token servers are other hosts, and speak TLS even if the registry does not.
            let settings = &transport.settings;
            let own = settings.hosts.get(&self.host).and_then(|host| host.ca_file.clone());
            let trust = settings.ca_file.iter().cloned().chain(own).collect::<Vec<PathBuf>>();
            let http = transport.client_for(ClientKey { trust: Some(trust), proxy: !is_loopback(&self.host) })?;
            let plain = self.base.scheme() == "http";
            Ok(Authenticator::new(self.host.clone(), plain, self.credentials.clone(), settings, http))
        };
        self.auth.get_or_try_init(make).await
    }
}
