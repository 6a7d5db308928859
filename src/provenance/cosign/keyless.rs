//! Signatures made with a certificate of an identity: whether the identity is one that counts, and had the certificate when it signed.

use std::{slice, time::Duration};

use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use crate::provenance::bundle::Signer;

use super::{Reason, TrustedRoot, authority::Identity, certificate::Certificate, claim::Claim, log, timestamp, trusted_root::Chain};

/// 1.3.6.1.5.5.7.3.3, code signing: what certificates of signers are for.
const CODE_SIGNING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 3];

/// Whether a claim is of one of these identities; who it is, if so.
pub(super) fn judge(claim: &Claim, root: &TrustedRoot, identities: &[Identity]) -> Result<String, Reason> {
    let Signer::Certificates(certificates) = &claim.signer else { return Err(Reason::AnotherKind("key", "certificate")) };
    let [leaf, others @ ..] = certificates.as_slice() else { return Err(Reason::Certificate) };
    let certificate = Certificate::parse(leaf).ok_or(Reason::Certificate)?;
    let signature = claim.signed.signature_of(&certificate.key).ok_or(Reason::NotOfCertificate)?;

    for time in vouched_times(claim, root, leaf, signature)? {
        chain(root, leaf, others, time)?;
    }

    let issuer = certificate.issuer.unwrap_or_default();
    let who = format!("{} (issuer {issuer})", certificate.subjects.join(", "));
    if identities.iter().any(|identity| identity.matches(&issuer, &certificate.subjects)) { Ok(who) } else { Err(Reason::Identity(who)) }
}

/// When it was signed, by everybody in the trusted root who says so; never empty.
fn vouched_times(claim: &Claim, root: &TrustedRoot, leaf: &[u8], signature: &[u8]) -> Result<Vec<Timestamp>, Reason> {
    let mut times = Vec::new();
    let mut problems = Vec::new();
    for entry in &claim.log_entries {
        match log::time(entry, &root.logs, &claim.signed, leaf, signature) {
            Ok(time) => times.push(time),
            Err(problem) if problem.is_false() => return Err(Reason::NoTime(problem.to_string())),
            Err(problem) => problems.push(problem.to_string()),
        }
    }
    for stamp in &claim.timestamps {
        match timestamp::time(stamp, &root.timestamps, signature) {
            Ok(time) => times.push(time),
            Err(problem) => problems.push(problem.to_string()),
        }
    }
    if !times.is_empty() {
        return Ok(times);
    }
    if problems.is_empty() {
        problems.push("it has neither a log entry nor a timestamp".to_owned());
    }
    Err(Reason::NoTime(problems.join("; ")))
}

/// Whether the certificate leads to an authority of the root that was believed at that time, for signing code, with every certificate on the way
/// valid then.
fn chain(root: &TrustedRoot, leaf: &[u8], others: &[Vec<u8>], at: Timestamp) -> Result<(), Reason> {
    let mut why = format!("no certificate authority in it was believed at {at}");
    for authority in root.authorities.iter().filter(|authority| authority.span.holds(at)) {
        match leads_to(authority, leaf, others, at, CODE_SIGNING) {
            Ok(()) => return Ok(()),
            Err(problem) => why = problem,
        }
    }
    Err(Reason::Chain(why))
}

/// Whether `leaf` leads to the last certificate of `authority` through any of the others.
pub(super) fn leads_to(authority: &Chain, leaf: &[u8], others: &[Vec<u8>], at: Timestamp, usage: &'static [u8]) -> Result<(), String> {
    let Some((anchor, known)) = authority.certificates.split_last() else { return Err("it is empty".to_owned()) };
    let anchor = CertificateDer::from_slice(anchor);
    let anchor = anchor_from_trusted_cert(&anchor).map_err(|error| error.to_string())?;
    let leaf = CertificateDer::from_slice(leaf);
    let leaf = EndEntityCert::try_from(&leaf).map_err(|error| error.to_string())?;
    let between: Vec<_> = known.iter().chain(others).map(|der| CertificateDer::from_slice(der)).collect();
    let seconds = u64::try_from(at.as_second()).map_err(|_| "it was signed before 1970".to_owned())?;
    let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    leaf.verify_for_usage(ALL_VERIFICATION_ALGS, slice::from_ref(&anchor), &between, time, KeyUsage::required(usage), None, None)
        .map(drop)
        .map_err(|error| error.to_string())
}
