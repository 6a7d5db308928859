//! The environment a child gets: an allow-list, private folders and the marker that finds escaped children again.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// Variable whose value, `<execution>.<number>`, tells which command of which execution a process belongs to.
pub(super) const MARKER: &str = "BUILD_RUNNER_EXECUTION";

/// Taken over from the runner's own environment: where programs and certificates are, and how to get out of the network.
const INHERITED: &[&str] = &[
    "PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
];

/// Where programs are looked for when the runner itself has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Variables of the children of one execution.
#[derive(Clone)]
pub struct Environment {
    execution: String,
    vars: BTreeMap<OsString, OsString>,
}

impl Environment {
    /// The allow-listed variables of the runner, `HOME` and `TMPDIR` as given, a fixed language.
    #[must_use]
    pub fn new(execution: &str, home: &Path, tmp: &Path) -> Self {
        let mut vars: BTreeMap<OsString, OsString> =
            INHERITED.iter().filter_map(|name| Some(((*name).into(), std::env::var_os(name)?))).collect();
        vars.entry("PATH".into()).or_insert_with(|| DEFAULT_PATH.into());
        vars.insert("HOME".into(), home.into());
        vars.insert("TMPDIR".into(), tmp.into());
        vars.insert("LANG".into(), "C.UTF-8".into());
        Self { execution: execution.to_owned(), vars }
    }

    /// The same for a command of the runner itself, which belongs to no execution. Of its own for this process: runners side by side take
    /// nobody's command for a leftover of theirs.
    #[must_use]
    pub fn of_runner(home: &Path, tmp: &Path) -> Self {
        Self::new(&format!("runner-{}", std::process::id()), home, tmp)
    }

    /// Adds or replaces one variable.
    #[must_use]
    pub fn with(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.vars.insert(name.into(), value.into());
        self
    }

    /// The variables, without the marker.
    pub(super) fn vars(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.vars.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    /// Where `program` would be found.
    #[must_use]
    pub fn find(&self, program: &str) -> Option<PathBuf> {
        use std::os::unix::fs::PermissionsExt as _;
        let executable =
            |file: &PathBuf| std::fs::metadata(file).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0);
        std::env::split_paths(self.path()).map(|folder| folder.join(program)).find(executable)
    }

    /// Where programs are looked for.
    pub(super) fn path(&self) -> &OsStr {
        self.vars.get(OsStr::new("PATH")).map_or(OsStr::new(DEFAULT_PATH), OsString::as_os_str)
    }

    /// A marker value no other command has.
    pub(super) fn next_marker(&self) -> String {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        format!("{}.{}", self.execution, NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// Credentials inside proxy URLs, which tools like to print.
    pub(super) fn secrets(&self) -> impl Iterator<Item = String> + '_ {
        self.vars.iter().filter(|(name, _)| name.to_string_lossy().to_ascii_lowercase().ends_with("_proxy")).filter_map(|(_, value)| {
            let (user_info, _) = value.to_str()?.rsplit_once('@')?;
            let (_, password) = user_info.rsplit_once("//").map_or(user_info, |(_, rest)| rest).split_once(':')?;
            Some(password.to_owned())
        })
    }
}

impl std::fmt::Debug for Environment {
    /// Names only: values may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment").field("execution", &self.execution).field("names", &self.vars.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_variables_pass_and_debug_shows_no_values() {
        let environment = Environment::new("run1", Path::new("/h"), Path::new("/t"))
            .with("TOKEN", "hunter2hunter2")
            .with("https_proxy", "http://me:pr0xypass@proxy:3128");
        let names: Vec<_> = environment.vars().map(|(name, _)| name.to_string_lossy().into_owned()).collect();
        assert!(!names.iter().any(|name| name.starts_with("CARGO")), "{names:?}");
        assert!(names.contains(&"PATH".to_owned()) && names.contains(&"HOME".to_owned()));
        assert!(!format!("{environment:?}").contains("hunter2"));
        assert!(environment.secrets().any(|secret| secret == "pr0xypass"));
        assert_ne!(environment.next_marker(), environment.next_marker());
    }
}
