//! Who may ask for what: bearer tokens, the two kinds of them, and the files that hold the first ones.
//!
//! In: a request's headers (and, for the runner API, its `token` query, because some of its clients cannot set headers). Out: who is calling, as an extractor,
//! so that a handler without one does not see the difference between a good caller and none by accident; or 401 and 403.
//! Invariants: a secret is compared by its SHA-256 only, and never in a message, a log or a metric.

use std::{path::Path, sync::Arc};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use jiff::Timestamp;
use secrecy::SecretString;

use super::{
    error::Refusal,
    query::Query,
    state::Plane,
    store::{Job, NewToken, Store, Token, TokenKind},
};
use crate::{
    job::{JobId, RunnerId},
    source::control_plane::wire::RUNNER_ID,
};

/// Longest text that is worth hashing; tokens of ours are shorter.
const LONGEST: usize = 512;

/// An operator.
#[derive(Debug)]
pub(crate) struct Operator;

/// A runner, or several that share a token.
#[derive(Debug)]
pub(crate) struct RunnerCaller {
    token: Token,
    /// The header of ours.
    claimed: Option<RunnerId>,
}

/// Anybody with a good token.
#[derive(Debug)]
pub(crate) enum Caller {
    /// An operator.
    Operator,
    /// A runner.
    Runner(RunnerCaller),
}

impl FromRequestParts<Arc<Plane>> for Operator {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, plane: &Arc<Plane>) -> Result<Self, Refusal> {
        let secret = bearer(&parts.headers).ok_or_else(Refusal::no_token)?;
        match authenticate(plane, &secret).await?.kind {
            TokenKind::Operator => Ok(Self),
            TokenKind::Runner => Err(Refusal::forbidden("this needs an operator token; the one given is a runner's")),
        }
    }
}

impl FromRequestParts<Arc<Plane>> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, plane: &Arc<Plane>) -> Result<Self, Refusal> {
        let query = Query::of(parts);
        let secret = bearer(&parts.headers).or_else(|| query.text("token").map(SecretString::from)).ok_or_else(Refusal::no_token)?;
        let token = authenticate(plane, &secret).await?;
        match token.kind {
            TokenKind::Operator => Ok(Self::Operator),
            TokenKind::Runner => {
                let claimed = parts.headers.get(RUNNER_ID).map(|value| value.to_str().unwrap_or_default().parse());
                let claimed = claimed.transpose().map_err(|error| Refusal::malformed(format!("the header {RUNNER_ID}: {error}")))?;
                Ok(Self::Runner(RunnerCaller { token, claimed }))
            }
        }
    }
}

impl FromRequestParts<Arc<Plane>> for RunnerCaller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, plane: &Arc<Plane>) -> Result<Self, Refusal> {
        match Caller::from_request_parts(parts, plane).await? {
            Caller::Runner(caller) => Ok(caller),
            Caller::Operator => Err(Refusal::forbidden("this needs a runner token; the one given is an operator's")),
        }
    }
}

impl Caller {
    /// Refuses a runner with a token for another one.
    pub(crate) fn may_see(&self, runner: Option<&RunnerId>) -> Result<(), Refusal> {
        match (self, runner) {
            (Self::Runner(caller), Some(runner)) => caller.may_be(runner),
            _ => Ok(()),
        }
    }
}

impl RunnerCaller {
    /// Whether the token is for one runner alone: what it may touch has to be looked up then.
    pub(crate) const fn is_bound(&self) -> bool {
        self.token.runner.is_some()
    }

    /// Refuses a token that is for another runner.
    pub(crate) fn may_be(&self, runner: &RunnerId) -> Result<(), Refusal> {
        match &self.token.runner {
            Some(own) if own != runner => Err(Refusal::forbidden(format!("the token is for runner '{own}', not for '{runner}'"))),
            _ => Ok(()),
        }
    }

    /// Refuses jobs that another runner has, or that are for another one.
    pub(crate) fn may_touch(&self, job: &Job) -> Result<(), Refusal> {
        job.runner.as_ref().map_or(Ok(()), |runner| self.may_be(runner))
    }

    /// Who claims a job: whom the token is for, who the caller says it is, or the only runner that was shown the job. Otherwise nobody
    /// knows, until the runner says what it has under way.
    pub(crate) fn claimant(&self, plane: &Plane, job: &JobId) -> Result<Option<RunnerId>, Refusal> {
        if let Some(claimed) = &self.claimed {
            self.may_be(claimed)?;
            return Ok(Some(claimed.clone()));
        }
        Ok(self.token.runner.clone().or_else(|| plane.shown.to(job)))
    }
}

async fn authenticate(plane: &Plane, secret: &SecretString) -> Result<Token, Refusal> {
    plane.store.authenticate(secret, plane.now()).await?.ok_or_else(Refusal::unknown_token)
}

/// The token of `Authorization: Bearer …`.
fn bearer(headers: &HeaderMap) -> Option<SecretString> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.len() <= LONGEST).then(|| SecretString::from(token))
}

/// Why the first tokens could not be written.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// The file cannot be written or read.
    #[error("the token file cannot be written")]
    File(#[from] std::io::Error),
    /// The store did not make the token.
    #[error("no first token could be made")]
    Store(#[from] super::store::Error),
}

/// Makes `operator.token` and `runner.token` in the data folder, each unless it is there. Never overwrites one: somebody may use it.
pub(crate) async fn first_tokens(store: &dyn Store, folder: &Path, now: Timestamp) -> Result<(), TokenFileError> {
    for (kind, file) in [(TokenKind::Operator, "operator.token"), (TokenKind::Runner, "runner.token")] {
        let path = folder.join(file);
        if path.try_exists()? {
            warn_of_strangers(store, &path, now).await?;
            continue;
        }
        let new = NewToken { kind, name: format!("first {}", kind.as_str()), runner: None, expires_at: None };
        let (token, secret) = store.create_token(new, now).await?;
        let written = tokio::task::spawn_blocking(move || write_secret(&path, &secret))
            .await
            .unwrap_or_else(|error| Err(std::io::Error::other(error)));
        if let Err(error) = written {
            // Nobody will ever know the secret of that one.
            store.revoke_token(&token.id).await?;
            return Err(error.into());
        }
    }
    Ok(())
}

/// A token file that outlived its database is worth a word: its owner would look for the mistake elsewhere.
async fn warn_of_strangers(store: &dyn Store, path: &Path, now: Timestamp) -> Result<(), TokenFileError> {
    let secret = SecretString::from(fs_err::read_to_string(path)?.trim().to_owned());
    if store.authenticate(&secret, now).await?.is_none() {
        tracing::warn!(file = %path.display(), "the token in this file is not known (any more): delete the file to be given a new one at the next start");
    }
    Ok(())
}

/// Appears whole or not at all, readable by its owner alone, and never replaces a file.
fn write_secret(path: &Path, secret: &SecretString) -> std::io::Result<()> {
    use secrecy::ExposeSecret as _;
    use std::io::Write as _;
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    // Temporary files are 0600 from the start.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    writeln!(file, "{}", secret.expose_secret())?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    fs_err::File::open(folder)?.sync_all()
}
