//! Sigstore bundles: a signed statement, or a signature, with what it takes to verify it (sigstore/protobuf-specs,
//! `protos/sigstore_bundle.proto`, media types 0.1 to 0.3).
//!
//! Inputs: a statement and a key, or a document of somebody else. Outputs: the document; what stands in it, decoded and *not* verified.
//! Invariants: everything read is bounded; one signer and one content, or it is no bundle.
//!
//! Called when provenance is attached or verified, and for signatures of others.

use bytes::Bytes;
use serde::Serialize;

use super::{dsse::Envelope, key::PublicKey};

mod read;

pub use read::BundleError;

/// Media type and artifact type of the bundles that are written.
pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// What the artifact types of all bundles begin with, so that newer ones are found, too (cosign `pkg/oci/remote`).
pub const ARTIFACT_TYPE_PREFIX: &str = "application/vnd.dev.sigstore.bundle";
/// Largest bundle that is read: a payload of [`super::dsse::MAX_PAYLOAD`] and what base64 and certificates add.
pub const MAX_BUNDLE: u64 = 24 << 20;

/// A bundle, decoded. Nothing of it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// `0.1`, `0.2` or `0.3`.
    pub version: Version,
    /// Whose signature it says it is.
    pub signer: Signer,
    /// Entries of transparency logs.
    pub log_entries: Vec<LogEntry>,
    /// Signed timestamps (RFC 3161, DER).
    pub timestamps: Vec<Vec<u8>>,
    /// What was signed.
    pub content: Content,
}

/// Version of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// `application/vnd.dev.sigstore.bundle+json;version=0.1`
    V0_1,
    /// `…;version=0.2`: log entries have proofs.
    V0_2,
    /// [`MEDIA_TYPE`]: one certificate instead of a chain.
    V0_3,
}

/// Whose signature it says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signer {
    /// Somebody with a key; the hint says which, and proves nothing.
    PublicKey {
        /// Mostly [`PublicKey::key_id`].
        hint: String,
    },
    /// Somebody with a certificate: DER, the leaf first. Never empty.
    Certificates(Vec<Vec<u8>>),
}

/// What was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A statement, in its envelope.
    Dsse(Envelope),
    /// Something that is not in the bundle.
    Message(MessageSignature),
}

/// Signature of something that is not in the bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageSignature {
    /// `SHA2_256` …; empty when there is no digest.
    pub algorithm: String,
    /// Digest of what was signed: a hint which thing it is.
    pub digest: Vec<u8>,
    /// The signature.
    pub signature: Vec<u8>,
}

/// An entry of a transparency log (`sigstore_rekor.proto`, `TransparencyLogEntry`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Its number in the log.
    pub log_index: i64,
    /// SHA-256 of the log's public key.
    pub log_id: Vec<u8>,
    /// `hashedrekord`, `dsse`, `intoto`.
    pub kind: String,
    /// Version of that kind.
    pub kind_version: String,
    /// When it was put in, in seconds since 1970; 0 when the log does not say.
    pub integrated_time: i64,
    /// The log's signature of its promise to put it in (the "signed entry timestamp").
    pub promise: Option<Vec<u8>>,
    /// Proof that it is in.
    pub proof: Option<InclusionProof>,
    /// The entry, as canonical JSON.
    pub body: Vec<u8>,
}

/// Proof that an entry is in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InclusionProof {
    /// Number of the entry in the tree the proof is for.
    pub log_index: i64,
    /// Root of that tree.
    pub root_hash: Vec<u8>,
    /// Number of its leaves.
    pub tree_size: i64,
    /// Hashes from the leaf's sibling up.
    pub hashes: Vec<Vec<u8>>,
    /// The signed tree head ("checkpoint"), as text; empty when there is none.
    pub checkpoint: String,
}

impl Bundle {
    /// A statement that was signed with a key.
    #[must_use]
    pub fn of_key(envelope: Envelope, key: &PublicKey) -> Self {
        Self {
            version: Version::V0_3,
            signer: Signer::PublicKey { hint: key.key_id() },
            log_entries: Vec::new(),
            timestamps: Vec::new(),
            content: Content::Dsse(envelope),
        }
    }

    /// The envelope, when it has one.
    #[must_use]
    pub const fn envelope(&self) -> Option<&Envelope> {
        match &self.content {
            Content::Dsse(envelope) => Some(envelope),
            Content::Message(_) => None,
        }
    }
}

/// The document of a statement that was signed with a key, as version 0.3 writes it.
#[must_use]
pub fn document(envelope: &Envelope, key: &PublicKey) -> Bytes {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Document<'a> {
        media_type: &'a str,
        verification_material: VerificationMaterial,
        dsse_envelope: &'a Envelope,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct VerificationMaterial {
        public_key: Hint,
    }
    #[derive(Serialize)]
    struct Hint {
        hint: String,
    }
    let material = VerificationMaterial { public_key: Hint { hint: key.key_id() } };
    let document = Document { media_type: MEDIA_TYPE, verification_material: material, dsse_envelope: envelope };
    // Strings and lists of strings: there is nothing that JSON could not say.
    serde_json::to_vec(&document).unwrap_or_default().into()
}

#[cfg(test)]
mod tests;
