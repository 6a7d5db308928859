//! The configuration that buildah reads instead of the machine's: registries, credentials, storage, trust.
//!
//! Formats: `containers-registries.conf(5)`, `containers-auth.json(5)`, `containers-storage.conf(5)`, `containers-policy.json(5)`,
//! `containers-certs.d(5)`. All of it lies in the workspace and goes with it.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fmt::Write as _,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};

use super::{super::dockerfile, pool::Store, sandbox::Users};
use crate::{executor::docker_build::Request, oci::is_loopback};

/// Where the machine says which signatures images must have.
const POLICY: &str = "/etc/containers/policy.json";

/// Where buildah looks for the registries of its user. Only with those it leaves alone what the machine has in `/etc/containers/registries.conf.d`: other
/// names behind short ones, and mirrors. Its `--registries-conf-dir` is about signatures (buildah, `pkg/parse`), whatever buildah(1) says.
const REGISTRIES: &str = "home/.config/containers/registries.conf";

/// The files, all in one folder.
#[derive(Debug, Clone)]
pub(super) struct Files {
    folder: PathBuf,
    /// Whether there is a folder of certificates.
    pub(super) certificates: bool,
    /// The trust policy to use, when the machine has none.
    pub(super) policy: Option<PathBuf>,
    /// Where temporary files go.
    pub(super) tmp: PathBuf,
    /// What has to be said again in arguments without root, where buildah looks for the store in the home folder whatever `storage.conf` says.
    pub(super) rootless: Vec<OsString>,
}

impl Files {
    /// Writes everything that does not depend on the request.
    pub(super) fn bare(folder: &Path, store: &Store, driver: &str, users: &Users) -> io::Result<Self> {
        fs_err::create_dir_all(folder.join("registries.d"))?;
        fs_err::create_dir_all(store.tmp())?;
        let files = Self {
            folder: folder.to_owned(),
            certificates: false,
            policy: None,
            tmp: store.tmp(),
            rootless: rootless(store, driver, users),
        };
        let storage = format!(
            "[storage]\ndriver = {}\ngraphroot = {}\nrunroot = {}\n",
            quoted(driver),
            quoted(&store.root().display().to_string()),
            quoted(&store.run().display().to_string())
        );
        files.write("storage.conf", storage.as_bytes())?;
        files.write("containers.conf", b"")?;
        files.write("mounts.conf", b"")?;
        // Beside it buildah reads nothing but a folder that has to be there.
        fs_err::create_dir_all(files.path(REGISTRIES).with_extension("conf.d"))?;
        files.write(REGISTRIES, registries([].into()).as_bytes())?;
        files.write("auth.json", b"{}")?;
        Ok(files)
    }

    /// Adds what the request says about registries.
    pub(super) fn fill(&mut self, request: &Request, images: &[String]) -> io::Result<()> {
        let plain = request.registries.iter().filter(|registry| registry.plain_http).map(|registry| registry.host.clone());
        let loopback = images.iter().map(|image| dockerfile::host(image)).filter(|host| is_loopback(host));
        let insecure = plain.chain(request.plain_http_hosts.iter().cloned()).chain(loopback).collect();
        self.write(REGISTRIES, registries(insecure).as_bytes())?;

        let with_user = request.registries.iter().filter(|registry| !registry.username.is_empty());
        let auths: Map<String, Value> = with_user
            .map(|registry| {
                let pair = format!("{}:{}", registry.username, registry.password.expose_secret());
                (registry.host.clone(), json!({"auth": STANDARD.encode(pair)}))
            })
            .collect();
        self.write("auth.json", json!({ "auths": auths }).to_string().as_bytes())?;

        if let Some(ca) = &request.ca_file {
            fs_err::create_dir_all(self.path("certs"))?;
            self.write("certs/ca.crt", &fs_err::read(ca)?)?;
            self.certificates = true;
        }
        if !Path::new(POLICY).exists() {
            self.write("policy.json", br#"{"default":[{"type":"insecureAcceptAnything"}]}"#)?;
            self.policy = Some(self.path("policy.json"));
        }
        Ok(())
    }

    /// The file or folder of that name.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        use fs_err::os::unix::fs::OpenOptionsExt as _;
        fs_err::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(self.path(name))?.write_all(content)
    }
}

/// Where the store is and how it is kept, for a user without rights.
fn rootless(store: &Store, driver: &str, users: &Users) -> Vec<OsString> {
    let mut args: Vec<OsString> = match users {
        Users::All => return Vec::new(),
        _ => vec!["--root".into(), store.root().into(), "--runroot".into(), store.run().into(), "--storage-driver".into(), driver.into()],
    };
    if matches!(users, Users::One(_)) {
        // Hardly a base image has files of root alone.
        args.extend(["--storage-opt".into(), format!("{driver}.ignore_chown_errors=true").into()]);
    }
    args
}

/// Short names are Docker Hub's, as Docker has it, and `insecure` hosts may speak HTTP.
fn registries(insecure: BTreeSet<String>) -> String {
    let mut text = "unqualified-search-registries = [\"docker.io\"]\nshort-name-mode = \"disabled\"\n".to_owned();
    for host in insecure {
        let _ = write!(text, "[[registry]]\nlocation = {}\ninsecure = true\n", quoted(&host));
    }
    text
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => drop(write!(out, "\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_cannot_break_out_of_their_string() {
        let text = registries(["127.0.0.1:5000".to_owned(), "a\"]\nb".to_owned()].into());
        let parsed: toml::Table = text.parse().expect("TOML");
        assert_eq!(parsed["registry"].as_array().map(Vec::len), Some(2));
        assert_eq!(parsed["registry"][1]["location"].as_str(), Some("a\"]\nb"));
    }
}
