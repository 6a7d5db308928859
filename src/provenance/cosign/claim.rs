//! One signature that is about the manifest in question, wherever it was found. Whose it is remains to be seen.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;

use crate::{
    digest::Digest,
    oci::Descriptor,
    provenance::{
        PublicKey,
        bundle::{Bundle, Content, LogEntry, MessageSignature, Signer},
        dsse::{Envelope, IN_TOTO, pae},
        pem,
    },
};

use super::error::Damage;

/// Annotations of a layer of cosign's signature tag (cosign `specs/SIGNATURE_SPEC.md`).
pub(super) const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
const CHAIN: &str = "dev.sigstore.cosign/chain";
const BUNDLE: &str = "dev.sigstore.cosign/bundle";
const TIMESTAMP: &str = "dev.sigstore.cosign/rfc3161timestamp";
/// Most bytes of one annotation that are looked at.
const MAX_ANNOTATION: usize = 256 << 10;

/// A signature.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    /// Where it is, for people.
    pub(super) place: String,
    pub(super) signer: Signer,
    pub(super) signed: Signed,
    pub(super) log_entries: Vec<LogEntry>,
    /// Signed timestamps (RFC 3161, DER).
    pub(super) timestamps: Vec<Vec<u8>>,
}

/// What was signed. That it names the manifest has been checked.
#[derive(Debug, Clone)]
pub(super) enum Signed {
    /// These bytes.
    Message { message: Vec<u8>, signature: Vec<u8> },
    /// A statement in its envelope.
    Statement(Envelope),
}

impl Signed {
    /// The bytes that signatures are of.
    pub(super) fn message(&self) -> Vec<u8> {
        match self {
            Self::Message { message, .. } => message.clone(),
            Self::Statement(envelope) => pae(&envelope.payload_type, &envelope.payload),
        }
    }

    /// The signature that is `key`'s, if one is.
    pub(super) fn signature_of(&self, key: &PublicKey) -> Option<&[u8]> {
        let message = self.message();
        let mut all: Box<dyn Iterator<Item = &[u8]>> = match self {
            Self::Message { signature, .. } => Box::new(std::iter::once(signature.as_slice())),
            Self::Statement(envelope) => Box::new(envelope.signatures.iter().map(|signature| signature.sig.as_slice())),
        };
        all.find(|signature| key.verify(&message, signature))
    }
}

/// The part of a "simple signing" payload that says what was signed (containers/image `docs/containers-signature.5.md`).
#[derive(Deserialize)]
struct SimpleSigning {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    image: Image,
}

#[derive(Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}

/// The part of a statement that says what it is about (in-toto `spec/v1/statement.md`).
#[derive(Deserialize)]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
}

#[derive(Deserialize)]
struct Subject {
    #[serde(default)]
    digest: std::collections::BTreeMap<String, String>,
}

/// What cosign keeps of the transparency log (cosign `pkg/cosign/bundle`).
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct LegacyBundle {
    signed_entry_timestamp: String,
    payload: LegacyPayload,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LegacyPayload {
    body: String,
    integrated_time: i64,
    log_index: i64,
    #[serde(rename = "logID")]
    log_id: String,
}

/// What cosign keeps of a timestamp authority.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct LegacyTimestamp {
    signed_r_f_c3161_timestamp: String,
}

impl Claim {
    /// A layer of cosign's signature tag and its content.
    pub(super) fn simple_signing(layer: &Descriptor, payload: &[u8], subject: &Digest, place: String) -> Result<Self, Damage> {
        let annotation = |key: &str| layer.annotations.get(key).filter(|text| text.len() <= MAX_ANNOTATION);
        let simple: SimpleSigning = serde_json::from_slice(payload).map_err(|_| Damage::NotSimpleSigning)?;
        if simple.critical.image.digest != subject.as_str() {
            return Err(Damage::AnotherSubject);
        }
        let signature = annotation(SIGNATURE).and_then(|text| decoded(text)).ok_or(Damage::NoSignature)?;
        let mut certificates = Vec::new();
        for text in [CERTIFICATE, CHAIN].into_iter().filter_map(annotation).filter(|text| !text.is_empty()) {
            let blocks = pem::blocks(text).map_err(|_| Damage::NotACertificate)?;
            certificates.extend(blocks.into_iter().filter(|block| block.label == "CERTIFICATE").map(|block| block.content.to_vec()));
        }
        let signer = if certificates.is_empty() { Signer::PublicKey { hint: String::new() } } else { Signer::Certificates(certificates) };
        let log_entries = annotation(BUNDLE).map(|text| legacy_entry(text)).transpose()?.into_iter().collect();
        let timestamps = annotation(TIMESTAMP).map(|text| legacy_timestamp(text)).transpose()?.into_iter().collect();
        Ok(Self { place, signer, signed: Signed::Message { message: payload.to_vec(), signature }, log_entries, timestamps })
    }

    /// A bundle. `manifest` is what a signature of the manifest itself is of.
    pub(super) fn bundle(bytes: &[u8], subject: &Digest, manifest: &[u8], place: String) -> Result<Self, Damage> {
        let bundle = Bundle::parse(bytes)?;
        let signed = match bundle.content {
            Content::Dsse(envelope) => {
                if envelope.payload_type != IN_TOTO {
                    return Err(Damage::NotAStatement);
                }
                is_about(&envelope.payload, subject)?;
                Signed::Statement(envelope)
            }
            Content::Message(MessageSignature { algorithm, digest, signature }) => {
                // The digest is a hint; what was signed are the bytes of the manifest.
                if algorithm == "SHA2_256" && digest != aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, manifest).as_ref() {
                    return Err(Damage::AnotherSubject);
                }
                Signed::Message { message: manifest.to_vec(), signature }
            }
        };
        Ok(Self { place, signer: bundle.signer, signed, log_entries: bundle.log_entries, timestamps: bundle.timestamps })
    }
}

/// Whether a statement names the manifest.
fn is_about(payload: &[u8], subject: &Digest) -> Result<(), Damage> {
    let statement: Statement = serde_json::from_slice(payload).map_err(|_| Damage::NotAStatement)?;
    if !statement.kind.starts_with("https://in-toto.io/Statement/") {
        return Err(Damage::NotAStatement);
    }
    let names = |one: &Subject| one.digest.get(subject.algorithm().as_str()).is_some_and(|hex| hex == subject.hex());
    if statement.subject.iter().any(names) { Ok(()) } else { Err(Damage::AnotherSubject) }
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text.trim()).ok()
}

fn legacy_entry(text: &str) -> Result<LogEntry, Damage> {
    let bundle: LegacyBundle = serde_json::from_str(text).map_err(|_| Damage::NotALogEntry)?;
    let body = decoded(&bundle.payload.body).ok_or(Damage::NotALogEntry)?;
    Ok(LogEntry {
        log_index: bundle.payload.log_index,
        log_id: unhex(&bundle.payload.log_id).ok_or(Damage::NotALogEntry)?,
        kind: String::new(),
        kind_version: String::new(),
        integrated_time: bundle.payload.integrated_time,
        promise: Some(decoded(&bundle.signed_entry_timestamp).ok_or(Damage::NotALogEntry)?),
        proof: None,
        body,
    })
}

fn legacy_timestamp(text: &str) -> Result<Vec<u8>, Damage> {
    let stamp: LegacyTimestamp = serde_json::from_str(text).map_err(|_| Damage::NotATimestamp)?;
    decoded(&stamp.signed_r_f_c3161_timestamp).ok_or(Damage::NotATimestamp)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let pair = |pair: &[u8]| match pair {
        [high, low] => u8::try_from(digit(high)? << 4 | digit(low)?).ok(),
        _ => None,
    };
    text.as_bytes().chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(kind: &str, digests: &str) -> Vec<u8> {
        format!(r#"{{"_type":"{kind}","subject":[{{"name":"x"}},{{"digest":{digests}}}],"predicateType":"p"}}"#).into_bytes()
    }

    #[test]
    fn a_statement_has_to_name_the_digest() {
        let subject = Digest::of(b"x");
        let own = format!(r#"{{"sha256":"{}"}}"#, subject.hex());
        assert_eq!(is_about(&statement("https://in-toto.io/Statement/v1", &own), &subject), Ok(()));
        assert_eq!(is_about(&statement("https://in-toto.io/Statement/v0.1", &own), &subject), Ok(()));
        let other = format!(r#"{{"sha256":"{}","sha512":"{}"}}"#, Digest::of(b"y").hex(), subject.hex());
        assert_eq!(is_about(&statement("https://in-toto.io/Statement/v1", &other), &subject), Err(Damage::AnotherSubject));
        assert_eq!(is_about(&statement("https://example.com/", &own), &subject), Err(Damage::NotAStatement));
        assert_eq!(is_about(b"{}", &subject), Err(Damage::NotAStatement));
    }

    #[test]
    fn a_simple_signing_payload_has_to_name_the_digest() {
        let subject = Digest::of(b"x");
        let layer = Descriptor::of("x", b"").annotate(SIGNATURE, "AQ==");
        let payload = |digest: &str| format!(r#"{{"critical":{{"image":{{"docker-manifest-digest":"{digest}"}}}},"optional":null}}"#);
        let read = |layer: &Descriptor, payload: &str| {
            Claim::simple_signing(layer, payload.as_bytes(), &subject, String::new()).map(|claim| claim.signer)
        };
        assert_eq!(read(&layer, &payload(subject.as_str())), Ok(Signer::PublicKey { hint: String::new() }));
        assert_eq!(read(&layer, &payload(Digest::of(b"y").as_str())), Err(Damage::AnotherSubject));
        assert_eq!(read(&layer, "{}"), Err(Damage::NotSimpleSigning));
        assert_eq!(read(&Descriptor::of("x", b""), &payload(subject.as_str())), Err(Damage::NoSignature));
        let bad = layer.annotate(BUNDLE, "{}");
        assert_eq!(read(&bad, &payload(subject.as_str())), Err(Damage::NotALogEntry));
        assert_eq!((unhex("0aFf"), unhex("0"), unhex("zz")), (Some(vec![10, 255]), None, None));
    }
}
