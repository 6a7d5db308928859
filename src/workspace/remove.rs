//! Removing a folder whatever its owner did to the permissions inside, without ever following a link out of it.

use std::{
    fs::DirEntry,
    io,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::{Duration, Instant},
};

/// From so many entries on a folder is removed by a thread of its own.
const TRIFLE: usize = 8;

/// Removes `root` and everything below within `limit`. A folder that is not there is fine.
pub(super) fn tree(root: &Path, limit: Duration) -> io::Result<()> {
    match std::fs::remove_dir_all(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Ok(()) => return Ok(()),
        // Read-only folders, or somebody still writing: below.
        Err(_) => {}
    }
    let deadline = Instant::now() + limit;
    loop {
        unseal(root, deadline)?;
        match fs_err::remove_dir_all(root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty && Instant::now() < deadline => {
                // A process that was just killed may still have been making files; it cannot go on for long.
                std::thread::sleep(Duration::from_millis(10));
            }
            other => return other,
        }
    }
}

/// Whether so little is below `root` that removing it takes less time than waking a thread for it: a few files and folders of files.
pub(super) fn is_trifle(root: &Path) -> bool {
    let is_folder = |entry: &DirEntry| !entry.file_type().is_ok_and(|kind| !kind.is_dir());
    let holds_files = |folder: &Path| few(folder).is_some_and(|entries| !entries.iter().any(is_folder));
    few(root).is_some_and(|entries| entries.iter().all(|entry| !is_folder(entry) || holds_files(&entry.path())))
}

/// What is in a folder, if that is less than [`TRIFLE`].
fn few(folder: &Path) -> Option<Vec<DirEntry>> {
    let entries: Vec<_> = std::fs::read_dir(folder).ok()?.take(TRIFLE).collect::<Result<_, _>>().ok()?;
    (entries.len() < TRIFLE).then_some(entries)
}

/// Gives the owner every right to every folder below `root`. Links are not followed: `read_dir` reports their own type.
fn unseal(root: &Path, deadline: Instant) -> io::Result<()> {
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        if Instant::now() > deadline {
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("removing '{}' took too long", root.display())));
        }
        fs_err::set_permissions(&folder, std::fs::Permissions::from_mode(0o700))?;
        for entry in fs_err::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trifles_are_few_files_in_few_folders() {
        let root = tempfile::tempdir().expect("a folder");
        let root = root.path();
        for folder in ["home", "tmp", "log"] {
            std::fs::create_dir(root.join(folder)).expect("made");
        }
        std::fs::write(root.join("log/head.log"), "x").expect("written");
        assert!(is_trifle(root));
        std::fs::create_dir(root.join("home/deep")).expect("made");
        assert!(!is_trifle(root), "a folder in a folder may hold anything");
        std::fs::remove_dir(root.join("home/deep")).expect("removed");
        for number in 0..TRIFLE {
            std::fs::write(root.join(format!("tmp/{number}")), "x").expect("written");
        }
        assert!(!is_trifle(root));
        assert!(!is_trifle(&root.join("nowhere")));
    }
}
