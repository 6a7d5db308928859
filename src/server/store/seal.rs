//! Plans at rest: AES-256-GCM under a key that lies beside the database, so that a copy of the database alone tells nothing.
//!
//! Inputs: a plan and its job's id, which is authenticated with it: a sealed plan cannot be moved to another job. Outputs: a random nonce of 12
//! bytes followed by ciphertext and tag. Invariant: the key is in its file (mode 0600) and in memory, nowhere else. Called by the stores.

use std::{
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use fs_err::os::unix::fs::OpenOptionsExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::{Error, OpenError};
use crate::job::JobId;

/// Bytes of the key.
const KEY: usize = 32;

/// Seals and opens plans.
pub(super) struct Sealer {
    key: RandomizedNonceKey,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

impl Sealer {
    /// With the key in `file`. Makes one when there is none and `fresh` says that nothing has been sealed yet.
    pub(super) fn open(file: &Path, fresh: bool) -> Result<Self, OpenError> {
        let bytes = match read(file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && fresh => make(file)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(OpenError::KeyMissing(file.to_owned())),
            Err(error) => return Err(error.into()),
        };
        let wrong = || OpenError::Key(file.to_owned());
        if bytes.len() != KEY {
            return Err(wrong());
        }
        RandomizedNonceKey::new(&AES_256_GCM, &bytes).map(|key| Self { key }).map_err(|_| wrong())
    }

    /// The sealed form of a job's plan.
    pub(super) fn seal(&self, job: &JobId, plan: &SecretString) -> Result<Vec<u8>, Error> {
        self.seal_as(job.as_str(), plan.expose_secret())
    }

    /// The plan.
    pub(super) fn unseal(&self, job: &JobId, sealed: Vec<u8>) -> Result<SecretString, Error> {
        self.unseal_as(job.as_str(), sealed)
    }

    /// What proves later that the key is still the same one.
    pub(super) fn proof(&self) -> Result<Vec<u8>, Error> {
        self.seal_as(PROOF, "")
    }

    /// Whether `proof` was made with this key.
    pub(super) fn proves(&self, proof: Vec<u8>) -> bool {
        self.unseal_as(PROOF, proof).is_ok()
    }

    fn seal_as(&self, owner: &str, text: &str) -> Result<Vec<u8>, Error> {
        let mut sealed = text.as_bytes().to_vec();
        let nonce = self.key.seal_in_place_append_tag(Aad::from(owner.as_bytes()), &mut sealed).map_err(|_| DAMAGED)?;
        Ok([nonce.as_ref().as_slice(), &sealed].concat())
    }

    fn unseal_as(&self, owner: &str, sealed: Vec<u8>) -> Result<SecretString, Error> {
        let mut sealed = Zeroizing::new(sealed);
        let (nonce, text) = sealed.split_at_mut_checked(NONCE_LEN).ok_or(DAMAGED)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| DAMAGED)?;
        let text = self.key.open_in_place(nonce, Aad::from(owner.as_bytes()), text).map_err(|_| DAMAGED)?;
        std::str::from_utf8(text).map(SecretString::from).map_err(|_| DAMAGED)
    }
}

const DAMAGED: Error = Error::Damaged("plan");

/// Owner of [`Sealer::proof`]; no job id has a space.
const PROOF: &str = "the key";

fn read(file: &Path) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(KEY + 1));
    fs_err::File::open(file)?.take(KEY as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A new key, on disk before anything is sealed with it. Written aside and renamed: half a key file would make the folder unusable.
fn make(file: &Path) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(vec![0; KEY]);
    getrandom::fill(&mut bytes).map_err(|error| std::io::Error::other(format!("the system has no randomness for a plan key: {error}")))?;
    let aside: PathBuf = file.with_extension("key.new");
    let mut out = fs_err::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    out.write_all(&bytes)?;
    out.sync_all()?;
    fs_err::rename(&aside, file)?;
    if let Some(folder) = file.parent() {
        fs_err::File::open(folder)?.sync_all()?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_opens_for_its_own_job_and_with_its_own_key_only() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("plan.key");
        let maker = Sealer::open(&file, true).unwrap();
        let (job, plan) = (JobId::generate(), SecretString::from("{\"password\":\"hunter2\"}"));
        let sealed = maker.seal(&job, &plan).unwrap();
        assert!(!sealed.windows(7).any(|part| part == b"hunter2"));
        assert_ne!(sealed, maker.seal(&job, &plan).unwrap(), "the nonce is new each time");
        let again = Sealer::open(&file, false).unwrap();
        assert_eq!(again.unseal(&job, sealed.clone()).unwrap().expose_secret(), plan.expose_secret());
        assert!(again.proves(maker.proof().unwrap()));
        assert!(again.unseal(&JobId::generate(), sealed.clone()).is_err());
        let mut torn = sealed.clone();
        torn[NONCE_LEN] ^= 1;
        assert!(again.unseal(&job, torn).is_err() && again.unseal(&job, vec![1, 2]).is_err());

        let other = Sealer::open(&dir.path().join("other.key"), true).unwrap();
        assert!(other.unseal(&job, sealed).is_err() && !other.proves(maker.proof().unwrap()));
        assert!(matches!(Sealer::open(&dir.path().join("none.key"), false), Err(OpenError::KeyMissing(_))));
        fs_err::write(&file, "short").unwrap();
        assert!(matches!(Sealer::open(&file, false), Err(OpenError::Key(_))));
    }
}
