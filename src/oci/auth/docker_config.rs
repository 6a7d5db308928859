//! Credentials files of docker and podman.
//!
//! `config.json` (docker/cli, `cli/config/configfile/file.go`): `auths{key:{auth, identitytoken, registrytoken}}`, `credHelpers{host}` before `credsStore` before `auths`.
//! `auth.json` (containers/image, `docs/containers-auth.json.5.md`): the same, with keys that may name a repository prefix; the most specific key wins.
//! A file that is not there is no credentials; a file that cannot be read or understood is an error, because going on without would only end in a
//! refusal that names the wrong cause.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::SecretString;
use serde::Deserialize;

use super::{Credentials, Error};
use crate::oci::DockerConfig;

/// Largest credentials file that is read.
const MAX_BYTES: u64 = 4 << 20;

/// One or several credentials files, in order of precedence.
#[derive(Debug, Clone, Default)]
pub(super) struct CredentialFiles {
    files: Vec<PathBuf>,
}

/// What a file says about a registry.
pub(super) enum Found {
    /// User name and password.
    Basic {
        /// User name.
        username: String,
        /// Password.
        password: SecretString,
    },
    /// A refresh token for the token server.
    IdentityToken(SecretString),
    /// A bearer token for the registry.
    RegistryToken(SecretString),
    /// Ask `docker-credential-<name>`.
    Helper {
        /// The helper's name.
        name: String,
        /// The server to ask it about.
        server: String,
    },
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct File {
    auths: BTreeMap<String, Entry>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
    registrytoken: String,
}

impl CredentialFiles {
    /// The files that the setting means. A file that is named has to exist; of the usual places those that do count.
    pub(super) fn of<'a>(setting: &DockerConfig, variable: impl Fn(&str) -> Option<&'a str>) -> Self {
        match setting {
            DockerConfig::None => return Self::default(),
            DockerConfig::File(path) => return Self { files: vec![path.clone()] },
            DockerConfig::UsualPlaces => {}
        }
        let set = |name: &str| variable(name).map(PathBuf::from);
        let home = set("HOME");
        let in_home = |below: &str| home.as_ref().map(|home| home.join(below));
        let places = [
            set("REGISTRY_AUTH_FILE"),
            set("XDG_RUNTIME_DIR").map(|dir| dir.join("containers/auth.json")),
            set("XDG_CONFIG_HOME").map(|dir| dir.join("containers/auth.json")).or_else(|| in_home(".config/containers/auth.json")),
            set("DOCKER_CONFIG").map(|dir| dir.join("config.json")).or_else(|| in_home(".docker/config.json")),
        ];
        Self { files: places.into_iter().flatten().filter(|path| path.is_file()).collect() }
    }

    /// What the first file that knows the registry says, and which file that is.
    ///
    /// # Errors
    /// A file that is there and cannot be used.
    pub(super) fn find(&self, host: &str, repository: &str) -> Result<Option<(Found, PathBuf)>, Error> {
        for path in &self.files {
            if let Some(found) = read(path)?.find(host, repository).map_err(|reason| Error::File { path: path.clone(), reason })? {
                return Ok(Some((found, path.clone())));
            }
        }
        Ok(None)
    }
}

impl Credentials {
    /// The credentials for `host` and `repository` in the content of a docker credentials file; `None` when it has none. `origin` says in words
    /// where the content is from. Helpers are refused: the content may come from somebody who must not choose a program to run.
    ///
    /// # Errors
    /// A fragment that says what is wrong, without any of the content.
    pub fn from_docker_config(content: &str, host: &str, repository: &str, origin: &str) -> Result<Option<Self>, String> {
        let file: File = serde_json::from_str(content).map_err(|error| {
            let form = "write {\"auths\": {\"HOST\": {\"auth\": …}}}";
            format!("is not the content of a docker credentials file (line {}, column {}); {form}", error.line(), error.column())
        })?;
        match file.find(host, repository).map_err(|reason| format!("cannot be used: {reason}"))? {
            None => Ok(None),
            Some(Found::Basic { username, password }) => Ok(Some(Self::Static { username, password, origin: origin.to_owned() })),
            Some(Found::IdentityToken(_) | Found::RegistryToken(_)) => Err("has a token; give user name and password (auth)".to_owned()),
            Some(Found::Helper { .. }) => {
                Err("names a credential helper, which is a program of another machine; give user name and password".to_owned())
            }
        }
    }
}

fn read(path: &Path) -> Result<File, Error> {
    let fail = |reason: String| Error::File { path: path.to_owned(), reason };
    let size = std::fs::metadata(path).map_err(|error| fail(error.to_string()))?.len();
    if size > MAX_BYTES {
        return Err(fail(format!("has {size} bytes; at most {MAX_BYTES} are read")));
    }
    let text = std::fs::read(path).map_err(|error| fail(error.to_string()))?;
    // serde_json's message would quote the value it stumbled over, which may be a secret: only the place is told.
    serde_json::from_slice(&text)
        .map_err(|error| fail(format!("not a credentials file (line {}, column {})", error.line(), error.column())))
}

impl File {
    fn find(&self, host: &str, repository: &str) -> Result<Option<Found>, String> {
        let keys = keys(host, repository);
        if let Some((server, name)) = keys.iter().find_map(|key| Some((key, self.cred_helpers.get(key)?))) {
            return Ok(Some(Found::Helper { name: name.clone(), server: server.clone() }));
        }
        if !self.creds_store.is_empty() {
            return Ok(Some(Found::Helper { name: self.creds_store.clone(), server: server_name(host) }));
        }
        let entry = keys.iter().find_map(|key| self.auths.iter().find(|(name, _)| normalise(name) == *key));
        entry.map_or(Ok(None), |(key, entry)| entry.found(key))
    }
}

impl Entry {
    fn found(&self, key: &str) -> Result<Option<Found>, String> {
        if !self.registrytoken.is_empty() {
            return Ok(Some(Found::RegistryToken(self.registrytoken.clone().into())));
        }
        if !self.identitytoken.is_empty() {
            return Ok(Some(Found::IdentityToken(self.identitytoken.clone().into())));
        }
        if !self.username.is_empty() {
            return Ok(Some(Found::Basic { username: self.username.clone(), password: self.password.clone().into() }));
        }
        if self.auth.is_empty() {
            return Ok(None);
        }
        let wrong = || format!("auths['{key}'].auth is not base64 of USER:PASSWORD; log in again");
        let text = STANDARD.decode(self.auth.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(wrong)?;
        let (username, password) = text.split_once(':').ok_or_else(wrong)?;
        // Docker pads with NULs when it copies fixed-size fields (cli/config/configfile/file.go, decodeAuth).
        Ok(Some(Found::Basic { username: username.to_owned(), password: password.trim_end_matches('\0').to_owned().into() }))
    }
}

/// Keys to look for, most specific first: `host/a/b`, `host/a`, `host`.
fn keys(host: &str, repository: &str) -> Vec<String> {
    let mut path = repository;
    let mut keys = Vec::new();
    while !path.is_empty() {
        keys.push(format!("{host}/{path}"));
        path = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    }
    keys.push(host.to_owned());
    if is_docker_hub(host) {
        keys.extend(["index.docker.io".to_owned(), "docker.io".to_owned(), "registry-1.docker.io".to_owned()]);
    }
    keys
}

fn is_docker_hub(host: &str) -> bool {
    matches!(host, "registry-1.docker.io" | "docker.io" | "index.docker.io")
}

/// What a credential helper knows the registry as.
fn server_name(host: &str) -> String {
    if is_docker_hub(host) { "https://index.docker.io/v1/".to_owned() } else { host.to_owned() }
}

/// Keys are hosts, repository prefixes, or URLs of old (`https://index.docker.io/v1/`).
fn normalise(key: &str) -> &str {
    let rest = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"));
    match rest {
        Some(url) => url.split('/').next().unwrap_or(url),
        None => key.trim_end_matches('/'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    fn lookup(json: &str, host: &str, repository: &str) -> String {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("config.json");
        std::fs::write(&path, json).expect("written");
        match CredentialFiles::of(&DockerConfig::File(path), |_| None).find(host, repository) {
            Ok(None) => "none".to_owned(),
            Ok(Some((Found::Basic { username, password }, _))) => format!("{username}:{}", password.expose_secret()),
            Ok(Some((Found::IdentityToken(token), _))) => format!("identity {}", token.expose_secret()),
            Ok(Some((Found::RegistryToken(token), _))) => format!("registry {}", token.expose_secret()),
            Ok(Some((Found::Helper { name, server }, _))) => format!("helper {name} {server}"),
            Err(error) => error.to_string().rsplit_once("config.json: ").map_or_else(String::new, |(_, reason)| reason.to_owned()),
        }
    }

    #[test]
    fn the_most_specific_key_wins() {
        let json =
            r#"{"auths":{"r.io":{"auth":"dTpob3N0"},"r.io/team":{"auth":"dTp0ZWFt"},"https://index.docker.io/v1/":{"auth":"dTpodWI="}}}"#;
        assert_eq!(lookup(json, "r.io", "other/app"), "u:host");
        assert_eq!(lookup(json, "r.io", "team/app"), "u:team");
        assert_eq!(lookup(json, "registry-1.docker.io", "library/busybox"), "u:hub");
        assert_eq!(lookup(json, "elsewhere.io", "a"), "none");
    }

    #[test]
    fn helpers_come_before_stored_passwords() {
        let json = r#"{"auths":{"r.io":{"auth":"dTpw"}},"credHelpers":{"r.io":"ecr-login"},"credsStore":"pass"}"#;
        assert_eq!(lookup(json, "r.io", "a"), "helper ecr-login r.io");
        assert_eq!(lookup(json, "registry-1.docker.io", "library/a"), "helper pass https://index.docker.io/v1/");
    }

    #[test]
    fn tokens_of_either_kind_are_found() {
        assert_eq!(lookup(r#"{"auths":{"r.io":{"identitytoken":"i","auth":"dTpw"}}}"#, "r.io", "a"), "identity i");
        assert_eq!(lookup(r#"{"auths":{"r.io":{"registrytoken":"t"}}}"#, "r.io", "a"), "registry t");
    }

    #[test]
    fn a_broken_file_is_named_without_quoting_it() {
        assert_eq!(lookup(r#"{"auths":{"r.io":{"auth":5}}}"#, "r.io", "a"), "not a credentials file (line 1, column 26)");
        assert!(lookup(r#"{"auths":{"r.io":{"auth":"!!"}}}"#, "r.io", "a").contains("log in again"));
    }
}
