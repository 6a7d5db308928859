//! Disk admission: work that the disk has no room for is refused before it starts, with numbers.

use std::path::Path;

use nix::sys::statvfs::statvfs;

use super::Error;

/// What has to be free before a job starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Minimum {
    /// Bytes an unprivileged process can still write.
    pub bytes: u64,
    /// Files it can still make.
    pub inodes: u64,
}

impl Default for Minimum {
    /// 512 MiB and 10 000 files.
    fn default() -> Self {
        Self { bytes: 512 << 20, inodes: 10_000 }
    }
}

/// Whether the disk that `folder` (which exists) is on has the minimum free.
///
/// # Errors
/// [`Error::NoRoom`] with the numbers, or [`Error::Io`] when the disk cannot be asked.
pub fn admit(folder: &Path, minimum: Minimum) -> Result<(), Error> {
    const MIB: u64 = 1 << 20;
    let disk =
        statvfs(folder).map_err(|errno| std::io::Error::other(format!("asking for the free space of '{}': {errno}", folder.display())))?;
    let free = disk.blocks_available().saturating_mul(disk.fragment_size());
    let refuse = |free, minimum, unit| Err(Error::NoRoom { folder: folder.to_owned(), free, minimum, unit });
    if free < minimum.bytes {
        return refuse(free / MIB, minimum.bytes.div_ceil(MIB), "MiB");
    }
    // File systems without a table of inodes (btrfs) say that they have none at all.
    if disk.files() > 0 && disk.files_available() < minimum.inodes {
        return refuse(disk.files_available(), minimum.inodes, "inodes");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Failure, FailureKind};

    #[test]
    fn refuses_with_numbers() {
        let folder = tempfile::tempdir().expect("a folder");
        admit(folder.path(), Minimum { bytes: 1, inodes: 0 }).expect("one byte is free");
        let error = admit(folder.path(), Minimum { bytes: u64::MAX, inodes: 0 }).expect_err("no disk is that large");
        assert!(error.to_string().contains("17592186044416") && error.to_string().contains("MiB"), "{error}");
        assert_eq!(Failure::from(error).kind, FailureKind::DiskFull);
    }
}
