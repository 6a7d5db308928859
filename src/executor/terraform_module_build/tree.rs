//! Reading a source folder: what is in it, sorted, links resolved – but never out of the source.
//!
//! In: the source's root. Out: files by their path in the source, ignored ones left out. Invariants: nothing outside the root is opened; a
//! link that leads there or into `.git`, a loop, a special file that is not ignored is an error that names it; `.git` and `.terraform` are
//! never entered (`.terraform.lock.hcl` is a file beside the latter and stays). Nothing is written.

use std::{
    fs::{self, DirEntry, Metadata},
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crate::{
    executor::shared,
    job::FailureKind,
    shutdown::{Cancel, Cancelled},
};

use super::{
    ignore::{self, IgnoreError, Rules},
    path,
};

/// Entries of folders that are looked at, ignored ones included.
const MAX_ENTRIES: usize = 100_000;
/// Bytes of all files together: with that much no number of a zip archive overflows.
const MAX_BYTES: u64 = 2 << 30;
/// Deepest folder.
const MAX_DEPTH: usize = 64;

/// A folder that cannot be read as a module's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TreeError {
    #[error("'{0}' is not a folder of the source")]
    NoFolder(String),
    #[error("link '{link}' leads out of the source to '{target}'; replace it by a copy, or list it in .terraformignore")]
    LinkOut { link: String, target: String },
    #[error("link '{link}' cannot be followed: {source}; repair or remove it, or list it in .terraformignore")]
    BrokenLink { link: String, source: io::Error },
    #[error("link '{link}' leads back to a folder it lies in; remove it, or list it in .terraformignore")]
    Loop { link: String },
    #[error("'{file}' is {what}, not a file; remove it, or list it in .terraformignore")]
    Special { file: String, what: &'static str },
    #[error("the name '{0}' is not UTF-8; rename the file")]
    NotText(String),
    #[error("{file}: {source}")]
    Ignore { file: String, source: IgnoreError },
    #[error("the module has more than {limit}, at '{file}'; list what it does not need in .terraformignore")]
    TooMuch { limit: String, file: String },
    #[error("'{file}' cannot be read: {source}")]
    Io { file: String, source: io::Error },
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl TreeError {
    /// What kind of failure it is.
    pub(crate) fn kind(&self) -> FailureKind {
        match self {
            Self::NoFolder(_) => FailureKind::SourceNotFound,
            Self::TooMuch { .. } => FailureKind::LimitExceeded,
            Self::Io { .. } => FailureKind::Io,
            Self::Cancelled(_) => FailureKind::Internal,
            Self::LinkOut { .. }
            | Self::BrokenLink { .. }
            | Self::Loop { .. }
            | Self::Special { .. }
            | Self::NotText(_)
            | Self::Ignore { .. } => FailureKind::InvalidSource,
        }
    }
}

/// A file of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its path in the source, through whatever links lead to it.
    pub(crate) path: String,
    /// The path without links.
    pub(crate) real: PathBuf,
    /// Its size.
    pub(crate) size: u64,
    /// Whether it may be executed.
    pub(crate) executable: bool,
}

/// A source.
#[derive(Debug)]
pub(crate) struct Tree {
    root: PathBuf,
    cancel: Cancel,
    entries: usize,
    bytes: u64,
}

/// One walk through a folder.
struct Walk<'a> {
    tree: &'a mut Tree,
    rules: &'a Rules,
    /// The folder that the rules are relative to.
    base: &'a str,
    found: &'a mut dyn FnMut(Found),
    /// Real paths of the folders the walk is in.
    inside: Vec<PathBuf>,
}

impl Tree {
    /// The source at `root`.
    pub(crate) fn open(root: &Path, cancel: Cancel) -> Result<Self, TreeError> {
        let root = fs::canonicalize(root).map_err(|source| TreeError::Io { file: ".".to_owned(), source })?;
        Ok(Self { root, cancel, entries: 0, bytes: 0 })
    }

    /// Its root, without links.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The path in the source of a folder of it.
    pub(crate) fn locate(&self, folder: &Path) -> Result<String, TreeError> {
        let shown = || folder.strip_prefix(&self.root).unwrap_or(folder).display().to_string();
        let real = fs::canonicalize(folder).map_err(|_| TreeError::NoFolder(shown()))?;
        let inside = real.strip_prefix(&self.root).map_err(|_| TreeError::NoFolder(shown()))?;
        inside.to_str().map(str::to_owned).ok_or_else(|| TreeError::NotText(shown()))
    }

    /// Whether there is such a folder.
    pub(crate) fn has_folder(&self, folder: &str) -> bool {
        self.follow(&self.root.join(folder), folder).is_ok_and(|(_, metadata)| metadata.is_dir())
    }

    /// The file or folder at the end of all links, which has to be inside the source.
    fn follow(&self, path: &Path, name: &str) -> Result<(PathBuf, Metadata), TreeError> {
        let broken = |source| TreeError::BrokenLink { link: name.to_owned(), source };
        let real = fs::canonicalize(path).map_err(broken)?;
        let inside = real.strip_prefix(&self.root).ok();
        if inside.is_none_or(|inside| inside.components().any(|part| part.as_os_str() == ".git")) {
            let target = fs::read_link(path).unwrap_or(real);
            return Err(TreeError::LinkOut { link: name.to_owned(), target: target.to_string_lossy().into_owned() });
        }
        let metadata = fs::metadata(&real).map_err(broken)?;
        Ok((real, metadata))
    }

    /// The rules of a folder, and the folder they are relative to: its own `.terraformignore`, or else that of the source's root.
    pub(crate) fn rules(&self, folder: &str) -> Result<(Rules, String), TreeError> {
        let folders = if folder.is_empty() { vec![""] } else { vec![folder, ""] };
        for base in folders {
            let name = path::join(base, ignore::FILE);
            let file = self.root.join(&name);
            if fs::symlink_metadata(&file).is_err() {
                continue;
            }
            let (real, metadata) = self.follow(&file, &name)?;
            if !metadata.is_file() {
                return Err(TreeError::Special { file: name, what: shared::special(metadata.file_type()) });
            }
            if metadata.len() > ignore::MAX_BYTES {
                return Err(TreeError::TooMuch { limit: format!("{} KiB of rules", ignore::MAX_BYTES >> 10), file: name });
            }
            let text = fs::read(real).map_err(|source| TreeError::Io { file: name.clone(), source })?;
            let rules = Rules::parse(&text).map_err(|source| TreeError::Ignore { file: name, source })?;
            return Ok((rules, base.to_owned()));
        }
        let rules = Rules::parse(b"").map_err(|source| TreeError::Ignore { file: ignore::FILE.to_owned(), source })?;
        Ok((rules, folder.to_owned()))
    }

    /// Hands over every file below `folder` that the rules, which are relative to `base`, leave.
    pub(crate) fn walk(&mut self, folder: &str, rules: &Rules, base: &str, found: &mut dyn FnMut(Found)) -> Result<(), TreeError> {
        let (real, metadata) = self.follow(&self.root.join(folder), folder)?;
        if !metadata.is_dir() {
            return Err(TreeError::NoFolder(path::shown(folder).to_owned()));
        }
        Walk { tree: self, rules, base, found, inside: vec![real.clone()] }.enter(&real, folder)
    }
}

impl Walk<'_> {
    fn enter(&mut self, folder: &Path, name: &str) -> Result<(), TreeError> {
        let failed = |source| TreeError::Io { file: path::shown(name).to_owned(), source };
        if self.inside.len() > MAX_DEPTH {
            return Err(TreeError::TooMuch { limit: format!("{MAX_DEPTH} levels of folders"), file: name.to_owned() });
        }
        let mut entries = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let part = entry.file_name();
            self.tree.entries += 1;
            if self.tree.entries > MAX_ENTRIES {
                let file = path::join(name, &part.to_string_lossy());
                return Err(TreeError::TooMuch { limit: format!("{MAX_ENTRIES} files"), file });
            }
            if part != ".git" && part != ".terraform" {
                entries.push((part, entry));
            }
        }
        entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        self.tree.cancel.check()?;
        for (part, entry) in entries {
            match part.to_str() {
                Some(part) => self.entry(&entry, &path::join(name, part))?,
                None => return Err(TreeError::NotText(path::join(name, &part.to_string_lossy()))),
            }
        }
        Ok(())
    }

    fn entry(&mut self, entry: &DirEntry, name: &str) -> Result<(), TreeError> {
        let at = entry.path();
        // Of a link, not of what it leads to.
        let metadata = entry.metadata().map_err(|source| TreeError::Io { file: name.to_owned(), source })?;
        let inside = path::below(name, self.base).unwrap_or(name);
        let is_link = metadata.file_type().is_symlink();
        // A link that is not to be packed does no harm, wherever it leads.
        if is_link && (self.rules.ignores(inside) || self.rules.ignores_all_of(inside)) {
            return Ok(());
        }
        let (real, metadata) = if is_link { self.tree.follow(&at, name)? } else { (at, metadata) };
        if metadata.is_dir() {
            if self.rules.ignores_all_of(inside) {
                return Ok(());
            }
            if is_link && self.inside.contains(&real) {
                return Err(TreeError::Loop { link: name.to_owned() });
            }
            self.inside.push(real.clone());
            self.enter(&real, name)?;
            self.inside.pop();
            return Ok(());
        }
        if self.rules.ignores(inside) {
            return Ok(());
        }
        if !metadata.is_file() {
            return Err(TreeError::Special { file: name.to_owned(), what: shared::special(metadata.file_type()) });
        }
        self.tree.bytes = self.tree.bytes.saturating_add(metadata.len());
        if self.tree.bytes > MAX_BYTES {
            return Err(TreeError::TooMuch { limit: format!("{} MiB", MAX_BYTES >> 20), file: name.to_owned() });
        }
        let executable = metadata.permissions().mode() & 0o100 != 0;
        (self.found)(Found { path: name.to_owned(), real, size: metadata.len(), executable });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
