//! A real git server over HTTP: `git http-backend` behind a small CGI gateway on loopback, with basic authentication, planted faults and an
//! eye on what credentials it is shown, and on whether they can be seen elsewhere meanwhile.

use std::collections::VecDeque;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response, StatusCode};
use base64::Engine as _;
use tokio::sync::watch;

/// How a server behaves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// User and password it wants; anybody may read when `None`.
    pub(crate) password: Option<(String, String)>,
    /// Speaks protocol version 0 only, which hands out no commit that is not the tip of a ref.
    pub(crate) tips_only: bool,
    /// Answers to the first requests, instead of the repository's.
    pub(crate) failures: Vec<u16>,
    /// Never answers a fetch.
    pub(crate) stalls: bool,
    /// Text that must not be seen in any process's arguments or environment while a request is served.
    pub(crate) secret: String,
}

/// A server; it ends with the value.
#[derive(Debug)]
pub(crate) struct GitServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Of its own, so that a server serves while a test's runtime is busy; taken when dropped.
    runtime: Option<tokio::runtime::Runtime>,
}

impl Drop for GitServer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waiting is not allowed inside of a test's own runtime.
            runtime.shutdown_background();
        }
    }
}

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    options: Options,
    failures: Mutex<VecDeque<u16>>,
    seen: watch::Sender<Seen>,
}

/// What a server saw.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// Method, path and query of every request.
    pub(crate) requests: Vec<String>,
    /// Every `Authorization` header.
    pub(crate) authorizations: Vec<String>,
    /// Processes in whose arguments or environment the secret could be read.
    pub(crate) leaks: Vec<String>,
}

impl GitServer {
    /// Serves the bare repositories below `root`.
    pub(crate) fn start(root: &Path, options: Options) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let failures = Mutex::new(options.failures.iter().copied().collect());
        let shared = Arc::new(Shared { root: root.to_owned(), options, failures, seen: watch::Sender::default() });
        let app = axum::Router::new().fallback(serve).with_state(Arc::clone(&shared));
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, app).await.unwrap();
        });
        Self { address, shared, runtime: Some(runtime) }
    }

    /// `http://127.0.0.1:port/name`.
    pub(crate) fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }

    /// The same with user name and password in it.
    pub(crate) fn url_as(&self, user: &str, password: &str, name: &str) -> String {
        format!("http://{user}:{password}@{}/{name}", self.address)
    }

    /// What it saw so far.
    pub(crate) fn seen(&self) -> Seen {
        self.shared.seen.borrow().clone()
    }

    /// Waits for a request that ends so.
    pub(crate) async fn asked(&self, end: &str) {
        let asked = |seen: &Seen| seen.requests.iter().any(|request| request.ends_with(end));
        self.shared.seen.subscribe().wait_for(asked).await.unwrap();
    }
}

async fn serve(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let authorization = header(&parts.headers, "authorization");
    {
        let leaks = leaks(&shared.options.secret);
        shared.seen.send_modify(|seen| {
            seen.requests.push(format!("{} {}", parts.method, parts.uri));
            seen.authorizations.extend(authorization.clone());
            seen.leaks.extend(leaks);
        });
    }
    let failure = shared.failures.lock().unwrap().pop_front();
    if let Some(status) = failure {
        return status_of(status);
    }
    if let Some((user, password)) = &shared.options.password {
        let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        if authorization != Some(format!("Basic {encoded}")) {
            let mut response = status_of(401);
            response.headers_mut().insert("www-authenticate", "Basic realm=\"git\"".parse().unwrap());
            return response;
        }
    }
    if shared.options.stalls && parts.uri.path().ends_with("git-upload-pack") {
        tokio::time::sleep(Duration::from_mins(10)).await;
    }
    let body = to_bytes(body, 16 << 20).await.unwrap();
    tokio::task::spawn_blocking(move || backend(&shared, &parts, &body)).await.unwrap()
}

fn status_of(status: u16) -> Response<Body> {
    Response::builder().status(StatusCode::from_u16(status).unwrap()).body(Body::empty()).unwrap()
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

/// One run of the CGI program (`git-http-backend(1)`).
fn backend(shared: &Shared, parts: &axum::http::request::Parts, body: &Bytes) -> Response<Body> {
    let mut command = Command::new("git");
    command
        .arg("http-backend")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_PROJECT_ROOT", &shared.root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", parts.method.as_str())
        .env("PATH_INFO", parts.uri.path())
        .env("QUERY_STRING", parts.uri.query().unwrap_or_default())
        .env("REMOTE_ADDR", "127.0.0.1")
        .env("CONTENT_TYPE", header(&parts.headers, "content-type").unwrap_or_default())
        .env("CONTENT_LENGTH", body.len().to_string());
    if let Some(encoding) = header(&parts.headers, "content-encoding") {
        command.env("HTTP_CONTENT_ENCODING", encoding);
    }
    if let Some(protocol) = header(&parts.headers, "git-protocol").filter(|_| !shared.options.tips_only) {
        command.env("GIT_PROTOCOL", protocol);
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let body = body.clone();
    let feeder = std::thread::spawn(move || drop(input.write_all(&body)));
    let output = child.wait_with_output().unwrap().stdout;
    feeder.join().unwrap();

    let end = output.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let mut response = Response::builder();
    for line in std::str::from_utf8(&output[..end]).unwrap().lines() {
        let (name, value) = line.split_once(": ").unwrap();
        response = match name {
            "Status" => response.status(value.split(' ').next().unwrap()),
            _ => response.header(name, value),
        };
    }
    response.body(Body::from(output[end + 4..].to_vec())).unwrap()
}

/// Processes of this machine in whose arguments or environment `secret` can be read.
fn leaks(secret: &str) -> Vec<String> {
    if secret.is_empty() {
        return Vec::new();
    }
    let contains = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        for file in ["cmdline", "environ"] {
            let bytes = std::fs::read(entry.path().join(file)).unwrap_or_default();
            if contains(&bytes) {
                found.push(format!("{}: {}", entry.path().join(file).display(), String::from_utf8_lossy(&bytes)));
            }
        }
    }
    found
}
