//! Folders of this machine, which only job files of this machine can name.

use std::path::{Path, PathBuf};

use super::{
    Error, Options, Source, SourceInfo, SourceKind, copy, fetch, head,
    name::Name,
    session::{Git, Reach},
};
use crate::{process, workspace::Cx};

fn existing(folder: &Path) -> Result<PathBuf, Error> {
    let missing = || Error::NotFound { what: "the folder".to_owned(), url: folder.display().to_string(), field: "url" };
    let folder = std::fs::canonicalize(folder).map_err(|_| missing())?;
    if folder.is_dir() { Ok(folder) } else { Err(missing()) }
}

/// Copies the folder as it stands, all of it: a chart may name its neighbours.
pub(super) async fn as_it_stands(cx: &Cx<'_>, folder: &Path, options: &Options, dest: &Path) -> Result<(PathBuf, SourceInfo), Error> {
    let folder = existing(folder)?;
    let state = cx.workspace.state().to_owned();
    let (cancel, options, from, to) = (cx.cancel.clone(), options.clone(), folder.clone(), dest.to_owned());
    cx.log.info(format_args!("copying {}", folder.display()));
    let copied = tokio::task::spawn_blocking(move || copy::folder(&cancel, &from, &to, &state, &options));
    copied.await.map_err(std::io::Error::other)??;
    let info = SourceInfo {
        kind: SourceKind::Folder,
        commit: head::commit(&folder),
        url: folder.display().to_string(),
        git_ref: None,
        path: String::new(),
        commit_time: None,
    };
    Ok((dest.to_owned(), info))
}

/// Checks out the commit that `name` stands for in the repository that `folder` is, or is part of. In the latter case the same folder of
/// that commit is the root.
pub(super) async fn commit(
    cx: &Cx<'_>,
    folder: &Path,
    name: &Name,
    source: &Source,
    options: &Options,
    dest: &Path,
) -> Result<(PathBuf, SourceInfo), Error> {
    let folder = existing(folder)?;
    let shown = folder.display().to_string();
    let probe = Git::open(cx, &shown, None, Reach::NetworkAndFiles, options)?;
    let place = probe.run(probe.command(&folder, ["rev-parse", "--is-bare-repository", "--absolute-git-dir", "--show-prefix"])).await;
    let place = place.map_err(|error| match error {
        process::Error::Failed { .. } => Error::Plan {
            field: "ref",
            why: format!("is set, and '{shown}' is not a git repository; leave it out to build the folder as it stands"),
        },
        other => Error::Git(other),
    })?;
    let text = String::from_utf8_lossy(&place.stdout).into_owned();
    let mut lines = text.lines();
    let mut line = || lines.next().unwrap_or_default();
    let (is_bare, git_folder, prefix) = (line() == "true", PathBuf::from(line()), PathBuf::from(line()));
    // The work tree's root rather than `.git`: relative URLs of submodules are relative to it.
    let above = folder.ancestors().nth(prefix.components().count()).unwrap_or(&folder);
    let repository = if is_bare { git_folder.as_path() } else { above };
    let url =
        url::Url::from_file_path(repository).map_err(|()| Error::Plan { field: "url", why: "is not an absolute folder".to_owned() })?;

    let git = Git::open(cx, url.as_str(), None, Reach::NetworkAndFiles, options)?;
    let mut info = fetch::into(&git, name, source, dest).await?;
    info.url = shown;
    Ok((dest.join(prefix), info))
}
