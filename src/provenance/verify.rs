//! Whether an artifact comes from where its provenance says: the runner's own check of what it, or another, attached.
//!
//! Inputs: an artifact, a key. Outputs: the statement that holds, or why none does. Invariant: one good bundle is enough, whatever else is
//! attached; nothing of a bundle is believed before its signature is good.

use std::ops::ControlFlow;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    bundle::{Bundle, Content, Signer},
    dsse::IN_TOTO,
    find::{self, Found},
    key::PublicKey,
    statement::Statement,
};
use crate::{
    digest::{Digest, hex},
    oci::{Cx, Descriptor, Error, Repository, media_type},
};

/// What came of a check.
#[derive(Debug)]
pub struct Verdict {
    /// The artifact.
    pub digest: Digest,
    /// It was asked for by digest and is no index: perhaps one platform of an image, whose provenance is the index's.
    pub may_be_platform: bool,
    /// The statement that holds, and the manifest it came in.
    pub verified: Option<(Digest, Statement)>,
    /// Bundles that do not count, each with the reason.
    pub rejected: Vec<Rejected>,
    /// How many more there are than are looked at.
    pub unread: usize,
}

/// A bundle that does not count.
#[derive(Debug)]
pub struct Rejected {
    /// The manifest that carries it.
    pub digest: Digest,
    /// Why it does not count.
    pub reason: String,
}

impl Verdict {
    /// Why nothing holds, in one sentence.
    #[must_use]
    pub fn reason(&self) -> String {
        match self.rejected.as_slice() {
            [] if self.may_be_platform => {
                "there is no attestation; provenance of an image for several platforms hangs on its index: verify the tag, or the index's digest"
                    .to_owned()
            }
            [] => "there is no attestation".to_owned(),
            [one] => format!("the attestation {} does not count: {}", one.digest, one.reason),
            several if self.unread > 0 => {
                format!("none of {} of its attestations counts, and {} more are not looked at: remove some", several.len(), self.unread)
            }
            several => format!("none of its {} attestations counts", several.len()),
        }
    }
}

/// Checks what is attached to the artifact under a tag or digest.
///
/// # Errors
/// When there is no such artifact, or the repository cannot be asked.
pub async fn verify(cx: Cx<'_>, repository: &Repository, reference: &str, key: &PublicKey) -> Result<Verdict, Error> {
    let Descriptor { digest, media_type, .. } = repository.resolve(cx, reference).await?;
    let may_be_platform = reference == digest.as_str() && !media_type::is_index(&media_type);
    let mut verdict = Verdict { digest, may_be_platform, verified: None, rejected: Vec::new(), unread: 0 };
    let subject = verdict.digest.clone();
    let look = |Found { digest, bundle }| {
        match bundle.map_err(|error| error.to_string()).and_then(|bundle| check(&bundle, &subject, key)) {
            Ok(statement) if verdict.verified.is_none() => verdict.verified = Some((digest, statement)),
            Ok(_) => {}
            Err(reason) => verdict.rejected.push(Rejected { digest, reason }),
        }
        ControlFlow::Continue(())
    };
    verdict.unread = find::bundles(cx, repository, &subject, look).await?;
    Ok(verdict)
}

/// A key as people know it: by its fingerprint, if the hint is one ([`PublicKey::key_id`]).
fn shown(hint: &str) -> String {
    match STANDARD.decode(hint) {
        Ok(bytes) if bytes.len() == 32 => format!("sha256:{}", hex(&bytes)),
        _ => format!("'{}'", hint.chars().take(64).collect::<String>()),
    }
}

/// The statement of a bundle, if it is `key`'s and about that artifact.
fn check(bundle: &Bundle, subject: &Digest, key: &PublicKey) -> Result<Statement, String> {
    let Content::Dsse(envelope) = &bundle.content else { return Err("it is a signature without a statement".to_owned()) };
    if !envelope.verify(key) {
        return Err(match &bundle.signer {
            Signer::Certificates(_) => "it is signed with a certificate, not with the key".to_owned(),
            Signer::PublicKey { hint } if *hint == key.key_id() => {
                "it was changed after it was signed: its signature does not fit".to_owned()
            }
            Signer::PublicKey { hint } => format!("it is signed by another key, {}", shown(hint)),
        });
    }
    if envelope.payload_type != IN_TOTO {
        return Err(format!("its content is '{}', not an in-toto statement", envelope.payload_type.chars().take(100).collect::<String>()));
    }
    let statement = Statement::parse(&envelope.payload).map_err(|error| error.to_string())?;
    statement.check_subject(subject).map_err(|error| error.to_string())?;
    Ok(statement)
}
