//! `build-runner verify`: whether an artifact's provenance is signed by a key, and what it says.
//!
//! Exits with 0 when one bundle holds, with 1 when none does or the artifact cannot be asked about, with 2 on wrong usage or an unusable key.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    Console, Exit,
    args::{OutputFormat, VerifyArgs},
    chain, supervisor,
};
use crate::{
    config::Config,
    logs::{JobLog, Progress},
    oci::{self, Cx, Error, Location, Repository},
    provenance::{self, KeyFileError, PublicKey, SLSA_PROVENANCE, Statement, Verdict},
    shutdown::Cancel,
};

/// Checks the artifact that the arguments name.
pub(super) async fn verify(console: Console, config: &Config, environment: &BTreeMap<String, String>, arguments: &VerifyArgs) -> Exit {
    let key = match key(config, arguments) {
        Ok(key) => key,
        Err(error) => {
            console.error(error);
            if arguments.key.is_none() {
                console.note("--key FILE names the public key to verify with; without it, it is the runner's own");
            }
            return Exit::WrongInput;
        }
    };
    let base = std::env::current_dir().unwrap_or_default();
    let (location, reference) = match Location::parse_artifact(&arguments.reference, &base) {
        Ok(parsed) => parsed,
        Err(error) => {
            console.error(error);
            return Exit::WrongInput;
        }
    };
    let opened = oci::Client::new(supervisor::oci_settings(config, environment)).and_then(|client| client.open(&location));
    let repository = match opened {
        Ok(repository) => repository,
        Err(error) => return unverified(console, arguments, &chain(&error)),
    };
    let (cancel, log, progress) = (Cancel::new(), JobLog::discard(), Progress::default());
    let cx = Cx { cancel: &cancel, log: &log, progress: &progress };
    let reference = match reference {
        Some(reference) => reference.to_string(),
        None => match only_tag(cx, &repository).await {
            Ok(Ok(tag)) => tag,
            Ok(Err(problem)) => {
                console.error(format_args!("'{}' {problem}", arguments.reference));
                return Exit::WrongInput;
            }
            Err(error) => return unverified(console, arguments, &chain(&error)),
        },
    };
    match provenance::verify(cx, &repository, &reference, &key).await {
        Ok(verdict) => show(console, arguments, &repository, &key, &verdict),
        Err(error) => unverified(console, arguments, &chain(&error)),
    }
}

fn key(config: &Config, arguments: &VerifyArgs) -> Result<PublicKey, KeyFileError> {
    arguments.key.as_deref().map_or_else(|| supervisor::key_source(config).public(), provenance::read_public)
}

/// The tag that is meant when none is given: that of a layout with one artifact.
async fn only_tag(cx: Cx<'_>, repository: &Repository) -> Result<Result<String, String>, Error> {
    if matches!(repository, Repository::Registry(_)) {
        return Ok(Err("says no artifact; add :TAG or @DIGEST".to_owned()));
    }
    let mut tags = repository.tags(cx).await?;
    // Lists of referrers are kept under tags, too.
    tags.retain(|tag| !oci::is_digest_tag(tag));
    Ok(match tags.as_slice() {
        // The only entry of a layout without names is what any tag means.
        [] => Ok("latest".to_owned()),
        [tag] => Ok(tag.clone()),
        several => Err(format!("has several artifacts; add one of {}", several.join(", "))),
    })
}

/// The artifact could not be asked about.
fn unverified(console: Console, arguments: &VerifyArgs, reason: &str) -> Exit {
    match arguments.output.output {
        OutputFormat::Json => {
            console.json(&json!({"verified": false, "reference": arguments.reference, "digest": null, "reason": reason, "rejected": []}));
        }
        OutputFormat::Text => console.error(format_args!("{} is not verified: {reason}", arguments.reference)),
    }
    Exit::JobFailed
}

fn show(console: Console, arguments: &VerifyArgs, repository: &Repository, key: &PublicKey, verdict: &Verdict) -> Exit {
    let rejected: Vec<_> = verdict.rejected.iter().map(|one| json!({"digest": one.digest, "reason": one.reason})).collect();
    let Some((bundle, statement)) = &verdict.verified else {
        match arguments.output.output {
            OutputFormat::Json => console.json(&json!({
                "verified": false, "reference": arguments.reference, "digest": verdict.digest, "reason": verdict.reason(), "rejected": rejected,
            })),
            OutputFormat::Text => {
                console.error(format_args!("{}@{} is not verified: {}", repository.display(), verdict.digest, verdict.reason()));
                if verdict.rejected.len() > 1 {
                    for one in &verdict.rejected {
                        console.note(format_args!("{}: {}", one.digest, one.reason));
                    }
                }
            }
        }
        return Exit::JobFailed;
    };
    match arguments.output.output {
        OutputFormat::Json => console.json(&json!({
            "verified": true,
            "reference": arguments.reference,
            "digest": verdict.digest,
            "bundle": bundle,
            "key_id": key.key_id(),
            "predicate_type": SLSA_PROVENANCE,
            "builder": statement.builder(),
            "build_type": statement.build_type(),
            "source": statement.source(),
            "materials": statement.materials(),
            "parameters": statement.parameters(),
            "invocation": statement.metadata(),
            "rejected": rejected,
        })),
        OutputFormat::Text => people(console, repository, key, verdict, bundle, statement),
    }
    Exit::Success
}

/// What was verified, for people. All of it is somebody's text.
fn people(
    console: Console,
    repository: &Repository,
    key: &PublicKey,
    verdict: &Verdict,
    bundle: &crate::digest::Digest,
    statement: &Statement,
) {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    console.shown(format_args!("{}@{} is verified", repository.display(), verdict.digest));
    let row = |name: &str, value: String| console.shown(format_args!("  {name:<11} {value}"));
    row("key", format!("{} {}", key.kind().as_str(), key.fingerprint()));
    row("attestation", bundle.to_string());
    let version = statement.builder()["version"].as_object().into_iter().flatten().map(|(name, value)| format!(" {name} {}", text(value)));
    row("builder", text(&statement.builder()["id"]) + &version.collect::<String>());
    row("build type", statement.build_type().to_owned());
    if let Some(source) = statement.source() {
        row("source", format!("{} at {}", text(&source["uri"]), text(&source["digest"]["gitCommit"])));
    }
    for material in statement.materials() {
        let digests = material["digest"].as_object().into_iter().flatten().map(|(name, value)| format!(" {name}:{}", text(value)));
        row("material", text(&material["uri"]) + &digests.collect::<String>());
    }
    if statement.parameters().as_object().is_some_and(|parameters| !parameters.is_empty()) {
        row("parameters", statement.parameters().to_string());
    }
    let invocation = statement.metadata();
    row(
        "invocation",
        format!("{}, {} to {}", text(&invocation["invocationId"]), text(&invocation["startedOn"]), text(&invocation["finishedOn"])),
    );
}
