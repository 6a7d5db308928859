//! Exactly one commit out of a repository.
//!
//! ```text
//!  name ──ls-remote──► branch | tag ──► fetch --depth 1 ref ─────────────────────────────┐
//!    └─ neither, but hexadecimal ──► history of commits ──► whole id ─┐                  ├─► work tree
//!  commit id ─────────────────────────────────────────────────────────┴► fetch --depth 1 │
//!                                     refused: tip of a ref? ──► fetch --depth 1 ref ────┤
//!                                              no: whole history ────────────────────────┘
//! ```

use std::path::{Path, PathBuf};

use super::{
    Error, Options, Source, SourceInfo, finish, history,
    location::{Remote, Scheme},
    name::{Name, may_be_commit},
    session::{Git, Reach},
};
use crate::workspace::Cx;

/// Fetches and checks out the commit that `name` stands for at `remote`.
pub(super) async fn commit(
    cx: &Cx<'_>,
    remote: &Remote,
    name: &Name,
    source: &Source,
    options: &Options,
    dest: &Path,
) -> Result<(PathBuf, SourceInfo), Error> {
    if remote.scheme == Scheme::Http && remote.credentials.is_some() {
        cx.log.warn("git_source.url sends credentials over plain HTTP: anybody on the way can read them; use https");
    }
    let reach = if remote.scheme == Scheme::File { Reach::NetworkAndFiles } else { Reach::Network };
    let git = Git::open(cx, &remote.url, remote.credentials.as_ref(), reach, options)?;
    let info = into(&git, name, source, dest).await?;
    Ok((dest.to_owned(), info))
}

/// Fetches into `dest` and leaves the source there.
pub(super) async fn into(git: &Git<'_>, name: &Name, source: &Source, dest: &Path) -> Result<SourceInfo, Error> {
    let target = resolve(git, name).await?;
    fs_err::create_dir_all(dest)?;
    let format = if target.sha256 { "--object-format=sha256" } else { "--object-format=sha1" };
    git.run(git.command(dest, ["init", "--quiet", format])).await?;
    git.run(git.command(dest, ["config", "remote.origin.url", &git.url])).await?;
    let commit = match &target.want {
        Want::Ref(full) => {
            git.log().info(format_args!("fetching {full} of {}", git.url));
            shallow(git, dest, full).await?;
            "FETCH_HEAD"
        }
        Want::Commit(id) => {
            git.log().info(format_args!("fetching commit {id} of {}", git.url));
            single(git, dest, id).await?;
            id
        }
    };
    finish::work_tree(git, source, dest, commit).await
}

enum Want {
    Ref(String),
    Commit(String),
}

struct Target {
    want: Want,
    /// Whether the repository names its objects by SHA-256.
    sha256: bool,
}

fn commit_target(id: &str) -> Target {
    Target { sha256: id.len() == 64, want: Want::Commit(id.to_owned()) }
}

/// What to ask the server for.
async fn resolve(git: &Git<'_>, name: &Name) -> Result<Target, Error> {
    let candidates = match name {
        Name::Commit(id) => return Ok(commit_target(id)),
        Name::Default => vec!["HEAD".to_owned()],
        Name::Full(full) => vec![full.clone()],
        Name::Short(short) => {
            // The last one is for clones on this machine, which people name by what they see there: `origin/main`.
            vec![format!("refs/heads/{short}"), format!("refs/tags/{short}"), format!("refs/remotes/{short}")]
        }
    };
    let advertised = git
        .online("the repository", "url", || {
            let args = ["ls-remote", "--end-of-options", &git.url].into_iter().chain(candidates.iter().map(String::as_str));
            git.command(&git.folder, args)
        })
        .await?
        .text();
    // `ls-remote` matches the ends of names; only whole ones count.
    let ids: Vec<(&str, &str)> = candidates
        .iter()
        .filter_map(|wanted| advertised.lines().filter_map(|line| line.split_once('\t')).find(|(_, full)| full == wanted))
        .collect();
    match (ids.as_slice(), name) {
        ([(id, full), others @ ..], _) => {
            if !others.is_empty() {
                git.log().warn(format_args!("several refs have this name: taking {full}; write the full name, refs/tags/…, for another"));
            }
            Ok(Target { sha256: id.len() == 64, want: Want::Ref((*full).to_owned()) })
        }
        ([], Name::Short(prefix)) if may_be_commit(prefix) => match history::complete(git, prefix).await? {
            Some(id) => Ok(commit_target(&id)),
            None => Err(not_found(git, format!("a branch, a tag or a single commit '{prefix}'"))),
        },
        ([], Name::Short(short)) => Err(not_found(git, format!("a branch or tag '{short}'"))),
        ([], Name::Full(full)) => Err(not_found(git, format!("the ref '{full}'"))),
        ([], Name::Default | Name::Commit(_)) => Err(Error::NotFound { what: "any commit".to_owned(), url: git.url.clone(), field: "url" }),
    }
}

fn not_found(git: &Git<'_>, what: String) -> Error {
    Error::NotFound { what, url: git.url.clone(), field: "ref" }
}

/// Fetches the tip of a ref (or a commit by its id) without history.
async fn shallow(git: &Git<'_>, root: &Path, what: &str) -> Result<(), Error> {
    let args = ["fetch", "--quiet", "--no-tags", "--depth", "1", "--force", "origin", what];
    git.online(&format!("'{what}'"), "ref", || git.command(root, args)).await.map(drop)
}

/// Fetches one commit by its id, the cheapest way the server lets us.
async fn single(git: &Git<'_>, root: &Path, id: &str) -> Result<(), Error> {
    match shallow(git, root, id).await {
        Err(Error::NotFound { field: "ref", .. }) => {}
        other => return other,
    }
    if let Some(full) = history::tip(git, root, id).await? {
        return shallow(git, root, &full).await;
    }
    let what = format!("the commit '{id}'");
    history::everything(git, root, &what).await?;
    let object = format!("{id}^{{commit}}");
    git.run(git.command(root, ["cat-file", "-e", &object])).await.map_err(|_| not_found(git, what)).map(drop)
}
