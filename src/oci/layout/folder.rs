//! Files of a layout folder: made when it is first written to, opened without following links out of it, written so that nobody
//! ever sees half a file. Blocking.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use nix::fcntl::{Flock, FlockArg};
use tempfile::NamedTempFile;

use super::LayoutProblem;
use crate::{
    digest::Digest,
    oci::{Error, error::ContentError},
    shutdown::Cancel,
};

/// Content of the file `oci-layout` (image-spec 1.1, `image-layout.md`).
const MARKER: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// Name of that file.
const MARKER_NAME: &str = "oci-layout";
/// Largest `oci-layout` that is read.
const MAX_MARKER: u64 = 4096;
/// How names of unfinished files begin.
const TEMPORARY: &str = ".build-runner-";
/// How old an unfinished file at least is that counts as left behind.
const ABANDONED: SignedDuration = SignedDuration::from_mins(1);
/// How often the lock is asked for while another runner has it.
const LOCK_POLL: Duration = Duration::from_millis(5);

pub(super) fn io_error(path: &Path) -> impl Fn(io::Error) -> Error + use<'_> {
    move |source| Error::Io { path: path.to_owned(), source }
}

/// Where a blob lies.
pub(super) fn blob_path(root: &Path, digest: &Digest) -> PathBuf {
    root.join("blobs").join(digest.algorithm().as_str()).join(digest.hex())
}

/// `Ok(false)` when there is nothing at `root` yet, an error when there is something else than a layout.
pub(super) fn exists(root: &Path) -> Result<bool, Error> {
    let path = root.join(MARKER_NAME);
    let marker = match read(root, &path, MAX_MARKER) {
        Ok(bytes) => bytes,
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            let empty = match std::fs::read_dir(root) {
                // What another runner that is making the layout at this moment has put there does not count.
                Ok(entries) => entries.flatten().all(|entry| {
                    let name = entry.file_name();
                    name == "blobs" || name.to_string_lossy().starts_with(TEMPORARY)
                }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => true,
                Err(error) => return Err(io_error(root)(error)),
            };
            return match empty {
                true => Ok(false),
                // Another runner finished making it between our two looks. The marker is never taken away again, so this ends.
                false if path.exists() => exists(root),
                false => Err(LayoutProblem::NotALayout.at(root).into()),
            };
        }
        Err(error) => return Err(error),
    };
    let version = serde_json::from_slice::<serde_json::Value>(&marker)
        .map_err(|error| LayoutProblem::Malformed(error.to_string()).at(&path))?["imageLayoutVersion"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    if version == "1.0.0" { Ok(true) } else { Err(LayoutProblem::Version(version).at(&path).into()) }
}

/// Makes an empty layout unless there is one.
pub(super) fn create(root: &Path) -> Result<(), Error> {
    if exists(root)? {
        return Ok(());
    }
    let blobs = root.join("blobs").join("sha256");
    std::fs::create_dir_all(&blobs).map_err(io_error(&blobs))?;
    // The marker last: until it is there, another runner starts from the beginning as well. Whoever is first has made the file that
    // everybody locks, so it must not be replaced.
    let mut file = temporary(root)?;
    let path = root.join(MARKER_NAME);
    file.write_all(MARKER).map_err(io_error(&path))?;
    file.as_file().sync_all().map_err(io_error(&path))?;
    match file.persist_noclobber(&path) {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(io_error(&path)(error.error)),
    }
}

/// Opens a regular file inside `root`; links may lead elsewhere in the folder, never out of it.
pub(super) fn open(root: &Path, path: &Path) -> Result<(std::fs::File, u64), Error> {
    let base = root.canonicalize().map_err(io_error(root))?;
    let real = path.canonicalize().map_err(io_error(path))?;
    if !real.starts_with(&base) {
        return Err(LayoutProblem::Outside.at(path).into());
    }
    // Asked before opening: opening a pipe would wait for somebody to write into it.
    let metadata = std::fs::metadata(&real).map_err(io_error(path))?;
    if !metadata.is_file() {
        return Err(LayoutProblem::NotAFile.at(path).into());
    }
    Ok((std::fs::File::open(&real).map_err(io_error(path))?, metadata.len()))
}

/// Reads a small file inside `root`.
pub(super) fn read(root: &Path, path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let (file, size) = open(root, path)?;
    if size > limit {
        return Err(LayoutProblem::TooLarge(limit).at(path).into());
    }
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).map_err(io_error(path))?;
    Ok(bytes)
}

/// A file without a name that others would look for, in the folder itself so that it can be renamed into place.
pub(super) fn temporary(root: &Path) -> Result<NamedTempFile, Error> {
    let file = tempfile::Builder::new()
        .prefix(TEMPORARY)
        // Readable like everything else of a layout; the umask still applies.
        .permissions(std::fs::Permissions::from_mode(0o666))
        .tempfile_in(root)
        .map_err(io_error(root))?;
    // Says for as long as it is open that somebody writes it. Where it cannot be locked it cannot be swept either.
    let _ = file.as_file().try_lock();
    Ok(file)
}

/// Removes what killed runners left unfinished, which may be whole layers. What is in the way of that is left for the next time.
pub(super) fn sweep(root: &Path) {
    let Ok(entries) = std::fs::read_dir(root) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(TEMPORARY)) {
        let modified = entry.metadata().ok().filter(std::fs::Metadata::is_file).and_then(|metadata| metadata.modified().ok());
        let modified = modified.and_then(|time| Timestamp::try_from(time).ok());
        // A young one may be about to be locked.
        let old = modified.is_some_and(|time| Timestamp::now().duration_since(time) >= ABANDONED);
        if old && std::fs::File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Gives a finished temporary file its name, after it has reached the disk.
pub(super) fn persist(file: NamedTempFile, path: &Path) -> Result<(), Error> {
    file.as_file().sync_all().map_err(io_error(path))?;
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(io_error(parent))?;
    }
    file.persist(path).map_err(|error| io_error(path)(error.error))?;
    Ok(())
}

/// Replaces a whole file at once.
pub(super) fn write(root: &Path, path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut file = temporary(root)?;
    file.write_all(bytes).map_err(io_error(path))?;
    persist(file, path)
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(path: &Path) -> Result<(), Error> {
    std::fs::File::open(path).and_then(|folder| folder.sync_all()).map_err(io_error(path))
}

/// Waits until no other runner changes `index.json`. The lock is on `oci-layout`, which nobody replaces.
pub(super) fn lock(root: &Path, cancel: &Cancel) -> Result<Flock<std::fs::File>, Error> {
    let path = root.join(MARKER_NAME);
    let mut file = std::fs::File::open(&path).map_err(io_error(&path))?;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((back, nix::errno::Errno::EWOULDBLOCK)) => file = back,
            Err((_, errno)) => return Err(io_error(&path)(errno.into())),
        }
        cancel.check()?;
        std::thread::sleep(LOCK_POLL);
    }
}

/// Checks bytes that were read against what was asked for.
pub(super) fn verify(path: &Path, digest: &Digest, bytes: &[u8]) -> Result<(), ContentError> {
    if digest.matches(bytes) {
        return Ok(());
    }
    let mut hasher = crate::digest::Hasher::new(digest.algorithm());
    hasher.update(bytes);
    Err(ContentError::Digest { what: path.display().to_string(), expected: digest.clone(), actual: hasher.finish() })
}
