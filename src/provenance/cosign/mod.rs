//! Signatures of others: whether somebody who is trusted has signed what is about to be copied.
//!
//! ```text
//! referrers: Sigstore bundles ──┐            ┌─ key: is the signature this key's?
//! tag sha256-<hex>.sig: cosign ─┴─► claims ──┤
//!                                            └─ certificate: time vouched for ─► chain to the trusted root ─► identity
//! ```
//!
//! Inputs: a repository, the manifest in question, and who is trusted ([`Authorities`]). Outputs: who vouches for it, or why nobody does, authority
//! by authority. Invariants: a claim counts only if what was signed names this very digest; a certificate counts only at a time that
//! somebody in the trusted root has signed; everything read is bounded; nothing is accepted for want of a check.
//!
//! Not checked: that the certificate is in a certificate transparency log; that the signature of a plain key is in a transparency log.
//!
//! Called by the executors that copy.

mod authority;
mod certificate;
mod claim;
mod der;
mod error;
mod find;
mod keyless;
mod log;
mod timestamp;
mod trusted_root;

use std::fmt;

pub use authority::{Authorities, Unusable};
pub use error::{Reason, Rejected};
pub(crate) use trusted_root::MAX_TRUSTED_ROOT;
pub use trusted_root::{TrustedRoot, TrustedRootError};

use crate::{
    job::Failure,
    oci::{self, Cx, Descriptor, Repository},
};

/// Somebody trusted has signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vouched {
    /// Who, as the plan names them.
    pub authority: String,
    /// The key or identity, as far as it is worth showing.
    pub signer: String,
    /// Where the signature is.
    pub place: String,
}

impl fmt::Display for Vouched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "signed by authority {} ({}): {}", self.authority, self.signer, self.place)
    }
}

/// Why it does not count as signed.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The signatures cannot be read just now.
    #[error(transparent)]
    Oci(#[from] oci::Error),
    /// They were read, and none is good.
    #[error(transparent)]
    Rejected(#[from] Rejected),
}

impl From<VerifyError> for Failure {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Oci(error) => error.into(),
            VerifyError::Rejected(rejected) => rejected.into(),
        }
    }
}

/// Looks for a signature of `subject`, a manifest of `repository`, by any one of `authorities`.
///
/// # Errors
/// When there is none, with the reason for each authority; when signatures cannot be read.
pub async fn verify(cx: Cx<'_>, repository: &Repository, subject: &Descriptor, authorities: &Authorities) -> Result<Vouched, VerifyError> {
    let found = find::claims(cx, repository, subject).await?;
    let mut reasons = Vec::new();
    for authority in authorities.all() {
        match authority.judge(&found.claims) {
            Ok(vouched) => return Ok(vouched),
            Err(reason) => reasons.push((authority.name().to_owned(), reason)),
        }
    }
    Err(Rejected {
        what: format!("{}@{}", repository.display(), subject.digest),
        signatures: found.claims.len(),
        reasons,
        damaged: found.damaged,
    }
    .into())
}
