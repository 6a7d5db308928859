//! The whole exchange against a token server that counts what it is asked.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    Router,
    extract::{RawQuery, State},
    http::{HeaderMap as Headers, StatusCode},
    response::IntoResponse,
    routing::get,
};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};

use super::{Authenticator, Credentials, Error, Scope};
use crate::{
    logs::{JobLog, Progress},
    oci::{Cx, DockerConfig, Settings},
    shutdown::Cancel,
};

/// Gives `token-<n>` to `user:right`, for as long as `life` says.
struct TokenServer {
    asked: AtomicUsize,
    life: u64,
    scopes: std::sync::Mutex<Vec<String>>,
}

async fn token(State(server): State<Arc<TokenServer>>, RawQuery(query): RawQuery, headers: Headers) -> axum::response::Response {
    let n = server.asked.fetch_add(1, Ordering::SeqCst);
    server.scopes.lock().expect("not poisoned").push(query.unwrap_or_default());
    match headers.get("authorization").map(|v| v.to_str().expect("text")) {
        Some("Basic dXNlcjpyaWdodA==") => format!(r#"{{"token":"token-{n}","expires_in":{}}}"#, server.life).into_response(),
        Some(_) => (StatusCode::UNAUTHORIZED, r#"{"details":"incorrect username or password"}"#).into_response(),
        None => format!(r#"{{"access_token":"anonymous-{n}"}}"#).into_response(),
    }
}

struct World {
    server: Arc<TokenServer>,
    challenge: HeaderMap,
    tasks: tokio::task::JoinSet<()>,
    cancel: Cancel,
    log: JobLog,
    progress: Progress,
}

impl World {
    async fn new(life: u64) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let server = Arc::new(TokenServer { asked: AtomicUsize::new(0), life, scopes: std::sync::Mutex::default() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let realm = format!("http://{}/token", listener.local_addr().expect("an address"));
        let router = Router::new().route("/token", get(token)).with_state(Arc::clone(&server));
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.expect("serves") });
        let challenge = format!(r#"Bearer realm="{realm}",service="test""#);
        let challenge = HeaderMap::from_iter([(WWW_AUTHENTICATE, HeaderValue::from_str(&challenge).expect("a header"))]);
        Self { server, challenge, tasks, cancel: Cancel::new(), log: JobLog::default(), progress: Progress::default() }
    }

    fn cx(&self) -> Cx<'_> {
        assert!(!self.tasks.is_empty());
        Cx { cancel: &self.cancel, log: &self.log, progress: &self.progress }
    }

    fn with(credentials: Credentials) -> Authenticator {
        let settings = Settings { docker_config: DockerConfig::None, ..Settings::default() };
        Authenticator::new("registry.test".into(), true, credentials, &settings, reqwest::Client::new())
    }
}

fn login(password: &str) -> Credentials {
    Credentials::Static { username: "user".into(), password: password.into(), origin: "OCIAuth of the plan".into() }
}

#[tokio::test]
async fn one_token_serves_everybody_who_waits_for_it() {
    let world = World::new(300).await;
    let auth = World::with(login("right"));
    let scope = Scope::push("a/b").mounting_from("c");
    assert_eq!(auth.header(&scope, world.cx()).await.expect("fine"), None, "nothing is sent before the registry asks");
    let asks = (0..8).map(|_| auth.challenged(&scope, &world.challenge, None, world.cx()));
    for header in futures_util::future::join_all(asks).await {
        assert_eq!(header.expect("a token"), "Bearer token-0");
    }
    let pull = auth.header(&Scope::pull("a/b"), world.cx()).await.expect("fine").expect("a header");
    assert_eq!(pull, "Bearer token-0", "a token to push also pulls");
    assert!(pull.is_sensitive());
    assert_eq!(world.server.asked.load(Ordering::SeqCst), 1);
    let scopes = world.server.scopes.lock().expect("not poisoned")[0].clone();
    assert_eq!(scopes, "service=test&scope=repository%3Aa%2Fb%3Apull%2Cpush&scope=repository%3Ac%3Apull");
}

#[tokio::test]
async fn a_refused_token_is_replaced_and_an_old_one_renewed() {
    let world = World::new(300).await;
    let auth = World::with(login("right"));
    let scope = Scope::pull("a");
    let first = auth.challenged(&scope, &world.challenge, None, world.cx()).await.expect("a token");
    let second = auth.challenged(&scope, &world.challenge, Some(&first), world.cx()).await.expect("another");
    assert_eq!(second, "Bearer token-1");
    let short = World::new(0).await;
    let auth = World::with(login("right"));
    auth.challenged(&scope, &short.challenge, None, short.cx()).await.expect("a token");
    assert_eq!(auth.header(&scope, short.cx()).await.expect("fine").expect("a header"), "Bearer token-1", "no life left: renewed");
}

#[tokio::test]
async fn a_wrong_password_says_whose_it_is_and_not_what_it_is() {
    let world = World::new(300).await;
    let auth = World::with(login("wrong-secret"));
    let error = auth.challenged(&Scope::push("a/b"), &world.challenge, None, world.cx()).await.expect_err("refused");
    let text = error.to_string();
    assert!(matches!(error, Error::Denied { expired: false, .. }));
    assert!(text.contains("denies push on 'a/b' with the user name and password of OCIAuth of the plan"), "{text}");
    assert!(text.ends_with("incorrect username or password") && !text.contains("wrong-secret"), "{text}");
}

#[tokio::test]
async fn anonymous_clients_get_an_anonymous_token() {
    let world = World::new(300).await;
    let auth = World::with(Credentials::Configured);
    assert_eq!(auth.challenged(&Scope::pull("a"), &world.challenge, None, world.cx()).await.expect("a token"), "Bearer anonymous-0");
}

#[tokio::test]
async fn basic_is_answered_from_static_credentials_alone() {
    let world = World::new(300).await;
    let basic = HeaderMap::from_iter([(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=x"))]);
    let auth = World::with(login("right"));
    let header = auth.challenged(&Scope::pull("a"), &basic, None, world.cx()).await.expect("a header");
    assert_eq!(HeaderMap::from_iter([(AUTHORIZATION, header.clone())])[AUTHORIZATION], "Basic dXNlcjpyaWdodA==");
    assert!(auth.challenged(&Scope::pull("a"), &basic, Some(&header), world.cx()).await.is_err(), "nothing better to send");
    let text =
        World::with(Credentials::Anonymous).challenged(&Scope::pull("a"), &basic, None, world.cx()).await.expect_err("none").to_string();
    assert!(text.contains("to anonymous clients"), "{text}");
}

#[tokio::test]
async fn credentials_of_a_tls_registry_do_not_go_to_a_plain_token_server() {
    let world = World::new(300).await;
    let settings = Settings { docker_config: DockerConfig::None, ..Settings::default() };
    let auth = Authenticator::new("registry.test".into(), false, login("right"), &settings, reqwest::Client::new());
    let challenge = HeaderMap::from_iter([(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"http://tokens.test/\""))]);
    let text = auth.challenged(&Scope::pull("a"), &challenge, None, world.cx()).await.expect_err("refused").to_string();
    assert!(text.contains("not spoken to over TLS"), "{text}");
}
