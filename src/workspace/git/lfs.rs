//! Git LFS: fetched when `git-lfs` is here, named in the log when it is missing and needed.

use std::path::Path;

use super::{Error, session::Git};
use crate::process::Environment;

/// Most bytes of one `.gitattributes` that are looked at.
const ATTRIBUTES: u64 = 1 << 20;

/// Whether `git-lfs` is to be found.
pub(super) fn is_installed(environment: &Environment) -> bool {
    environment.find("git-lfs").is_some()
}

/// Says so when the source uses LFS and this machine cannot: the files are pointers then.
pub(super) async fn warn_about_pointers(git: &Git<'_>, root: &Path) -> Result<(), Error> {
    if git.lfs {
        return Ok(());
    }
    let files = git.run(git.command(root, ["ls-files", "-z", "--", ".gitattributes", "**/.gitattributes"])).await?;
    let uses_lfs = files.stdout.split(|byte| *byte == 0).filter_map(|name| std::str::from_utf8(name).ok()).any(|name| {
        let file = root.join(name);
        !name.is_empty()
            && std::fs::symlink_metadata(&file).is_ok_and(|metadata| metadata.is_file() && metadata.len() <= ATTRIBUTES)
            && std::fs::read_to_string(&file).is_ok_and(|text| text.contains("filter=lfs"))
    });
    if uses_lfs {
        git.log().warn(
            "the source keeps files in Git LFS and git-lfs is not installed: these files are pointers of a few bytes; install git-lfs on the runner",
        );
    }
    Ok(())
}
