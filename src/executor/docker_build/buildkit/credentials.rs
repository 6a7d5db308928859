//! The docker configuration that buildctl reads credentials from: the job's registries and nothing else.

use std::{collections::BTreeMap, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::super::RegistryCredential;
use crate::{executor::Context, job::Failure};

/// The key of Docker Hub in these files (docker/cli, `cli/config/configfile`).
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// Writes `config.json` (0600) into a folder of the workspace (0700) and names the folder. Without credentials there is a file as well: the
/// one of the runner's user must not be found instead.
pub(super) fn write(cx: &Context, registries: &[RegistryCredential]) -> Result<PathBuf, Failure> {
    let folder = cx.workspace.folder("docker-config")?;
    let mut auths = BTreeMap::new();
    for registry in registries.iter().filter(|registry| !registry.username.is_empty()) {
        let key = if registry.host == "docker.io" { HUB_KEY } else { &registry.host };
        let password = registry.password.expose_secret();
        let entry = match registry.username.as_str() {
            "<token>" => json!({ "identitytoken": password }),
            name => {
                let auth = STANDARD.encode(format!("{name}:{password}"));
                cx.log.add_secret(&auth);
                json!({ "auth": auth })
            }
        };
        auths.insert(key, entry);
    }
    let mut open = fs_err::OpenOptions::new();
    open.write(true).create(true).truncate(true);
    open.options_mut().mode(0o600);
    open.open(folder.join("config.json"))?.write_all(json!({ "auths": auths }).to_string().as_bytes())?;
    Ok(folder)
}
