//! Walks a tree and collects every mistake instead of stopping at the first.
//!
//! `serde` stops at the first mistake, knows no places and cannot tell a misspelt key from the right one; plans are written by people, so they
//! get a reader of their own. In: [`Node`]. Out: values, [`Problem`]s, warnings, and the secrets that were met on the way.

use secrecy::SecretString;

use crate::yaml::{Entry, Kind, Node, Position};

use super::{
    Defect, LocalFolder, Problem,
    problem::nearest,
    syntax::shown,
    values::{Decode, Fields},
};

/// Mistakes of one document that are worth listing.
const MAX_PROBLEMS: usize = 100;

/// How much to forgive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// A person wrote it here: an unknown key is an error; local paths are allowed.
    JobFile,
    /// A control plane sent it, perhaps a newer one: an unknown key is a warning; nothing may point at this machine.
    Polled,
}

/// Reads the secret that `{"file": …}` names; the error is a sentence that completes "cannot read the secret: ".
pub type SecretLoader<'a> = dyn Fn(&str) -> Result<SecretString, String> + 'a;

/// Something in a plan that means something only on the machine it was written on.
#[derive(Debug, Clone)]
pub enum FromHere {
    /// A folder: a path, relative to the job file or absolute, or a `file://` URL.
    Path,
    /// A secret, read from the file that stands there.
    Secret(SecretString),
    /// A number that is meant as it is written (`1.10`), which other forms of the plan do not keep.
    Literal,
}

/// State of one decoding.
pub(crate) struct Reader<'a> {
    pub(crate) strictness: Strictness,
    pub(crate) loader: Option<&'a SecretLoader<'a>>,
    pub(crate) problems: Vec<Problem>,
    pub(crate) warnings: Vec<Problem>,
    pub(crate) secrets: Vec<SecretString>,
    pub(crate) from_here: Vec<(Position, FromHere)>,
    /// Every folder of this machine that was named so far.
    pub(crate) folders: Vec<LocalFolder>,
    path: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(strictness: Strictness, loader: Option<&'a SecretLoader<'a>>) -> Self {
        Self {
            strictness,
            loader,
            problems: Vec::new(),
            warnings: Vec::new(),
            secrets: Vec::new(),
            from_here: Vec::new(),
            folders: Vec::new(),
            path: Vec::new(),
        }
    }

    /// Whether a person wrote the document here.
    pub(crate) fn is_job_file(&self) -> bool {
        self.strictness == Strictness::JobFile
    }

    /// Runs `read` with `segment` (`name`, or `[3]`) appended to the path.
    pub(crate) fn within<T>(&mut self, segment: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(segment.to_owned());
        let value = read(self);
        self.path.pop();
        value
    }

    /// Records a mistake at the current path.
    pub(crate) fn report(&mut self, at: Option<Position>, defect: impl Into<Defect>) {
        if self.problems.len() < MAX_PROBLEMS {
            let problem = self.problem(at, defect.into());
            self.problems.push(problem);
        }
    }

    /// Records something odd that does not stop the job.
    fn warn(&mut self, at: Option<Position>, defect: Defect) {
        if self.warnings.len() < MAX_PROBLEMS {
            let problem = self.problem(at, defect);
            self.warnings.push(problem);
        }
    }

    fn problem(&self, at: Option<Position>, defect: Defect) -> Problem {
        Problem { path: self.path(), at, defect }
    }

    /// Where it is reading, from the root of the document.
    fn path(&self) -> String {
        self.path.iter().fold(String::new(), |path, segment| {
            if path.is_empty() || segment.starts_with('[') { path + segment } else { path + "." + segment }
        })
    }

    /// Notes that the value at that place means something only here.
    pub(crate) fn is_from_here(&mut self, at: Option<Position>, what: FromHere) {
        self.from_here.extend(at.map(|at| (at, what)));
    }

    /// Records the wrong type of `node`.
    pub(crate) fn wrong_type(&mut self, node: &Node, expected: &'static str) {
        self.report(node.at, Defect::WrongType { expected, found: node.type_name() });
    }

    /// `node` as an object with these fields. Every other key is reported.
    pub(crate) fn object<'n>(&mut self, node: &'n Node, fields: Fields) -> Option<Object<'n>> {
        self.object_except(node, fields, |_| None)
    }

    /// The same, with a better word for some unknown keys; those are not a mistake when null, as Go sends them.
    pub(crate) fn object_except<'n>(
        &mut self,
        node: &'n Node,
        fields: Fields,
        foreign: impl Fn(&str) -> Option<Defect>,
    ) -> Option<Object<'n>> {
        let Kind::Mapping(entries) = &node.kind else {
            self.wrong_type(node, "an object");
            return None;
        };
        for entry in entries {
            if fields.iter().any(|names| names.contains(&entry.key.as_str())) {
                continue;
            }
            let defect = match foreign(&entry.key) {
                Some(_) if entry.value.is_null() => continue,
                Some(defect) => defect,
                None => Defect::UnknownKey {
                    nearest: nearest(&entry.key, fields.iter().flat_map(|names| names.iter().copied())).map(str::to_owned),
                    known: fields.iter().map(|names| names[0]).collect(),
                },
            };
            self.within(&shown(&entry.key), |r| match r.strictness {
                Strictness::JobFile => r.report(entry.key_at, defect),
                Strictness::Polled => r.warn(entry.key_at, defect),
            });
        }
        Some(Object { at: node.at, entries, fields })
    }
}

/// A mapping whose keys were checked.
pub(crate) struct Object<'n> {
    pub(crate) at: Option<Position>,
    entries: &'n [Entry],
    fields: Fields,
}

impl<'n> Object<'n> {
    /// Every spelling of the field of which `name` is one.
    fn names(&self, name: &str) -> &'static [&'static str] {
        self.fields.iter().find(|names| names.contains(&name)).copied().unwrap_or(&[])
    }

    /// The pair of the field of which `name` is one spelling.
    pub(crate) fn entry(&self, name: &str) -> Option<&'n Entry> {
        let names = self.names(name);
        self.entries.iter().find(|entry| names.contains(&entry.key.as_str()))
    }

    /// Notes that a field holds a folder of this machine, as a path or a `file://` URL: a job file's is relative to it, and a control
    /// plane may name only those that the runner lets it. Whatever reads such a field has to call this.
    pub(crate) fn is_local_path(&self, r: &mut Reader<'_>, name: &str) {
        let Some(entry) = self.entry(name) else { return };
        r.is_from_here(entry.value.at, FromHere::Path);
        if let Kind::String(text) = &entry.value.kind {
            let folder = text.strip_prefix("file://").unwrap_or(text).into();
            r.within(&entry.key, |r| r.folders.push(LocalFolder { key: r.path(), folder }));
        }
    }

    /// Records a mistake in a field, at its value or, if it is not there, at the object.
    pub(crate) fn report(&self, r: &mut Reader<'_>, name: &str, defect: impl Into<Defect>) {
        let entry = self.entry(name);
        let at = entry.map_or(self.at, |entry| entry.value.at);
        r.within(entry.map_or(name, |entry| &entry.key), |r| r.report(at, defect));
    }

    /// Records a mistake in a field unless `result` is fine.
    pub(crate) fn check<E: Into<Defect>>(&self, r: &mut Reader<'_>, name: &str, result: Result<(), E>) {
        if let Err(defect) = result {
            self.report(r, name, defect);
        }
    }

    /// A field's value, or what its type has for an absent one. `None` when a mistake was recorded.
    pub(crate) fn field<T: Decode>(&self, r: &mut Reader<'_>, name: &'static str) -> Option<T> {
        let names = self.names(name);
        let mut found = self.entries.iter().filter(|entry| names.contains(&entry.key.as_str()));
        let Some(entry) = found.next() else {
            return T::absent().or_else(|| {
                r.within(name, |r| r.report(self.at, Defect::Missing { expected: T::WHAT }));
                None
            });
        };
        if let Some(second) = found.next() {
            r.within(&second.key, |r| r.report(second.key_at, Defect::Twice { other: entry.key.clone() }));
        }
        if entry.value.is_null()
            && let Some(absent) = T::absent()
        {
            return Some(absent);
        }
        r.within(&entry.key, |r| T::decode_field(&entry.value, r))
    }

    /// A field's value, or `default` when it is absent or null.
    pub(crate) fn field_or<T: Decode>(&self, r: &mut Reader<'_>, name: &'static str, default: T) -> Option<T> {
        match self.entry(name) {
            Some(entry) if !entry.value.is_null() => self.field(r, name),
            _ => Some(default),
        }
    }
}
