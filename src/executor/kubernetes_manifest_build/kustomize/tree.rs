//! Every kustomization that a build will read, looked at before it runs.
//!
//! kustomize itself keeps files below the folder of their kustomization (and not even that with `load_restrictor: none`), but lets bases, charts
//! and URLs lead anywhere. So each entry is resolved here first: it has to lie inside the source with all links followed, and what would
//! be fetched needs leave. What a remote base would read cannot be seen beforehand; it is therefore let in only where kustomize confines it.
//! Each kustomization is handed over as it was understood ([`fair_copy`]), for kustomize to read in place of the original.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    path::{Path, PathBuf},
};

use crate::{
    job::{Failure, FailureKind},
    shutdown::{Cancel, Cancelled},
    yaml::{self, Dialect, Entry, Limits, Node, Position},
};

use super::{
    aliases, fair_copy, helm,
    place::{self, NAMES, Place},
    references::{self, Fault, Reference, Role, is_remote, may_be_path, without_credentials},
};

/// Longest kustomization or configuration of a plugin.
const MAX_FILE: u64 = 4 << 20;
/// Most bytes of all kustomizations as they were understood, aliases expanded.
const MAX_COPIES: usize = 64 << 20;
/// Most kustomizations of one build.
const MAX_FOLDERS: usize = 2_000;

/// What the plan and the owner let a kustomization do.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "four switches of one plan, none of which says anything about another")]
pub(super) struct Allowed {
    /// Fetch bases and files.
    pub(super) remote: bool,
    /// The owner forbids to fetch, so the plan cannot help.
    pub(super) owner_forbids: bool,
    /// Inflate Helm charts.
    pub(super) helm: bool,
    /// Read files from anywhere in the source.
    pub(super) any_file: bool,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Whether there are Helm charts.
    pub(super) charts: bool,
    /// Charts that are fetched.
    pub(super) remote_charts: usize,
    /// Entries that are fetched.
    pub(super) remote: usize,
    /// Passwords in URLs.
    pub(super) secrets: Vec<String>,
    /// What kustomize is to read instead of these files.
    pub(super) copies: BTreeMap<PathBuf, String>,
}

impl Findings {
    /// Whether the build needs the network.
    pub(super) const fn fetches(&self) -> bool {
        self.remote > 0 || self.remote_charts > 0
    }
}

/// A kustomization that is not built.
#[derive(Debug, thiserror::Error)]
pub(super) enum TreeError {
    #[error("{file}{}: {key}: '{entry}' {why}", line(*at))]
    Entry { file: String, at: Option<Position>, key: String, entry: String, why: &'static str },
    #[error("{file}{}: '{entry}' {why}", line(*at))]
    Doubtful { file: String, at: Option<Position>, entry: String, why: &'static str },
    #[error("{file}: {source}")]
    Yaml { file: String, source: yaml::Error },
    #[error("{file}: is not a kustomization but {found}")]
    NotAMapping { file: String, found: &'static str },
    #[error("'{folder}' has more than one of {}; keep one", NAMES.join(", "))]
    Several { folder: String },
    #[error("{file}: helmCharts need leave: set kustomize_config.enable_helm to true, or commit what the charts make")]
    HelmOff { file: String },
    #[error("{file}{}: '{entry}' is fetched from elsewhere, and what it would read cannot be checked beforehand; that goes with neither \
             enable_helm nor load_restrictor none", line(*at))]
    Unchecked { file: String, at: Option<Position>, entry: String },
    #[error("{file}: cannot be read: {source}")]
    Io { file: String, source: std::io::Error },
    #[error("{what} has more than {limit} {of}")]
    Limit { what: String, limit: u64, of: &'static str },
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

fn line(at: Option<Position>) -> String {
    at.map_or_else(String::new, |at| format!(":{}", at.line))
}

impl From<TreeError> for Failure {
    fn from(error: TreeError) -> Self {
        let kind = match &error {
            TreeError::Limit { .. } => FailureKind::LimitExceeded,
            TreeError::Io { .. } => FailureKind::Io,
            TreeError::Cancelled(stopped) => return Self::from(*stopped),
            _ => FailureKind::InvalidSource,
        };
        Self::new(kind, error.to_string())
    }
}

/// Looks at the kustomization in `start` and at all that it refers to.
pub(super) fn inspect(root: &Path, start: &Path, allowed: Allowed, cancel: &Cancel) -> Result<Findings, TreeError> {
    let mut inspector =
        Inspector { root, allowed, findings: Findings::default(), open: VecDeque::new(), seen: BTreeSet::new(), content: BTreeSet::new() };
    inspector.visit(start.to_owned(), false);
    while let Some((folder, configures)) = inspector.open.pop_front() {
        cancel.check()?;
        inspector.folder(&folder, configures)?;
    }
    let Inspector { mut findings, content, .. } = inspector;
    findings.copies.retain(|file, _| !content.contains(file));
    Ok(findings)
}

struct Inspector<'a> {
    root: &'a Path,
    allowed: Allowed,
    findings: Findings,
    /// Folders to look at; `true` for those whose objects configure plugins of another folder.
    open: VecDeque<(PathBuf, bool)>,
    seen: BTreeSet<(PathBuf, bool)>,
    /// Files that something is made of, byte for byte.
    content: BTreeSet<PathBuf>,
}

impl Inspector<'_> {
    fn visit(&mut self, folder: PathBuf, configures: bool) {
        if self.seen.insert((folder.clone(), configures)) {
            self.open.push_back((folder, configures));
        }
    }

    fn folder(&mut self, folder: &Path, configures: bool) -> Result<(), TreeError> {
        let limit = |what: &str, limit, of| Err(TreeError::Limit { what: what.to_owned(), limit, of });
        if self.seen.len() > MAX_FOLDERS {
            return limit("the kustomization", MAX_FOLDERS as u64, "folders");
        }
        let files = place::kustomization_files(folder);
        let [path] = files.as_slice() else {
            return Err(TreeError::Several { folder: place::shown(self.root, folder) });
        };
        let file = place::shown(self.root, path);
        if let Place::Outside = place::resolve(self.root, folder, path.file_name().and_then(|name| name.to_str()).unwrap_or_default()) {
            let (key, why) = ("kustomization".to_owned(), "is a link that leads out of the source; replace it by a copy");
            return Err(TreeError::Entry { entry: file.clone(), file, at: None, key, why });
        }
        let text = read(path, &file)?;
        let nodes = parse(&text, &file)?;
        for node in &nodes {
            if node.is_null() {
                continue;
            }
            let Some(entries) = node.entries() else {
                return Err(TreeError::NotAMapping { file, found: node.type_name() });
            };
            doubtful(references::fault_of_kustomization(node), &file)?;
            aliases::of_kustomization(node, &file)?;
            if configures {
                only_resources(entries, &file)?;
            }
            for chart in helm::of_kustomization(node) {
                self.chart(&chart, folder, &file)?;
            }
            for reference in references::of_kustomization(node) {
                self.reference(&reference, folder, &file, configures)?;
            }
        }
        // kustomize reads the first document and nothing of the others.
        let copy = fair_copy::text(nodes.first());
        let real = fs::canonicalize(path).map_err(|source| TreeError::Io { file, source })?;
        self.findings.copies.insert(real, copy);
        if self.findings.copies.values().map(String::len).sum::<usize>() > MAX_COPIES {
            return limit("the kustomization", MAX_COPIES as u64, "bytes, aliases expanded");
        }
        Ok(())
    }

    fn reference(&mut self, reference: &Reference<'_>, folder: &Path, file: &str, configures: bool) -> Result<(), TreeError> {
        let Reference { role, key, entry, at } = reference;
        if entry.is_empty() {
            return Ok(());
        }
        let (shown, secret) = without_credentials(entry);
        let wrong = |why| Err(TreeError::Entry { file: file.to_owned(), at: *at, key: key.clone(), entry: shown.clone(), why });
        let place = place::resolve(self.root, folder, entry);
        if place == Place::Missing && reference.is_inline() {
            return if *role == Role::Plugin { self.plugins(entry, folder, file) } else { Ok(()) };
        }
        let is_there = matches!(place, Place::Inside(_));
        if is_remote(entry) && !(is_there && may_be_path(entry)) {
            if is_there && !self.allowed.remote {
                return wrong("is an address elsewhere for kustomize, although the source has such a path; begin it with './'");
            }
            self.findings.secrets.extend(secret);
            return self.remote(reference, file, &shown);
        }
        match place {
            Place::Outside => wrong("leads out of the source; copy what is needed into the repository"),
            Place::Inside(path) if path.is_dir() => {
                if *role == Role::File {
                    return Ok(());
                }
                if place::kustomization_files(&path).is_empty() {
                    return wrong("is a folder without a kustomization; add one, or name the files in it");
                }
                self.visit(path, configures || *role == Role::Plugin);
                Ok(())
            }
            Place::Inside(path) => {
                self.content.insert(path.clone());
                if !references::is_content(key) {
                    aliases::of_file(&path, &place::shown(self.root, &path))?;
                }
                if *role == Role::Plugin || (configures && *role == Role::Resource) {
                    let name = place::shown(self.root, &path);
                    let text = read(&path, &name)?;
                    // Those of a folder are read in the place of whoever names the folder; what stays below both is below either.
                    return if configures { self.plugins_below(&text, &path, &name) } else { self.plugins(&text, folder, &name) };
                }
                Ok(())
            }
            // Another spelling of a URL than those known here, perhaps.
            Place::Missing if self.allowed.remote => Ok(()),
            Place::Missing if *role == Role::File && (key.starts_with("helm") || key.starts_with("Helm")) => Ok(()),
            Place::Missing => wrong("is not in the source; add it, or remove the entry"),
        }
    }

    fn remote(&mut self, reference: &Reference<'_>, file: &str, shown: &str) -> Result<(), TreeError> {
        let at = reference.at;
        if !self.allowed.remote {
            let why = if self.allowed.owner_forbids {
                "is fetched from elsewhere, which the owner of this runner forbids (kustomize_remote_bases); commit it to the source"
            } else {
                "is fetched from elsewhere, which is off; commit it to the source, or set kustomize_config.remote_bases to allow"
            };
            return Err(TreeError::Entry { file: file.to_owned(), at, key: reference.key.clone(), entry: shown.to_owned(), why });
        }
        if self.allowed.helm || self.allowed.any_file {
            return Err(TreeError::Unchecked { file: file.to_owned(), at, entry: shown.to_owned() });
        }
        self.findings.remote += 1;
        Ok(())
    }

    /// Configuration of plugins whose paths are relative to `folder`.
    fn plugins(&mut self, text: &str, folder: &Path, file: &str) -> Result<(), TreeError> {
        for node in parse(text, file)? {
            doubtful(references::fault(&node), file)?;
            for chart in helm::of_plugin(&node) {
                self.chart(&chart, folder, file)?;
            }
            for reference in references::of_plugin(&node) {
                let is_path = reference.entry.contains("..") || reference.entry.starts_with('/') || is_remote(reference.entry);
                // Much that is called `path` in a plugin's configuration is one of fields.
                match place::resolve(self.root, folder, reference.entry) {
                    place if is_path || place == Place::Outside => self.reference(&reference, folder, file, false)?,
                    Place::Inside(path) => drop(self.content.insert(path)),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Configuration of plugins whose paths are relative to a folder that is not known here.
    fn plugins_below(&mut self, text: &str, path: &Path, file: &str) -> Result<(), TreeError> {
        let folder = path.parent().unwrap_or(self.root);
        self.plugins(text, folder, file)?;
        for node in parse(text, file)? {
            for Reference { key, entry, at, .. } in references::of_plugin(&node) {
                if entry.split('/').any(|part| part == "..") {
                    let why = "goes up from a folder that is only known at build time; name this file itself instead of its folder";
                    return Err(TreeError::Entry { file: file.to_owned(), at, key, entry: entry.to_owned(), why });
                }
            }
        }
        Ok(())
    }

    fn chart(&mut self, chart: &helm::Chart<'_>, folder: &Path, file: &str) -> Result<(), TreeError> {
        if !self.allowed.helm {
            return Err(TreeError::HelmOff { file: file.to_owned() });
        }
        chart.check(self.root, folder).map_err(|wrong| TreeError::Entry {
            file: file.to_owned(),
            at: wrong.at,
            key: chart.key.to_owned(),
            entry: wrong.entry,
            why: wrong.why,
        })?;
        self.findings.charts = true;
        if let Some(url) = chart.repository() {
            self.findings.remote_charts += 1;
            self.findings.secrets.extend(without_credentials(url).1);
        }
        Ok(())
    }
}

/// Refuses what kustomize may read in another way than it was read here.
fn doubtful(fault: Option<Fault>, file: &str) -> Result<(), TreeError> {
    let Some(Fault { entry, at, why }) = fault else { return Ok(()) };
    Err(TreeError::Doubtful { file: file.to_owned(), at, entry, why })
}

/// A kustomization whose objects configure plugins: what is put on top of them comes after they were looked at.
fn only_resources(entries: &[Entry], file: &str) -> Result<(), TreeError> {
    let is_harmless = |entry: &&Entry| matches!(entry.key.as_str(), "apiVersion" | "kind" | "metadata" | "resources" | "bases");
    let why = "changes what configures plugins, which cannot be checked beforehand; write the change into the files that resources names";
    let changes = entries.iter().find(|entry| !is_harmless(entry));
    doubtful(changes.map(|entry| Fault { entry: entry.key.clone(), at: entry.key_at, why }), file)
}

fn parse(text: &str, file: &str) -> Result<Vec<Node>, TreeError> {
    yaml::parse_with(text, Dialect::GoExact, Limits::default()).map_err(|source| TreeError::Yaml { file: file.to_owned(), source })
}

fn read(path: &Path, file: &str) -> Result<String, TreeError> {
    let fail = |source| TreeError::Io { file: file.to_owned(), source };
    let size = fs::metadata(path).map_err(fail)?.len();
    if size > MAX_FILE {
        return Err(TreeError::Limit { what: file.to_owned(), limit: MAX_FILE, of: "bytes" });
    }
    let bytes = fs::read(path).map_err(fail)?;
    String::from_utf8(bytes).map_err(|_| fail(std::io::Error::new(std::io::ErrorKind::InvalidData, "it is not UTF-8 text")))
}
