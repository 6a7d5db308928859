//! Access tokens: random, shown once, kept as SHA-256 only.

use aws_lc_rs::digest;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};

use crate::job::{RunnerId, TokenId};

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// The operator API.
    Operator,
    /// The runner API.
    Runner,
}

impl TokenKind {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Runner => "runner",
        }
    }
}

impl std::str::FromStr for TokenKind {
    type Err = String;
    /// # Errors
    /// The text itself when it is neither.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "operator" => Ok(Self::Operator),
            "runner" => Ok(Self::Runner),
            other => Err(other.to_owned()),
        }
    }
}

/// A token to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// What it is good for.
    pub kind: TokenKind,
    /// What people call it; may be empty.
    pub name: String,
    /// The only runner that may use it; `None` for any.
    pub runner: Option<RunnerId>,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
}

/// A token, without its secret: nobody has that any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its id.
    pub id: TokenId,
    /// What it is good for.
    pub kind: TokenKind,
    /// What people call it.
    pub name: String,
    /// The only runner that may use it.
    pub runner: Option<RunnerId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute or so: a request is not worth a write.
    pub last_used_at: Option<Timestamp>,
}

impl Token {
    /// Whether it is past its time.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}

/// What is stored of a token's secret. The secret has 256 random bits, so a plain hash is enough: there is nothing to guess.
#[must_use]
pub fn fingerprint(secret: &SecretString) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, secret.expose_secret().as_bytes()).as_ref());
    bytes
}
