//! Fakes of the clouds' token services. The real ones cannot be had in a test: these check what is sent the way the clouds document it, and
//! fail on demand.

mod acr;
mod ecr;
mod gar;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::to_bytes, extract::Request, http::HeaderMap, response::IntoResponse as _};
use secrecy::ExposeSecret as _;
use tokio::{net::TcpListener, task::JoinSet};

use super::{CloudCredential, CloudError, CloudSource, call, fetch_within};
use crate::{job::CancelCause, logs::JobLog, retry::Policy, shutdown::Cancel};

/// A request as the fake saw it.
#[derive(Debug, Clone)]
struct Seen {
    method: String,
    path: String,
    query: String,
    headers: HeaderMap,
    body: String,
}

impl Seen {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn form(&self) -> BTreeMap<String, String> {
        url::form_urlencoded::parse(self.body.as_bytes()).into_owned().collect()
    }
}

/// What the fake does.
enum Then {
    Answer(u16, String),
    Hang,
}

fn ok(body: impl Into<String>) -> Then {
    Then::Answer(200, body.into())
}

/// A server on a free port, gone with its value.
struct Fake {
    host: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    _tasks: JoinSet<()>,
}

impl Fake {
    async fn start(answer: impl Fn(&Seen) -> Then + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (Arc::clone(&seen), Arc::new(answer));
        let router = Router::new().fallback(move |request: Request| {
            let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
            async move {
                let (head, body) = request.into_parts();
                let body = String::from_utf8(to_bytes(body, 1 << 20).await.unwrap().to_vec()).unwrap();
                let seen = Seen {
                    method: head.method.to_string(),
                    path: head.uri.path().to_owned(),
                    query: head.uri.query().unwrap_or_default().to_owned(),
                    headers: head.headers,
                    body,
                };
                let then = answer(&seen);
                log.lock().unwrap().push(seen);
                match then {
                    Then::Answer(status, body) => (axum::http::StatusCode::from_u16(status).unwrap(), body).into_response(),
                    Then::Hang => std::future::pending().await,
                }
            }
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { host, seen, _tasks: tasks }
    }

    fn url(&self) -> String {
        format!("http://{}", self.host)
    }

    fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

/// A host on which nobody listens: reserved, then let go.
async fn nobody() -> String {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string()
}

const LIMITS: call::Limits = call::Limits {
    call: Duration::from_secs(20),
    metadata: Duration::from_secs(20),
    retry: Policy { tries: 3, min_delay: Duration::from_millis(1), max_delay: Duration::from_millis(5) },
    metadata_retry: Policy { tries: 2, min_delay: Duration::from_millis(1), max_delay: Duration::from_millis(5) },
};

async fn fetch_with(
    source: &CloudSource,
    env: &[(&str, &str)],
    limits: call::Limits,
    cancel: &Cancel,
    log: &JobLog,
) -> Result<CloudCredential, CloudError> {
    let env: BTreeMap<String, String> = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let env = move |name: &str| env.get(name).cloned();
    let client = call::direct_client()?;
    fetch_within(source, &call::Cx { cancel, log, http: &client, direct: client.clone(), env: &env, limits }).await
}

async fn fetch(source: &CloudSource, env: &[(&str, &str)]) -> Result<CloudCredential, CloudError> {
    let log = JobLog::discard();
    let credential = fetch_with(source, env, LIMITS, &Cancel::new(), &log).await?;
    let password = credential.password.expose_secret();
    assert!(!log.redact(&format!("<{password}>")).contains(password), "the log does not know the password");
    Ok(credential)
}

async fn error(source: &CloudSource, env: &[(&str, &str)]) -> CloudError {
    fetch(source, env).await.expect_err("there are no credentials")
}

fn file(content: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs_err::write(file.path(), content).unwrap();
    file
}

fn path(file: &tempfile::NamedTempFile) -> &str {
    file.path().to_str().unwrap()
}

/// The future has to be able to move between threads.
#[test]
fn fetching_is_send() {
    fn is_send<T: Send>(_: T) {}
    let source = CloudSource::Acr(super::AcrConfig::default());
    let (cancel, log, http) = (Cancel::new(), JobLog::discard(), call::direct_client().unwrap());
    is_send(super::fetch(&source, &cancel, &log, &http, &|_| None));
}

/// A service that never answers is given up in time, and a cancellation does not wait even for that.
#[tokio::test]
async fn a_hang_ends_by_timeout_or_cancellation() {
    let fake = Fake::start(|_| Then::Hang).await;
    let url = fake.url();
    let env = [("AWS_ENDPOINT_URL", url.as_str()), ("AWS_ACCESS_KEY_ID", "A"), ("AWS_SECRET_ACCESS_KEY", "B"), ("AWS_REGION", "eu-west-1")];
    let source = CloudSource::Ecr(super::EcrConfig::default());
    let limits = call::Limits { call: Duration::from_millis(50), ..LIMITS };
    let error = fetch_with(&source, &env, limits, &Cancel::new(), &JobLog::discard()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("Amazon ECR ({}) is not available: no answer in time", fake.host));
    let cancel = Cancel::new();
    let log = JobLog::discard();
    let work = fetch_with(&source, &env, LIMITS, &cancel, &log);
    let stop = async {
        cancel.cancel(CancelCause::Requested);
    };
    let (result, ()) = tokio::join!(work, stop);
    assert!(matches!(result, Err(CloudError::Cancelled(_))));
}
