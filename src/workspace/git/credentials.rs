//! Handing credentials to git without a trace: an anonymous, sealed file in memory that git and its children inherit.
//!
//! Nothing of it stands in an argument, in the environment or on a disk. git asks the helper named in the private configuration
//! (see [`super::config`]) when a server of the right scheme, host and port wants credentials; the helper copies the inherited file.

use std::{io::Write as _, os::fd::OwnedFd};

use nix::{
    fcntl::{FcntlArg, SealFlag, fcntl},
    sys::memfd::{MFdFlags, memfd_create},
};
use secrecy::ExposeSecret as _;
use zeroize::Zeroizing;

use super::{Error, location::Credentials};

/// Number of the inherited file in git and its children.
pub(super) const FD: i32 = 9;

/// The answer of a credential helper (`git-credential(1)`, "INPUT/OUTPUT FORMAT") as an inheritable file.
pub(super) fn hand_over(credentials: &Credentials) -> Result<OwnedFd, Error> {
    let (username, password) = (credentials.username.expose_secret(), credentials.password.expose_secret());
    if [username, password].iter().any(|text| text.contains(['\n', '\r', '\0'])) {
        return Err(Error::Plan { field: "url", why: "has a line break in its credentials".to_owned() });
    }
    let answer = Zeroizing::new(format!("username={username}\npassword={password}\n"));
    let fd = memfd_create(c"git-credentials", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING).map_err(std::io::Error::from)?;
    let mut file = std::fs::File::from(fd);
    file.write_all(answer.as_bytes())?;
    let seals = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals)).map_err(std::io::Error::from)?;
    Ok(file.into())
}
