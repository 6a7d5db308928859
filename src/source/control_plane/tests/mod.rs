//! The client against a control plane that says what each test wants, right and wrong.

mod answers;
mod claim;
mod logs;
mod plan;
mod poll;
mod report;
mod standings;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{Client, ClientOptions, TokenSource};
use crate::{
    job::{ExecutionId, JobId},
    source::Error,
};

/// What the client is allowed to wait for an answer: long enough for a busy machine, short enough for a test.
const PATIENCE: Duration = Duration::from_millis(700);
const TOKEN: &str = "t0ken-of-the-runner";

/// A request as it arrived.
#[derive(Debug, Clone)]
struct Seen {
    /// `GET /v1/…?…`
    line: String,
    headers: axum::http::HeaderMap,
    body: Bytes,
    /// How many requests came before it.
    number: usize,
}

impl Seen {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    fn is(&self, beginning: &str) -> bool {
        self.line.starts_with(beginning)
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

/// What it is answered.
enum Reply {
    Json(u16, Value),
    Text(u16, &'static str, &'static str),
    With(u16, &'static str, String),
    /// Nothing, ever.
    Hang,
    /// A byte now and then.
    Drip,
    /// The beginning of an answer, and then no connection.
    Cut,
}

fn ok(value: Value) -> Reply {
    Reply::Json(200, value)
}

fn refusal(status: u16, error: &str) -> Reply {
    Reply::Json(status, json!({"error": error, "user_error": false, "description": ""}))
}

impl Reply {
    async fn response(self) -> Response {
        let of = |status: u16, header: (&str, &str), body: Body| {
            let response = Response::builder().status(status).header(header.0, header.1);
            response.body(body).expect("a response")
        };
        let json = ("content-type", "application/json");
        match self {
            Self::Json(status, value) => of(status, json, value.to_string().into()),
            Self::Text(status, media_type, text) => of(status, ("content-type", media_type), text.into()),
            Self::With(status, header, value) => of(status, (header, &value), "{}".into()),
            Self::Hang => std::future::pending::<String>().await.into_response(),
            Self::Drip => {
                let drops = stream::unfold((), |()| async {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    Some((Ok::<_, std::io::Error>(Bytes::from_static(b" ")), ()))
                });
                of(200, json, Body::from_stream(drops))
            }
            Self::Cut => {
                let pieces = [Ok(Bytes::from_static(b"[{\"id\"")), Err(std::io::Error::other("cut"))];
                of(200, json, Body::from_stream(stream::iter(pieces)))
            }
        }
    }
}

/// A control plane that answers by a script and remembers what it was asked.
struct Plane {
    url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    _server: JoinSet<()>,
}

impl Plane {
    async fn start(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (script, log) = (Arc::new(script), Arc::clone(&seen));
        let answer = move |request: Request| {
            let (script, log) = (Arc::clone(&script), Arc::clone(&log));
            async move {
                let (parts, body) = request.into_parts();
                let body = to_bytes(body, usize::MAX).await.expect("a body");
                let line = format!("{} {}", parts.method, parts.uri);
                let request = {
                    let mut log = log.lock().expect("no panic");
                    let request = Seen { line, headers: parts.headers, body, number: log.len() };
                    log.push(request.clone());
                    request
                };
                script(&request).response().await
            }
        };
        let mut server = JoinSet::new();
        server.spawn(async move {
            let _ = axum::serve(listener, axum::Router::new().fallback(answer)).await;
        });
        Self { url, seen, _server: server }
    }

    /// Answers everything the same way.
    async fn saying(reply: impl Fn() -> Reply + Send + Sync + 'static) -> Self {
        Self::start(move |_| reply()).await
    }

    fn options(&self) -> ClientOptions {
        let url = self.url.parse().expect("a URL");
        ClientOptions {
            call_timeout: PATIENCE,
            wait: Duration::from_millis(300),
            poll_interval: Duration::from_millis(20),
            ..ClientOptions::new(url, "runner-1", TokenSource::Inline(TOKEN.into()))
        }
    }

    fn client(&self) -> Client {
        Client::new(self.options()).expect("a client")
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no panic").clone()
    }

    fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.line).collect()
    }
}

fn job() -> JobId {
    "job1".parse().expect("an id")
}

fn execution() -> ExecutionId {
    "run1".parse().expect("an id")
}

/// The variant of an error, for tables.
fn kind(error: &Error) -> &'static str {
    match error {
        Error::Unauthorized(_) => "unauthorized",
        Error::Fenced(_) => "fenced",
        Error::Refused { .. } => "refused",
        Error::Unavailable { .. } => "unavailable",
        Error::Cancelled => "cancelled",
    }
}
