//! The trust root: which certificate authorities, transparency logs and timestamp authorities are believed, and from when to when (sigstore/
//! protobuf-specs, `protos/sigstore_trustroot.proto`, media types 0.1 and 0.2; `cosign trusted-root create` writes it).

use jiff::Timestamp;
use serde::Deserialize;

use super::certificate::Certificate;
use crate::provenance::{PublicKey, bytes::Base64};

/// Largest document; Sigstore's own has 10 KiB.
pub(crate) const MAX_TRUSTED_ROOT: usize = 4 << 20;
/// Most authorities or logs of one kind, and certificates of one chain.
const MAX_ITEMS: usize = 64;

/// Why a document is no trust root.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustedRootError {
    /// More than anybody has a use for.
    #[error("has more than the {MAX_TRUSTED_ROOT} bytes that are read; give a Sigstore trusted_root.json")]
    TooLarge,
    /// Not JSON, or not of that shape.
    #[error("is not a Sigstore trusted_root.json: {0}")]
    Malformed(String),
    /// Something else, or newer.
    #[error("has the media type '{0}', and application/vnd.dev.sigstore.trustedroot+json;version=0.1 is wanted")]
    MediaType(String),
    /// A part of it cannot be used.
    #[error("has {0} that cannot be read")]
    Part(&'static str),
    /// Nobody in it could vouch for a certificate.
    #[error("has no certificate authority, or neither a transparency log nor a timestamp authority")]
    Empty,
}

/// From when to when something is believed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Span {
    start: Option<Timestamp>,
    end: Option<Timestamp>,
}

impl Span {
    pub(super) fn holds(&self, at: Timestamp) -> bool {
        self.start.is_none_or(|start| start <= at) && self.end.is_none_or(|end| at <= end)
    }
}

/// A chain of certificates that ends in one that is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) url: String,
    /// DER; the root last, never empty.
    pub(super) certificates: Vec<Vec<u8>>,
    pub(super) span: Span,
}

/// A transparency log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Log {
    pub(super) id: Vec<u8>,
    pub(super) key: PublicKey,
    pub(super) span: Span,
}

/// Everybody who is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedRoot {
    pub(super) authorities: Vec<Chain>,
    pub(super) logs: Vec<Log>,
    pub(super) timestamps: Vec<Chain>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(default)]
    media_type: String,
    #[serde(default)]
    tlogs: Option<Vec<LogDocument>>,
    #[serde(default)]
    certificate_authorities: Option<Vec<ChainDocument>>,
    #[serde(default)]
    timestamp_authorities: Option<Vec<ChainDocument>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogDocument {
    public_key: KeyDocument,
    #[serde(default)]
    log_id: Option<IdDocument>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyDocument {
    raw_bytes: Base64,
    #[serde(default)]
    valid_for: Option<SpanDocument>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IdDocument {
    key_id: Base64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChainDocument {
    #[serde(default)]
    uri: String,
    cert_chain: CertificatesDocument,
    #[serde(default)]
    valid_for: Option<SpanDocument>,
}

#[derive(Deserialize)]
struct CertificatesDocument {
    certificates: Vec<CertificateDocument>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CertificateDocument {
    raw_bytes: Base64,
}

#[derive(Deserialize)]
struct SpanDocument {
    #[serde(default)]
    start: Option<Timestamp>,
    #[serde(default)]
    end: Option<Timestamp>,
}

impl TrustedRoot {
    /// Reads `trusted_root.json`.
    ///
    /// # Errors
    /// When it is something else, or holds a key or certificate that cannot be used: a trust root that is understood in part is none.
    pub fn parse(text: &str) -> Result<Self, TrustedRootError> {
        if text.len() > MAX_TRUSTED_ROOT {
            return Err(TrustedRootError::TooLarge);
        }
        let document: Document = serde_json::from_str(text).map_err(|error| TrustedRootError::Malformed(error.to_string()))?;
        let kind: String = document.media_type.chars().filter(|c| !c.is_whitespace()).take(120).collect();
        if !kind.starts_with("application/vnd.dev.sigstore.trustedroot") {
            return Err(TrustedRootError::MediaType(kind));
        }
        let root = Self {
            authorities: list(document.certificate_authorities, "a certificate authority", chain)?,
            logs: list(document.tlogs, "a transparency log", log)?,
            timestamps: list(document.timestamp_authorities, "a timestamp authority", chain)?,
        };
        let useless = root.authorities.is_empty() || (root.logs.is_empty() && root.timestamps.is_empty());
        if useless { Err(TrustedRootError::Empty) } else { Ok(root) }
    }

    /// The certificate authorities, for messages.
    pub(super) fn authority_urls(&self) -> String {
        let urls: Vec<_> = self.authorities.iter().map(|chain| chain.url.as_str()).collect();
        urls.join(", ")
    }

    /// Believes only the certificate authority at `url` from now on; false when there is none.
    pub(super) fn keep_authority(&mut self, url: &str) -> bool {
        self.authorities.retain(|chain| chain.url.trim_end_matches('/') == url.trim_end_matches('/'));
        !self.authorities.is_empty()
    }
}

fn list<D, T>(documents: Option<Vec<D>>, what: &'static str, read: impl Fn(D) -> Option<T>) -> Result<Vec<T>, TrustedRootError> {
    let documents = documents.unwrap_or_default();
    if documents.len() > MAX_ITEMS {
        return Err(TrustedRootError::Part(what));
    }
    documents.into_iter().map(|document| read(document).ok_or(TrustedRootError::Part(what))).collect()
}

fn span(document: Option<SpanDocument>) -> Span {
    document.map_or_else(Span::default, |SpanDocument { start, end }| Span { start, end })
}

fn chain(document: ChainDocument) -> Option<Chain> {
    let certificates: Vec<_> = document.cert_chain.certificates.into_iter().map(|certificate| certificate.raw_bytes.0).collect();
    let readable = certificates.len() <= MAX_ITEMS && certificates.iter().all(|der| Certificate::parse(der).is_some());
    (readable && !certificates.is_empty()).then(|| Chain { url: document.uri, certificates, span: span(document.valid_for) })
}

fn log(document: LogDocument) -> Option<Log> {
    let der = document.public_key.raw_bytes.0;
    let key = PublicKey::from_der(&der).ok()?;
    let id = document.log_id.map(|id| id.key_id.0).filter(|id| !id.is_empty());
    let id = id.unwrap_or_else(|| aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &der).as_ref().to_vec());
    Some(Log { id, key, span: span(document.public_key.valid_for) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_trust_root_says_why() {
        for (text, expected) in [
            ("", "is not a Sigstore trusted_root.json: EOF"),
            ("{}", "has the media type ''"),
            (r#"{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}"#, "has no certificate authority"),
            (
                r#"{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1","tlogs":[{"publicKey":{"rawBytes":"AQ=="}}]}"#,
                "has a transparency log that cannot be read",
            ),
            (
                r#"{"mediaType":"application/vnd.dev.sigstore.trustedroot.v0.2+json","certificateAuthorities":[{"certChain":{"certificates":[]}}]}"#,
                "has a certificate authority that cannot be read",
            ),
        ] {
            let error = TrustedRoot::parse(text).expect_err(text).to_string();
            assert!(error.starts_with(expected), "{error}");
        }
        assert_eq!(TrustedRoot::parse(&" ".repeat(MAX_TRUSTED_ROOT + 1)), Err(TrustedRootError::TooLarge));
    }

    #[test]
    fn a_span_holds_its_ends_and_is_open_without_them() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let span = Span { start: Some(at(10)), end: Some(at(20)) };
        assert!(span.holds(at(10)) && span.holds(at(20)) && !span.holds(at(9)) && !span.holds(at(21)));
        assert!(Span::default().holds(at(0)));
    }
}
