//! Signed timestamps (RFC 3161, in CMS of RFC 5652): whether a timestamp authority of the trusted root has seen this signature, and when.

use aws_lc_rs::digest::{Algorithm, SHA256, SHA384, SHA512, digest};
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use super::{
    certificate::Certificate,
    der::{INTEGER, OCTET_STRING, OID, Reader, SEQUENCE, explicit, only},
    keyless::leads_to,
    trusted_root::Chain,
};

const SET: u8 = 0x31;
const GENERALIZED_TIME: u8 = 0x18;
/// 1.2.840.113549.1.7.2, signed data.
const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
/// 1.2.840.113549.1.9.16.1.4, what a timestamp says.
const TST_INFO: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 1, 4];
/// 1.2.840.113549.1.9.3 and .4, attributes: type and digest of the content.
const CONTENT_TYPE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 3];
const MESSAGE_DIGEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 4];
/// 1.3.6.1.5.5.7.3.8, what certificates of timestamp authorities are for.
const TIME_STAMPING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 8];
/// Most certificates and signers of one timestamp.
const MAX_ITEMS: usize = 16;

/// Why a timestamp proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum TimestampProblem {
    #[error("its timestamp cannot be read")]
    Malformed,
    #[error("its timestamp is of another signature")]
    AnotherSignature,
    #[error("its timestamp is of nobody in the trusted root")]
    Signer,
}

/// One signed timestamp, taken apart.
struct Token<'a> {
    /// The digest of what was there at the time.
    imprint: (&'static Algorithm, &'a [u8]),
    at: Timestamp,
    /// Certificates that came with it.
    certificates: Vec<Vec<u8>>,
    /// Signed attributes, as they are signed, and the signature.
    signers: Vec<(Vec<u8>, &'a [u8])>,
}

/// When one of `authorities` saw `signature`.
pub(super) fn time(response: &[u8], authorities: &[Chain], signature: &[u8]) -> Result<Timestamp, TimestampProblem> {
    let token = Token::parse(response).ok_or(TimestampProblem::Malformed)?;
    let (algorithm, imprint) = token.imprint;
    if digest(algorithm, signature).as_ref() != imprint {
        return Err(TimestampProblem::AnotherSignature);
    }
    let signed_by = |authority: &Chain| {
        let known = authority.certificates.iter().chain(&token.certificates);
        known.into_iter().any(|der| {
            let Some(certificate) = Certificate::parse(der) else { return false };
            token.signers.iter().any(|(attributes, signature)| certificate.key.verify(attributes, signature))
                && leads_to(authority, der, &token.certificates, token.at, TIME_STAMPING).is_ok()
        })
    };
    let trusted = authorities.iter().filter(|authority| authority.span.holds(token.at)).any(signed_by);
    if trusted { Ok(token.at) } else { Err(TimestampProblem::Signer) }
}

impl<'a> Token<'a> {
    /// `TimeStampResp`, or the token alone.
    fn parse(response: &'a [u8]) -> Option<Self> {
        let whole = only(response, SEQUENCE)?;
        let mut outer = Reader::new(whole.content);
        // PKIStatusInfo, a sequence, stands before the token; the token itself begins with an object identifier.
        let mut info = match outer.take(SEQUENCE) {
            Some(_) => outer.enter(SEQUENCE)?,
            None => Reader::new(whole.content),
        };
        if info.take(OID)?.content != SIGNED_DATA {
            return None;
        }
        let mut data = Reader::new(only(info.take(explicit(0))?.content, SEQUENCE)?.content);
        data.take(INTEGER)?;
        data.take(SET)?;
        let mut content = data.enter(SEQUENCE)?;
        if content.take(OID)?.content != TST_INFO {
            return None;
        }
        let said = only(content.take(explicit(0))?.content, OCTET_STRING)?.content;
        let mut certificates = Vec::new();
        if let Some(mut all) = data.enter(explicit(0)) {
            while let Some(certificate) = all.next().filter(|_| certificates.len() < MAX_ITEMS) {
                certificates.push(certificate.whole.to_vec());
            }
        }
        data.take(explicit(1));
        let mut infos = data.enter(SET)?;
        let mut signers = Vec::new();
        while let Some(info) = infos.enter(SEQUENCE).filter(|_| signers.len() < MAX_ITEMS) {
            signers.extend(signer(info, said));
        }
        let (imprint, at) = info_of(said)?;
        Some(Self { imprint, at, certificates, signers })
    }
}

/// `TSTInfo`: the imprint and the time.
fn info_of(said: &[u8]) -> Option<((&'static Algorithm, &[u8]), Timestamp)> {
    let mut info = Reader::new(only(said, SEQUENCE)?.content);
    info.take(INTEGER)?;
    info.take(OID)?;
    let mut imprint = info.enter(SEQUENCE)?;
    let algorithm = hash(imprint.enter(SEQUENCE)?)?;
    let hashed = imprint.take(OCTET_STRING)?.content;
    info.take(INTEGER)?;
    let text = std::str::from_utf8(info.take(GENERALIZED_TIME)?.content).ok()?;
    let (whole, _fraction) = text.strip_suffix('Z')?.split_once('.').unwrap_or((text.strip_suffix('Z')?, ""));
    let at = DateTime::strptime("%Y%m%d%H%M%S", whole).ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp();
    Some(((algorithm, hashed), at))
}

/// `SignerInfo`: the attributes as they are signed, if they are about `said`, and the signature.
fn signer<'a>(mut info: Reader<'a>, said: &[u8]) -> Option<(Vec<u8>, &'a [u8])> {
    info.take(INTEGER)?;
    // sid: issuer and serial number, or [0] key identifier. Every certificate is tried anyway.
    info.next()?;
    let algorithm = hash(info.enter(SEQUENCE)?)?;
    let attributes = info.take(explicit(0))?;
    info.take(SEQUENCE)?;
    let signature = info.take(OCTET_STRING)?.content;
    let (mut is_time, mut is_this) = (false, false);
    let mut all = Reader::new(attributes.content);
    while let Some(mut attribute) = all.enter(SEQUENCE) {
        let id = attribute.take(OID)?.content;
        let mut values = attribute.enter(SET)?;
        match id {
            CONTENT_TYPE => is_time = values.take(OID)?.content == TST_INFO,
            MESSAGE_DIGEST => is_this = values.take(OCTET_STRING)?.content == digest(algorithm, said).as_ref(),
            _ => {}
        }
    }
    // They are signed as the set they are, not under the tag they travel with (RFC 5652, section 5.4).
    let mut signed = attributes.whole.to_vec();
    *signed.first_mut()? = SET;
    (is_time && is_this).then_some((signed, signature))
}

/// A hash function, by its algorithm identifier (2.16.840.1.101.3.4.2).
fn hash(mut identifier: Reader<'_>) -> Option<&'static Algorithm> {
    match identifier.take(OID)?.content {
        [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1] => Some(&SHA256),
        [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2] => Some(&SHA384),
        [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3] => Some(&SHA512),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            proptest::prop_assert_eq!(time(&bytes, &[], b"x"), Err(TimestampProblem::Malformed));
        }
    }
}
