//! Command lines, as far as tools share them. Nothing secret stands in them: arguments are there for everybody to see.
//!
//! `buildah build` took over the options of `docker build`; `buildctl` writes the same values in options of its own.

use std::ffi::{OsStr, OsString};

use super::Request;

/// Arguments being put together.
#[derive(Debug, Default)]
pub(super) struct Flags(Vec<OsString>);

impl Flags {
    /// Adds an option with its value.
    pub(super) fn value(&mut self, name: &str, value: impl Into<OsString>) {
        self.0.extend([name.into(), value.into()]);
    }

    /// Adds an option without one.
    pub(super) fn switch(&mut self, name: &str) {
        self.0.push(name.into());
    }

    /// Adds the stage `target`, arguments, labels and whether steps are done anew. `is_wanted` says by name which arguments.
    pub(super) fn wishes(&mut self, request: &Request, target: Option<&str>, is_wanted: impl Fn(&str) -> bool) {
        if let Some(target) = target {
            self.value("--target", target);
        }
        for (name, value) in request.build_args.iter().filter(|(name, _)| is_wanted(name)) {
            self.value("--build-arg", format!("{name}={value}"));
        }
        for (name, value) in &request.labels {
            self.value("--label", format!("{name}={value}"));
        }
        if !request.cache.local {
            self.switch("--no-cache");
        }
    }

    /// Adds the files of secrets and the socket of the ssh agent, which steps may mount.
    pub(super) fn mounts(&mut self, request: &Request) {
        for (id, file) in &request.secrets {
            self.value("--secret", csv(&[("id", id.as_ref()), ("src", file.as_os_str())]));
        }
        if let Some(socket) = &request.ssh_agent {
            self.value("--ssh", assign("default", socket.as_os_str()));
        }
    }
}

impl IntoIterator for Flags {
    type Item = OsString;
    type IntoIter = std::vec::IntoIter<OsString>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// `name=value`.
pub(super) fn assign(name: &str, value: &OsStr) -> OsString {
    let mut text = OsString::from(name);
    text.push("=");
    text.push(value);
    text
}

/// `a=b,c=d` as Go's CSV reader takes it: a field with a comma or quote is quoted, and its quotes doubled.
pub(super) fn csv(fields: &[(&str, &OsStr)]) -> OsString {
    let mut line = OsString::new();
    for (name, value) in fields {
        if !line.is_empty() {
            line.push(",");
        }
        line.push(field(&assign(name, value)));
    }
    line
}

/// One field of such a line.
pub(super) fn field(text: &OsStr) -> OsString {
    match text.to_str() {
        Some(text) if text.contains([',', '"', '\n']) => format!("\"{}\"", text.replace('"', "\"\"")).into(),
        _ => text.to_owned(),
    }
}
