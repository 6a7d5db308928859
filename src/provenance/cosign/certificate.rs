//! What a certificate of a signer says: its key, whose it is, and who vouched for that (Fulcio, `docs/oid-info.md`).
//!
//! Whether the certificate is to be believed is [`super::keyless`]'s business.

use super::der::{OCTET_STRING, OID, Reader, SEQUENCE, UTF8_STRING, explicit, implicit, only};
use crate::provenance::PublicKey;

/// 2.5.29.17, subject alternative names (RFC 5280).
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
/// 1.3.6.1.4.1.57264.1.8, issuer as a DER string.
const ISSUER: &[u8] = &[0x2b, 6, 1, 4, 1, 0x83, 0xbf, 0x30, 1, 8];
/// 1.3.6.1.4.1.57264.1.1, issuer as bare text; what Fulcio wrote before.
const ISSUER_V1: &[u8] = &[0x2b, 6, 1, 4, 1, 0x83, 0xbf, 0x30, 1, 1];
/// 1.3.6.1.4.1.57264.1.7, a user name as `otherName`.
const USER_NAME: &[u8] = &[0x2b, 6, 1, 4, 1, 0x83, 0xbf, 0x30, 1, 7];
/// Most names that are read of one certificate; Fulcio writes one.
const MAX_NAMES: usize = 16;

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Certificate {
    pub(super) key: PublicKey,
    /// Email addresses, URIs and user names that it is for.
    pub(super) subjects: Vec<String>,
    /// Who vouched for the identity, when it says so.
    pub(super) issuer: Option<String>,
}

impl Certificate {
    /// Reads DER; `None` when it is not a certificate, or has a key of a kind that is not understood.
    pub(super) fn parse(der: &[u8]) -> Option<Self> {
        let mut certificate = Reader::new(only(der, SEQUENCE)?.content);
        let mut body = certificate.enter(SEQUENCE)?;
        // version, serialNumber, signature, issuer, validity, subject
        body.take(explicit(0));
        for _ in 0..5 {
            body.next()?;
        }
        let key = PublicKey::from_der(body.take(SEQUENCE)?.whole).ok()?;
        let mut read = Self { key, subjects: Vec::new(), issuer: None };
        let mut issuer_v1 = None;
        while let Some(element) = body.next() {
            if element.tag != explicit(3) {
                continue;
            }
            let mut extensions = Reader::new(only(element.content, SEQUENCE)?.content);
            while let Some(mut extension) = extensions.enter(SEQUENCE) {
                let id = extension.take(OID)?.content;
                // DEFAULT FALSE: a boolean may stand before the value.
                extension.take(0x01);
                let value = extension.take(OCTET_STRING)?.content;
                match id {
                    SUBJECT_ALT_NAME => read.subjects = names(value)?,
                    ISSUER => read.issuer = Some(text(only(value, UTF8_STRING)?.content)?),
                    ISSUER_V1 => issuer_v1 = Some(text(value)?),
                    _ => {}
                }
            }
        }
        read.issuer = read.issuer.or(issuer_v1);
        Some(read)
    }
}

fn text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

/// `GeneralNames` of the kinds that identities are written as.
fn names(value: &[u8]) -> Option<Vec<String>> {
    let mut all = Reader::new(only(value, SEQUENCE)?.content);
    let mut names = Vec::new();
    while let Some(name) = all.next() {
        // rfc822Name [1], uniformResourceIdentifier [6], otherName [0]
        if name.tag == implicit(1) || name.tag == implicit(6) {
            names.push(text(name.content)?);
        } else if name.tag == explicit(0) {
            let mut other = Reader::new(name.content);
            if other.take(OID)?.content == USER_NAME {
                names.push(text(only(other.take(explicit(0))?.content, UTF8_STRING)?.content)?);
            }
        }
        if names.len() > MAX_NAMES {
            return None;
        }
    }
    Some(names)
}
