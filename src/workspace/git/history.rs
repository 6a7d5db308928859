//! Finding a commit when the server will not hand it out by name: by its tips, then in the whole history.

use std::path::Path;

use super::{Error, session::Git};
use crate::process;

/// Everything a clone would fetch.
const EVERYTHING: [&str; 2] = ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"];

/// The ref, if any, whose tip is `commit`: it can be fetched without history.
pub(super) async fn tip(git: &Git<'_>, root: &Path, commit: &str) -> Result<Option<String>, Error> {
    let list = git.online("the list of refs", "url", || git.command(root, ["ls-remote", "--heads", "--tags", "origin"])).await?;
    Ok(list.text().lines().filter_map(|line| line.split_once('\t')).find_map(|(id, name)| {
        // A peeled tag: what has to be asked for is the tag itself.
        (id == commit).then(|| name.strip_suffix("^{}").unwrap_or(name).to_owned())
    }))
}

/// Fetches all branches and tags with their history.
pub(super) async fn everything(git: &Git<'_>, root: &Path, what: &str) -> Result<(), Error> {
    git.log().info("the server does not hand out single commits: fetching the history");
    let args = ["fetch", "--quiet", "--no-tags", "--force", "origin", EVERYTHING[0], EVERYTHING[1]];
    git.online(what, "ref", || git.command(root, args)).await.map(drop)
}

/// The whole id of the commit that begins with `prefix`: looked for among commits alone, without their files where the server can leave
/// these out. `None` when there is none, or more than one.
pub(super) async fn complete(git: &Git<'_>, prefix: &str) -> Result<Option<String>, Error> {
    let scratch = git.folder.join("history.git");
    git.run(git.command(&git.folder, ["init", "--quiet", "--bare", "history.git"])).await?;
    let args = ["fetch", "--quiet", "--no-tags", "--force", "--filter=tree:0", "--end-of-options", &git.url, EVERYTHING[0], EVERYTHING[1]];
    git.online("the history", "url", || git.command(&scratch, args)).await?;
    let revision = format!("{prefix}^{{commit}}");
    match git.run(git.command(&scratch, ["rev-parse", "--verify", "--quiet", "--end-of-options", &revision])).await {
        Ok(found) => Ok(found.text().lines().last().map(str::to_owned)),
        Err(process::Error::Failed { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
