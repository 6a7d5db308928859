//! Unpacking archives of strangers: tar, plain or gzip.
//!
//! Inputs: bytes and [`Limits`]. Output: plain files, folders and links below one folder. Invariants: nothing is written or linked
//! outside of that folder, whatever the archive says; no more than the limits is written, read or kept in memory; owners, times, set-id bits and
//! devices never come out of an archive.
//!
//! Called by executors that fetch packed sources. Blocking: run it where blocking is allowed.

mod error;
mod meter;
mod path;

use std::{
    collections::BTreeMap,
    io::{self, BufRead, Read},
    os::unix::fs::{OpenOptionsExt as _, symlink},
    path::{Path, PathBuf},
};

use flate2::bufread::MultiGzDecoder;
use tar::{Archive, Entry, EntryType};

pub use self::error::Error;
use self::meter::{Budget, Metered};
use crate::shutdown::Cancel;

/// How much may come out of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries of any kind.
    pub entries: u64,
    /// Bytes of all files together.
    pub bytes: u64,
    /// Bytes of one file.
    pub file_bytes: u64,
    /// Bytes unpacked per byte packed, once more than a mebibyte is unpacked.
    pub ratio: u64,
}

impl Default for Limits {
    /// 100 000 entries, 4 GiB, 1 GiB a file, 200 to 1.
    fn default() -> Self {
        Self { entries: 100_000, bytes: 4 << 30, file_bytes: 1 << 30, ratio: 200 }
    }
}

/// What came out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// Entries of any kind.
    pub entries: u64,
    /// Bytes of all files together.
    pub bytes: u64,
}

/// What stands at a path already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Placed {
    Folder,
    File,
    Link,
}

/// Unpacks a tar archive, gzip or not, into `dest`, which is made if need be and should be empty.
///
/// # Errors
/// [`Error`]: the archive is broken, hostile or too large, or the disk refuses. What was unpacked until then stays.
pub fn unpack(cancel: &Cancel, archive: impl Read, dest: &Path, limits: &Limits) -> Result<Unpacked, Error> {
    let budget = Budget::new(limits.ratio);
    let mut packed = io::BufReader::with_capacity(64 << 10, budget.packed(archive));
    let is_gzip = packed.fill_buf().map_err(|error| budget.explain(error))?.starts_with(&[0x1f, 0x8b]);
    fs_err::create_dir_all(dest).map_err(Error::Write)?;
    let unpacker = Unpacker { cancel, dest, limits, placed: BTreeMap::new(), done: Unpacked::default(), budget: &budget };
    if is_gzip { unpacker.run(budget.unpacked(MultiGzDecoder::new(packed))) } else { unpacker.run(budget.unpacked(packed)) }
}

struct Unpacker<'a> {
    cancel: &'a Cancel,
    dest: &'a Path,
    limits: &'a Limits,
    placed: BTreeMap<PathBuf, Placed>,
    done: Unpacked,
    budget: &'a Budget,
}

impl Unpacker<'_> {
    fn run<R: Read>(mut self, reader: Metered<R>) -> Result<Unpacked, Error> {
        let mut archive = Archive::new(reader);
        let mut entries = archive.entries().map_err(|error| self.budget.explain(error))?;
        loop {
            self.cancel.check()?;
            self.budget.allow_header();
            let Some(entry) = entries.next() else { return Ok(self.done) };
            let mut entry = entry.map_err(|error| self.budget.explain(error))?;
            self.budget.allow_content();
            self.done.entries += 1;
            if self.done.entries > self.limits.entries {
                return Err(Error::Limit { what: "entries", limit: self.limits.entries });
            }
            self.place(&mut entry)?;
            // Whatever of it is unread is read here, within the budget of contents rather than that of headers.
            io::copy(&mut entry, &mut io::sink()).map_err(|error| self.budget.explain(error))?;
        }
    }

    fn place<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> Result<(), Error> {
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::XGlobalHeader) {
            return Ok(());
        }
        let path = path::inside(&entry.path_bytes())?;
        if path.as_os_str().is_empty() {
            return Ok(());
        }
        let refuse = |why| Err(Error::Entry { entry: path.display().to_string(), why });
        self.make_parents(&path)?;
        match (kind, self.placed.get(&path)) {
            (EntryType::Directory, Some(Placed::Folder)) => return Ok(()),
            (_, Some(_)) => return refuse("is there twice"),
            (_, None) => {}
        }
        let target = self.dest.join(&path);
        let placed = match kind {
            EntryType::Directory => {
                fs_err::create_dir(&target).map_err(Error::Write)?;
                Placed::Folder
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                self.file(entry, &path, &target)?;
                Placed::File
            }
            EntryType::Symlink => {
                let name = entry.link_name_bytes().unwrap_or_default();
                symlink(path::link(&path, &name)?, &target).map_err(Error::Write)?;
                Placed::Link
            }
            EntryType::Link => {
                let name = path::inside(&entry.link_name_bytes().unwrap_or_default())?;
                if self.placed.get(&name) != Some(&Placed::File) {
                    return refuse("is a hard link to something that is no earlier file of the archive");
                }
                fs_err::hard_link(self.dest.join(name), &target).map_err(Error::Write)?;
                Placed::File
            }
            EntryType::Block | EntryType::Char | EntryType::Fifo => return refuse("is a device or pipe"),
            _ => return refuse("is of a kind that cannot be unpacked"),
        };
        self.placed.insert(path, placed);
        Ok(())
    }

    /// Makes the folders above `path`; refuses to go through anything else, links above all.
    fn make_parents(&mut self, path: &Path) -> Result<(), Error> {
        let mut above: Vec<&Path> = path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()).collect();
        above.reverse();
        for folder in above {
            match self.placed.get(folder) {
                Some(Placed::Folder) => {}
                Some(Placed::File | Placed::Link) => {
                    return Err(Error::Entry { entry: path.display().to_string(), why: "is below a file or link of the archive" });
                }
                None => {
                    fs_err::create_dir(self.dest.join(folder)).map_err(Error::Write)?;
                    self.placed.insert(folder.to_owned(), Placed::Folder);
                }
            }
        }
        Ok(())
    }

    fn file<R: Read>(&mut self, entry: &mut Entry<'_, R>, path: &Path, target: &Path) -> Result<(), Error> {
        let too_large = |what, limit| Err(Error::Limit { what, limit });
        if entry.size() > self.limits.file_bytes {
            return too_large("bytes in one file", self.limits.file_bytes);
        }
        if self.done.bytes.saturating_add(entry.size()) > self.limits.bytes {
            return too_large("bytes in all files", self.limits.bytes);
        }
        let executable = entry.header().mode().unwrap_or(0) & 0o111 != 0;
        let mode = if executable { 0o755 } else { 0o644 };
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(target)
            .map_err(|error| Error::Write(io::Error::new(error.kind(), format!("'{}' cannot be written: {error}", path.display()))))?;
        self.done.bytes += copy(entry, &mut file, self.budget)?;
        Ok(())
    }
}

/// `io::copy` that tells a broken archive from a full disk.
fn copy(from: &mut impl Read, to: &mut impl io::Write, budget: &Budget) -> Result<u64, Error> {
    let mut buffer = vec![0_u8; 64 << 10];
    let mut total = 0;
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(budget.explain(error)),
        };
        to.write_all(&buffer[..count]).map_err(Error::Write)?;
        total += count as u64;
    }
}

#[cfg(test)]
mod tests;
