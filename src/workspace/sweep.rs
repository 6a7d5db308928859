//! At start: what killed runners left behind goes, what living ones use stays.

use std::path::Path;

use super::{
    Error,
    folder::{all, discard, execution_of, lock},
};

/// What a sweep did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Executions whose workspace was removed.
    pub removed: Vec<String>,
    /// Executions that another runner is working on.
    pub in_use: Vec<String>,
    /// Executions whose workspace cannot be removed, and why.
    pub failed: Vec<(String, String)>,
}

/// Removes the workspaces of dead runners below `state`, and ends the processes they left. Blocking.
///
/// # Errors
/// When the folder of the workspaces cannot be read. One stubborn workspace is no error: see [`Swept::failed`].
pub fn sweep(state: &Path) -> Result<Swept, Error> {
    let folder = all(state);
    let mut swept = Swept::default();
    let mut names = match std::fs::read_dir(&folder) {
        Ok(entries) => entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect::<Vec<_>>(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(swept),
        Err(error) => return Err(std::io::Error::new(error.kind(), format!("'{}' cannot be read: {error}", folder.display())).into()),
    };
    // A lock without its workspace is a runner killed between the two.
    names = names.iter().map(|name| execution_of(name).to_owned()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let root = folder.join(&name);
        match lock(&root) {
            Ok(None) => swept.in_use.push(name),
            Ok(Some(held)) => match discard(&root, Some(&name), held) {
                Ok(()) => swept.removed.push(name),
                Err(error) => swept.failed.push((name, error.to_string())),
            },
            Err(error) => swept.failed.push((name, error.to_string())),
        }
    }
    Ok(swept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        job::ExecutionId,
        workspace::{Workspace, folder::lock_file},
    };

    #[test]
    fn removes_the_dead_and_spares_the_living() {
        let state = tempfile::tempdir().expect("a folder");
        assert_eq!(sweep(&state.path().join("none")).expect("nothing to do"), Swept::default());
        let living = Workspace::create(state.path(), &ExecutionId::generate()).expect("made");
        let dead = all(state.path()).join("run-dead");
        std::fs::create_dir_all(dead.join("home")).expect("made");
        std::fs::write(lock_file(&dead), "").expect("written");
        std::fs::write(lock_file(&all(state.path()).join("run-half")), "").expect("written");

        let swept = sweep(state.path()).expect("swept");
        assert_eq!(swept.removed, ["run-dead", "run-half"]);
        assert_eq!(swept.in_use.len(), 1);
        assert!(living.root().exists() && !dead.exists());
        assert_eq!(std::fs::read_dir(all(state.path())).expect("readable").count(), 2);
    }
}
