//! Removing a folder whatever its owner did to the permissions inside, without ever following a link out of it.

use std::{
    io,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::{Duration, Instant},
};

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
