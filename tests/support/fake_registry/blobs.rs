//! Blobs and uploads (distribution-spec 1.1, "Pulling blobs", "Pushing a blob").

use axum::body::Bytes;
use build_runner::digest::Digest;

use super::{
    Port, auth,
    store::{Call, Reply, State},
};

/// `/v2/<name>/blobs/<digest>`
pub(super) fn blob(state: &State, call: &Call, repository: &str, digest: &str, _body: &Bytes) -> Reply {
    let Some(content) = state.blob(repository, digest) else { return Reply::error(404, "BLOB_UNKNOWN") };
    if call.method == "GET" && call.port == Port::Registry && state.options.downloads_elsewhere {
        return Reply::status(307).header("location", format!("http://{}{}?signature=good", state.storage, call.path));
    }
    let reply = Reply::status(200)
        .header("content-type", "application/octet-stream")
        .header("docker-content-digest", digest)
        .header("accept-ranges", "bytes");
    match call.method.as_str() {
        "HEAD" => reply.body(content).without_body(),
        "GET" => {
            let from = call.header("range").strip_prefix("bytes=").and_then(|r| r.split('-').next()?.parse::<usize>().ok());
            match from {
                Some(from) if from < content.len() => {
                    let range = format!("bytes {from}-{}/{}", content.len() - 1, content.len());
                    let mut reply = reply.header("content-range", range).body(content.slice(from..));
                    reply.status = 206;
                    reply
                }
                Some(_) => Reply::status(416),
                None => reply.body(content),
            }
        }
        _ => Reply::error(405, "UNSUPPORTED"),
    }
}

/// `/v2/<name>/blobs/uploads/[<id>]`
pub(super) fn upload(state: &State, call: &Call, repository: &str, id: &str, body: &Bytes) -> Reply {
    match (call.method.as_str(), id) {
        ("POST", "") => start(state, call, repository),
        ("PATCH", _) => {
            let mut uploads = state.uploads.lock().unwrap();
            let Some((_, content)) = uploads.get_mut(id) else { return Reply::error(404, "BLOB_UPLOAD_UNKNOWN") };
            let from = call.header("content-range").split('-').next().and_then(|from| from.parse::<usize>().ok());
            if from.is_some_and(|from| from != content.len()) {
                return Reply::status(416).header("range", range(content.len()));
            }
            // aws/containers-roadmap#2831: pieces after the first are accepted and thrown away.
            if !state.options.ecr || content.is_empty() {
                content.extend_from_slice(body);
            }
            let range = range(content.len());
            Reply::status(202).header("location", location(state, repository, id)).header("range", range)
        }
        ("GET", _) => match state.uploads.lock().unwrap().get(id) {
            Some((_, content)) => {
                Reply::status(204).header("location", location(state, repository, id)).header("range", range(content.len()))
            }
            None => Reply::error(404, "BLOB_UPLOAD_UNKNOWN"),
        },
        ("PUT", _) => close(state, call, repository, id, body),
        ("DELETE", _) => {
            state.uploads.lock().unwrap().remove(id);
            Reply::status(204)
        }
        _ => Reply::error(405, "UNSUPPORTED"),
    }
}

fn start(state: &State, call: &Call, repository: &str) -> Reply {
    if let (Some(digest), Some(from)) = (call.query("mount"), call.query("from"))
        && auth::may_read(state, call, &from)
        && let Some(content) = state.blob(&from, &digest)
    {
        state.store_blob(repository, &digest, content);
        return Reply::status(201).header("location", format!("/v2/{repository}/blobs/{digest}")).header("docker-content-digest", digest);
    }
    let id = format!("upload-{}", state.next());
    state.uploads.lock().unwrap().insert(id.clone(), (repository.to_owned(), Vec::new()));
    Reply::status(202).header("location", location(state, repository, &id)).header("docker-upload-uuid", id)
}

fn close(state: &State, call: &Call, repository: &str, id: &str, body: &Bytes) -> Reply {
    let Some((_, mut content)) = state.uploads.lock().unwrap().remove(id) else { return Reply::error(404, "BLOB_UPLOAD_UNKNOWN") };
    content.extend_from_slice(body);
    let wanted = call.query("digest").unwrap_or_default();
    let Ok(digest) = wanted.parse::<Digest>() else { return Reply::error(400, "DIGEST_INVALID") };
    if !state.options.trusting && !digest.matches(&content) {
        return Reply::error(400, "DIGEST_INVALID");
    }
    state.store_blob(repository, &wanted, content.into());
    let reply = Reply::status(201).header("location", format!("/v2/{repository}/blobs/{wanted}"));
    if state.options.no_digest_header { reply } else { reply.header("docker-content-digest", wanted) }
}

fn location(state: &State, repository: &str, id: &str) -> String {
    if state.options.uploads_elsewhere {
        format!("http://{}/v2/{repository}/blobs/uploads/{id}?signature=good", state.storage)
    } else {
        format!("/v2/{repository}/blobs/uploads/{id}?state=opaque%2Fvalue")
    }
}

/// Bytes held, as the specification writes them; nothing yet is written `0-0`, as docker-registry does.
fn range(length: usize) -> String {
    format!("0-{}", length.saturating_sub(1))
}
