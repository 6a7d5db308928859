//! The table of settings: the single source of flags, variables, TOML keys, `config explain` and the README's reference.

/// One setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Key in the TOML file; flag and variable follow from it.
    pub key: &'static str,
    /// What stands in `--help` for the value.
    pub value_name: &'static str,
    /// Default, as text; empty means none.
    pub default: &'static str,
    /// Takes several values: an array in TOML, separated by commas elsewhere.
    pub list: bool,
    /// Hidden in `config explain`.
    pub secret: bool,
    /// One line of help.
    pub help: &'static str,
}

impl Setting {
    /// The flag, without the dashes in front.
    #[must_use]
    pub fn flag(&self) -> String {
        self.key.replace('_', "-")
    }

    /// The environment variable.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("BUILD_RUNNER_{}", self.key.to_uppercase())
    }

    const fn new(key: &'static str, value_name: &'static str, default: &'static str, help: &'static str) -> Self {
        Self { key, value_name, default, list: false, secret: false, help }
    }

    const fn list(mut self) -> Self {
        self.list = true;
        self
    }
}

/// Every setting there is. A test holds [`super::Config`] to reading each of them.
pub const SETTINGS: &[Setting] = &[
    Setting::new("state_dir", "DIR", "", "Folder for everything that has to survive a restart [default: $XDG_STATE_HOME/build-runner]"),
    Setting::new("log_level", "LEVEL", "info", "The runner's own messages: error, warn, info, debug or trace"),
    Setting::new("log_format", "FORMAT", "text", "The runner's own messages as text or json"),
    Setting::new("job_log_head", "BYTES", "64MiB", "How much of the beginning of a job's log is kept"),
    Setting::new("job_log_tail", "BYTES", "16MiB", "How much of the end of a job's log is kept when it is longer than the head"),
    Setting::new("execution_timeout", "DURATION", "", "Longest time for one execution [default: by job type, 5m to 60m]"),
    Setting::new("kill_grace", "DURATION", "10s", "Time between SIGTERM and SIGKILL for a job's processes"),
    Setting::new("min_free_disk", "BYTES", "256MiB", "Free space below which no job is started"),
    Setting::new("min_free_inodes", "COUNT", "1000", "Free inodes below which no job is started"),
    Setting::new("ca_file", "FILE", "", "PEM bundle of certificate authorities trusted besides the system's"),
    Setting::new("host_ca_files", "HOST=FILE,…", "", "PEM bundles trusted for one registry host each").list(),
    Setting::new("plain_http_hosts", "HOST,…", "", "Registry hosts that are spoken to over plain HTTP").list(),
    Setting::new("docker_config", "FILE", "", "Docker or podman credentials file [default: the usual places; 'none' for none]"),
    Setting::new("transfer_concurrency", "COUNT", "64", "Most blobs in flight to one registry host"),
    Setting::new("git_ssh_key", "FILE", "", "Private key for ssh:// repositories; without it ssh is refused"),
    Setting::new("git_ssh_known_hosts", "FILE", "", "Host keys for ssh:// repositories"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    /// The README's table, made from the settings; paste it there when this test fails.
    fn table() -> String {
        let mut table = "| key | value | default | meaning |\n|---|---|---|---|\n".to_owned();
        for s in SETTINGS {
            let default = if s.default.is_empty() { String::new() } else { format!("`{}`", s.default) };
            let _ = writeln!(table, "| `{}` | `{}` | {default} | {} |", s.key, s.value_name, s.help);
        }
        table
    }

    #[test]
    fn the_readme_lists_every_setting() {
        let readme = include_str!("../../README.md");
        let (_, after) = readme.split_once("a test compares -->\n").expect("the marker");
        let (listed, _) = after.split_once("<!-- /settings -->").expect("the end marker");
        assert_eq!(listed, table());
    }

    #[test]
    fn names_follow_from_the_key_and_are_unique() {
        let mut keys: Vec<_> = SETTINGS.iter().map(|s| s.key).collect();
        assert_eq!((SETTINGS[0].flag().as_str(), SETTINGS[0].variable().as_str()), ("state-dir", "BUILD_RUNNER_STATE_DIR"));
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), SETTINGS.len());
    }
}
