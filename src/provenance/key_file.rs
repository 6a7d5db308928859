//! Where keys are kept: the file that the configuration names, or one in the state folder that is made on first use.
//!
//! Invariants: the made file is readable by its owner alone from its first byte on, has its name only once it is whole and on disk, and is never
//! replaced: of two runners that share a state folder and begin at the same time, one makes the key and both use it.
//!
//! Called when something is to be signed, and by `build-runner keys` and `verify`.

use std::{
    fs::{OpenOptions, Permissions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::key::{KeyProblem, PublicKey, SigningKey};
use crate::job::{Failure, FailureKind};

/// Name of the runner's own key in the state folder.
const OWN: &str = "signing-key.pem";
/// Largest key file that is read: an RSA key of 8192 bits has 6 KiB.
const MAX_FILE: u64 = 64 << 10;
/// How often the key may be made and removed by others while this runner makes it.
const TRIES: usize = 3;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file that was named.
    #[error("key file {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file that is made on first use.
    #[error("the signing key {path} cannot be made: {source}; see that the state folder is writable, or name a key with --signing-key", path = path.display())]
    Make {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What is in the file.
    #[error("key file {path} {problem}", path = path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: KeyProblem,
    },
}

impl From<KeyFileError> for Failure {
    fn from(error: KeyFileError) -> Self {
        let kind = match &error {
            KeyFileError::Make { source, .. } | KeyFileError::Read { source, .. } => Self::from(io::Error::from(source.kind())).kind,
            KeyFileError::Unusable { .. } => FailureKind::Internal,
        };
        let message = match &error {
            KeyFileError::Make { .. } => error.to_string(),
            KeyFileError::Read { .. } | KeyFileError::Unusable { .. } => format!("{error}; the setting signing_key names it"),
        };
        // The key is the operator's, not the job's, and no other try will find another.
        let failure = Self::new(kind, message);
        Self { retryable: kind == FailureKind::DiskFull, ..failure }
    }
}

/// Which key signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// That file, which has to exist.
    File(PathBuf),
    /// The one in that state folder, made on first use.
    State(PathBuf),
}

/// A key that was loaded, and what is worth a warning about its file.
#[derive(Debug)]
pub struct Loaded {
    /// The key.
    pub key: SigningKey,
    /// The file.
    pub path: PathBuf,
    /// The file can be read by others than its owner. Not refused: secrets that Kubernetes mounts are, unless somebody thought of it.
    pub exposed: bool,
}

impl KeySource {
    /// The file.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        match self {
            Self::File(path) => path.clone(),
            Self::State(folder) => folder.join(OWN),
        }
    }

    /// The key; blocks on the disk.
    ///
    /// # Errors
    /// When there is no file, it cannot be made, or holds something else.
    pub fn load(&self) -> Result<Loaded, KeyFileError> {
        let path = self.path();
        if let Self::State(_) = self
            && !path.try_exists().unwrap_or(true)
        {
            make(&path)?;
        }
        let (text, mode) = read(&path)?;
        let key = SigningKey::from_pem(&text).map_err(|problem| KeyFileError::Unusable { path: path.clone(), problem })?;
        Ok(Loaded { key, path, exposed: mode & 0o077 != 0 })
    }

    /// The public half of the key, without making one; blocks on the disk.
    ///
    /// # Errors
    /// When there is no file, or it holds something else.
    pub fn public(&self) -> Result<PublicKey, KeyFileError> {
        let path = self.path();
        let (text, _) = read(&path)?;
        let key = SigningKey::from_pem(&text).map_err(|problem| KeyFileError::Unusable { path, problem })?;
        Ok(key.public().clone())
    }
}

/// The public key in a file.
///
/// # Errors
/// When there is no file, or it holds something else.
pub fn read_public(path: &Path) -> Result<PublicKey, KeyFileError> {
    let (text, _) = read(path)?;
    PublicKey::from_pem(&text).map_err(|problem| KeyFileError::Unusable { path: path.to_owned(), problem })
}

/// Text and permissions of a key file.
fn read(path: &Path) -> Result<(Zeroizing<String>, u32), KeyFileError> {
    let fail = |source| KeyFileError::Read { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(fail)?;
    let metadata = file.metadata().map_err(fail)?;
    let mut bytes = Zeroizing::new(Vec::new());
    // One byte more than is taken tells a file that is too long; a pipe of somebody's secret store has no length.
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(fail(io::Error::new(io::ErrorKind::InvalidData, "longer than any key is")));
    }
    // A comment may be in any encoding; what is no text at all is then no PEM either.
    let text = Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned());
    Ok((text, if metadata.is_file() { metadata.permissions().mode() } else { 0 }))
}

/// Makes the key file, unless somebody else just did.
///
/// Under a draft's name, which is the same for everybody: what a killed runner leaves of it becomes the next one's draft, and no private key
/// lies about that nobody uses.
fn make(path: &Path) -> Result<(), KeyFileError> {
    let fail = |source| KeyFileError::Make { path: path.to_owned(), source };
    let unusable = |problem| KeyFileError::Unusable { path: path.to_owned(), problem };
    let text = SigningKey::generate().and_then(|key| key.to_pem()).map_err(unusable)?;
    let draft = path.with_extension("pem.new");
    for _ in 0..TRIES {
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&draft).map_err(fail)?;
        file.lock().map_err(fail)?;
        if path.try_exists().map_err(fail)? {
            // Whoever had the lock before has made it; this draft is a new one, or it is the key and has no other name.
            let _ = std::fs::remove_file(&draft);
            return Ok(());
        }
        if !is_at(&file, &draft).map_err(fail)? {
            continue;
        }
        let written = file
            .set_permissions(Permissions::from_mode(0o600))
            .and_then(|()| file.set_len(0))
            .and_then(|()| file.write_all(text.as_bytes()))
            .and_then(|()| file.sync_all())
            .and_then(|()| std::fs::rename(&draft, path));
        if let Err(error) = written {
            let _ = std::fs::remove_file(&draft);
            return Err(fail(error));
        }
        // The name is to outlive a power cut, too: what it signed is out there by then.
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(fail)?;
        tracing::info!(key = %path.display(), "made a signing key");
        return Ok(());
    }
    Err(fail(io::Error::new(io::ErrorKind::ResourceBusy, "others keep making and removing it")))
}

/// Whether an open file is still what has that name.
fn is_at(file: &std::fs::File, path: &Path) -> io::Result<bool> {
    let open = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let source = KeySource::State(folder.path().to_owned());
        assert!(matches!(source.public(), Err(KeyFileError::Read { .. })), "asking makes none");
        let keys: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| source.load().expect("a key"))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert!(keys.iter().all(|loaded| loaded.key.public() == keys[0].key.public() && !loaded.exposed));
        assert_eq!(source.public().expect("a key"), *keys[0].key.public());
        let mode = std::fs::metadata(source.path()).expect("a file").permissions().mode();
        assert_eq!((mode & 0o777, std::fs::read_dir(folder.path()).expect("a folder").count()), (0o600, 1));
    }

    #[test]
    fn what_a_killed_runner_left_of_a_key_is_no_key_and_does_not_stay() {
        let folder = tempfile::tempdir().expect("a folder");
        let source = KeySource::State(folder.path().to_owned());
        let half = SigningKey::generate().expect("a key").to_pem().expect("PEM").repeat(2);
        std::fs::write(folder.path().join("signing-key.pem.new"), half).expect("written");
        let made = source.load().expect("a key");
        assert!(!made.exposed);
        assert_eq!(std::fs::read_to_string(source.path()).expect("a file"), *made.key.to_pem().expect("PEM"));
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1);
    }

    #[test]
    fn a_given_key_has_to_be_there_and_is_told_from_one_that_others_can_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let source = KeySource::File(folder.path().join("k.pem"));
        let error = source.load().expect_err("no file").to_string();
        assert!(error.contains("k.pem: No such file"), "{error}");
        let key = SigningKey::generate().expect("a key");
        std::fs::write(source.path(), key.to_pem().expect("PEM").as_bytes()).expect("written");
        for (mode, exposed) in [(0o644, true), (0o640, true), (0o600, false), (0o400, false)] {
            std::fs::set_permissions(source.path(), Permissions::from_mode(mode)).expect("set");
            assert_eq!(source.load().expect("a key").exposed, exposed);
        }
        std::fs::set_permissions(source.path(), Permissions::from_mode(0o600)).expect("set");
        std::fs::write(source.path(), key.public().to_pem()).expect("written");
        let error = source.load().expect_err("public").to_string();
        assert!(error.contains("k.pem holds a public key"), "{error}");
        assert_eq!(read_public(&source.path()).expect("a key"), *key.public());
        std::fs::write(source.path(), key.public().der()).expect("written");
        assert!(read_public(&source.path()).expect_err("DER").to_string().contains("makes PEM of a key in DER"));
        let commented = [b"\xe9t\xe9\n", key.public().to_pem().as_bytes()].concat();
        std::fs::write(source.path(), commented).expect("written");
        assert_eq!(read_public(&source.path()).expect("a comment in Latin-1"), *key.public());
        std::fs::write(source.path(), " ".repeat(70_000)).expect("written");
        assert!(source.load().expect_err("long").to_string().contains("longer than any key is"));
    }
}
