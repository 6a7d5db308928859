//! Stores of images and cached steps, each used by one build at a time.
//!
//! ```text
//! <state>/cache/docker-build/buildah/<n>/
//!   lock      held while a build uses the store
//!   owner     the handle of that build; left behind by one that was killed
//!   size      bytes that its layers take, as of the last build
//!   users     whose files are in it: the map of user ids of the builds that made it
//!   root/     images and layers
//!   run/, tmp/: what is mounted, and temporary files of steps, whoever they belong to; made anew for every build
//! ```

use std::{
    fs::TryLockError,
    io,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::super::layout;

/// Most stores; more builds at once than this are refused.
const MOST: usize = 64;

/// A store that is ours until it is dropped.
#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
    _lock: fs_err::File,
}

impl Store {
    /// Takes the first store that is free, or makes another one.
    pub(super) fn take(pool: &Path, owner: &str) -> io::Result<(Self, Option<String>)> {
        for number in 0..MOST {
            let folder = pool.join(number.to_string());
            let Some(store) = Self::lock(&folder)? else { continue };
            let before = owner_of(&folder)?.filter(|before| before != owner);
            fs_err::write(folder.join("owner"), owner)?;
            return Ok((store, before));
        }
        Err(io::Error::other(format!("all {MOST} stores in '{}' are in use", pool.display())))
    }

    /// The store that `owner` left behind, unless somebody has taken it since.
    pub(super) fn left_by(pool: &Path, owner: &str) -> io::Result<Option<Self>> {
        for number in 0..MOST {
            let folder = pool.join(number.to_string());
            if owner_of(&folder)?.as_deref() == Some(owner)
                && let Some(store) = Self::lock(&folder)?
            {
                // It may have changed hands between the look and the lock.
                return Ok((owner_of(&folder)?.as_deref() == Some(owner)).then_some(store));
            }
        }
        Ok(None)
    }

    fn lock(folder: &Path) -> io::Result<Option<Self>> {
        use fs_err::os::unix::fs::OpenOptionsExt as _;
        private_folder(folder)?;
        let file = fs_err::OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(folder.join("lock"))?;
        match file.file().try_lock() {
            Ok(()) => Ok(Some(Self { folder: folder.to_owned(), _lock: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Images and layers.
    pub(super) fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    /// What is mounted.
    pub(super) fn run(&self) -> PathBuf {
        self.folder.join("run")
    }

    /// Temporary files. They are not in the workspace, for without privileges steps make files there that only a user namespace can remove.
    pub(super) fn tmp(&self) -> PathBuf {
        self.folder.join("tmp")
    }

    /// Whether its files are those of builds with these users.
    pub(super) fn is_of(&self, users: &str) -> bool {
        !self.root().exists() || fs_err::read_to_string(self.folder.join("users")).is_ok_and(|found| found == users)
    }

    /// Writes down whose files it is going to have.
    pub(super) fn note_users(&self, users: &str) -> io::Result<()> {
        fs_err::write(self.folder.join("users"), users)
    }

    /// Its folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The driver it was made with, if it was.
    pub(super) fn driver(&self) -> Option<&'static str> {
        ["overlay", "vfs"].into_iter().find(|driver| self.root().join(format!("{driver}-layers")).is_dir())
    }

    /// Says that nothing of a build is left in it.
    pub(super) fn disown(&self) -> io::Result<()> {
        match fs_err::remove_file(self.folder.join("owner")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Writes down what it takes; returns what all stores take.
    pub(super) fn measure(&self, pool: &Path) -> io::Result<u64> {
        fs_err::write(self.folder.join("size"), self.bytes().to_string())?;
        let sizes = (0..MOST).filter_map(|number| fs_err::read_to_string(pool.join(number.to_string()).join("size")).ok());
        Ok(sizes.filter_map(|text| text.trim().parse::<u64>().ok()).sum())
    }

    /// Bytes of its layers, as the store itself counts them.
    fn bytes(&self) -> u64 {
        let Some(driver) = self.driver() else { return 0 };
        let list = layout::read_json(&self.root().join(format!("{driver}-layers/layers.json"))).unwrap_or_default();
        let layers: Vec<&Value> = list.as_array().into_iter().flatten().collect();
        let own = |layer: &Value| layer["diff-size"].as_u64().unwrap_or(0);
        if driver == "overlay" {
            return layers.iter().map(|layer| own(layer)).sum();
        }
        // Every layer of a vfs store is a copy of all below it. Parents are listed before their children.
        let mut whole = std::collections::BTreeMap::new();
        for layer in &layers {
            let below = layer["parent"].as_str().and_then(|parent| whole.get(parent)).copied().unwrap_or(0);
            whole.insert(layer["id"].as_str().unwrap_or_default(), below + own(layer));
        }
        whole.values().sum()
    }
}

fn owner_of(folder: &Path) -> io::Result<Option<String>> {
    match fs_err::read_to_string(folder.join("owner")) {
        Ok(owner) => Ok(Some(owner)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes a folder that only its owner can enter.
fn private_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_used_by_one_build_at_a_time_and_found_again_by_its_owner() {
        let pool = tempfile::tempdir().expect("a folder");
        let (one, before) = Store::take(pool.path(), "a").expect("taken");
        assert_eq!(before, None);
        let (two, _) = Store::take(pool.path(), "b").expect("taken");
        assert_ne!(one.folder(), two.folder());
        assert!(Store::left_by(pool.path(), "a").expect("looked").is_none(), "it is in use");
        drop(one);
        assert!(Store::left_by(pool.path(), "a").expect("looked").is_some());
        let (again, before) = Store::take(pool.path(), "c").expect("taken");
        assert_eq!(before.as_deref(), Some("a"), "whose leavings have to go first");
        assert!(Store::left_by(pool.path(), "a").expect("looked").is_none());
        again.disown().expect("disowned");
        again.disown().expect("twice");
        drop(again);
        assert!(Store::left_by(pool.path(), "c").expect("looked").is_none());
    }

    #[test]
    fn layers_are_counted_as_their_driver_keeps_them() {
        let pool = tempfile::tempdir().expect("a folder");
        let (store, _) = Store::take(pool.path(), "a").expect("taken");
        assert_eq!(store.measure(pool.path()).expect("measured"), 0);
        for (driver, expected) in [("vfs", 10 + 15), ("overlay", 10 + 5)] {
            let folder = store.root().join(format!("{driver}-layers"));
            fs_err::create_dir_all(&folder).expect("made");
            fs_err::write(folder.join("layers.json"), r#"[{"id":"x","diff-size":10},{"id":"y","parent":"x","diff-size":5}]"#)
                .expect("written");
            assert_eq!((store.driver(), store.measure(pool.path()).expect("measured")), (Some(driver), expected));
        }
    }
}
