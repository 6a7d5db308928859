//! Why a signature does not count, and why none does.

use std::fmt;

use crate::{
    job::{Failure, FailureKind},
    provenance::bundle::BundleError,
};

/// Something that looks like a signature of the manifest and is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Damage {
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error("what was signed is no statement about an artifact (in-toto)")]
    NotAStatement,
    #[error("what was signed is no description of an image (simple signing)")]
    NotSimpleSigning,
    #[error("it is about something else")]
    AnotherSubject,
    #[error("it has no signature in it")]
    NoSignature,
    #[error("its certificate cannot be read")]
    NotACertificate,
    #[error("its log entry cannot be read")]
    NotALogEntry,
    #[error("its timestamp cannot be read")]
    NotATimestamp,
}

/// Why one signature is not one of an authority's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// There is nothing to judge.
    #[error("there is no signature")]
    None,
    /// Made with a certificate, and the authority is a key; or the other way round.
    #[error("it is made with a {0}, not with a {1}")]
    AnotherKind(&'static str, &'static str),
    /// Of somebody else, or of other bytes.
    #[error("it is not of this key")]
    AnotherKey,
    /// The same; or in the form that cosign 3 signs in with an Ed25519 key (RFC 8032, section 5.1), and does not verify itself.
    #[error("it is not of this key, or it is Ed25519ph, which is not understood: cosign makes it of Ed25519 keys; sign with ECDSA P-256")]
    AnotherKeyOrForm,
    /// The certificate's key has not made it.
    #[error("it is not of the key in its certificate")]
    NotOfCertificate,
    /// The certificate cannot be read.
    #[error("its certificate cannot be read")]
    Certificate,
    /// Nobody trusted says when it was made.
    #[error("nobody in the trusted root says when it was made: {0}")]
    NoTime(String),
    /// The chain does not lead to the trusted root.
    #[error("its certificate does not lead to the trusted root: {0}")]
    Chain(String),
    /// Somebody else's certificate.
    #[error("it is of {0}, which is none of the identities asked for")]
    Identity(String),
}

/// A manifest without a signature that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// `HOST/NAME@DIGEST`.
    pub what: String,
    /// How many signatures of it there are.
    pub signatures: usize,
    /// For each authority, why none of them counts.
    pub reasons: Vec<(String, Vec<(String, Reason)>)>,
    /// What looked like a signature, and why it is none.
    pub damaged: Vec<String>,
}

impl std::error::Error for Rejected {}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.reasons.iter().map(|(name, _)| name.as_str()).collect();
        let (what, names) = (&self.what, names.join(", "));
        match self.signatures {
            0 => write!(f, "{what} is not signed; verification wants a signature of {names}, so nothing was copied"),
            1 => write!(f, "{what} has a signature, which is not of {names}; nothing was copied"),
            count => write!(f, "{what} has {count} signatures, none of them of {names}; nothing was copied"),
        }
    }
}

impl From<Rejected> for Failure {
    fn from(rejected: Rejected) -> Self {
        let mut failure = Self::new(FailureKind::SignatureInvalid, rejected.to_string());
        for text in rejected.damaged {
            failure = failure.with_evidence("signature", text);
        }
        for (authority, reasons) in rejected.reasons {
            for (place, reason) in reasons {
                let place = if place.is_empty() { place } else { format!("{place}: ") };
                failure = failure.with_evidence(&format!("authority {authority}"), format!("{place}{reason}"));
            }
        }
        failure
    }
}
