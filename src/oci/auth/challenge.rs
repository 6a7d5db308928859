//! `WWW-Authenticate` headers (RFC 9110 §11.3 and §11.6.1).
//!
//! A header may hold several challenges, a challenge several parameters, a parameter a quoted string with commas in it.

use std::collections::BTreeMap;

use crate::oci::quoted;

/// One challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// Scheme in lower case: `bearer`, `basic`.
    pub scheme: String,
    /// Parameters, names in lower case.
    pub params: BTreeMap<String, String>,
}

/// Most parameters that are read from one challenge.
const MAX_PARAMS: usize = 32;

/// The challenges of one header value. What cannot be understood is left out: a registry may add schemes nobody knows.
#[must_use]
pub fn parse_challenges(header: &str) -> Vec<Challenge> {
    let mut found: Vec<Challenge> = Vec::new();
    let mut rest = header.trim_start_matches([' ', '\t', ',']);
    while !rest.is_empty() {
        let (word, tail) = token(rest);
        if word.is_empty() {
            // Not a token at all: skip one character and look again.
            let next = rest.chars().next().map_or(1, char::len_utf8);
            rest = rest[next..].trim_start_matches([' ', '\t', ',']);
            continue;
        }
        let after = tail.trim_start_matches([' ', '\t']);
        match (after.strip_prefix('='), found.last_mut()) {
            // `name=value` continues the challenge before it; the base64 padding of a token68 does not look like that.
            (Some(value), Some(challenge)) if !value.starts_with('=') => {
                let (value, tail) = value_of(value.trim_start_matches([' ', '\t']));
                if challenge.params.len() < MAX_PARAMS {
                    challenge.params.entry(word.to_ascii_lowercase()).or_insert(value);
                }
                rest = tail;
            }
            _ => {
                found.push(Challenge { scheme: word.to_ascii_lowercase(), params: BTreeMap::new() });
                rest = after.trim_start_matches('=');
            }
        }
        rest = rest.trim_start_matches([' ', '\t', ',']);
    }
    found
}

/// The leading `token` of RFC 9110 §5.6.2 and what follows.
fn token(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/".contains(c))).unwrap_or(text.len());
    text.split_at(end)
}

/// A token or quoted string and what follows it.
fn value_of(text: &str) -> (String, &str) {
    let Some(opened) = text.strip_prefix('"') else {
        let (value, tail) = token(text);
        // Some servers send URLs unquoted.
        let extra = tail.find([',', ' ', '\t']).unwrap_or(tail.len());
        return (format!("{value}{}", &tail[..extra]), &tail[extra..]);
    };
    quoted::string(opened)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(header: &str) -> Challenge {
        let found = parse_challenges(header);
        assert_eq!(found.len(), 1, "{found:?}");
        found.into_iter().next().expect("one")
    }

    #[test]
    fn docker_hub() {
        let challenge = one(r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#);
        assert_eq!(challenge.scheme, "bearer");
        assert_eq!(challenge.params["scope"], "repository:a/b:pull,push");
        assert_eq!(challenge.params["realm"], "https://auth.docker.io/token");
    }

    #[test]
    fn several_challenges_in_one_header() {
        let found = parse_challenges(r#"Negotiate abc==, Basic realm="a \"quoted\" one", BEARER Realm=https://t/x , service = s"#);
        let schemes: Vec<_> = found.iter().map(|c| c.scheme.as_str()).collect();
        assert!(schemes.contains(&"basic") && schemes.contains(&"bearer"), "{schemes:?}");
        assert_eq!(found.iter().find(|c| c.scheme == "basic").expect("basic").params["realm"], "a \"quoted\" one");
        let bearer = &found.iter().find(|c| c.scheme == "bearer").expect("bearer").params;
        assert_eq!((bearer["realm"].as_str(), bearer["service"].as_str()), ("https://t/x", "s"));
    }

    proptest! {
        #[test]
        fn any_header_is_survived(header in ".{0,200}") {
            let _ = parse_challenges(&header);
        }
    }
}
