//! Credentials for registries, and what is sent with each request because of them.
//!
//! In: where the credentials come from ([`Credentials`]), what a request is about ([`Scope`]), and the registry's challenges. Out: the value
//! of the `Authorization` header. One [`Authenticator`] serves all requests to one host with one set of credentials; it keeps bearer tokens by scope, renews
//! them at 80 % of their life, and lets one request fetch a token that many are waiting for. Nothing is sent before the registry asked for it.
//!
//! Protocol: the distribution project's "Docker Registry v2 authentication via central service" and its OAuth2 page, RFC 9110 §11 and RFC 6750.
//! Called by the registry client alone.

mod authenticator;
mod challenge;
pub mod cloud;
mod docker_config;
mod error;
mod helper;
mod scope;
#[cfg(test)]
mod tests;
mod token;

use std::fmt;

use secrecy::SecretString;

pub use authenticator::Authenticator;
pub use challenge::{Challenge, parse_challenges};
pub use error::Error;
pub use scope::Scope;

/// Where the credentials for a registry come from.
#[derive(Clone, Default)]
pub enum Credentials {
    /// Nowhere: whatever the registry gives to everybody.
    Anonymous,
    /// A user name and password.
    Static {
        /// User name.
        username: String,
        /// Password or token.
        password: SecretString,
        /// Where they were found, in words: `OCIAuth of the plan`.
        origin: String,
    },
    /// The machine's docker and podman files and their credential helpers.
    #[default]
    Configured,
    /// A cloud's own way of handing them out.
    Cloud(Box<cloud::CloudSource>),
}

impl fmt::Debug for Credentials {
    /// Names no value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Static { .. } => "Static",
            Self::Configured => "Configured",
            Self::Cloud(_) => "Cloud",
        })
    }
}

/// What a registry is shown.
#[derive(Clone)]
enum Secret {
    /// User name and password, also to a token server.
    Basic { username: String, password: SecretString },
    /// A refresh token for the token server's OAuth2 endpoint.
    Refresh(SecretString),
    /// A bearer token for the registry itself.
    Bearer(SecretString),
}

/// Credentials that were really found.
#[derive(Clone)]
struct Resolved {
    /// `None`: anonymous.
    secret: Option<Secret>,
    /// Completes "denied …": `with the user name and password of the plan`.
    with: String,
    /// When they run out, if they do.
    expires_at: Option<jiff::Timestamp>,
}
