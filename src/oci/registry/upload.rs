//! Storing a blob in as few requests as the registry allows, whatever breaks on the way.
//!
//! ```text
//! POST ?mount&from ─ 201 ─► there already (or taken from the other repository)
//!        │ 202: an upload session
//!        ▼
//!  Whole: PUT, all bytes ──── refused ───► Streamed: PATCH, all bytes, PUT ──── refused ───► Chunked: PATCH by pieces, PUT
//!        └─ broken off ─► ask the session how much it has ─► PATCH the rest, PUT      (else a new session, from the beginning)
//! ```
//!
//! The mount names the destination itself when there is no better source: one request asks "is it there?" and opens the session for
//! when it is not. Registries that are known not to answer that question (the clouds' own) are asked by HEAD first.
//! Amazon ECR loses every chunk after the first (aws/containers-roadmap#2831), so it only ever gets whole blobs.

use reqwest::{
    Method, StatusCode, Url,
    header::{CONTENT_RANGE, CONTENT_TYPE, HeaderName, HeaderValue, RANGE},
};
use tokio::sync::Mutex;

use super::{Registry, check_digest};
use crate::{
    oci::{
        BlobSource, Cx, Descriptor, Error, Stored,
        auth::Scope,
        error::ContentError,
        transport::{Answer, Payload, Request, SendError},
        verify::Verified,
    },
    retry::Advice,
};

/// Size of the pieces of a chunked upload, unless the registry wants larger ones.
const CHUNK: u64 = 8 << 20;
/// Largest piece a registry may ask for.
const MAX_CHUNK: u64 = 1 << 30;
/// How long an abandoned session is worth being closed.
const GOODBYE: std::time::Duration = std::time::Duration::from_secs(2);

/// How the bytes are sent, each for registries that refuse the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Whole,
    Streamed,
    Chunked,
}

/// Where an upload stands between two tries.
struct Upload {
    manner: Manner,
    session: Option<Session>,
    /// The registry found other bytes than it was promised: next time they are checked on their way.
    suspicious: bool,
}

/// An upload session of the registry.
#[derive(Clone)]
struct Session {
    url: Url,
    /// Bytes it has.
    offset: u64,
    /// Smallest chunk it takes (`OCI-Chunk-Min-Length`).
    chunk: u64,
}

/// What a POST led to.
enum Begun {
    Stored(Stored),
    Session(Session),
}

/// One blob on its way.
struct Job<'a> {
    registry: &'a Registry,
    cx: Cx<'a>,
    blob: &'a Descriptor,
    source: &'a dyn BlobSource,
    mount: Option<&'a Registry>,
    scope: Scope,
}

impl Registry {
    /// Whether asking for a mount from the destination itself tells if the blob is there. The clouds' own registries answer 202
    /// to it, so they are asked by HEAD.
    fn mounts_from_itself(&self) -> bool {
        let host = self.host().split(':').next().unwrap_or("");
        let own = [".amazonaws.com", ".amazonaws.com.cn", ".azurecr.io", ".azurecr.cn", ".pkg.dev", "gcr.io", "ghcr.io", "docker.io"];
        !own.iter().any(|suffix| host.ends_with(suffix))
    }

    fn is_ecr(&self) -> bool {
        let host = self.host();
        host.contains(".dkr.ecr") && host.contains(".amazonaws.com")
    }

    /// Stores a blob. `mount` is another repository that may have it.
    ///
    /// # Errors
    /// When the registry refuses it, or the source does not have what the descriptor says.
    pub async fn put_blob(&self, cx: Cx<'_>, blob: &Descriptor, source: &dyn BlobSource, mount: Option<&Self>) -> Result<Stored, Error> {
        let mount = mount.filter(|other| self.same_registry(other) && other.0.repository != self.0.repository);
        let scope = match mount {
            Some(other) => self.write_scope().mounting_from(&other.0.repository),
            None => self.write_scope(),
        };
        if mount.is_none() && !self.mounts_from_itself() && self.has_blob(cx, blob).await? {
            return Ok(Stored::Present);
        }
        let job = Job { registry: self, cx, blob, source, mount, scope };
        let state = Mutex::new(Upload { manner: Manner::Whole, session: None, suspicious: false });
        // A source that failed has used up its own tries.
        let source_failed = std::sync::atomic::AtomicBool::new(false);
        let advise = |error: &Error| match error {
            _ if source_failed.load(std::sync::atomic::Ordering::Relaxed) => Advice::GiveUp,
            error => error.advice(),
        };
        let result = self
            .retrying_if(cx, advise, || async {
                let mut state = state.lock().await;
                job.attempt(&mut state).await.map_err(|error| match error {
                    SendError::Request(error) => error,
                    SendError::Source(error) => {
                        source_failed.store(true, std::sync::atomic::Ordering::Relaxed);
                        error
                    }
                })
            })
            .await;
        if let (Err(_), Some(session)) = (&result, state.into_inner().session) {
            job.abandon(session).await;
        }
        result
    }
}

/// Adds the digest to whatever query a session's URL has.
fn with_digest(mut url: Url, blob: &Descriptor) -> Url {
    url.query_pairs_mut().append_pair("digest", blob.digest.as_str());
    url
}

/// Last byte of `Range: 0-99` (or `bytes=0-99`): the session has one more than that.
fn received(answer: &Answer) -> Option<u64> {
    let range = answer.header(RANGE.as_str())?;
    let range = range.trim().strip_prefix("bytes=").unwrap_or(range.trim());
    let last: u64 = range.split_once('-')?.1.parse().ok()?;
    // Docker's registry says "0-0" for none and for one byte alike; starting at 0 is right for both.
    Some(if last == 0 { 0 } else { last + 1 })
}

/// Whether another manner of sending may be taken where this one was refused.
fn is_refusal(error: &Error) -> bool {
    matches!(error, Error::Response(response)
        if matches!(response.status, 400 | 404 | 405 | 411 | 413 | 415 | 416 | 501) && response.code != "DIGEST_INVALID")
}

fn octets(request: Request<'_>) -> Request<'_> {
    request.header(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))
}

fn header<'a>(request: Request<'a>, name: HeaderName, text: &str) -> Request<'a> {
    // Only ever digits and dashes.
    match HeaderValue::from_str(text) {
        Ok(value) => request.header(name, value),
        Err(_) => request,
    }
}

impl Job<'_> {
    /// One try: begins or continues a session, and changes the manner when the registry does not take this one.
    async fn attempt(&self, state: &mut Upload) -> Result<Stored, SendError> {
        let mut resumed = self.resume(state).await?;
        loop {
            let session = match resumed.take() {
                Some(session) => session,
                None => match self.begin().await? {
                    Begun::Stored(stored) => return Ok(stored),
                    Begun::Session(session) => session,
                },
            };
            state.session = Some(session.clone());
            let error = match self.send(state, session).await {
                Ok(()) => {
                    state.session = None;
                    return Ok(Stored::Uploaded);
                }
                Err(error) => error,
            };
            if let SendError::Request(Error::Content(ContentError::Rejected { .. })) = &error {
                state.session = None;
                if state.suspicious {
                    // Checked on its way and found good, yet rejected: the source is not to blame, and asking again would not help.
                    return Err(SendError::Source(match error {
                        SendError::Request(error) | SendError::Source(error) => error,
                    }));
                }
                state.suspicious = true;
                return Err(error);
            }
            let next = match state.manner {
                Manner::Whole => Manner::Streamed,
                Manner::Streamed => Manner::Chunked,
                Manner::Chunked => return Err(error),
            };
            match &error {
                SendError::Request(refusal) if is_refusal(refusal) && !self.registry.is_ecr() => {
                    tracing::debug!(blob = %self.blob.digest, %refusal, ?next, "upload refused, sending in another manner");
                    if let Some(session) = state.session.take() {
                        self.abandon(session).await;
                    }
                    state.manner = next;
                }
                _ => return Err(error),
            }
        }
    }

    /// Opens a session, unless the registry turns out to have the blob.
    async fn begin(&self) -> Result<Begun, SendError> {
        let fail = SendError::Request;
        let registry = self.registry;
        let mut url = registry.url(self.cx, "blobs/uploads/").await.map_err(fail)?;
        let from = match self.mount {
            Some(other) => Some(&other.0.repository),
            None => registry.mounts_from_itself().then_some(&registry.0.repository),
        };
        if let Some(from) = from {
            url.query_pairs_mut().append_pair("mount", self.blob.digest.as_str()).append_pair("from", from);
        }
        let request = Request::new(Method::POST, url, &self.scope);
        let answer = match registry.ask(self.cx, &request).await {
            // Whoever may not read the other repository, or a registry that does not do mounts, still gets the blob.
            Err(SendError::Request(Error::Credentials(_))) if self.mount.is_some() => None,
            Err(error) => return Err(error),
            Ok(answer) if answer.status().is_client_error() && from.is_some() => {
                answer.finish().await;
                None
            }
            Ok(answer) => Some(answer),
        };
        let (answer, mounting) = if let Some(answer) = answer {
            (answer, from.is_some())
        } else {
            let url = registry.url(self.cx, "blobs/uploads/").await.map_err(fail)?;
            let scope = registry.write_scope();
            (registry.ask(self.cx, &Request::new(Method::POST, url, &scope)).await?, false)
        };
        match answer.status() {
            StatusCode::CREATED if mounting => {
                check_digest(&answer, &self.blob.digest, || registry.name_blob(self.blob)).map_err(fail)?;
                answer.finish().await;
                Ok(Begun::Stored(if self.mount.is_some() { Stored::Mounted } else { Stored::Present }))
            }
            StatusCode::ACCEPTED | StatusCode::CREATED => {
                let session = self.session(&answer, 0).await.map_err(fail)?;
                answer.finish().await;
                Ok(Begun::Session(session))
            }
            _ => Err(fail(answer.into_error(request.name()).await)),
        }
    }

    /// The session as an answer describes it, having `offset` bytes.
    async fn session(&self, answer: &Answer, offset: u64) -> Result<Session, Error> {
        let home = self.registry.home(self.cx).await?;
        let url = answer.header("location").and_then(|location| home.locate(&answer.url, location));
        let url = url.ok_or_else(|| ContentError::NotARegistry {
            host: self.registry.host().to_owned(),
            reason: "an upload session without a Location".to_owned(),
        })?;
        let wanted = answer.header("oci-chunk-min-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        Ok(Session { url, offset, chunk: CHUNK.max(wanted).min(MAX_CHUNK) })
    }

    /// How far a session of an earlier try got, if it is of any use.
    async fn resume(&self, state: &mut Upload) -> Result<Option<Session>, SendError> {
        let Some(session) = state.session.take() else { return Ok(None) };
        if self.registry.is_ecr() || self.blob.size < CHUNK || state.suspicious {
            self.abandon(session).await;
            return Ok(None);
        }
        let request = Request::new(Method::GET, session.url.clone(), &self.scope);
        let status = match self.registry.ask(self.cx, &request).await {
            Ok(answer) if answer.status() == StatusCode::NO_CONTENT => {
                let offset = received(&answer).unwrap_or(0);
                let session = self.session(&answer, offset).await.map_err(SendError::Request)?;
                answer.finish().await;
                Some(session).filter(|session| session.offset > 0 && session.offset <= self.blob.size)
            }
            // Docker's registry drops a session that got more than the client was told: nothing is left to abandon.
            Ok(answer) if answer.status() == StatusCode::NOT_FOUND => {
                answer.finish().await;
                return Ok(None);
            }
            // An unreachable registry shows at the next request.
            Ok(_) | Err(SendError::Request(_)) => None,
            Err(error @ SendError::Source(_)) => return Err(error),
        };
        if status.is_none() {
            self.abandon(session).await;
        }
        Ok(status)
    }

    /// Sends what the session does not have yet, and closes it.
    async fn send(&self, state: &mut Upload, mut session: Session) -> Result<(), SendError> {
        let size = self.blob.size;
        let verified = Verified { source: self.source, blob: self.blob, place: "the source" };
        let source: &dyn BlobSource = if state.suspicious { &verified } else { self.source };
        if state.manner == Manner::Whole && session.offset == 0 {
            return self.commit(&session, Payload::Stream { source, offset: 0, len: size }).await;
        }
        while session.offset < size {
            let rest = size - session.offset;
            let len = if state.manner == Manner::Chunked { rest.min(session.chunk) } else { rest };
            session = self.patch(&session, source, len).await?;
            state.session = Some(session.clone());
        }
        self.commit(&session, Payload::Empty).await
    }

    /// Sends the next `len` bytes.
    async fn patch(&self, session: &Session, source: &dyn BlobSource, len: u64) -> Result<Session, SendError> {
        let (offset, end) = (session.offset, session.offset + len);
        let request = octets(Request::new(Method::PATCH, session.url.clone(), &self.scope));
        let request = header(request, CONTENT_RANGE, &format!("{offset}-{}", end - 1));
        let request = request.payload(Payload::Stream { source, offset, len });
        let answer = self.registry.ask(self.cx, &request).await?;
        if !answer.status().is_success() {
            return Err(SendError::Request(answer.into_error(request.name()).await));
        }
        // It may have taken less than it was sent.
        let has = received(&answer).filter(|has| *has > offset && *has <= end).unwrap_or(end);
        let next = self.session(&answer, has).await.map_err(SendError::Request)?;
        answer.finish().await;
        Ok(Session { chunk: session.chunk, ..next })
    }

    /// Closes the session, with all the bytes or none.
    async fn commit(&self, session: &Session, payload: Payload<'_>) -> Result<(), SendError> {
        let url = with_digest(session.url.clone(), self.blob);
        let request = octets(Request::new(Method::PUT, url, &self.scope)).payload(payload);
        let answer = self.registry.ask(self.cx, &request).await?;
        if !answer.status().is_success() {
            let error = match answer.into_error(request.name()).await {
                Error::Response(response) if response.code == "DIGEST_INVALID" || response.code == "SIZE_INVALID" => {
                    let (host, what) = (self.registry.host().to_owned(), format!("blob {}", self.blob.digest));
                    ContentError::Rejected { host, what }.into()
                }
                error => error,
            };
            return Err(SendError::Request(error));
        }
        check_digest(&answer, &self.blob.digest, || self.registry.name_blob(self.blob)).map_err(SendError::Request)?;
        // The first answer decides; a registry does not change its habits between two blobs.
        let _ = self.registry.0.confirms.set(answer.header("docker-content-digest").is_some());
        answer.finish().await;
        Ok(())
    }

    /// Tells the registry that a session is not needed any more. It may or may not care (Docker's wants a right that nobody has).
    async fn abandon(&self, session: Session) {
        let request = Request::new(Method::DELETE, session.url, &self.scope);
        if let (Ok(home), Ok(())) = (self.registry.home(self.cx).await, self.cx.cancel.check()) {
            let call = self.registry.0.transport.call(self.cx, home, &request);
            if let Ok(Ok(answer)) = tokio::time::timeout(GOODBYE, call).await {
                answer.finish().await;
            }
        }
    }
}
