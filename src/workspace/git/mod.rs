//! Source of a job: a commit of a repository, or a folder of this machine as it stands.
//!
//! A repository is fetched by the `git` command line: exactly one commit, no history, no hooks, no configuration but our own. A
//! local folder without a ref is copied, honouring git's ignore rules when it is a checkout, without any git process.
//!
//! Inputs: a [`Source`] and [`Options`]. Output: a [`Checkout`], whose `root` holds the source and nothing of git's own.
//! Invariants: credentials of the URL reach git through an anonymous file that only git and its children inherit, and never an
//! argument, a variable, a named file or a log; other hosts than the URL's get none; `path` cannot leave `root`.
//!
//! Called by executors, in their `prepare`.

mod classify;
mod config;
mod confine;
mod copy;
mod credentials;
mod error;
mod fetch;
mod finish;
mod head;
mod history;
mod lfs;
mod local;
mod location;
mod name;
mod session;

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::Serialize;

pub use self::{config::Ssh, error::Error};
use self::{location::Location, name::Name};
use super::Cx;
use crate::{plan::GitSource, retry::Policy};

/// What to check out (`git_source` of a plan).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Source {
    /// Repository URL, or a folder of this machine; may carry credentials.
    pub url: String,
    /// Branch, tag, commit or full ref name; the repository's default branch (or the folder as it stands) when `None` or empty.
    pub git_ref: Option<String>,
    /// Folder inside the repository; the whole of it when empty.
    pub path: String,
    /// Whether to fetch submodules too.
    pub recurse_submodules: bool,
}

impl From<&GitSource> for Source {
    fn from(plan: &GitSource) -> Self {
        Self {
            url: plan.url.clone(),
            git_ref: plan.git_ref.clone(),
            path: plan.path.clone().unwrap_or_default(),
            recurse_submodules: plan.recurse_submodules,
        }
    }
}

impl fmt::Debug for Source {
    /// Without the URL: it may carry credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("git_ref", &self.git_ref).field("path", &self.path).finish_non_exhaustive()
    }
}

/// How to check out, from the runner's configuration.
#[derive(Debug, Clone)]
pub struct Options {
    /// Folder that local URLs are relative to; `None` refuses local folders and `file://`.
    pub local_base: Option<PathBuf>,
    /// Keys for `ssh://` URLs; `None` offers none.
    pub ssh: Option<Ssh>,
    /// Certificate authorities for `https://`, in PEM, besides the system's.
    pub ca_file: Option<PathBuf>,
    /// How often a network failure is tried again.
    pub retry: Policy,
    /// Most files of a local folder.
    pub max_files: u64,
    /// Most bytes of a local folder.
    pub max_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { local_base: None, ssh: None, ca_file: None, retry: Policy::NETWORK, max_files: 200_000, max_bytes: 8 << 30 }
    }
}

/// What kind of thing was checked out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    /// A commit, exactly.
    Commit,
    /// A folder as it stood, whatever was committed.
    Folder,
}

/// What was checked out, for the receipt (`outputs.source`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceInfo {
    /// Commit or folder.
    pub kind: SourceKind,
    /// The URL without credentials, or the absolute path of the folder.
    pub url: String,
    /// The commit; of a folder the one its checkout is based on, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The ref that was asked for.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub git_ref: Option<String>,
    /// Folder inside the repository; empty for the whole.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// Committer's time of the commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit_time: Option<jiff::Timestamp>,
}

/// A source on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkout {
    /// The whole source.
    pub root: PathBuf,
    /// The folder the plan names, inside `root`, without links.
    pub path: PathBuf,
    /// Where it came from.
    pub source: SourceInfo,
}

/// Puts `source` into `dest`, a folder that does not exist yet or is empty.
///
/// # Errors
/// [`Error`], which says by its [`crate::job::FailureKind`] whether the plan, the credentials or the network is to blame.
pub async fn checkout(cx: &Cx<'_>, source: &Source, options: &Options, dest: &Path) -> Result<Checkout, Error> {
    let name = Name::parse(source.git_ref.as_deref())?;
    let location = Location::parse(&source.url, options.local_base.as_deref())?;
    let inside = confine::relative(&source.path)?;
    let (root, mut info) = match (location, name) {
        (Location::Folder(folder), Name::Default) => local::as_it_stands(cx, &folder, options, dest).await?,
        (Location::Folder(folder), name) => local::commit(cx, &folder, &name, source, options, dest).await?,
        (Location::Remote(remote), name) => fetch::commit(cx, &remote, &name, source, options, dest).await?,
    };
    let path = confine::join(&root, &inside)?;
    info.git_ref = source.git_ref.clone().filter(|text| !text.is_empty());
    info.path = inside.to_string_lossy().into_owned();
    let what = info.commit.as_deref().map_or_else(|| "the folder as it stands".to_owned(), |commit| format!("commit {commit}"));
    cx.log.info(format_args!("source: {} ({what})", info.url));
    Ok(Checkout { root, path, source: info })
}
