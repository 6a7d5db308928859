//! Authentication: none, Basic, or Bearer tokens that last for a number of requests, so that tests need no clock.

use base64::Engine as _;
use serde_json::json;

use super::store::{Call, Reply, State};

/// What the registry asks of clients.
#[derive(Debug, Clone, Default)]
pub(crate) enum Auth {
    /// Nothing.
    #[default]
    None,
    /// User and password with every request.
    Basic(&'static str, &'static str),
    /// User and password at `/token`, then a token that is good for that many requests.
    Token {
        /// User's name.
        user: &'static str,
        /// Password.
        password: &'static str,
        /// Requests one token is good for.
        uses: usize,
    },
}

/// A token given out.
#[derive(Debug, Clone)]
pub(super) struct Grant {
    uses: usize,
    scopes: Vec<String>,
}

fn basic(call: &Call, user: &str, password: &str) -> bool {
    let expected = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    call.header("authorization") == format!("Basic {expected}")
}

/// Answers `GET /token`.
pub(super) fn token(state: &State, call: &Call) -> Reply {
    let Auth::Token { user, password, uses } = &state.options.auth else { return Reply::error(404, "NOT_FOUND") };
    if !basic(call, user, password) {
        return Reply::error(401, "UNAUTHORIZED");
    }
    let token = format!("token-{}", state.next());
    let scopes = call.queries("scope").iter().flat_map(|scope| scope.split(' ').map(str::to_owned).collect::<Vec<_>>()).collect();
    state.tokens.lock().unwrap().insert(token.clone(), Grant { uses: *uses, scopes });
    Reply::status(200).header("content-type", "application/json").body(json!({"token": token, "expires_in": 300}).to_string().into())
}

/// `None` when the request may go on.
pub(super) fn check(state: &State, call: &Call) -> Option<Reply> {
    match &state.options.auth {
        Auth::None => None,
        Auth::Basic(user, password) => {
            (!basic(call, user, password)).then(|| Reply::error(401, "UNAUTHORIZED").header("www-authenticate", "Basic realm=\"fake\""))
        }
        Auth::Token { .. } => {
            let repository = repository(&call.path);
            let action = if matches!(call.method.as_str(), "GET" | "HEAD") { "pull" } else { "push" };
            let mut needed = Vec::new();
            if !repository.is_empty() {
                needed.push((repository.to_owned(), action));
            }
            let refuse = |needed: &[(String, &str)]| {
                let scope: Vec<_> = needed
                    .iter()
                    .map(|(name, action)| format!("repository:{name}:{}", if *action == "push" { "pull,push" } else { "pull" }))
                    .collect();
                let challenge = format!("Bearer realm=\"http://{}/token\",service=\"fake\",scope=\"{}\"", state.host, scope.join(" "));
                Reply::error(401, "UNAUTHORIZED").header("www-authenticate", challenge)
            };
            let token = call.header("authorization").strip_prefix("Bearer ").unwrap_or_default();
            let mut tokens = state.tokens.lock().unwrap();
            let Some(grant) = tokens.get_mut(token) else { return Some(refuse(&needed)) };
            if grant.uses == 0 {
                return Some(refuse(&needed));
            }
            grant.uses -= 1;
            let granted = |name: &str, action: &str| {
                grant.scopes.iter().any(|scope| {
                    scope.strip_prefix(&format!("repository:{name}:")).is_some_and(|actions| actions.split(',').any(|a| a == action))
                })
            };
            (!needed.iter().all(|(name, action)| granted(name, action))).then(|| refuse(&needed))
        }
    }
}

/// Whether the request's token may read `from`, which a mount asks for; a registry without tokens does not ask.
pub(super) fn may_read(state: &State, call: &Call, from: &str) -> bool {
    if !matches!(state.options.auth, Auth::Token { .. }) {
        return true;
    }
    let token = call.header("authorization").strip_prefix("Bearer ").unwrap_or_default();
    let tokens = state.tokens.lock().unwrap();
    let prefix = format!("repository:{from}:");
    tokens.get(token).is_some_and(|grant| {
        grant.scopes.iter().any(|scope| scope.strip_prefix(&prefix).is_some_and(|actions| actions.split(',').any(|a| a == "pull")))
    })
}

fn repository(path: &str) -> &str {
    let rest = path.strip_prefix("/v2/").unwrap_or_default();
    ["/blobs/", "/manifests/", "/referrers/", "/tags/"].iter().find_map(|part| rest.split_once(part)).map_or("", |(name, _)| name)
}
