//! The typed configuration.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::{ConfigError, Resolved, SETTINGS, parse_bytes, parse_duration};
use crate::{
    executor::{DockerBackend, kubernetes_manifest_build::RemoteBases},
    job::{JobGroup, RunnerId},
    telemetry::LogFormat,
};

/// Settings of one registry host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostSettings {
    /// Spoken to over plain HTTP.
    pub plain_http: bool,
    /// PEM bundle trusted for it.
    pub ca_file: Option<PathBuf>,
}

/// A secret that came as a value. Compares by content so that configurations can be compared; never shows it.
#[derive(Debug, Clone)]
pub struct Token(pub SecretString);

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.0.expose_secret() == other.0.expose_secret()
    }
}

impl Eq for Token {}

/// Everything that can be configured. See [`SETTINGS`] for what each value means.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is the setting of the same name")]
pub struct Config {
    pub state_dir: PathBuf,
    pub log_level: tracing::level_filters::LevelFilter,
    pub log_format: LogFormat,
    pub job_log_head: u64,
    pub job_log_tail: u64,
    pub execution_timeout: Option<Duration>,
    pub kill_grace: Duration,
    pub min_free_disk: u64,
    pub min_free_inodes: u64,
    pub ca_file: Option<PathBuf>,
    pub hosts: BTreeMap<String, HostSettings>,
    pub docker_config: Option<PathBuf>,
    pub kustomize_remote_bases: RemoteBases,
    pub trusted_root: Option<PathBuf>,
    pub transfer_concurrency: usize,
    pub git_ssh_key: Option<PathBuf>,
    pub git_ssh_known_hosts: Option<PathBuf>,
    pub docker_backend: DockerBackend,
    pub buildkit_address: Option<String>,
    pub docker_host: Option<String>,
    pub docker_ssh_agent: Option<PathBuf>,
    pub docker_cache_limit: u64,
    pub signing_key: Option<PathBuf>,
    pub no_provenance: bool,
    pub api_url: Option<Url>,
    pub runner_id: Option<RunnerId>,
    pub api_token_file: Option<PathBuf>,
    pub api_token: Option<Token>,
    pub slots: usize,
    pub group_limits: BTreeMap<JobGroup, usize>,
    pub local_roots: Vec<PathBuf>,
    pub drain_timeout: Duration,
    pub poll_interval: Duration,
    pub admin_address: Option<SocketAddr>,
}

/// Reads settings out of [`Resolved`], collecting what is wrong with them.
struct Reader<'a> {
    resolved: &'a Resolved,
    errors: Vec<ConfigError>,
    read: Vec<&'static str>,
}

impl Reader<'_> {
    fn fail(&mut self, key: &'static str, problem: impl std::fmt::Display) {
        let (_, origin) = self.resolved.get(key);
        let problem = if SETTINGS.iter().any(|s| s.key == key && s.secret) {
            format!("{key} has an unusable value")
        } else {
            format!("{key}: {problem}")
        };
        self.errors.push(ConfigError { place: origin.to_string(), problem });
    }

    fn values(&mut self, key: &'static str) -> Vec<String> {
        self.read.push(key);
        self.resolved.get(key).0.to_vec()
    }

    /// The value understood by `parse`; `None` when it is not set or (after noting that) unusable.
    fn optional<T>(&mut self, key: &'static str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let values = self.values(key);
        match values.first().map(|text| parse(text))? {
            Ok(value) => Some(value),
            Err(problem) => {
                self.fail(key, problem);
                None
            }
        }
    }

    fn required<T: Default>(&mut self, key: &'static str, parse: impl FnOnce(&str) -> Result<T, String>) -> T {
        let before = self.errors.len();
        let value = self.optional(key, parse);
        if value.is_none() && self.errors.len() == before {
            self.fail(key, "is empty and has to have a value");
        }
        value.unwrap_or_default()
    }
}

fn path(text: &str) -> Result<PathBuf, String> {
    if text.trim().is_empty() { Err("is blank; give a path".to_owned()) } else { Ok(PathBuf::from(text)) }
}

fn count<T: std::str::FromStr + PartialOrd + From<u8>>(text: &str) -> Result<T, String> {
    text.parse::<T>().ok().filter(|n| *n >= T::from(1)).ok_or_else(|| format!("'{text}' is not a whole number of at least 1"))
}

fn one_of<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
        format!("'{text}' is none of {}", names.join(", "))
    })
}

impl Config {
    /// Understands every setting.
    ///
    /// # Errors
    /// Every unusable value, all at once.
    pub fn new(resolved: &Resolved) -> Result<Self, Vec<ConfigError>> {
        let mut reader = Reader { resolved, errors: Vec::new(), read: Vec::new() };
        let config = Self::read(&mut reader);
        if reader.errors.is_empty() { Ok(config) } else { Err(reader.errors) }
    }

    fn read(r: &mut Reader<'_>) -> Self {
        use tracing::level_filters::LevelFilter;
        let levels = [
            ("error", LevelFilter::ERROR),
            ("warn", LevelFilter::WARN),
            ("info", LevelFilter::INFO),
            ("debug", LevelFilter::DEBUG),
            ("trace", LevelFilter::TRACE),
        ];
        let bases = [("deny", RemoteBases::Deny), ("allow", RemoteBases::Allow), ("plan", RemoteBases::Plan)];
        Self {
            state_dir: r.required("state_dir", path),
            log_level: r.optional("log_level", |t| one_of(t, &levels)).unwrap_or(LevelFilter::INFO),
            log_format: r
                .optional("log_format", |t| one_of(t, &[("text", LogFormat::Text), ("json", LogFormat::Json)]))
                .unwrap_or(LogFormat::Text),
            job_log_head: r.required("job_log_head", parse_bytes),
            job_log_tail: r.required("job_log_tail", parse_bytes),
            execution_timeout: r.optional("execution_timeout", positive_duration),
            kill_grace: r.required("kill_grace", parse_duration),
            min_free_disk: r.required("min_free_disk", parse_bytes),
            min_free_inodes: r.required("min_free_inodes", |t| t.parse().map_err(|_| format!("'{t}' is not a whole number"))),
            ca_file: r.optional("ca_file", path),
            hosts: hosts(r),
            docker_config: r.optional("docker_config", path),
            kustomize_remote_bases: r.optional("kustomize_remote_bases", |t| one_of(t, &bases)).unwrap_or_default(),
            trusted_root: r.optional("trusted_root", path),
            transfer_concurrency: r.required("transfer_concurrency", count),
            git_ssh_key: r.optional("git_ssh_key", path),
            git_ssh_known_hosts: r.optional("git_ssh_known_hosts", path),
            docker_backend: r.optional("docker_backend", |t| one_of(t, DockerBackend::NAMES)).unwrap_or_default(),
            buildkit_address: r.optional("buildkit_address", socket_address),
            docker_host: r.optional("docker_host", socket_address),
            docker_ssh_agent: r.optional("docker_ssh_agent", path),
            docker_cache_limit: r.required("docker_cache_limit", parse_bytes),
            signing_key: r.optional("signing_key", path),
            no_provenance: r.optional("no_provenance", |t| one_of(t, &[("true", true), ("false", false)])).unwrap_or(false),
            api_url: r.optional("api_url", api_url),
            runner_id: r.optional("runner_id", runner_id),
            api_token_file: r.optional("api_token_file", path),
            api_token: r.optional("api_token", token),
            slots: r.required("slots", count),
            group_limits: group_limits(r),
            local_roots: local_roots(r),
            drain_timeout: r.required("drain_timeout", parse_duration),
            poll_interval: r.optional("poll_interval", positive_duration).unwrap_or(Duration::from_secs(5)),
            admin_address: r.optional("admin_address", parse_address),
        }
    }
}

/// Where a daemon of this machine or its network listens.
fn socket_address(text: &str) -> Result<String, String> {
    let fits = match text.split_once("://") {
        Some(("unix", path)) => path.starts_with('/'),
        Some(("tcp", rest)) => {
            rest.parse::<SocketAddr>().is_ok() || Url::parse(text).is_ok_and(|url| url.has_host() && url.port().is_some())
        }
        _ => false,
    };
    if fits { Ok(text.to_owned()) } else { Err("is not the address of a daemon; write unix:///PATH or tcp://HOST:PORT".to_owned()) }
}

/// A URL may carry a password; what is wrong with it is told without showing it.
fn api_url(text: &str) -> Result<Url, String> {
    let form = "write it like https://control-plane.example.com";
    let url = Url::parse(text).map_err(|error| format!("is not a URL ({error}); {form}"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(format!("is not an http:// or https:// URL; {form}"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(format!("has more than host and path in it; {form}, and give the token in a file"));
    }
    Ok(url)
}

fn runner_id(text: &str) -> Result<RunnerId, String> {
    text.parse().map_err(|error: crate::job::IdError| error.to_string())
}

fn token(text: &str) -> Result<Token, String> {
    let text = text.trim();
    if text.is_empty() || !text.chars().all(|c| c.is_ascii_graphic()) {
        return Err("is no token".to_owned());
    }
    Ok(Token(SecretString::from(text)))
}

/// `HOST:PORT` with a number for the host, or `localhost:PORT`.
///
/// # Errors
/// A sentence fragment that says what is accepted.
pub fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let text = text.strip_prefix("localhost:").map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
    text.parse().map_err(|_| format!("'{text}' is not an address; write it like 127.0.0.1:9464, or [::]:9464 for every interface"))
}

fn group_limits(r: &mut Reader<'_>) -> BTreeMap<JobGroup, usize> {
    let mut limits = BTreeMap::new();
    for pair in r.values("group_limits") {
        let known = || JobGroup::ALL.iter().map(|group| group.as_str()).collect::<Vec<_>>().join(", ");
        let parsed = pair.split_once('=').ok_or_else(|| format!("'{pair}' is not GROUP=COUNT")).and_then(|(group, limit)| {
            let group = group.trim().parse::<JobGroup>().map_err(|group| format!("'{group}' is none of {}", known()))?;
            Ok((group, count(limit.trim())?))
        });
        match parsed {
            Ok((group, limit)) => drop(limits.insert(group, limit)),
            Err(problem) => r.fail("group_limits", problem),
        }
    }
    limits
}

/// Folders as they are on the disk: what a job names is compared after its links are followed, so these have to be, too.
fn local_roots(r: &mut Reader<'_>) -> Vec<PathBuf> {
    let mut roots = Vec::new();
    for root in r.values("local_roots") {
        match std::fs::canonicalize(&root) {
            Ok(path) if path.is_dir() => roots.push(path),
            Ok(_) => r.fail("local_roots", format_args!("'{root}' is not a folder")),
            Err(error) => r.fail("local_roots", format_args!("'{root}' cannot be used: {}", error.kind())),
        }
    }
    roots
}

fn positive_duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).and_then(|d| if d.is_zero() { Err("has to be longer than nothing".to_owned()) } else { Ok(d) })
}

fn hosts(r: &mut Reader<'_>) -> BTreeMap<String, HostSettings> {
    let mut hosts: BTreeMap<String, HostSettings> = BTreeMap::new();
    for host in r.values("plain_http_hosts") {
        if host.contains('/') {
            r.fail("plain_http_hosts", format_args!("'{host}' is not a host; write HOST or HOST:PORT"));
        }
        hosts.entry(host).or_default().plain_http = true;
    }
    for pair in r.values("host_ca_files") {
        match pair.split_once('=') {
            Some((host, file)) if !host.is_empty() && !file.is_empty() => {
                hosts.entry(host.to_owned()).or_default().ca_file = Some(file.into());
            }
            _ => r.fail("host_ca_files", format_args!("'{pair}' is not HOST=FILE")),
        }
    }
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Layers, load};

    #[test]
    fn every_declared_setting_is_really_read() {
        let resolved = load(&Layers::default()).expect("defaults load");
        let mut reader = Reader { resolved: &resolved, errors: Vec::new(), read: Vec::new() };
        let _ = Config::read(&mut reader);
        assert_eq!(reader.errors, [], "the defaults are usable");
        let unread: Vec<_> = SETTINGS.iter().map(|s| s.key).filter(|key| !reader.read.contains(key)).collect();
        assert_eq!(unread, [""; 0]);
    }

    #[test]
    fn limits_and_roots_are_lists_and_secrets_stay_hidden() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut layers = Layers::default();
        layers.flags.insert("local_roots".into(), vec![folder.path().display().to_string(), "/".into()]);
        for (name, value) in [
            ("BUILD_RUNNER_GROUP_LIMITS", "build=2, sync=4"),
            ("RUNNER_API_TOKEN", "hunter2"),
            ("RUNNER_ID", "run-1"),
            ("RUNNER_API_URL", ""),
        ] {
            layers.environment.insert(name.into(), value.into());
        }
        let resolved = load(&layers).expect("loads");
        let config = Config::new(&resolved).expect("usable");
        assert_eq!(config.group_limits, BTreeMap::from([(JobGroup::Build, 2), (JobGroup::Sync, 4)]));
        assert_eq!((config.local_roots.len(), config.runner_id.as_ref().map(RunnerId::as_str), &config.api_url), (2, Some("run-1"), &None));
        assert_eq!(resolved.get("runner_id").1.to_string(), "environment RUNNER_ID");
        let shown: String = resolved.explain().map(|(_, value, _)| value).collect();
        assert!(!format!("{config:?} {shown}").contains("hunter2"));
        layers.environment.insert("BUILD_RUNNER_RUNNER_ID".into(), "run-2".into());
        let resolved = load(&layers).expect("loads");
        assert_eq!(resolved.get("runner_id").1.to_string(), "environment BUILD_RUNNER_RUNNER_ID");
    }

    #[test]
    fn values_for_the_control_plane_are_checked_without_being_shown() {
        let mut layers = Layers::default();
        for (key, value) in [
            ("API_URL", "https://u:hunter2@plane"),
            ("API_TOKEN", "hunter2 hunter2"),
            ("RUNNER_ID", "a/b"),
            ("SLOTS", "0"),
            ("GROUP_LIMITS", "build,fetch=2"),
            ("LOCAL_ROOTS", "/does/not/exist"),
            ("ADMIN_ADDRESS", "9464"),
        ] {
            layers.environment.insert(format!("BUILD_RUNNER_{key}"), value.to_owned());
        }
        let errors = Config::new(&load(&layers).expect("loads")).expect_err("eight mistakes");
        let shown = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(errors.len() == 8 && !shown.contains("hunter2"), "{shown}");
        for needle in
            ["has more than host and path", "'a/b' is not an id", "'fetch' is none of build, sync", "write it like 127.0.0.1:9464"]
        {
            assert!(shown.contains(needle), "{needle}\n{shown}");
        }
    }

    #[test]
    fn every_unusable_value_is_named_with_its_place() {
        let mut layers = Layers::default();
        for (key, value) in [("LOG_LEVEL", "loud"), ("KILL_GRACE", "soon"), ("PLAIN_HTTP_HOSTS", "http://a"), ("JOB_LOG_HEAD", "")] {
            layers.environment.insert(format!("BUILD_RUNNER_{key}"), value.to_owned());
        }
        let errors = Config::new(&load(&layers).expect("loads")).expect_err("four mistakes");
        let shown = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        insta::assert_snapshot!(shown, @r"
        environment BUILD_RUNNER_LOG_LEVEL: log_level: 'loud' is none of error, warn, info, debug, trace
        environment BUILD_RUNNER_JOB_LOG_HEAD: job_log_head: is empty and has to have a value
        environment BUILD_RUNNER_KILL_GRACE: kill_grace: 'soon' is not a duration; write it like 30s, 10m or 1h30m
        environment BUILD_RUNNER_PLAIN_HTTP_HOSTS: plain_http_hosts: 'http://a' is not a host; write HOST or HOST:PORT
        ");
    }
}
