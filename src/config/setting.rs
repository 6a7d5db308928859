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
    /// The flag, without the dashes in front, where it is not the key with dashes.
    pub spelled: Option<&'static str>,
    /// Another variable that is read when the usual one is not set.
    pub also: Option<&'static str>,
    /// Whether there is a flag. A secret has none: arguments are there for everybody to see.
    pub has_flag: bool,
    /// Takes several values: an array in TOML, separated by commas elsewhere.
    pub list: bool,
    /// On or off: the flag takes no value and says on; `true` or `false` elsewhere.
    pub switch: bool,
    /// Hidden in `config explain`.
    pub secret: bool,
    /// One line of help.
    pub help: &'static str,
}

impl Setting {
    /// The flag, without the dashes in front.
    #[must_use]
    pub fn flag(&self) -> String {
        self.spelled.map_or_else(|| self.key.replace('_', "-"), str::to_owned)
    }

    /// The environment variable.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("BUILD_RUNNER_{}", self.key.to_uppercase())
    }

    const fn new(key: &'static str, value_name: &'static str, default: &'static str, help: &'static str) -> Self {
        Self { key, value_name, default, spelled: None, also: None, has_flag: true, list: false, switch: false, secret: false, help }
    }

    /// Every variable that is read for it, the first that is set wins.
    pub fn variables(&self) -> impl Iterator<Item = String> {
        std::iter::once(self.variable()).chain(self.also.map(str::to_owned))
    }

    /// How to set it, for messages: `--flag DIR` and the variables.
    #[must_use]
    pub fn ways(&self) -> String {
        let variables: Vec<_> = self.variables().collect();
        let variables = variables.join(" or ");
        match (self.has_flag, self.switch) {
            (true, false) => format!("--{} {}, {variables}", self.flag(), self.value_name),
            (true, true) => format!("--{}, {variables}", self.flag()),
            (false, _) => variables,
        }
    }

    const fn spelled(mut self, flag: &'static str) -> Self {
        self.spelled = Some(flag);
        self
    }

    const fn also(mut self, variable: &'static str) -> Self {
        self.also = Some(variable);
        self
    }

    const fn secret(mut self) -> Self {
        self.secret = true;
        self.has_flag = false;
        self
    }

    const fn switch(key: &'static str, help: &'static str) -> Self {
        let mut setting = Self::new(key, "true|false", "false", help);
        setting.switch = true;
        setting
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
    Setting::new(
        "kustomize_remote_bases",
        "POLICY",
        "plan",
        "Bases and files that a kustomization fetches: deny, allow, or plan (what the plan says)",
    ),
    Setting::new("trusted_root", "FILE", "", "Sigstore trusted_root.json for signatures of identities, where a plan brings none"),
    Setting::new("transfer_concurrency", "COUNT", "64", "Most blobs in flight to one registry host"),
    Setting::new("git_ssh_key", "FILE", "", "Private key for ssh:// repositories; without it ssh is refused"),
    Setting::new("git_ssh_known_hosts", "FILE", "", "Host keys for ssh:// repositories"),
    Setting::new(
        "docker_backend",
        "NAME",
        "auto",
        "What builds images: buildkit, buildah, docker, or auto for the first of these that is ready",
    ),
    Setting::new("buildkit_address", "URL", "", "Where buildkitd listens, unix:///… or tcp://… [default: its usual sockets]"),
    Setting::new("docker_host", "URL", "", "Where the Docker engine listens, unix:///… or tcp://… [default: its usual socket]"),
    Setting::new("docker_ssh_agent", "SOCKET", "", "ssh agent that image builds may use if their plan asks for it; none by default"),
    Setting::new(
        "docker_cache_limit",
        "BYTES",
        "20GiB",
        "Most space for the steps of image builds that the runner keeps for the next ones",
    ),
    Setting::new(
        "signing_key",
        "FILE",
        "",
        "PEM private key (ECDSA P-256 or Ed25519) that signs provenance [default: one made in state_dir]",
    ),
    Setting::switch("no_provenance", "Attach no provenance and no SBOM to what is pushed"),
    Setting::new("api_url", "URL", "", "The control plane to take jobs from").also("RUNNER_API_URL"),
    Setting::new("runner_id", "ID", "", "This runner's id at the control plane").also("RUNNER_ID"),
    Setting::new("api_token_file", "FILE", "", "File with the runner's token; read again when it changes"),
    Setting::new("api_token", "TOKEN", "", "The runner's token itself, when there is no file for it").also("RUNNER_API_TOKEN").secret(),
    Setting::new("slots", "COUNT", "4", "Most jobs of a control plane at once"),
    Setting::new("group_limits", "GROUP=COUNT,…", "", "Most jobs at once of a group: build, sync, deploy, operations, health-checks")
        .list(),
    Setting::new("local_roots", "DIR", "", "Folders below which jobs of a control plane may name local paths; none by default")
        .spelled("local-root")
        .list(),
    Setting::new("drain_timeout", "DURATION", "30m", "How long running jobs may go on after the first SIGTERM"),
    Setting::new("poll_interval", "DURATION", "5s", "Time between two polls of a control plane that cannot hold them"),
    Setting::new("admin_address", "HOST:PORT", "", "Where /livez, /readyz, /status and /metrics are served; nowhere by default"),
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
            let also = s.also.map(|variable| format!("; also from `{variable}`")).unwrap_or_default();
            let flag = s.spelled.map(|flag| format!("; the flag is `--{flag}`, repeatable")).unwrap_or_default();
            let switch = if s.switch { "; the flag takes no value" } else { "" };
            // A bar would end the cell.
            let value = s.value_name.replace('|', "\\|");
            let secret = if s.secret { "; a secret: never a flag" } else { "" };
            let _ = writeln!(table, "| `{}` | `{value}` | {default} | {}{also}{flag}{switch}{secret} |", s.key, s.help);
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
        let mut keys: Vec<_> = SETTINGS.iter().flat_map(|s| s.variables().chain([s.flag(), s.key.to_owned()])).collect();
        keys.sort_unstable();
        keys.dedup();
        let distinct = |s: &Setting| 2 + usize::from(s.flag() != s.key) + usize::from(s.also.is_some());
        assert_eq!(keys.len(), SETTINGS.iter().map(distinct).sum::<usize>());
        assert_eq!((SETTINGS[0].flag().as_str(), SETTINGS[0].variable().as_str()), ("state-dir", "BUILD_RUNNER_STATE_DIR"));
        assert!(SETTINGS.iter().all(|s| !(s.secret && s.has_flag)), "arguments are there for everybody to see");
    }
}
