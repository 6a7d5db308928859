//! The typed configuration.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use super::{ConfigError, Resolved, SETTINGS, parse_bytes, parse_duration};
use crate::telemetry::LogFormat;

/// Settings of one registry host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostSettings {
    /// Spoken to over plain HTTP.
    pub plain_http: bool,
    /// PEM bundle trusted for it.
    pub ca_file: Option<PathBuf>,
}

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
    pub transfer_concurrency: usize,
    pub git_ssh_key: Option<PathBuf>,
    pub git_ssh_known_hosts: Option<PathBuf>,
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
            transfer_concurrency: r.required("transfer_concurrency", count),
            git_ssh_key: r.optional("git_ssh_key", path),
            git_ssh_known_hosts: r.optional("git_ssh_known_hosts", path),
        }
    }
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
