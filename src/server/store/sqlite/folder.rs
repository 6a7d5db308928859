//! The data folder: whose it is, and what is in it.
//!
//! ```text
//!  D/control-plane.lock   held as long as a control plane runs on it
//!  D/control-plane.db     the database, with -wal and -shm beside it
//!  D/plan.key             what plans are sealed with
//! ```
//!
//! Invariants: the folder is 0700 and its files 0600; one control plane at a time. Called by [`super::SqliteStore::open`].

use std::{
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use fs_err::os::unix::fs::OpenOptionsExt as _;
use nix::fcntl::{Flock, FlockArg};

use super::super::OpenError;

/// A data folder that is ours as long as this lives.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    _lock: Flock<std::fs::File>,
}

impl Folder {
    /// Makes the folder if need be, closes it to others, and takes it.
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|error| std::io::Error::new(error.kind(), format!("the folder '{}' cannot be made: {error}", path.display())))?;
        if fs_err::metadata(path)?.permissions().mode() & 0o077 != 0 {
            fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
        }
        let file = private_file(&path.join("control-plane.lock"))?.into_file();
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => Err(OpenError::InUse(path.to_owned())),
            Err((_, errno)) => Err(std::io::Error::from(errno).into()),
        }
    }

    /// The database, made private before SQLite opens it: the files it puts beside it get the same mode.
    pub(super) fn database(&self) -> Result<PathBuf, OpenError> {
        let path = self.path.join("control-plane.db");
        private_file(&path)?;
        Ok(path)
    }

    /// Where the plan key is.
    pub(super) fn key(&self) -> PathBuf {
        self.path.join("plan.key")
    }
}

fn private_file(path: &Path) -> std::io::Result<fs_err::File> {
    let file = fs_err::OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    }
    Ok(file)
}
