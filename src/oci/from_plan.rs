//! From the registry object of a plan to a location. Pure: nobody is asked, no credential is fetched.

use std::path::Path;

use super::{
    Credentials, Location, LocationError,
    auth::cloud::CloudSource,
    location::{canonical, split_host},
};
use crate::plan::{self, RegistryType};

impl Location {
    /// Where `registry` is. `base` is the folder that relative layout paths are relative to; without one no layout may be named.
    ///
    /// The host stands in `Repository`, in `LoginServer`, or in both if they agree. A public repository without any is Docker Hub's.
    ///
    /// # Errors
    /// The field that does not fit, and what to write there.
    pub fn from_plan(registry: &plan::Registry, base: Option<&Path>) -> Result<Self, LocationError> {
        if registry.registry_type == RegistryType::OciLayout {
            let refuse = || field("RegistryType", "oci_layout is a folder of this machine, which only a local job file may name");
            return base.ok_or_else(refuse).map(|base| Self::layout(Path::new(&registry.repository), base));
        }
        let server = registry.login_server.as_deref().map(host_of).filter(|host| !host.is_empty());
        let (host, name) = match (split_host(&registry.repository), server) {
            (Some(split), None) => (split.host, split.name),
            (Some(split), Some(server)) if canonical(split.host) == canonical(server) => (server, split.name),
            (Some(split), Some(server)) => {
                let problem = format!("names the host {} but LoginServer is {server}; name one of them, or both the same", split.host);
                return Err(field("Repository", problem));
            }
            (None, Some(server)) => (server, registry.repository.as_str()),
            (None, None) if registry.registry_type == RegistryType::PublicOci => ("docker.io", registry.repository.as_str()),
            (None, None) => {
                let problem = format!("'{}' names no registry; write HOST/{0}, or put the host into LoginServer", registry.repository);
                return Err(field("Repository", problem));
            }
        };
        Self::registry(host, name, registry.plain_http, credentials(registry, host)?)
    }
}

/// Those of the plan, else the cloud's for its registry types, else the machine's.
fn credentials(registry: &plan::Registry, host: &str) -> Result<Credentials, LocationError> {
    if let Some(auth) = &registry.oci_auth
        && let (Some(username), Some(password)) = (&auth.username, &auth.password)
    {
        let unresolved = || field("OCIAuth.Password", "names a Kubernetes Secret, which cannot be read here; give the value or a file");
        let password = password.value().ok_or_else(unresolved)?.clone();
        return Ok(Credentials::Static { username: username.clone(), password, origin: "OCIAuth of the plan".to_owned() });
    }
    let cloud = CloudSource::from_plan(registry, Some(host)).map_err(|error| field("RegistryType", error))?;
    Ok(cloud.map_or(Credentials::Configured, |source| Credentials::Cloud(Box::new(source))))
}

/// `LoginServer` may carry a scheme and a trailing slash.
fn host_of(server: &str) -> &str {
    let bare = server.split_once("://").map_or(server, |(_, rest)| rest);
    bare.split('/').next().unwrap_or(bare)
}

fn field(name: &'static str, problem: impl std::fmt::Display) -> LocationError {
    LocationError::Field { field: name, problem: problem.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(registry_type: RegistryType, repository: &str, server: Option<&str>, base: Option<&Path>) -> String {
        let mut registry = plan::Registry::new(registry_type, repository);
        registry.login_server = server.map(str::to_owned);
        match Location::from_plan(&registry, base) {
            Ok(Location::Registry { host, repository, auth, .. }) => format!("{host} {repository} {auth:?}"),
            Ok(Location::Layout { path }) => path.display().to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_host_stands_in_either_field() {
        use RegistryType::{Ecr, OciLayout, PrivateOci, PublicOci};
        assert_eq!(shown(PrivateOci, "r.example.com:5000/a/b", None, None), "r.example.com:5000 a/b Configured");
        assert_eq!(shown(PrivateOci, "a/b", Some("https://r.example.com/"), None), "r.example.com a/b Configured");
        assert_eq!(shown(PrivateOci, "r.example.com/a", Some("r.example.com"), None), "r.example.com a Configured");
        assert_eq!(shown(PublicOci, "busybox", Some("index.docker.io"), None), "docker.io library/busybox Configured");
        assert_eq!(shown(PublicOci, "busybox", None, None), "docker.io library/busybox Configured");
        let ecr = "012345678901.dkr.ecr.eu-west-1.amazonaws.com";
        assert_eq!(shown(Ecr, &format!("{ecr}/org/app"), None, None), format!("{ecr} org/app Cloud"));
        assert_eq!(shown(OciLayout, "../out", None, Some(Path::new("/jobs"))), "/out");
    }

    #[test]
    fn what_does_not_fit_is_named_with_its_remedy() {
        use RegistryType::{OciLayout, PrivateOci};
        assert_eq!(
            shown(PrivateOci, "app", None, None),
            "Repository: 'app' names no registry; write HOST/app, or put the host into LoginServer"
        );
        assert!(shown(PrivateOci, "a.io/x", Some("b.io"), None).starts_with("Repository: names the host a.io but LoginServer is b.io"));
        assert!(shown(OciLayout, "/etc", None, None).contains("only a local job file may name"));
    }
}
