//! What goes into the package, and under which name.
//!
//! The module's own files stand at the package's root, so that `oci://host/name?tag=…` is the module. Folders outside of it that it calls by
//! `../` are mirrored below [`MIRROR`] as they lie in the repository: what they call by `../` still lies where it did, so nothing in them
//! changes. Of the module's own files those that name such a folder get its new place as `source`; every other byte is as it was.
//!
//! Inputs: the source and the module's folder. Outputs: [`Package`]. Invariants: no file that carries secrets is in it; every module
//! that the root reaches is in it and parses; the same source gives the same package.

use std::{collections::BTreeMap, fmt, io::Read as _};

use bytes::Bytes;

use crate::{job::FailureKind, shutdown::Cancel};

use super::{
    about::About,
    calls::Calls,
    config::{Config, ConfigError, Syntax},
    path,
    secrets::{self, Secret},
    tree::{Found, Tree, TreeError},
};

/// Folder of the package that mirrors the rest of the repository.
pub(crate) const MIRROR: &str = ".modules";
/// Largest configuration file.
const MAX_CONFIG: u64 = 4 << 20;
/// Largest file that is kept in memory, and how much is kept in all.
const MAX_KEPT: u64 = 128 << 10;
const MAX_ALL_KEPT: u64 = 16 << 20;
/// Names in one message.
const MAX_NAMED: usize = 20;

/// A folder that cannot be packed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackageError {
    #[error(transparent)]
    Tree(#[from] TreeError),
    #[error("'{folder}' has no .tf or .tf.json file that is packed; set git_source.path to the folder of the module{hint}")]
    NoModule { folder: String, hint: String },
    #[error("these files would be published and carry secrets: {}; remove them from the repository, or list them in .terraformignore", list(.0))]
    Refused(Vec<(String, Secret)>),
    #[error("{file}:{source}; `tofu fmt` shows the place as well")]
    Syntax { file: String, source: ConfigError },
    #[error("{0}")]
    Call(#[from] CallError),
    #[error("'{file}' has {size} bytes; a configuration file may have {} MiB", MAX_CONFIG >> 20)]
    LargeConfig { file: String, size: u64 },
    #[error("the module has a folder '{MIRROR}' of its own, where the modules it calls by '../' go; rename it")]
    Reserved,
}

/// A module that is called and cannot be packed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: module '{name}' has the source '{address}', {why}")]
pub(crate) struct CallError {
    /// File and line.
    pub(crate) at: String,
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) why: Why,
}

/// Why it cannot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Why {
    #[error(
        "which leads out of the source: set git_source.url to the whole repository and git_source.path to the module, or name the module by \
         an address that is not relative"
    )]
    Outside,
    #[error("and the source has no folder '{0}'; correct the path")]
    Missing(String),
    #[error("and no .tf or .tf.json file of the folder '{0}' is packed; correct the path, or mend .terraformignore")]
    Empty(String),
}

fn list(refused: &[(String, Secret)]) -> String {
    let mut text: Vec<_> = refused.iter().take(MAX_NAMED).map(|(file, secret)| format!("'{file}' ({secret})")).collect();
    if refused.len() > MAX_NAMED {
        text.push(format!("and {} more", refused.len() - MAX_NAMED));
    }
    text.join(", ")
}

impl PackageError {
    /// What kind of failure it is.
    pub(crate) fn kind(&self) -> FailureKind {
        match self {
            Self::Tree(error) => error.kind(),
            Self::LargeConfig { .. } => FailureKind::LimitExceeded,
            Self::NoModule { .. } | Self::Refused(_) | Self::Syntax { .. } | Self::Call(_) | Self::Reserved => FailureKind::InvalidSource,
        }
    }
}

/// Whether files with values for variables are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Values {
    Excluded,
    Included,
}

/// Where a file is placed in the package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// It belongs to the module.
    Own,
    /// Below [`MIRROR`].
    Mirror,
}

/// A file of the package.
#[derive(Debug)]
pub(crate) struct File {
    /// Its name in the package.
    pub(crate) name: String,
    pub(crate) executable: bool,
    pub(crate) size: u64,
    pub(crate) content: Content,
}

/// Its content.
#[derive(Debug)]
pub(crate) enum Content {
    Kept(Bytes),
    OnDisk(std::path::PathBuf),
}

/// A folder outside of the module that is in its package.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Mirrored {
    /// Where it lies in the source.
    pub(crate) from: String,
    /// Where it lies in the package.
    pub(crate) to: String,
}

/// Everything that is packed.
#[derive(Debug)]
pub(crate) struct Package {
    /// By name.
    pub(crate) files: Vec<File>,
    pub(crate) about: About,
    pub(crate) mirrored: Vec<Mirrored>,
    /// What a person should know.
    pub(crate) notes: Vec<Note>,
}

/// One line for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Note {
    Info(String),
    Warning(String),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Info(text) | Self::Warning(text) => f.write_str(text),
        }
    }
}

/// A configuration file, or why it is none.
pub(crate) type Parsed = Result<Config, ConfigError>;

/// Files that are read, with the configuration among them by folder.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    pub(crate) files: BTreeMap<String, (Found, Option<Bytes>)>,
    pub(crate) folders: BTreeMap<String, Vec<(String, Parsed)>>,
}

/// What the source gives.
#[derive(Debug)]
pub(crate) struct Stock {
    pub(crate) tree: Tree,
    values: Values,
    pub(crate) own: Shelf,
    pub(crate) mirror: Shelf,
    refused: Vec<(String, Secret)>,
    left_out: Vec<String>,
    kept: u64,
}

/// Puts together what the module in `folder` of the source at `root` needs.
pub(crate) fn assemble(root: &std::path::Path, folder: &std::path::Path, values: Values, cancel: Cancel) -> Result<Package, PackageError> {
    let tree = Tree::open(root, cancel)?;
    let module = tree.locate(folder)?;
    let mut stock =
        Stock { tree, values, own: Shelf::default(), mirror: Shelf::default(), refused: Vec::new(), left_out: Vec::new(), kept: 0 };
    stock.take(Place::Own, &module)?;
    if stock.own.folders.get(&module).is_none_or(Vec::is_empty) && stock.refused.is_empty() {
        return Err(PackageError::NoModule { folder: path::shown(&module).to_owned(), hint: hint(&stock.own) });
    }
    let calls = Calls::follow(&mut stock, &module);
    if !stock.refused.is_empty() {
        stock.refused.sort_by(|a, b| a.0.cmp(&b.0));
        return Err(PackageError::Refused(stock.refused));
    }
    stock.into_package(&module, calls?)
}

/// Folders below that do have modules.
fn hint(own: &Shelf) -> String {
    let mut names: Vec<_> = own.folders.keys().take(3).map(|folder| format!("'{folder}'")).collect();
    if own.folders.len() > names.len() {
        names.push("…".to_owned());
    }
    if names.is_empty() { String::new() } else { format!(" (there are some in {})", names.join(", ")) }
}

impl Stock {
    pub(crate) const fn shelf(&self, place: Place) -> &Shelf {
        match place {
            Place::Own => &self.own,
            Place::Mirror => &self.mirror,
        }
    }

    /// Reads a folder of the source with all that is below it.
    pub(crate) fn take(&mut self, place: Place, folder: &str) -> Result<(), PackageError> {
        let (rules, base) = self.tree.rules(folder)?;
        for found in self.tree.walk(folder, &rules, &base)? {
            self.tree.check()?;
            let taken = self.shelf(place).files.contains_key(&found.path);
            if !taken {
                self.file(place, found)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, place: Place, found: Found) -> Result<(), PackageError> {
        let behind = self.tree.behind(&found).to_string_lossy().into_owned();
        // A link shows what it leads to, whatever it is called.
        let names = [found.path.as_str(), behind.as_str()];
        if self.values == Values::Excluded && names.iter().any(|name| name.ends_with(".tfvars") || name.ends_with(".tfvars.json")) {
            self.left_out.push(found.path);
            return Ok(());
        }
        if let Some(secret) = names.iter().find_map(|name| secrets::by_name(name)) {
            self.refuse(found.path, secret);
            return Ok(());
        }
        let syntax = Syntax::of(path::name(&found.path));
        if syntax.is_some() && found.size > MAX_CONFIG {
            return Err(PackageError::LargeConfig { file: found.path, size: found.size });
        }
        let whole = syntax.is_some() || found.size <= MAX_KEPT;
        let content = read(&found, if whole { found.size + 1 } else { secrets::HEAD as u64 })?;
        if let Some(secret) = names.iter().find_map(|name| secrets::by_content(name, &content)) {
            self.refuse(found.path, secret);
            return Ok(());
        }
        let shelf = match place {
            Place::Own => &mut self.own,
            Place::Mirror => &mut self.mirror,
        };
        if let Some(syntax) = syntax {
            let folder = path::parent(&found.path).to_owned();
            shelf.folders.entry(folder).or_default().push((found.path.clone(), syntax.parse(&content)));
        }
        let mut keep = None;
        if whole && found.size <= MAX_KEPT && content.len() as u64 == found.size && self.kept + found.size <= MAX_ALL_KEPT {
            self.kept += found.size;
            keep = Some(Bytes::from(content));
        }
        shelf.files.insert(found.path.clone(), (found, keep));
        Ok(())
    }

    /// Once, although a file may be in the module and in the mirror.
    fn refuse(&mut self, file: String, secret: Secret) {
        if !self.refused.iter().any(|refused| refused.0 == file) {
            self.refused.push((file, secret));
        }
    }

    fn into_package(self, module: &str, calls: Calls) -> Result<Package, PackageError> {
        let reserved = |file: &String| path::below(file, &path::join(module, MIRROR)).is_some();
        if !calls.mirrored.is_empty() && self.own.files.keys().any(reserved) {
            return Err(PackageError::Reserved);
        }
        let mut about = About::default();
        for (_, config) in self.own.folders.get(module).into_iter().flatten() {
            about.merge(config.as_ref().map(|config| config.about.clone()).unwrap_or_default());
        }
        let mut notes = calls.notes;
        if !self.left_out.is_empty() {
            let names = list_names(&self.left_out);
            notes.push(Note::Info(format!(
                "left out, because they carry values: {names}; terraform_build_plan.tfvars \"include\" packs them"
            )));
        }
        let mut files = Vec::with_capacity(self.own.files.len() + self.mirror.files.len());
        for (place, shelf) in [(Place::Own, self.own), (Place::Mirror, self.mirror)] {
            for (path, (found, kept)) in shelf.files {
                let name = match place {
                    Place::Own => path::below(&path, module).unwrap_or(&path).to_owned(),
                    Place::Mirror => path::join(MIRROR, &path),
                };
                let edited = if place == Place::Own { calls.edits.get(&path) } else { None };
                let (size, content) = match (edited, kept) {
                    (Some(edits), kept) => {
                        let original = kept.map_or_else(|| read(&found, MAX_CONFIG), |kept| Ok(kept.to_vec()))?;
                        let content = edits.apply(original);
                        (content.len() as u64, Content::Kept(content.into()))
                    }
                    (None, Some(kept)) => (found.size, Content::Kept(kept)),
                    (None, None) => (found.size, Content::OnDisk(found.real)),
                };
                files.push(File { name, executable: found.executable, size, content });
            }
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        let mirrored = calls.mirrored.into_iter().map(|from| Mirrored { to: path::join(MIRROR, &from), from });
        Ok(Package { files, about, mirrored: mirrored.collect(), notes })
    }
}

fn list_names(names: &[String]) -> String {
    let mut text: Vec<_> = names.iter().take(MAX_NAMED).map(|name| format!("'{name}'")).collect();
    if names.len() > MAX_NAMED {
        text.push(format!("and {} more", names.len() - MAX_NAMED));
    }
    text.join(", ")
}

fn read(found: &Found, limit: u64) -> Result<Vec<u8>, TreeError> {
    let failed = |source| TreeError::Io { file: found.path.clone(), source };
    let mut content = Vec::new();
    let file = std::fs::File::open(&found.real).map_err(failed)?;
    file.take(limit).read_to_end(&mut content).map_err(failed)?;
    Ok(content)
}

#[cfg(test)]
mod tests;
