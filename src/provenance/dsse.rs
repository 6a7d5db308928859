//! DSSE, the envelope that signed statements travel in (secure-systems-lab/dsse, `envelope.md` and `protocol.md`, version 1.0.2).
//!
//! Inputs: a payload and its type, a key. Outputs: the envelope, and which of its signatures are good. Invariants: what is signed is type and
//! payload together ([`pae`]), so neither can be taken for another; nothing larger than [`MAX_PAYLOAD`] is decoded.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    bytes::Base64,
    key::{KeyProblem, PublicKey, SigningKey},
};

/// Type of in-toto statements (in-toto attestation `envelope.md`).
pub const IN_TOTO: &str = "application/vnd.in-toto+json";
/// Largest payload that is read: statements that carry a whole SBOM have a few MiB.
pub const MAX_PAYLOAD: usize = 16 << 20;
/// Most signatures of one envelope.
const MAX_SIGNATURES: usize = 16;

/// A signed payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// The content.
    #[serde(serialize_with = "encoded", deserialize_with = "payload")]
    pub payload: Vec<u8>,
    /// What the content is.
    pub payload_type: String,
    /// Who vouches for it.
    #[serde(deserialize_with = "signatures")]
    pub signatures: Vec<Signature>,
}

/// One signature of an envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The signature of [`pae`].
    #[serde(serialize_with = "encoded", deserialize_with = "decoded")]
    pub sig: Vec<u8>,
    /// A hint which key to try; nothing may be concluded from it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub keyid: String,
}

/// The bytes that are signed: "pre-authentication encoding".
#[must_use]
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

impl Envelope {
    /// `payload` under one signature. It carries no key id: verifiers skip a signature whose id is not the one they would give the key.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn sign(payload_type: &str, payload: Vec<u8>, key: &SigningKey) -> Result<Self, KeyProblem> {
        let sig = key.sign(&pae(payload_type, &payload))?;
        Ok(Self { payload, payload_type: payload_type.to_owned(), signatures: vec![Signature { sig, keyid: String::new() }] })
    }

    /// Whether one of its signatures is `key`'s.
    #[must_use]
    pub fn verify(&self, key: &PublicKey) -> bool {
        let signed = pae(&self.payload_type, &self.payload);
        self.signatures.iter().any(|signature| key.verify(&signed, &signature.sig))
    }
}

fn encoded<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    Base64::serialize_bytes(bytes, serializer)
}

fn decoded<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    Base64::deserialize(deserializer).map(|bytes| bytes.0)
}

fn payload<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let bytes = decoded(deserializer)?;
    if bytes.len() > MAX_PAYLOAD {
        return Err(serde::de::Error::custom(format_args!("the payload has more than the {MAX_PAYLOAD} bytes that are read")));
    }
    Ok(bytes)
}

fn signatures<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Signature>, D::Error> {
    let all = Vec::<Signature>::deserialize(deserializer)?;
    if all.len() > MAX_SIGNATURES {
        return Err(serde::de::Error::custom(format_args!("more than {MAX_SIGNATURES} signatures")));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_is_the_specification_s_example() {
        // protocol.md, "Test Vectors"
        assert_eq!(pae("http://example.com/HelloWorld", b"hello world"), b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }

    #[test]
    fn only_the_signed_content_under_its_type_verifies() {
        let key = SigningKey::generate().expect("a key");
        let good = Envelope::sign(IN_TOTO, b"{}".to_vec(), &key).expect("signed");
        assert!(good.verify(key.public()));
        assert!(!good.verify(SigningKey::generate().expect("a key").public()));
        assert!(!Envelope { payload: b"[]".to_vec(), ..good.clone() }.verify(key.public()));
        assert!(!Envelope { payload_type: "text/plain".into(), ..good.clone() }.verify(key.public()));
        assert!(!Envelope { signatures: Vec::new(), ..good.clone() }.verify(key.public()));
        let text = serde_json::to_string(&good).expect("JSON");
        assert_eq!(serde_json::from_str::<Envelope>(&text).expect("reads"), good);
        assert!(!text.contains("keyid"), "{text}");
    }

    #[test]
    fn one_good_signature_among_others_is_enough() {
        let (one, two) = (SigningKey::generate().expect("a key"), SigningKey::generate().expect("a key"));
        let mut envelope = Envelope::sign(IN_TOTO, b"{}".to_vec(), &one).expect("signed");
        envelope.signatures.extend(Envelope::sign(IN_TOTO, b"{}".to_vec(), &two).expect("signed").signatures);
        assert!(envelope.verify(one.public()) && envelope.verify(two.public()));
    }

    #[test]
    fn both_alphabets_are_read_and_too_much_is_not() {
        let read = |text: &str| serde_json::from_str::<Envelope>(text).map_err(|error| error.to_string());
        let envelope = read(r#"{"payload":"_-8","payloadType":"t","signatures":[{"sig":"/+8=","keyid":"k"}],"new":1}"#).expect("reads");
        assert_eq!(
            (envelope.payload.as_slice(), envelope.signatures[0].sig.as_slice()),
            ([0xff, 0xef].as_slice(), [0xff, 0xef].as_slice())
        );
        let many = vec![r#"{"sig":""}"#; MAX_SIGNATURES + 1].join(",");
        let error = read(&format!(r#"{{"payload":"","payloadType":"t","signatures":[{many}]}}"#)).expect_err("too many");
        assert!(error.contains("more than 16 signatures"), "{error}");
        assert!(read(r#"{"payload":"*","payloadType":"t","signatures":[]}"#).is_err());
        assert!(read(r#"{"payload":"","payload":"","payloadType":"t","signatures":[]}"#).is_err(), "said twice");
    }
}
