//! Signing what is known of an execution, and attaching it to what was pushed.
//!
//! ```text
//!  record ─► statement ─► attached already, signed by our key? ─yes─► named
//!                              └ no ─► sign ─► bundle ─► referrer, by digest ─► named
//!  SBOMs ──► the format they say they are? ─► referrer each, the same bytes the same digest
//! ```
//!
//! Inputs: a [`Record`], the artifacts. Outputs: referrers; the keys `provenance` and `sboms` of the outputs. Invariants: nothing is written under a
//! tag of the artifact's; done twice it adds nothing the second time; the key is read only where something is to be signed.

use std::{collections::BTreeMap, ops::ControlFlow, time::Duration};

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    bundle::{self, Bundle, MEDIA_TYPE},
    dsse::{Envelope, IN_TOTO},
    find,
    key::{KeyProblem, PublicKey, SigningKey},
    key_file::{KeySource, Loaded},
    record::{Record, Sbom},
    statement::{self, Occasion, SLSA_PROVENANCE, Statement},
};
use crate::{
    digest::Digest,
    job::{Artifact, Failure, FailureKind},
    oci::{self, Blob, Cx, Descriptor, Package, Repository, push_referrer},
    retry::{Advice, Backoff, Policy},
};

/// Largest SBOM that is attached.
const MAX_SBOM: usize = 64 << 20;
/// How long a registry may take to know what was just pushed to it (GitHub's, NVIDIA/k8s-test-infra#390).
const KNOWN: Policy = Policy { tries: 4, min_delay: Duration::from_millis(300), max_delay: Duration::from_secs(3) };

/// Attaches provenance and SBOMs to the first of `artifacts`. Returns what the outputs say about it: `provenance` `{digest, media_type, key_id}` and,
/// if there are any, `sboms` `[{digest, media_type, subject}]`, each digest that of the manifest that was attached.
///
/// # Errors
/// When there is no key, an SBOM is not one, or the repository does not take it; the artifacts are there all the same.
pub async fn attest(
    cx: Cx<'_>,
    source: &KeySource,
    record: &Record,
    artifacts: &[Artifact],
    occasion: Occasion<'_>,
) -> Result<Map<String, Value>, Failure> {
    let mut outputs = Map::new();
    let Some(root) = artifacts.first() else { return Ok(outputs) };
    for sbom in &record.sboms {
        check(sbom)?;
    }
    let key = load(cx, source).await?;
    record.repository.will_write();
    let repository = &record.repository;
    let refused = |error: oci::Error| refused(error, repository);
    let subject = describe(cx, repository, &root.digest).await.map_err(refused)?;
    let statement = statement::statement(record, artifacts, occasion, cx.log);
    let known = present(cx, repository, &root.digest, key.public(), &statement).await.map_err(refused)?;
    let attached = if let Some(digest) = known {
        digest
    } else {
        let document = sign(&statement, &key).map_err(|problem| Failure::new(FailureKind::Internal, format!("the key {problem}")))?;
        push_referrer(cx, repository, package(document, subject.clone())).await.map_err(refused)?.digest
    };
    cx.log.info(format_args!("provenance {attached}, signed by {}", key.public().fingerprint()));
    outputs.insert("provenance".to_owned(), json!({"digest": attached, "media_type": MEDIA_TYPE, "key_id": key.public().key_id()}));
    let mut sboms = Vec::with_capacity(record.sboms.len());
    for sbom in &record.sboms {
        let about = match &sbom.subject {
            Some(digest) if *digest != root.digest => describe(cx, repository, digest).await.map_err(refused)?,
            _ => subject.clone(),
        };
        let entry = json!({"media_type": sbom.media_type, "subject": about.digest});
        let attached = push_referrer(cx, repository, sbom_package(sbom, about)).await.map_err(refused)?;
        cx.log.info(format_args!("SBOM {}, {}", attached.digest, sbom.media_type));
        let mut named = Map::from_iter([("digest".to_owned(), json!(attached.digest))]);
        named.extend(entry.as_object().cloned().unwrap_or_default());
        sboms.push(Value::Object(named));
    }
    if !sboms.is_empty() {
        outputs.insert("sboms".to_owned(), Value::Array(sboms));
    }
    Ok(outputs)
}

/// Reads a key that was named, and forgets it again: better no build than one that is pushed and cannot be signed. A pipe is left alone, it can be read once.
///
/// # Errors
/// When the file cannot be read, or holds no key that signs.
pub async fn check_key(cx: Cx<'_>, source: &KeySource) -> Result<(), Failure> {
    let KeySource::File(path) = source else { return Ok(()) };
    let pipe = cx.cancel.run(tokio::fs::metadata(path)).await?.is_ok_and(|found| !found.is_file() && !found.is_dir());
    if pipe { Ok(()) } else { read(cx, source).await.map(drop) }
}

async fn load(cx: Cx<'_>, source: &KeySource) -> Result<SigningKey, Failure> {
    let Loaded { key, path, exposed } = read(cx, source).await?;
    if exposed {
        cx.log.warn(format_args!("the signing key {0} can be read by others than its owner; `chmod 600 {0}`", path.display()));
    }
    Ok(key)
}

async fn read(cx: Cx<'_>, source: &KeySource) -> Result<Loaded, Failure> {
    let source = source.clone();
    let loaded = cx.cancel.run(tokio::task::spawn_blocking(move || source.load())).await?;
    Ok(loaded.map_err(|error| Failure::new(FailureKind::Internal, format!("a worker thread failed: {error}")))??)
}

/// What a registry says to an attachment, with the way around it.
fn refused(error: oci::Error, repository: &Repository) -> Failure {
    if let oci::Error::Cancelled(cancelled) = error {
        return cancelled.into();
    }
    let missing = error.is_not_found();
    let mut failure = Failure::from(error);
    if missing {
        // What was just pushed is not there: that is the registry's doing.
        failure = Failure::new(FailureKind::RegistryRefused, failure.message);
    }
    let message = format!(
        "the artifact is pushed, but its provenance cannot be attached in {}: {}; run the job again, or with --no-provenance to do without",
        repository.display(),
        failure.message
    );
    Failure { message, ..failure }
}

/// The descriptor of what was just pushed.
async fn describe(cx: Cx<'_>, repository: &Repository, digest: &Digest) -> Result<Descriptor, oci::Error> {
    let mut backoff = Backoff::new(KNOWN);
    loop {
        if let Some(found) = repository.find(cx, digest.as_str()).await? {
            return Ok(Descriptor::new(found.media_type, found.digest, found.size));
        }
        let Some(wait) = backoff.next(Advice::Retry) else {
            return Err(oci::Error::NotFound { what: format!("manifest {digest}"), repository: repository.display() });
        };
        cx.cancel.run(tokio::time::sleep(wait)).await?;
    }
}

/// The manifest that carries the same statement already, signed by the same key.
async fn present(
    cx: Cx<'_>,
    repository: &Repository,
    subject: &Digest,
    key: &PublicKey,
    statement: &Value,
) -> Result<Option<Digest>, oci::Error> {
    let is_ours = |bundle: &Bundle| {
        bundle
            .envelope()
            .filter(|envelope| envelope.payload_type == IN_TOTO && envelope.verify(key))
            .is_some_and(|envelope| Statement::parse(&envelope.payload).is_ok_and(|known| statement::same_build(known.value(), statement)))
    };
    let mut ours = None;
    let look = |found: find::Found| {
        if found.bundle.as_ref().is_ok_and(is_ours) {
            ours = Some(found.digest);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    };
    find::bundles(cx, repository, subject, look).await?;
    Ok(ours)
}

fn sign(statement: &Value, key: &SigningKey) -> Result<Bytes, KeyProblem> {
    let envelope = Envelope::sign(IN_TOTO, statement.to_string().into_bytes(), key)?;
    Ok(bundle::document(&envelope, key.public()))
}

/// The manifest of a bundle, as cosign 3 writes it (`pkg/oci/remote/write.go`, `WriteAttestationNewBundleFormat`).
fn package(document: Bytes, subject: Descriptor) -> Package {
    let annotations = [
        (find::CREATED, statement::seconds(Timestamp::now())),
        ("dev.sigstore.bundle.content", "dsse-envelope".to_owned()),
        (find::PREDICATE_TYPE, SLSA_PROVENANCE.to_owned()),
    ];
    Package {
        artifact_type: Some(MEDIA_TYPE.to_owned()),
        config: Blob::empty(),
        layers: vec![Blob::new(MEDIA_TYPE, document)],
        annotations: annotations.map(|(key, value)| (key.to_owned(), value)).into(),
        subject: Some(subject),
    }
}

fn sbom_package(sbom: &Sbom, subject: Descriptor) -> Package {
    Package {
        artifact_type: Some(sbom.media_type.clone()),
        config: Blob::empty(),
        layers: vec![Blob::new(sbom.media_type.clone(), sbom.content.clone())],
        annotations: BTreeMap::new(),
        subject: Some(subject),
    }
}

/// Whether a list of contents is in the format it says it is: nobody can read it otherwise, and nobody would notice here.
fn check(sbom: &Sbom) -> Result<(), Failure> {
    let wrong = |problem: &str| {
        let message = format!("the SBOM of type '{}' {problem}", sbom.media_type);
        Err(Failure::new(FailureKind::InvalidSource, message))
    };
    if sbom.content.len() > MAX_SBOM {
        return wrong("has more than the 64 MiB that are attached");
    }
    match Sbom::media_type_of(&sbom.content) {
        Ok(Some(found)) if found == sbom.media_type => Ok(()),
        Ok(_) => wrong("is not one: SPDX has 'spdxVersion' or its '@context', CycloneDX 'bomFormat'"),
        Err(error) => wrong(&format!("is not JSON: {error}")),
    }
}

#[cfg(test)]
mod tests;
