//! HTTP clients by what they trust.
//!
//! `reqwest` settles trust per client, so there is one client per certificate bundle, one for plain HTTP (which then need not read
//! the system's certificates at all), and each of them once more without a proxy for this machine's own addresses.

use std::path::{Path, PathBuf};

use reqwest::{Certificate, ClientBuilder};

use super::{
    super::{Error, Settings},
    stagger::Stagger,
};

/// What a client is made for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct ClientKey {
    /// `None`: plain HTTP alone. Else the bundles trusted besides the system's.
    pub(super) trust: Option<Vec<PathBuf>>,
    /// Whether the system's proxy settings apply.
    pub(super) proxy: bool,
}

/// The runner as servers see it.
const USER_AGENT: &str = concat!("build-runner/", env!("CARGO_PKG_VERSION"));

/// Idle connections kept per host: as many as there may be blobs in flight.
const IDLE_CONNECTIONS: usize = 64;

/// Makes aws-lc-rs the process's cryptography; whoever was first wins, and it is always the same one.
pub(super) fn install_provider() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// A client for `key`. HTTP/1.1 on purpose: one blob, one connection. Registries behind load balancers give a single TCP flow a
/// fraction of the bandwidth, and HTTP/2 would put all blobs on one.
pub(super) fn client(key: &ClientKey, settings: &Settings) -> Result<reqwest::Client, Error> {
    let mut builder = ClientBuilder::new()
        .http1_only()
        .user_agent(USER_AGENT)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .connect_timeout(settings.timeouts.connect)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .tcp_nodelay(true)
        .connector_layer(Stagger::default());
    if !key.proxy {
        builder = builder.no_proxy();
    }
    builder = match &key.trust {
        None => builder.tls_certs_only([]),
        Some(files) => {
            let mut certificates = Vec::new();
            for file in files {
                certificates.extend(read_bundle(file)?);
            }
            builder.tls_certs_merge(certificates)
        }
    };
    builder.build().map_err(|error| Error::Connection {
        host: "this machine".to_owned(),
        reason: format!("HTTPS cannot be used: {}; install the system's CA certificates or set ca_file", super::failure::innermost(&error)),
        transient: false,
    })
}

/// Certificates of a PEM bundle.
pub(super) fn read_bundle(path: &Path) -> Result<Vec<Certificate>, Error> {
    let fail = |source| Error::Io { path: path.to_owned(), source };
    let text = std::fs::read(path).map_err(fail)?;
    let invalid = |what: &str| fail(std::io::Error::new(std::io::ErrorKind::InvalidData, what));
    let certificates = Certificate::from_pem_bundle(&text).map_err(|_| invalid("not a bundle of PEM certificates"))?;
    if certificates.is_empty() {
        return Err(invalid("holds no PEM certificate"));
    }
    Ok(certificates)
}
