//! What goes into the package, and under which name.
//!
//! The module's own files stand at the package's root, so that `oci://host/name?tag=…` is the module. Folders outside of it that it calls by
//! `../` are mirrored below [`MIRROR`] as they lie in the repository: what they call by `../` still lies where it did, so nothing in them
//! changes unless they are called through a link. Of the module's own files those that name such a folder get its new place as `source`;
//! every other byte is as it was.
//!
//! Inputs: the source and the module's folder. Outputs: [`Package`]. Invariants: no file that carries secrets is in it; every module
//! that the root reaches is in it and parses; the same source gives the same package.

use std::{collections::BTreeMap, fmt};

use bytes::Bytes;

use crate::{job::FailureKind, parallel, shutdown::Cancel};

use super::{
    about::About,
    calls::Calls,
    config::ConfigError,
    inspect::{self, Inspector, MAX_CONFIG, Parsed, Seen},
    order::{self, Order},
    path,
    secrets::Secret,
    tree::{Found, Tree, TreeError},
};

/// Folder of the package that mirrors the rest of the repository.
pub(crate) const MIRROR: &str = ".modules";
/// Names in one message.
const MAX_NAMED: usize = 20;

/// A folder that cannot be packed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackageError {
    #[error(transparent)]
    Tree(#[from] TreeError),
    #[error(
        "'{folder}' has no .tf, .tofu, .tf.json or .tofu.json file that is packed; set git_source.path to the folder of the module{hint}"
    )]
    NoModule { folder: String, hint: String },
    #[error("these files would be published and carry secrets: {}; remove them from the repository, or list them in .terraformignore", list(.0))]
    Refused(BTreeMap<String, Secret>),
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

fn list(refused: &BTreeMap<String, Secret>) -> String {
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
    inspector: Inspector,
    pub(crate) own: Shelf,
    pub(crate) mirror: Shelf,
    refused: BTreeMap<String, Secret>,
    left_out: Vec<String>,
}

/// Puts together what the module in `folder` of the source at `root` needs.
pub(crate) fn assemble(root: &std::path::Path, folder: &std::path::Path, values: Values, cancel: Cancel) -> Result<Package, PackageError> {
    let tree = Tree::open(root, cancel.clone())?;
    let module = tree.locate(folder)?;
    let inspector = Inspector::new(values, &tree, cancel);
    let mut stock =
        Stock { tree, inspector, own: Shelf::default(), mirror: Shelf::default(), refused: BTreeMap::new(), left_out: Vec::new() };
    stock.take(Place::Own, &module)?;
    if stock.own.folders.get(&module).is_none_or(Vec::is_empty) && stock.refused.is_empty() {
        return Err(PackageError::NoModule { folder: path::shown(&module).to_owned(), hint: hint(&stock.own) });
    }
    let calls = Calls::follow(&mut stock, &module);
    if !stock.refused.is_empty() {
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
        let target = match place {
            Place::Own => &mut self.own,
            Place::Mirror => &mut self.mirror,
        };
        let seen = parallel::each_found(
            |look| -> Result<(), PackageError> {
                let mut new = |file: Found| {
                    if !target.files.contains_key(&file.path) {
                        look(file);
                    }
                };
                Ok(self.tree.walk(folder, &rules, &base, &mut new)?)
            },
            |found| Ok((self.inspector.look(&found)?, found)),
        )?;
        for (seen, found) in seen {
            match seen {
                Seen::Values => self.left_out.push(found.path),
                // Once, although a file may be in the module and in the mirror.
                Seen::Refused(secret) => drop(self.refused.insert(found.path, secret)),
                Seen::Fit { content, parsed } => {
                    if let Some(parsed) = parsed {
                        let folder = path::parent(&found.path).to_owned();
                        target.folders.entry(folder).or_default().push((found.path.clone(), parsed));
                    }
                    target.files.insert(found.path.clone(), (found, content));
                }
            }
        }
        Ok(())
    }

    fn into_package(self, module: &str, calls: Calls) -> Result<Package, PackageError> {
        let reserved = |file: &String| path::below(file, &path::join(module, MIRROR)).is_some();
        if !calls.mirrored.is_empty() && self.own.files.keys().any(reserved) {
            return Err(PackageError::Reserved);
        }
        let mut about = About::default();
        let files = self.own.folders.get(module).map(Vec::as_slice).unwrap_or_default();
        let order = Order::of(files);
        for (file, config) in files.iter().filter(|(file, _)| !order.is_shadowed(file)) {
            let said = config.as_ref().map(|config| config.about.clone()).unwrap_or_default();
            // An override file repeats the resources that it changes.
            about.merge(if order::is_override(file) { About { resources: 0, data_sources: 0, ..said } } else { said });
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
                let edited = calls.edits.get(&(place, path));
                let (size, content) = match (edited, kept) {
                    (Some(edits), kept) => {
                        let original = kept.map_or_else(|| inspect::read(&found, MAX_CONFIG), |kept| Ok(kept.to_vec()))?;
                        let content = edits.apply(&original);
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

#[cfg(test)]
mod tests;
