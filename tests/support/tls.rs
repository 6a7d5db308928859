//! A certificate authority of a test, and the certificate it gave a server on loopback.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// Files of a server certificate for `localhost` and `127.0.0.1`, and of the authority that signed it.
#[derive(Debug)]
pub(crate) struct Tls {
    /// The authority's certificate (PEM): what a client has to trust.
    pub(crate) ca: PathBuf,
    /// The server's certificate (PEM).
    pub(crate) certificate: PathBuf,
    /// The server's key (PEM).
    pub(crate) key: PathBuf,
}

impl Tls {
    /// Makes them in a folder.
    pub(crate) fn create(dir: &Path) -> Self {
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.distinguished_name.push(rcgen::DnType::CommonName, "build-runner test authority");
        let ca_certificate = ca.self_signed(&ca_key).unwrap();
        let issuer = Issuer::new(ca, ca_key);

        let key = KeyPair::generate().unwrap();
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();

        let write = |name: &str, pem: String| {
            let file = dir.join(name);
            std::fs::write(&file, pem).unwrap();
            file
        };
        Self {
            ca: write("ca.crt", ca_certificate.pem()),
            certificate: write("server.crt", certificate.pem()),
            key: write("server.key", key.serialize_pem()),
        }
    }
}
