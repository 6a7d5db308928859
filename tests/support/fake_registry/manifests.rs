//! Manifests, tags and referrers.

use axum::body::Bytes;
use build_runner::digest::Digest;
use serde_json::{Value, json};

use super::{
    INDEX,
    store::{Call, Reply, State},
};

/// `/v2/<name>/manifests/<reference>`
pub(super) fn manifest(state: &State, call: &Call, repository: &str, reference: &str, body: &Bytes) -> Reply {
    match call.method.as_str() {
        "GET" | "HEAD" => {
            if !state.repositories.lock().unwrap().contains_key(repository) {
                return Reply::error(404, "NAME_UNKNOWN");
            }
            let digest = if reference.contains(':') { Some(reference.to_owned()) } else { state.tag(repository, reference) };
            let found = digest.and_then(|digest| Some((state.manifest(repository, &digest)?, digest)));
            let Some(((media_type, bytes), digest)) = found else { return Reply::error(404, "MANIFEST_UNKNOWN") };
            let mut reply = Reply::status(200).header("content-type", media_type).body(bytes);
            if !state.options.no_digest_header {
                reply = reply.header("docker-content-digest", digest.as_str()).header("etag", format!("\"{digest}\""));
            }
            if call.method == "HEAD" { reply.without_body() } else { reply }
        }
        "PUT" => put(state, call, repository, reference, body),
        _ => Reply::error(405, "UNSUPPORTED"),
    }
}

fn put(state: &State, call: &Call, repository: &str, reference: &str, body: &Bytes) -> Reply {
    let Ok(parsed) = serde_json::from_slice::<Value>(body) else { return Reply::error(400, "MANIFEST_INVALID") };
    for key in ["config", "layers", "blobs"] {
        for descriptor in list(&parsed[key]) {
            let foreign = descriptor["urls"].is_array();
            let digest = descriptor["digest"].as_str().unwrap_or_default();
            if !foreign && state.blob(repository, digest).is_none() {
                return Reply::error(400, "MANIFEST_BLOB_UNKNOWN");
            }
        }
    }
    for descriptor in list(&parsed["manifests"]) {
        let digest = descriptor["digest"].as_str().unwrap_or_default();
        // The index of referrers under a fallback tag is the one kind that may name what is not there.
        if !reference.starts_with("sha256-") && state.manifest(repository, digest).is_none() {
            return Reply::error(400, "MANIFEST_BLOB_UNKNOWN");
        }
    }
    let tag = (!reference.contains(':')).then_some(reference);
    let current = tag.and_then(|tag| state.tag(repository, tag)).unwrap_or_default();
    let wanted = call.header("if-match").trim_matches('"');
    if !wanted.is_empty() && wanted != current {
        return Reply::error(412, "PRECONDITION_FAILED");
    }
    if tag.is_none() && reference.parse::<Digest>().is_ok_and(|digest| !digest.matches(body)) {
        return Reply::error(400, "DIGEST_INVALID");
    }
    let digest = state.put_manifest(repository, tag, call.header("content-type"), body.clone());
    let mut reply = Reply::status(201);
    if !state.options.ecr {
        reply = reply.header("location", format!("/v2/{repository}/manifests/{digest}"));
    }
    if !state.options.no_digest_header {
        reply = reply.header("docker-content-digest", digest.as_str());
    }
    if let (true, Some(subject)) = (state.options.referrers, parsed["subject"]["digest"].as_str()) {
        reply = reply.header("oci-subject", subject);
    }
    reply
}

fn list(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(_) => vec![value],
        _ => Vec::new(),
    }
}

/// `/v2/<name>/referrers/<digest>`
pub(super) fn referrers(state: &State, _call: &Call, repository: &str, digest: &str, _body: &Bytes) -> Reply {
    if !state.options.referrers {
        return Reply::error(404, "NOT_FOUND");
    }
    let repositories = state.repositories.lock().unwrap();
    let manifests = repositories.get(repository).map(|r| r.manifests.iter().collect::<Vec<_>>()).unwrap_or_default();
    let mut found = Vec::new();
    for (own, (media_type, bytes)) in manifests {
        let parsed: Value = serde_json::from_slice(bytes).unwrap_or_default();
        if parsed["subject"]["digest"] == digest {
            let artifact_type = parsed["artifactType"].as_str().or(parsed["config"]["mediaType"].as_str());
            found.push(json!({"mediaType": media_type, "digest": own, "size": bytes.len(), "artifactType": artifact_type}));
        }
    }
    let body = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": found}).to_string();
    Reply::status(200).header("content-type", INDEX).body(body.into())
}

/// `/v2/<name>/tags/list`
pub(super) fn tags(state: &State, _call: &Call, repository: &str, _rest: &str, _body: &Bytes) -> Reply {
    let body = json!({"name": repository, "tags": state.tags(repository)}).to_string();
    Reply::status(200).header("content-type", "application/json").body(body.into())
}
