//! Real registries as child processes: distribution 2.8 and 3, and one that has the referrers API.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::process::{self, Running};
use super::tls::Tls;
use super::tools;

/// The user of a registry with [`Options::auth`].
pub(crate) const USER: &str = "runner";
/// The password of [`USER`].
pub(crate) const PASSWORD: &str = "correct-horse-9f2c";
/// `htpasswd -nbB -C 4 runner correct-horse-9f2c`
const HTPASSWD: &str = "runner:$2y$04$1dHITf8FTsn./JK7dBAXV.S79Y2cyqWeUIkcj3FXWWDYl50TTJVlC\n";

/// Which registry it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Program {
    /// distribution 2.8, as Debian has it (`docker-registry`).
    #[default]
    Distribution2,
    /// distribution 3 (`registry3`).
    Distribution3,
    /// The registry of go-containerregistry with its referrers API (`referrers-registry`): in memory, plain HTTP, for anybody.
    Referrers,
}

/// How a registry is set up. `Options::default()` is docker-registry 2.8 over plain HTTP for anybody.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// The program.
    pub(crate) program: Program,
    /// TLS with a certificate of [`Tls::create`].
    pub(crate) tls: bool,
    /// Basic authentication of [`USER`] with [`PASSWORD`].
    pub(crate) auth: bool,
    /// More top-level keys of the registry's configuration (YAML), such as `validation` or `health`.
    pub(crate) config: &'static str,
}

/// A registry that runs until it is dropped; its storage goes with it.
#[derive(Debug)]
pub(crate) struct Registry {
    process: Running,
    address: SocketAddr,
    root: TempDir,
    tls: Option<Tls>,
    auth: bool,
}

/// One line of the access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// `GET`, `HEAD` …
    pub(crate) method: String,
    /// Path and query.
    pub(crate) path: String,
    /// The status that was answered.
    pub(crate) status: u16,
}

impl Registry {
    /// docker-registry 2.8 over plain HTTP.
    pub(crate) fn start() -> Self {
        Self::with(&Options::default())
    }

    /// A registry set up as asked; it listens when this returns.
    pub(crate) fn with(options: &Options) -> Self {
        let root = tempfile::Builder::new().prefix("registry-").tempdir().unwrap();
        let tls = options.tls.then(|| Tls::create(root.path()));
        let mut command = match options.program {
            Program::Distribution2 => tools::command("docker-registry"),
            Program::Distribution3 => tools::command("registry3"),
            Program::Referrers => tools::command("referrers-registry"),
        };
        if options.program != Program::Referrers {
            let config = root.path().join("config.yml");
            fs::write(&config, configuration(root.path(), tls.as_ref(), options)).unwrap();
            command.arg("serve").arg(&config).env("OTEL_TRACES_EXPORTER", "none");
        }
        let process = process::spawn(command.current_dir(root.path()));
        // The port is the kernel's choice: 'msg="listening on 127.0.0.1:41234, tls"'.
        let line = process.stderr_line("listening on ");
        let address = line.split("listening on ").nth(1).unwrap().split([',', '"']).next().unwrap();
        Self { process, address: address.parse().unwrap(), root, tls, auth: options.auth }
    }

    /// `127.0.0.1:port`, as references name it.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    /// `127.0.0.1:port/name`.
    pub(crate) fn repository(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base of its API: `http://127.0.0.1:port` or `https://…`.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}", if self.tls.is_some() { "https" } else { "http" }, self.address)
    }

    /// The certificate authority to trust, when it speaks TLS.
    pub(crate) fn ca(&self) -> Option<&Path> {
        self.tls.as_ref().map(|tls| tls.ca.as_path())
    }

    /// The storage root: `docker/registry/v2/…`.
    pub(crate) fn storage(&self) -> PathBuf {
        self.root.path().join("store")
    }

    /// A folder for `DOCKER_CONFIG` that has the credentials of this registry, if it wants any.
    pub(crate) fn docker_config(&self) -> PathBuf {
        let dir = self.root.path().join("docker");
        fs::create_dir_all(&dir).unwrap();
        let auths = if self.auth {
            use base64::Engine as _;
            let auth = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}"));
            serde_json::json!({ "auths": { self.host(): { "auth": auth } } })
        } else {
            serde_json::json!({})
        };
        fs::write(dir.join("config.json"), auths.to_string()).unwrap();
        dir
    }

    /// A command of another tool that trusts this registry and is logged in to it (through `SSL_CERT_FILE` and `DOCKER_CONFIG`).
    pub(crate) fn command(&self, tool: &str) -> Command {
        let mut command = tools::command(tool);
        command.env("DOCKER_CONFIG", self.docker_config());
        command.env("HELM_REGISTRY_CONFIG", self.docker_config().join("config.json"));
        if let Some(ca) = self.ca() {
            command.env("SSL_CERT_FILE", ca);
        }
        command
    }

    /// The requests served so far, this call's own aside. Only without TLS.
    pub(crate) fn requests(&self) -> Vec<Request> {
        assert!(self.tls.is_none(), "the access log of a TLS registry cannot be flushed from here");
        // The log line of a request is written when it is over, maybe after the client has its answer: a request of our own
        // comes after all of them.
        let marker = format!("/v2/?marker={}", self.process.stdout().lines().count());
        let mut stream = TcpStream::connect(self.address).unwrap();
        write!(stream, "GET {marker} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address).unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
        self.process.stdout_line(&marker);
        self.process.stdout().lines().filter_map(Request::parse).filter(|request| !request.path.starts_with("/v2/?marker=")).collect()
    }
}

impl Request {
    /// Reads `127.0.0.1 - - [time] "GET /v2/ HTTP/1.1" 200 2 "" "agent"`.
    fn parse(line: &str) -> Option<Self> {
        let mut quoted = line.split('"');
        let mut request = quoted.nth(1)?.split(' ');
        let status = quoted.next()?.split_whitespace().next()?;
        Some(Self { method: request.next()?.to_owned(), path: request.next()?.to_owned(), status: status.parse().ok()? })
    }
}

fn configuration(root: &Path, tls: Option<&Tls>, options: &Options) -> String {
    let root = root.display();
    let tls = tls
        .map_or(String::new(), |tls| format!(", tls: {{certificate: \"{}\", key: \"{}\"}}", tls.certificate.display(), tls.key.display()));
    let auth = if options.auth {
        fs::write(format!("{root}/htpasswd"), HTPASSWD).unwrap();
        format!("auth: {{htpasswd: {{realm: test, path: \"{root}/htpasswd\"}}}}\n")
    } else {
        String::new()
    };
    format!(
        "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: \"{root}/store\"}}, delete: {{enabled: true}}}}\n\
         http: {{addr: \"127.0.0.1:0\", secret: test{tls}}}\n{auth}{}",
        options.config
    )
}
