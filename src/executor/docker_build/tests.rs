//! What unit tests of the backends share.

use super::{CacheOptions, Network, Request};

/// A request for `app/Dockerfile`, target `zz`.
pub(super) fn request() -> Request {
    Request {
        context: "/w".into(),
        dockerfile: "/w/app/Dockerfile".into(),
        dockerfile_name: "app/Dockerfile".to_owned(),
        build_args: Vec::new(),
        target: Some("zz".to_owned()),
        labels: std::collections::BTreeMap::new(),
        platforms: Vec::new(),
        secrets: Vec::new(),
        ssh_agent: None,
        network: Network::Default,
        cache: CacheOptions::default(),
        sbom_generator: None,
        epoch: 0,
        registries: Vec::new(),
        plain_http_hosts: Vec::new(),
        ca_file: None,
        out: "/w/out".into(),
    }
}
