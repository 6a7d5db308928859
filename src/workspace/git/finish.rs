//! From a fetched commit to a folder that holds the source and nothing of git's own.

use std::path::Path;

use super::{Error, Source, SourceInfo, SourceKind, lfs, session::Git};
use crate::process::{self, Command};

/// Checks out `commit`, submodules included when asked for, and removes git's files.
pub(super) async fn work_tree(git: &Git<'_>, source: &Source, root: &Path, commit: &str) -> Result<SourceInfo, Error> {
    let (id, time) = describe(git, root, commit).await?;
    // Fetches LFS objects as it goes, so it is as likely to fail on the network as a fetch.
    git.online("the content of the commit", "ref", || git.command(root, ["checkout", "--quiet", "--force", "--detach", &id])).await?;
    if source.recurse_submodules && root.join(".gitmodules").is_file() {
        submodules(git, root).await?;
    }
    lfs::warn_about_pointers(git, root).await?;
    let tree = root.to_owned();
    tokio::task::spawn_blocking(move || remove_git_files(&tree)).await.map_err(std::io::Error::other)??;
    Ok(SourceInfo {
        kind: SourceKind::Commit,
        url: git.url.clone(),
        commit: Some(id),
        git_ref: None,
        path: String::new(),
        commit_time: time,
    })
}

/// Full id and committer's time of `commit`.
async fn describe(git: &Git<'_>, root: &Path, commit: &str) -> Result<(String, Option<jiff::Timestamp>), Error> {
    let revision = format!("{commit}^{{commit}}");
    let shown =
        git.run(git.command(root, ["log", "-1", "--no-show-signature", "--format=%H %ct", "--end-of-options", &revision, "--"])).await;
    let shown = shown.map_err(|error| match error {
        process::Error::Failed { .. } => Error::Plan { field: "ref", why: "names something that is not a commit".to_owned() },
        other => Error::Git(other),
    })?;
    let text = shown.text();
    let (id, time) = text.split_once(' ').unwrap_or((&text, ""));
    Ok((id.to_owned(), time.parse().ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())))
}

/// Fetches submodules without history; with it where a server does not hand out the commit alone.
async fn submodules(git: &Git<'_>, root: &Path) -> Result<(), Error> {
    let shallow = ["submodule", "--quiet", "update", "--init", "--recursive", "--force", "--jobs", "4", "--depth", "1"];
    let whole = &shallow[..8];
    let what = "a submodule";
    let update = |args: &[&'static str]| -> Command { git.command(root, args.iter().copied()) };
    git.log().info("fetching submodules");
    match git.online(what, "recurse_submodules", || update(&shallow)).await {
        Err(Error::NotFound { .. } | Error::Git(process::Error::Failed { .. })) => {
            git.log().info("a server does not hand out submodule commits alone: fetching their history");
            git.online(what, "recurse_submodules", || update(whole)).await.map(drop)
        }
        other => other.map(drop),
    }
}

/// Removes `.git` of the repository and of its submodules: the source is what was committed, nothing else.
fn remove_git_files(root: &Path) -> std::io::Result<()> {
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs_err::read_dir(&folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            match (entry.file_name() == ".git", kind.is_dir()) {
                (true, true) => fs_err::remove_dir_all(entry.path())?,
                (true, false) => fs_err::remove_file(entry.path())?,
                (false, true) => folders.push(entry.path()),
                (false, false) => {}
            }
        }
    }
    Ok(())
}
