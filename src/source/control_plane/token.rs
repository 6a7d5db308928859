//! The runner's token: given once, or in a file that somebody renews.
//!
//! The file is looked at at most once a second and read again when it is another one (time, size or inode), and at once when the plane
//! refuses the token that was in it. A file that cannot be read at the moment does not make a good token bad.
//!
//! Invariant: the token leaves this module in one header alone, never in text.

use std::{
    fmt,
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;
use zeroize::Zeroizing;

/// Longest token there may be, in bytes; more is the wrong file.
const MAX_TOKEN: u64 = 16 << 10;
/// How long a file is believed not to have changed.
const FRESH: Duration = Duration::from_secs(1);

/// Where the token comes from.
#[derive(Debug, Clone)]
pub enum TokenSource {
    /// A file with nothing else in it, read again when it changes.
    File(PathBuf),
    /// The token itself.
    Inline(SecretString),
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("the token file {path} cannot be read; check its path and permissions")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There is nothing in it.
    #[error("the {0} is empty; put the runner's token into it")]
    Empty(String),
    /// It is too long, or has characters that no token has.
    #[error("the {0} does not hold a token: one line of at most {MAX_TOKEN} visible characters")]
    Malformed(String),
}

/// Tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    seconds: i64,
    nanos: i64,
    size: u64,
    inode: u64,
}

#[derive(Default)]
struct State {
    header: Option<HeaderValue>,
    stamp: Option<Stamp>,
    looked: Option<Instant>,
}

/// The token as it is now.
pub(super) struct Token {
    source: TokenSource,
    state: Mutex<State>,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Token {
    /// Reads the token for the first time.
    pub(super) fn new(source: TokenSource) -> Result<Self, TokenError> {
        let token = Self { source, state: Mutex::default() };
        token.look(true)?;
        Ok(token)
    }

    /// `Authorization` for the next request.
    pub(super) fn header(&self) -> Result<HeaderValue, TokenError> {
        self.look(false)
    }

    /// The header after `refused` was answered with 401, if it is another one by now.
    pub(super) fn renewed(&self, refused: &HeaderValue) -> Option<HeaderValue> {
        self.look(true).ok().filter(|header| header != refused)
    }

    /// `text` from outside without the token, should it be in there.
    pub(super) fn hide(&self, text: &str) -> String {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let header = state.header.as_ref().and_then(|header| header.to_str().ok());
        match header.and_then(|header| header.strip_prefix("Bearer ")) {
            Some(token) => text.replace(token, "***"),
            None => text.to_owned(),
        }
    }

    fn look(&self, now: bool) -> Result<HeaderValue, TokenError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = matches!(self.source, TokenSource::Inline(_)) || state.looked.is_some_and(|looked| looked.elapsed() < FRESH);
        if let Some(header) = state.header.clone().filter(|_| fresh && !now) {
            return Ok(header);
        }
        state.looked = Some(Instant::now());
        match (self.read(state.stamp), state.header.clone()) {
            (Ok(Some((header, stamp))), _) => {
                state.header = Some(header.clone());
                state.stamp = stamp;
                Ok(header)
            }
            (Ok(None) | Err(_), Some(header)) => Ok(header),
            (Ok(None), None) => Err(TokenError::Empty(self.name())),
            (Err(error), None) => Err(error),
        }
    }

    /// The header and what its file looks like; `None` when that is still `known`.
    fn read(&self, known: Option<Stamp>) -> Result<Option<(HeaderValue, Option<Stamp>)>, TokenError> {
        let path = match &self.source {
            TokenSource::Inline(token) => return self.parse(token.expose_secret()).map(|header| Some((header, None))),
            TokenSource::File(path) => path,
        };
        let unreadable = |source| TokenError::Unreadable { path: path.clone(), source };
        let metadata = std::fs::metadata(path).map_err(unreadable)?;
        let stamp = Stamp { seconds: metadata.mtime(), nanos: metadata.mtime_nsec(), size: metadata.size(), inode: metadata.ino() };
        if known == Some(stamp) {
            return Ok(None);
        }
        if !metadata.is_file() || stamp.size > MAX_TOKEN {
            return Err(TokenError::Malformed(self.name()));
        }
        let bytes = Zeroizing::new(std::fs::read(path).map_err(unreadable)?);
        let text = std::str::from_utf8(&bytes).map_err(|_| TokenError::Malformed(self.name()))?;
        self.parse(text).map(|header| Some((header, Some(stamp))))
    }

    fn parse(&self, text: &str) -> Result<HeaderValue, TokenError> {
        let token = text.trim();
        if token.is_empty() {
            return Err(TokenError::Empty(self.name()));
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError::Malformed(self.name()));
        }
        let line = Zeroizing::new(format!("Bearer {token}"));
        let mut header = HeaderValue::from_str(&line).map_err(|_| TokenError::Malformed(self.name()))?;
        header.set_sensitive(true);
        Ok(header)
    }

    fn name(&self) -> String {
        match &self.source {
            TokenSource::File(path) => format!("token file {}", path.display()),
            TokenSource::Inline(_) => "token".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_again_when_it_is_another_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        std::fs::write(&path, " first\n").expect("written");
        let token = Token::new(TokenSource::File(path.clone())).expect("a token");
        let first = token.header().expect("a token");
        assert_eq!(first.to_str().ok(), Some("Bearer first"));
        assert_eq!(token.renewed(&first), None);
        assert_eq!(token.hide("first or second"), "*** or second");

        std::fs::write(&path, "second").expect("written");
        assert_eq!(token.header().expect("a token"), first, "it was looked at just now");
        let second = token.renewed(&first).expect("another token");
        assert_eq!(token.header().expect("a token"), second);

        std::fs::remove_file(&path).expect("removed");
        assert_eq!(token.renewed(&first), Some(second.clone()), "a file being replaced does not make its token bad");
        assert!(!format!("{token:?} {second:?}").contains("second"));
    }

    #[test]
    fn what_holds_no_token_is_said_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        let error = |source| Token::new(source).expect_err("no token").to_string();
        assert!(error(TokenSource::File(path.clone())).contains("cannot be read"));
        for (content, part) in [(&b"  \n"[..], "is empty"), (b"two words", "does not hold a token"), (b"\xff\xfe", "does not hold")] {
            std::fs::write(&path, content).expect("written");
            let message = error(TokenSource::File(path.clone()));
            assert!(message.contains(part) && message.contains("token file /"), "{message}");
        }
        assert!(error(TokenSource::File(folder.path().to_owned())).contains("does not hold"));
        assert_eq!(error(TokenSource::Inline("".into())), "the token is empty; put the runner's token into it");
    }
}
