//! The journal's files: `lock`, `journal.log`, and for a moment `journal.new`.
//!
//! Space is reserved ahead of the end of the file without making it longer, so that the outcome of a job can still be written when the job
//! filled the disk.

use std::{
    fs::TryLockError,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, FileExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use fs_err::os::unix::fs::OpenOptionsExt as _;
use nix::fcntl::{FallocateFlags, fallocate};

use super::{Error, ledger::Ledger, line, replay::fold};

/// Bytes reserved ahead: outcomes of some hundred executions.
const RESERVE: u64 = 1 << 20;

/// A file shorter than this is not worth compacting while the runner runs.
const COMPACT_FROM: u64 = 8 << 20;

/// How long the lock of a runner that was killed a moment ago may take to go: its last children hold it until they have begun.
const PATIENCE: Duration = Duration::from_millis(500);

/// Time between two looks at it.
const LOOK_AGAIN: Duration = Duration::from_millis(25);

/// The open file. Holds the lock.
#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
    file: fs_err::File,
    /// Bytes of it that are written and synced.
    length: u64,
    /// Bytes that have their place on the disk.
    reserved: u64,
    /// Length from which compaction is worth a try.
    compact_at: u64,
    /// The name may still be that of the file before: nothing in this one is safe yet.
    is_unnamed: bool,
    _lock: fs_err::File,
}

/// Takes the journal below `state`, and gives what it says.
pub(super) fn open(state: &Path) -> Result<(Files, Ledger), Error> {
    let folder = state.join("journal");
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
    made.map_err(|source| Error::Folder { folder: folder.clone(), source })?;
    let lock = lock(state, &folder)?;
    let path = folder.join("journal.log");
    let bytes = match fs_err::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(Error::Read(error)),
    };
    let (ledger, damaged, whole) = fold(&bytes);
    if !damaged.is_empty() {
        let kept = folder.join("journal.damaged");
        tracing::warn!(lines = ?damaged, kept = %kept.display(), "the runner's journal is damaged; these lines were skipped");
        let _ = fs_err::remove_file(&kept);
        if let Err(error) = fs_err::hard_link(&path, &kept) {
            tracing::warn!(%error, "the damaged journal cannot be kept");
        }
    }
    let files = match Files::create(&folder, &ledger, lock) {
        Ok(files) => files,
        Err((lock, error)) => {
            tracing::warn!(%error, "the runner's journal cannot be compacted; it is continued as it is");
            Files::resume(&folder, whole, lock).map_err(Error::Write)?
        }
    };
    Ok((files, ledger))
}

/// The lock goes when the process does, however it ends.
fn lock(state: &Path, folder: &Path) -> Result<fs_err::File, Error> {
    let path = folder.join("lock");
    let opened = fs_err::OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    let mut file = opened.map_err(|source| Error::Folder { folder: folder.to_owned(), source })?;
    let mut patience = PATIENCE;
    while let Err(refused) = file.file().try_lock() {
        match (refused, patience.checked_sub(LOOK_AGAIN)) {
            (TryLockError::WouldBlock, Some(left)) => {
                patience = left;
                std::thread::sleep(LOOK_AGAIN);
            }
            (TryLockError::WouldBlock, None) => {
                let owner = std::fs::read_to_string(&path).ok().and_then(|text| text.trim().parse::<u32>().ok());
                let owner = owner.map_or_else(String::new, |pid| format!(" (process {pid})"));
                return Err(Error::InUse { state: state.to_owned(), owner });
            }
            (TryLockError::Error(source), _) => return Err(Error::Folder { folder: folder.to_owned(), source }),
        }
    }
    // For people only: a full disk must not keep the runner from starting.
    let _ = file.set_len(0);
    let _ = writeln!(file, "{}", std::process::id());
    Ok(file)
}

impl Files {
    /// A new file that says what `ledger` says, in the place of the old one.
    fn create(folder: &Path, ledger: &Ledger, lock: fs_err::File) -> Result<Self, (fs_err::File, io::Error)> {
        match written(folder, &snapshot(ledger)) {
            Ok(written) => Ok(Self::over(folder, written, lock)),
            Err(error) => Err((lock, error)),
        }
    }

    fn over(folder: &Path, Written { file, length, reserved }: Written, lock: fs_err::File) -> Self {
        let compact_at = COMPACT_FROM.max(2 * length);
        Self { folder: folder.to_owned(), file, length, reserved, compact_at, is_unnamed: true, _lock: lock }
    }

    /// The old file, without its torn end.
    fn resume(folder: &Path, whole: usize, lock: fs_err::File) -> io::Result<Self> {
        let file = fs_err::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(folder.join("journal.log"))?;
        let length = whole as u64;
        file.set_len(length)?;
        let reserved = reserve(&file, length);
        Ok(Self::over(folder, Written { file, length, reserved }, lock))
    }

    /// Appends whole lines and syncs. After an error nothing of them counts, and the next call writes in the same place.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let end = self.length + lines.len() as u64;
        if end + RESERVE / 2 > self.reserved {
            self.reserved = self.reserved.max(reserve(&self.file, end));
        }
        self.file.file().write_all_at(lines, self.length)?;
        self.file.sync_data()?;
        self.sync_name()?;
        self.length = end;
        Ok(())
    }

    fn sync_name(&mut self) -> io::Result<()> {
        if self.is_unnamed {
            fs_err::File::open(&self.folder)?.sync_all()?;
            self.is_unnamed = false;
        }
        Ok(())
    }

    /// Whether most of the file may be about what is closed.
    pub(super) const fn wants_compaction(&self) -> bool {
        self.length >= self.compact_at
    }

    /// Puts a new file in the place of this one. After an error the old one goes on, or the new one if it has the name.
    pub(super) fn compact(&mut self, ledger: &Ledger) -> io::Result<()> {
        // Whether it works or not, the next try is worth it when the file has doubled.
        self.compact_at = COMPACT_FROM.max(2 * self.length);
        let Written { file, length, reserved } = written(&self.folder, &snapshot(ledger))?;
        (self.file, self.length, self.reserved, self.is_unnamed) = (file, length, reserved, true);
        self.compact_at = COMPACT_FROM.max(2 * length);
        self.sync_name()
    }

    /// The folder, for messages.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes to a device that is always full from now on, and back.
    #[cfg(test)]
    pub(super) fn swap_file(&mut self, file: fs_err::File) -> fs_err::File {
        std::mem::replace(&mut self.file, file)
    }
}

fn snapshot(ledger: &Ledger) -> Vec<u8> {
    let mut lines = Vec::new();
    ledger.entries().for_each(|entry| line::encode(&entry, &mut lines));
    lines
}

/// A file that has just got the name `journal.log`.
struct Written {
    file: fs_err::File,
    length: u64,
    reserved: u64,
}

/// Gives the name to a new file that holds exactly `lines`. After a power cut there is one of the two, whole.
fn written(folder: &Path, lines: &[u8]) -> io::Result<Written> {
    let new = folder.join("journal.new");
    let write = || {
        let mut file = fs_err::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        let length = lines.len() as u64;
        let reserved = reserve(&file, length);
        file.write_all(lines)?;
        file.sync_all()?;
        fs_err::rename(&new, folder.join("journal.log"))?;
        Ok(Written { file, length, reserved })
    };
    write().inspect_err(|_| {
        let _ = std::fs::remove_file(&new);
    })
}

/// Reserves space behind `end`; returns up to where there is some. A disk that is full, or cannot do this, is no error.
fn reserve(file: &fs_err::File, end: u64) -> u64 {
    let (from, bytes) = (i64::try_from(end).unwrap_or(i64::MAX), i64::try_from(RESERVE).unwrap_or(0));
    // The lines up to `end` are reserved with it.
    match fallocate(file.file(), FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, from.saturating_add(bytes)) {
        Ok(()) => end + RESERVE,
        Err(_) => 0,
    }
}
