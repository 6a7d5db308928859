//! Keys: the runner's own, which signs, and anybody's public one, which verifies.
//!
//! Inputs: PEM. Outputs: signatures, and whether one is good. Invariants: a private key is in no message, log or `Debug` output; a text that is
//! no key of ours is refused with what it is instead and what to do about it.
//!
//! Called by [`super::key_file`], by the envelope, and for signatures of others.

use std::{fmt, ops::RangeInclusive};

use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    rand::SystemRandom,
    rsa::PublicEncryptingKey,
    signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, ParsedPublicKey, VerificationAlgorithm},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::pem::{self, Block, PemError};
use crate::digest::Digest;

/// Label of a public key of any kind (RFC 7468, section 13).
const PUBLIC_KEY: &str = "PUBLIC KEY";
/// Label of a private key of any kind, not encrypted (section 10).
const PRIVATE_KEY: &str = "PRIVATE KEY";
/// Label of an elliptic private key as `openssl ecparam -genkey` writes it (RFC 5915, section 4).
const EC_PRIVATE_KEY: &str = "EC PRIVATE KEY";

/// Sizes of RSA keys that the algorithm verifies with; the library takes others and then says of every signature that it is wrong.
const RSA_BITS: RangeInclusive<usize> = 2048..=8192;

/// Why a text is not a key that can be used, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyProblem {
    /// Not PEM.
    #[error("is not PEM: {0}")]
    Pem(#[from] PemError),
    /// A private key that has a password.
    #[error(
        "is encrypted, and a runner has nobody to ask for its password; decrypt it with `openssl pkey -in KEY -out FILE`, or make another \
         with `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out FILE`"
    )]
    Encrypted,
    /// A private key where a public one is wanted.
    #[error("holds a private key, and a public one is wanted; `openssl pkey -in KEY -pubout` writes it")]
    Private,
    /// A public key where a private one is wanted.
    #[error("holds a public key, and signing takes the private one")]
    Public,
    /// PEM of something else.
    #[error("holds a {0}, and a PEM key is wanted: {PUBLIC_KEY} to verify, {PRIVATE_KEY} or {EC_PRIVATE_KEY} to sign")]
    SomethingElse(String),
    /// A key, but none that can sign here.
    #[error(
        "is not an ECDSA P-256 or Ed25519 key; make one with `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out FILE`"
    )]
    CannotSign,
    /// A key, but none that can verify here.
    #[error("is not a public key of the kinds that are understood: ECDSA P-256 or P-384, Ed25519, RSA of 2048 to 8192 bits")]
    CannotVerify,
    /// The library refused to sign.
    #[error("cannot be used to sign; this is a defect of build-runner, please report it")]
    Broken,
}

/// How signatures of a public key are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// ECDSA on P-256, SHA-256.
    EcdsaP256,
    /// ECDSA on P-384, SHA-384 or, as cosign long did, SHA-256.
    EcdsaP384,
    /// Ed25519 of the message itself.
    Ed25519,
    /// RSA PKCS#1 v1.5, SHA-256.
    Rsa,
}

impl KeyKind {
    /// Every kind; a key is tried as each.
    const ALL: [Self; 4] = [Self::EcdsaP256, Self::EcdsaP384, Self::Ed25519, Self::Rsa];

    /// As people write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EcdsaP256 => "ECDSA P-256",
            Self::EcdsaP384 => "ECDSA P-384",
            Self::Ed25519 => "Ed25519",
            Self::Rsa => "RSA",
        }
    }

    /// What a signature may have been made with, the usual first (Sigstore, "algorithm registry").
    const fn algorithms(self) -> &'static [&'static dyn VerificationAlgorithm] {
        match self {
            Self::EcdsaP256 => &[&signature::ECDSA_P256_SHA256_ASN1],
            Self::EcdsaP384 => &[&signature::ECDSA_P384_SHA384_ASN1, &signature::ECDSA_P384_SHA256_ASN1],
            Self::Ed25519 => &[&signature::ED25519],
            Self::Rsa => &[&signature::RSA_PKCS1_2048_8192_SHA256],
        }
    }
}

/// A key that verifies. Cheap to clone; equal when it is the same key, however it was written.
#[derive(Clone)]
pub struct PublicKey {
    kind: KeyKind,
    /// The same key once per algorithm.
    parsed: Vec<ParsedPublicKey>,
    /// `SubjectPublicKeyInfo` (RFC 5280), in the one form there is of each key.
    der: Vec<u8>,
}

impl PublicKey {
    /// The first public key of a PEM text.
    ///
    /// # Errors
    /// When there is none, or it is of a kind that is not understood.
    pub fn from_pem(text: &str) -> Result<Self, KeyProblem> {
        let blocks = pem::blocks(text)?;
        if let Some(block) = blocks.iter().find(|block| block.label == PUBLIC_KEY) {
            return Self::from_der(&block.content);
        }
        match blocks.into_iter().find(|block| block.label != "EC PARAMETERS") {
            Some(Block { label, .. }) if label.ends_with(PRIVATE_KEY) => Err(KeyProblem::Private),
            block => Err(KeyProblem::SomethingElse(named(block))),
        }
    }

    /// A public key as certificates carry it (`SubjectPublicKeyInfo`, DER).
    ///
    /// # Errors
    /// When it is of a kind that is not understood.
    pub fn from_der(der: &[u8]) -> Result<Self, KeyProblem> {
        // The library also takes bare points and RSA keys of PKCS#1; those say nothing of what they are.
        KeyKind::ALL.into_iter().filter(|_| is_key_info(der)).find_map(|kind| Self::of_kind(kind, der)).ok_or(KeyProblem::CannotVerify)
    }

    fn of_kind(kind: KeyKind, der: &[u8]) -> Option<Self> {
        let parse = |&algorithm: &&'static dyn VerificationAlgorithm| ParsedPublicKey::new(algorithm, der).ok();
        let parsed: Vec<_> = kind.algorithms().iter().map(parse).collect::<Option<_>>()?;
        if kind == KeyKind::Rsa && !RSA_BITS.contains(&PublicEncryptingKey::from_der(der).ok()?.key_size_bits()) {
            return None;
        }
        let canonical: PublicKeyX509Der<'_> = parsed.first()?.as_der().ok()?;
        Some(Self { kind, der: canonical.as_ref().to_vec(), parsed })
    }

    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The key as `SubjectPublicKeyInfo` in DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The key as PEM, which `cosign --key` reads.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem::block(PUBLIC_KEY, &self.der).as_str().to_owned()
    }

    /// Name of the key: base64 of the SHA-256 of its DER (`verificationMaterial.publicKey.hint` of bundles that cosign writes).
    #[must_use]
    pub fn key_id(&self) -> String {
        STANDARD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &self.der))
    }

    /// The digest behind [`PublicKey::key_id`], as other tools show keys.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        Digest::of(&self.der)
    }

    /// Whether `signature` is this key's of `message`. ECDSA signatures are DER (ASN.1).
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.parsed.iter().any(|key| key.verify_sig(message, signature).is_ok())
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} {})", self.kind.as_str(), self.fingerprint())
    }
}

/// Whether it is one sequence that begins with a sequence, as `SubjectPublicKeyInfo` is, and nothing behind it.
fn is_key_info(der: &[u8]) -> bool {
    let Some((&0x30, rest)) = der.split_first() else { return false };
    let (length, content) = match rest {
        [length @ 0..=0x7f, content @ ..] | [0x81, length, content @ ..] => (usize::from(*length), content),
        [0x82, high, low, content @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), content),
        _ => return false,
    };
    content.len() == length && content.first() == Some(&0x30)
}

fn named(block: Option<Block>) -> String {
    block.map_or_else(|| "set of parameters".to_owned(), |block| block.label.chars().filter(|c| !c.is_control()).take(40).collect())
}

/// A key that signs.
pub struct SigningKey {
    pair: Pair,
    public: PublicKey,
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl SigningKey {
    /// A new ECDSA P-256 key, which every verifier of Sigstore bundles knows.
    ///
    /// # Errors
    /// When there is no randomness to be had.
    pub fn generate() -> Result<Self, KeyProblem> {
        let pair = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_ASN1_SIGNING).map_err(|_| KeyProblem::Broken)?;
        Self::new(Pair::Ecdsa(pair))
    }

    /// The first private key of a PEM text: PKCS#8, or an elliptic key as `openssl ecparam -genkey` writes it.
    ///
    /// # Errors
    /// When there is none that can be used, with what it is instead.
    pub fn from_pem(text: &str) -> Result<Self, KeyProblem> {
        let blocks = pem::blocks(text)?;
        let Some(block) = blocks.iter().find(|block| block.label.ends_with(PRIVATE_KEY)) else {
            let mut others = blocks.into_iter().filter(|block| block.label != "EC PARAMETERS");
            return Err(match others.next() {
                Some(Block { label, .. }) if label == PUBLIC_KEY => KeyProblem::Public,
                block => KeyProblem::SomethingElse(named(block)),
            });
        };
        if block.encrypted || block.label.contains("ENCRYPTED") {
            return Err(KeyProblem::Encrypted);
        }
        let ecdsa = &signature::ECDSA_P256_SHA256_ASN1_SIGNING;
        let pair = match block.label.as_str() {
            PRIVATE_KEY => EcdsaKeyPair::from_pkcs8(ecdsa, &block.content)
                .map(Pair::Ecdsa)
                .or_else(|_| Ed25519KeyPair::from_pkcs8_maybe_unchecked(&block.content).map(Pair::Ed25519)),
            EC_PRIVATE_KEY => EcdsaKeyPair::from_private_key_der(ecdsa, &block.content).map(Pair::Ecdsa),
            _ => return Err(KeyProblem::CannotSign),
        };
        Self::new(pair.map_err(|_| KeyProblem::CannotSign)?)
    }

    fn new(pair: Pair) -> Result<Self, KeyProblem> {
        let (kind, der) = match &pair {
            Pair::Ecdsa(pair) => (KeyKind::EcdsaP256, pair.public_key().as_der()),
            Pair::Ed25519(pair) => (KeyKind::Ed25519, pair.public_key().as_der()),
        };
        let der: PublicKeyX509Der<'_> = der.map_err(|_| KeyProblem::Broken)?;
        let public = PublicKey::of_kind(kind, der.as_ref()).ok_or(KeyProblem::Broken)?;
        Ok(Self { pair, public })
    }

    /// The key as PEM (PKCS#8, not encrypted): a secret.
    ///
    /// # Errors
    /// When the library refuses to hand it out.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, KeyProblem> {
        let document = match &self.pair {
            Pair::Ecdsa(pair) => pair.to_pkcs8v1(),
            Pair::Ed25519(pair) => pair.to_pkcs8v1(),
        };
        Ok(pem::block(PRIVATE_KEY, document.map_err(|_| KeyProblem::Broken)?.as_ref()))
    }

    /// Its public half.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs; ECDSA signatures are DER (ASN.1) and differ each time.
    ///
    /// # Errors
    /// When the library refuses.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyProblem> {
        let signed = match &self.pair {
            Pair::Ecdsa(pair) => pair.sign(&SystemRandom::new(), message),
            Pair::Ed25519(pair) => pair.try_sign(message),
        };
        Ok(signed.map_err(|_| KeyProblem::Broken)?.as_ref().to_vec())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({:?})", self.public)
    }
}

#[cfg(test)]
mod tests;
