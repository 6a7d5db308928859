//! Reading bundles of any version and anybody.

use serde::{Deserialize, Deserializer};

use super::{Bundle, Content, InclusionProof, LogEntry, MAX_BUNDLE, MEDIA_TYPE, MessageSignature, Signer, Version};
use crate::provenance::{
    bytes::{Base64, Int64},
    dsse::Envelope,
};

/// Most certificates, log entries, timestamps and proof hashes of one bundle.
const MAX_ITEMS: usize = 128;

/// Why a document is not a bundle that is understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// More than anybody has a use for.
    #[error("the bundle has more than the {MAX_BUNDLE} bytes that are read")]
    TooLarge,
    /// Not JSON, or not of that shape.
    #[error("the bundle is damaged: {0}")]
    Malformed(String),
    /// Something else, or newer than this program.
    #[error("'{0}' is not a media type of Sigstore bundles up to version 0.3")]
    MediaType(String),
    /// A part that has to be there once.
    #[error("the bundle has no {0}, or more than one")]
    Not(&'static str),
    /// More of something than is taken.
    #[error("the bundle has more than {MAX_ITEMS} {0}")]
    TooMany(&'static str),
}

impl Bundle {
    /// Reads a bundle. Nothing is verified.
    ///
    /// # Errors
    /// When it is damaged, too large or of an unknown version.
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        if bytes.len() as u64 > MAX_BUNDLE {
            return Err(BundleError::TooLarge);
        }
        let raw: Raw = serde_json::from_slice(bytes).map_err(|error| BundleError::Malformed(error.to_string()))?;
        let version = version(&raw.media_type)?;
        let material = raw.verification_material.ok_or(BundleError::Not("verificationMaterial"))?;
        let signer = signer(material.public_key, material.certificate, material.x509_certificate_chain)?;
        bounded("log entries", &material.tlog_entries)?;
        let timestamps = material.timestamp_verification_data.unwrap_or_default().rfc3161_timestamps;
        bounded("timestamps", &timestamps)?;
        Ok(Self {
            version,
            signer,
            log_entries: material.tlog_entries.into_iter().map(RawEntry::checked).collect::<Result<_, _>>()?,
            timestamps: timestamps.into_iter().map(|one| one.signed_timestamp.0).collect(),
            content: match (raw.dsse_envelope, raw.message_signature) {
                (Some(envelope), None) => Content::Dsse(envelope),
                (None, Some(message)) => {
                    let digest = message.message_digest.unwrap_or_default();
                    Content::Message(MessageSignature {
                        algorithm: digest.algorithm,
                        digest: digest.digest.0,
                        signature: message.signature.0,
                    })
                }
                _ => return Err(BundleError::Not("dsseEnvelope or messageSignature")),
            },
        })
    }
}

fn version(media_type: &str) -> Result<Version, BundleError> {
    let plain: String = media_type.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    match plain.as_str() {
        "application/vnd.dev.sigstore.bundle+json;version=0.1" => Ok(Version::V0_1),
        "application/vnd.dev.sigstore.bundle+json;version=0.2" => Ok(Version::V0_2),
        MEDIA_TYPE | "application/vnd.dev.sigstore.bundle+json;version=0.3" => Ok(Version::V0_3),
        _ => Err(BundleError::MediaType(media_type.chars().take(100).collect())),
    }
}

fn signer(key: Option<RawKey>, leaf: Option<Raw509>, chain: Option<RawChain>) -> Result<Signer, BundleError> {
    let certificates = match (key, leaf, chain) {
        (Some(key), None, None) => return Ok(Signer::PublicKey { hint: key.hint }),
        (None, Some(leaf), None) => vec![leaf],
        (None, None, Some(chain)) if !chain.certificates.is_empty() => chain.certificates,
        _ => return Err(BundleError::Not("public key or certificate")),
    };
    bounded("certificates", &certificates)?;
    Ok(Signer::Certificates(certificates.into_iter().map(|certificate| certificate.raw_bytes.0).collect()))
}

fn bounded<T>(what: &'static str, items: &[T]) -> Result<(), BundleError> {
    if items.len() > MAX_ITEMS { Err(BundleError::TooMany(what)) } else { Ok(()) }
}

/// `null` is as good as nothing (`ProtoJSON`, "Null values").
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(default, deserialize_with = "nullable")]
    media_type: String,
    verification_material: Option<RawMaterial>,
    dsse_envelope: Option<Envelope>,
    message_signature: Option<RawMessage>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawMaterial {
    public_key: Option<RawKey>,
    certificate: Option<Raw509>,
    x509_certificate_chain: Option<RawChain>,
    #[serde(default, deserialize_with = "nullable")]
    tlog_entries: Vec<RawEntry>,
    timestamp_verification_data: Option<RawTimestamps>,
}

#[derive(Deserialize)]
struct RawKey {
    #[serde(default, deserialize_with = "nullable")]
    hint: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw509 {
    raw_bytes: Base64,
}

#[derive(Deserialize)]
struct RawChain {
    #[serde(default, deserialize_with = "nullable")]
    certificates: Vec<Raw509>,
}

#[derive(Deserialize, Default)]
struct RawTimestamps {
    #[serde(default, deserialize_with = "nullable", rename = "rfc3161Timestamps")]
    rfc3161_timestamps: Vec<RawTimestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawTimestamp {
    signed_timestamp: Base64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawMessage {
    message_digest: Option<RawDigest>,
    signature: Base64,
}

#[derive(Deserialize, Default)]
struct RawDigest {
    #[serde(default, deserialize_with = "nullable")]
    algorithm: String,
    #[serde(default, deserialize_with = "nullable")]
    digest: Base64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawEntry {
    #[serde(default, deserialize_with = "nullable")]
    log_index: Int64,
    log_id: Option<RawLogId>,
    kind_version: Option<RawKind>,
    #[serde(default, deserialize_with = "nullable")]
    integrated_time: Int64,
    inclusion_promise: Option<RawPromise>,
    inclusion_proof: Option<RawProof>,
    #[serde(default, deserialize_with = "nullable")]
    canonicalized_body: Base64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawLogId {
    key_id: Base64,
}

#[derive(Deserialize, Default)]
struct RawKind {
    #[serde(default, deserialize_with = "nullable")]
    kind: String,
    #[serde(default, deserialize_with = "nullable")]
    version: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPromise {
    signed_entry_timestamp: Base64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawProof {
    #[serde(default, deserialize_with = "nullable")]
    log_index: Int64,
    #[serde(default, deserialize_with = "nullable")]
    root_hash: Base64,
    #[serde(default, deserialize_with = "nullable")]
    tree_size: Int64,
    #[serde(default, deserialize_with = "nullable")]
    hashes: Vec<Base64>,
    checkpoint: Option<RawCheckpoint>,
}

#[derive(Deserialize, Default)]
struct RawCheckpoint {
    #[serde(default, deserialize_with = "nullable")]
    envelope: String,
}

impl RawEntry {
    fn checked(self) -> Result<LogEntry, BundleError> {
        let kind = self.kind_version.unwrap_or_default();
        let proof = |proof: RawProof| {
            bounded("hashes in a proof", &proof.hashes)?;
            Ok(InclusionProof {
                log_index: proof.log_index.0,
                root_hash: proof.root_hash.0,
                tree_size: proof.tree_size.0,
                hashes: proof.hashes.into_iter().map(|hash| hash.0).collect(),
                checkpoint: proof.checkpoint.unwrap_or_default().envelope,
            })
        };
        Ok(LogEntry {
            log_index: self.log_index.0,
            log_id: self.log_id.map(|id| id.key_id.0).unwrap_or_default(),
            kind: kind.kind,
            kind_version: kind.version,
            integrated_time: self.integrated_time.0,
            promise: self.inclusion_promise.map(|promise| promise.signed_entry_timestamp.0),
            proof: self.inclusion_proof.map(proof).transpose()?,
            body: self.canonicalized_body.0,
        })
    }
}
