//! This project's vocabulary to the wire's: phases, outcomes, receipts.

use serde_json::{Map, Value, json};

use crate::job::{Artifact, Failure, Phase, Platform, Receipt, ReceiptOutcome};

use super::{ExecutionPatch, ExecutionStatus, OutputsRequest, ResultRequest};

/// Longest `error_output`, in bytes: enough for the end of a tool's log, little enough for a status page.
const MAX_ERROR_OUTPUT: usize = 16 << 10;
/// Who worked on it, as `error_metadata` names it.
const HANDLER: &str = "build-runner";
/// Longest status description, in characters.
const MAX_DESCRIPTION: usize = 300;

impl ExecutionStatus {
    /// The status of an execution in that phase; `None` when it is over, which [`ExecutionStatus::from`] its outcome says better.
    #[must_use]
    pub const fn of_phase(phase: Phase) -> Option<Self> {
        match phase {
            Phase::Claimed => Some(Self::Pending),
            Phase::Preparing => Some(Self::Initializing),
            Phase::Running | Phase::Collecting => Some(Self::InProgress),
            Phase::CleaningUp => Some(Self::CleaningUp),
            Phase::Reported => None,
        }
    }
}

impl From<ReceiptOutcome> for ExecutionStatus {
    fn from(outcome: ReceiptOutcome) -> Self {
        match outcome {
            ReceiptOutcome::Succeeded => Self::Finished,
            ReceiptOutcome::Failed => Self::Failed,
            ReceiptOutcome::Cancelled => Self::Cancelled,
            ReceiptOutcome::TimedOut => Self::TimedOut,
            ReceiptOutcome::NotAttempted => Self::NotAttempted,
        }
    }
}

impl From<&Receipt> for ExecutionPatch {
    /// The terminal status, with the failure's message.
    fn from(receipt: &Receipt) -> Self {
        let message = receipt.failure.as_ref().map(|failure| failure.message.chars().take(MAX_DESCRIPTION).collect());
        Self { status: receipt.outcome.into(), status_description: message.unwrap_or_default() }
    }
}

impl ResultRequest {
    /// The result of an execution. `contents` is the receipt itself, so that no plane drops it.
    #[must_use]
    pub fn of(receipt: &Receipt) -> Self {
        let success = receipt.outcome == ReceiptOutcome::Succeeded;
        let mut error_metadata = std::collections::BTreeMap::new();
        let mut note = |key: &str, value: String| {
            if !value.is_empty() {
                error_metadata.insert(key.to_owned(), value);
            }
        };
        if !success {
            note("job_type", receipt.job_type.clone());
            note("handler", HANDLER.to_owned());
        }
        if let Some(failure) = &receipt.failure {
            note("step", failure.step.clone());
            note("tool", failure.tool.clone().unwrap_or_default());
            note("exit_code", failure.exit_code.map(|code| code.to_string()).unwrap_or_default());
            note("message", failure.message.clone());
            note("error_output", error_output(failure));
            note("kind", failure.kind.to_string());
            note("fault", text_of(&failure.fault));
            note("retryable", failure.retryable.to_string());
        }
        // A receipt has nothing that JSON cannot say; were it otherwise, the word alone still makes the result count.
        let contents = serde_json::to_string(receipt).unwrap_or_else(|_| json!({"outcome": text_of(&receipt.outcome)}).to_string());
        Self { success, error_metadata, contents, ..Self::default() }.with_source(receipt.outputs.details.get("source"))
    }

    /// Adds what `outputs.source` of a `container-image-build` says; other sources (of git, say) have no reference that was resolved.
    fn with_source(mut self, source: Option<&Value>) -> Self {
        let Some(source) = source.filter(|source| source["resolved_at"].is_string()) else { return self };
        let text = |key: &str| source[key].as_str().unwrap_or_default().to_owned();
        self.source_ref = text("ref");
        self.source_image = text("image");
        self.resolved_tag = text("resolved_tag");
        self.source_digest = text("digest");
        self.source_media_type = text("media_type");
        self.resolved_at = text("resolved_at").parse().ok();
        self.no_op = source["no_op"].as_bool().unwrap_or_default();
        self
    }
}

impl OutputsRequest {
    /// The outputs of an execution; `None` when it made nothing and has nothing to tell.
    #[must_use]
    pub fn of(receipt: &Receipt) -> Option<Self> {
        let outputs = &receipt.outputs;
        if receipt.outcome != ReceiptOutcome::Succeeded && outputs.artifacts.is_empty() && outputs.details.is_empty() {
            return None;
        }
        let mut map = Map::new();
        map.insert("artifacts".to_owned(), serde_json::to_value(&outputs.artifacts).unwrap_or_default());
        if let Some(artifact) = receipt.artifact() {
            map.insert("image".to_owned(), image(artifact));
        }
        map.extend(outputs.details.clone());
        Some(Self { outputs: map })
    }
}

/// The main artifact as hosted planes read it (`OCIArtifact`).
fn image(artifact: &Artifact) -> Value {
    let mut image = json!({
        "tag": artifact.tag,
        "repository": artifact.repository,
        "media_type": artifact.media_type,
        "digest": artifact.digest.to_string(),
        "size": artifact.size,
    });
    if let Some(platform) = &artifact.platform {
        image["platform"] = platform_of(platform);
    }
    image
}

fn platform_of(platform: &Platform) -> Value {
    let mut value = json!({"os": platform.os, "architecture": platform.architecture});
    if let Some(variant) = &platform.variant {
        value["variant"] = json!(variant);
    }
    if let Some(version) = &platform.os_version {
        value["os_version"] = json!(version);
    }
    value
}

/// The evidence, last lines first to be kept.
fn error_output(failure: &Failure) -> String {
    let mut room = MAX_ERROR_OUTPUT;
    let fits = |line: &&crate::job::Evidence| {
        let fits = line.text.len() < room;
        room = room.saturating_sub(line.text.len() + 1);
        fits
    };
    let mut lines: Vec<&str> = failure.evidence.iter().rev().take_while(fits).map(|line| line.text.as_str()).collect();
    lines.reverse();
    lines.join("\n")
}

/// The serialised name of a fieldless variant.
fn text_of(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(text)) => text,
        _ => String::new(),
    }
}
