//! Who is trusted: keys and identities, as the plan's `verification` names them.

use regex::Regex;
use secrecy::ExposeSecret;

use crate::{
    plan::{self, Keyless, KeylessIdentity, Secret},
    provenance::{KeyKind, KeyProblem, PublicKey, bundle::Signer},
};

use super::{Reason, TrustedRoot, TrustedRootError, Vouched, claim::Claim, keyless};

/// Largest compiled expression.
const MAX_REGEX: usize = 1 << 20;

/// What stands in the plan cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// Nobody is named.
    #[error("verification.authorities is empty; name a key or an identity whose signature counts, or remove verification")]
    Nobody,
    /// Neither key nor identity.
    #[error("verification: authority {0} needs either key or keyless")]
    Neither(String),
    /// A secret that only a cluster can tell.
    #[error("verification: {1} of authority {0} names a Kubernetes Secret, which cannot be read here; give the value or a file")]
    Unresolved(String, &'static str),
    /// No key.
    #[error("verification: key of authority {0} {1}")]
    Key(String, KeyProblem),
    /// An identity that anybody would have.
    #[error(
        "verification: an identity of authority {0} needs issuer or issuer_regexp, and subject or subject_regexp; else anybody's signature \
         would count"
    )]
    Anybody(String),
    /// Not an expression.
    #[error("verification: '{1}' of authority {0} is not a regular expression: {2}")]
    Regex(String, String, String),
    /// There is nothing to check certificates against.
    #[error(
        "verification: authority {0} is keyless and there is no trust root; give keyless.trusted_root in the plan, or start the runner with \
         --trusted-root FILE (a Sigstore trusted_root.json)"
    )]
    NoTrustedRoot(String),
    /// The trust root is none.
    #[error("verification: trusted_root of authority {0}: {1}")]
    TrustedRoot(String, TrustedRootError),
    /// The authority's URL is not in it.
    #[error("verification: the trust root of authority {0} has no certificate authority '{1}'; it has {2}")]
    Url(String, String, String),
}

/// A text to be found, or an expression to be matched anywhere in it (Go's `MatchString`, as cosign does).
#[derive(Debug, Clone)]
enum Pattern {
    Exact(String),
    Regex(Regex),
}

impl Pattern {
    fn of(authority: &str, exact: Option<&String>, regex: Option<&String>) -> Result<Self, Unusable> {
        match (exact, regex) {
            (Some(text), None) if !text.is_empty() => Ok(Self::Exact(text.clone())),
            (None, Some(text)) if !text.is_empty() => {
                let wrong = |error: regex::Error| {
                    let why = error.to_string().lines().last().unwrap_or_default().trim().trim_start_matches("error: ").to_owned();
                    Unusable::Regex(authority.to_owned(), plan::shown(text), why)
                };
                regex::RegexBuilder::new(text).size_limit(MAX_REGEX).build().map(Self::Regex).map_err(wrong)
            }
            _ => Err(Unusable::Anybody(authority.to_owned())),
        }
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == text,
            Self::Regex(regex) => regex.is_match(text),
        }
    }
}

/// An identity that counts.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    issuer: Pattern,
    subject: Pattern,
}

impl Identity {
    fn of(authority: &str, identity: &KeylessIdentity) -> Result<Self, Unusable> {
        Ok(Self {
            issuer: Pattern::of(authority, identity.issuer.as_ref(), identity.issuer_regexp.as_ref())?,
            subject: Pattern::of(authority, identity.subject.as_ref(), identity.subject_regexp.as_ref())?,
        })
    }

    pub(super) fn matches(&self, issuer: &str, subjects: &[String]) -> bool {
        self.issuer.matches(issuer) && subjects.iter().any(|subject| self.subject.matches(subject))
    }
}

/// How an authority is known.
#[derive(Debug, Clone)]
enum Trust {
    Key(Box<PublicKey>),
    Keyless { root: TrustedRoot, identities: Vec<Identity> },
}

/// Somebody whose signature counts.
#[derive(Debug, Clone)]
pub(super) struct Authority {
    name: String,
    trust: Trust,
}

/// Everybody whose signature counts; any one suffices.
#[derive(Debug, Clone)]
pub struct Authorities(Vec<Authority>);

impl Authorities {
    /// Those of a plan. `root` is the text of the trust root that the runner was given, for authorities that bring none.
    ///
    /// # Errors
    /// The first that cannot be used, with what to change. An authority that cannot be used never counts as fulfilled.
    pub fn of(verification: &plan::Verification, root: Option<&str>) -> Result<Self, Unusable> {
        let mut all = Vec::new();
        for (index, authority) in verification.authorities.iter().enumerate() {
            let name = authority.name.clone().filter(|name| !name.is_empty()).unwrap_or_else(|| (index + 1).to_string());
            let trust = match (&authority.key, &authority.keyless) {
                (Some(key), None) => {
                    let text = text(&name, "key", key)?;
                    Trust::Key(Box::new(PublicKey::from_pem(text).map_err(|problem| Unusable::Key(name.clone(), problem))?))
                }
                (None, Some(keyless)) => trust(&name, keyless, root)?,
                _ => return Err(Unusable::Neither(name)),
            };
            all.push(Authority { name, trust });
        }
        if all.is_empty() { Err(Unusable::Nobody) } else { Ok(Self(all)) }
    }

    pub(super) fn all(&self) -> &[Authority] {
        &self.0
    }
}

fn text<'a>(name: &str, field: &'static str, secret: &'a Secret) -> Result<&'a str, Unusable> {
    secret.value().map(ExposeSecret::expose_secret).ok_or_else(|| Unusable::Unresolved(name.to_owned(), field))
}

fn trust(name: &str, keyless: &Keyless, root: Option<&str>) -> Result<Trust, Unusable> {
    if keyless.identities.is_empty() {
        return Err(Unusable::Anybody(name.to_owned()));
    }
    let identities = keyless.identities.iter().map(|identity| Identity::of(name, identity)).collect::<Result<_, _>>()?;
    let given = keyless.trusted_root.as_ref().map(|given| text(name, "trusted_root", given)).transpose()?;
    let Some(root) = given.or(root) else { return Err(Unusable::NoTrustedRoot(name.to_owned())) };
    let mut root = TrustedRoot::parse(root).map_err(|error| Unusable::TrustedRoot(name.to_owned(), error))?;
    if let Some(url) = keyless.url.as_deref().filter(|url| !url.is_empty()) {
        let known = root.authority_urls();
        if !root.keep_authority(url) {
            return Err(Unusable::Url(name.to_owned(), plan::shown(url), known));
        }
    }
    Ok(Trust::Keyless { root, identities })
}

impl Authority {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Looks for a signature of its own; else says of each why it is none.
    pub(super) fn judge(&self, claims: &[Claim]) -> Result<Vouched, Vec<(String, Reason)>> {
        let mut reasons = Vec::new();
        for claim in claims {
            let signer = match &self.trust {
                Trust::Key(key) => signed_by(key, claim),
                Trust::Keyless { root, identities } => keyless::judge(claim, root, identities),
            };
            match signer {
                Ok(signer) => return Ok(Vouched { authority: self.name.clone(), signer, place: claim.place.clone() }),
                Err(reason) => reasons.push((claim.place.clone(), reason)),
            }
        }
        if reasons.is_empty() {
            reasons.push((String::new(), Reason::None));
        }
        Err(reasons)
    }
}

fn signed_by(key: &PublicKey, claim: &Claim) -> Result<String, Reason> {
    // A certificate that happens to be about the same key is no hindrance.
    match (claim.signed.signature_of(key), &claim.signer) {
        (Some(_), _) => Ok(format!("{} key {}", key.kind().as_str(), key.key_id())),
        (None, Signer::Certificates(_)) => Err(Reason::AnotherKind("certificate", "key")),
        (None, Signer::PublicKey { .. }) if key.kind() == KeyKind::Ed25519 => Err(Reason::AnotherKeyOrForm),
        (None, Signer::PublicKey { .. }) => Err(Reason::AnotherKey),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provenance::{SigningKey, cosign::claim::Signed};

    #[test]
    fn a_signature_of_another_form_of_the_same_key_is_told() {
        let ed25519 =
            "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGnQcfL1UZLHezhzKJl0V+cY2zNt78Z92KfTqUTJNsdI=\n-----END PUBLIC KEY-----\n";
        let own = SigningKey::generate().expect("a key");
        let signature = own.sign(b"message").expect("signed");
        let signed = Signed::Message { message: b"message".to_vec(), signature };
        let somebody = Signer::PublicKey { hint: String::new() };
        let claim = Claim { place: String::new(), signer: somebody, signed, log_entries: Vec::new(), timestamps: Vec::new() };
        let judged = |key: &PublicKey| signed_by(key, &claim).map(drop);
        assert_eq!(judged(own.public()), Ok(()));
        assert_eq!(judged(SigningKey::generate().expect("a key").public()), Err(Reason::AnotherKey));
        assert_eq!(judged(&PublicKey::from_pem(ed25519).expect("a key")), Err(Reason::AnotherKeyOrForm));
    }
}
