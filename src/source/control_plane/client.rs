//! The client of the runner API: a [`Source`] that speaks HTTP to a control plane, hosted or ours.
//!
//! Inputs: [`ClientOptions`]. Outputs: what [`Source`] promises. Invariants: one request per call (a refused token, a refused compression and
//! a missing long poll are the exceptions, each followed by one more), each with a deadline of its own; jobs and executions are named by
//! ids that were checked; messages hold no token, no body of a plan and no query.
//!
//! Called by the agent through [`Source`]; opened by `cli`.

use std::{
    collections::BTreeMap,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use reqwest::{Certificate, Method, Url};

use super::{
    claim::{self, Claims},
    log_batch::{self, Compression},
    otlp, plan,
    poll::{self, Poll},
    report,
    standings::{self, Standings},
    token::{Token, TokenError, TokenSource},
    transport::{Call, Subject, Transport, innermost},
    wire::{ExecutionPatch, ExecutionStatus, HeartbeatRequest, RunnerSettings},
};
use crate::{
    job::{ExecutionId, JobId, Phase, Receipt},
    logs::Record,
    plan::GoDuration,
    shutdown::Cancel,
    source::{Claim, Error, LogContext, Offer, Settings, Source, Standing, Wanted},
};

/// Time between two heartbeats when the plane does not say (the hosted plane's default).
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Bounds of what a plane may say about it: more often is a mistake, and less often is a dead runner.
const HEARTBEATS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// How much longer than it is held a long poll may take.
const ANSWER: Duration = Duration::from_secs(5);

/// How to reach a control plane, and as whom.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// Root of the API: `https://runner.example`; a path in front of `/v1` is kept.
    pub url: Url,
    /// Who this is.
    pub runner_id: String,
    /// The runner's token.
    pub token: TokenSource,
    /// The runner's version, as the plane shows it.
    pub version: String,
    /// PEM bundle of certificate authorities that are trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Time between two questions to a plane without long poll.
    pub poll_interval: Duration,
    /// How long a long poll asks to be held.
    pub wait: Duration,
    /// How long a plane without long poll is believed to have none.
    pub probe_again: Duration,
    /// Longest time for any other call, its answer included.
    pub call_timeout: Duration,
}

impl ClientOptions {
    /// The usual times: polls held for 25 s (hosted planes hold no longer), 5 s between plain ones, 5 min until the long poll is tried
    /// again, 30 s for any other call.
    #[must_use]
    pub fn new(url: Url, runner_id: impl Into<String>, token: TokenSource) -> Self {
        Self {
            url,
            runner_id: runner_id.into(),
            token,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ca_file: None,
            poll_interval: Duration::from_secs(5),
            wait: Duration::from_secs(25),
            probe_again: Duration::from_mins(5),
            call_timeout: Duration::from_secs(30),
        }
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address is none of an API.
    #[error("api_url is '{0}'; write it as https://HOST or http://HOST:PORT, without user, password, query or fragment")]
    Url(String),
    /// The runner has no name.
    #[error("runner_id is empty; set it to the id that the control plane knows this runner by")]
    RunnerId,
    /// There is no token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The bundle of certificate authorities cannot be used.
    #[error("ca_file {path} cannot be used; it has to be a bundle of PEM certificates")]
    Bundle {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There can be no HTTPS on this machine.
    #[error("HTTPS cannot be used: {0}; install the system's CA certificates or set ca_file")]
    Tls(String),
}

/// A control plane, by its runner API.
pub struct Client {
    pub(super) options: ClientOptions,
    pub(super) transport: Transport,
    pub(super) poll: Poll,
    pub(super) claims: Claims,
    pub(super) standings: Standings,
    pub(super) compression: Compression,
    /// Log attributes of the settings that were read last.
    attributes: Mutex<Arc<BTreeMap<String, String>>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Client {
    /// A client. Nothing is asked yet, but token file and CA bundle are read: a wrong path is better told before any job begins.
    ///
    /// # Errors
    /// Every setting that cannot be right, by its name.
    pub fn new(options: ClientOptions) -> Result<Self, ClientError> {
        let url = &options.url;
        let bare = url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
        if !bare || !url.has_host() || !matches!(url.scheme(), "http" | "https") {
            // What looks like a password is not repeated.
            return Err(ClientError::Url(if bare { url.to_string() } else { url.origin().ascii_serialization() + "/…" }));
        }
        if options.runner_id.trim().is_empty() {
            return Err(ClientError::RunnerId);
        }
        let token = Token::new(options.token.clone())?;
        let http = http_client(&options)?;
        let transport = Transport::new(http, url.clone(), token, &options.version, options.call_timeout);
        Ok(Self {
            poll: Poll::new(options.probe_again),
            claims: Claims::default(),
            standings: Standings::new(options.probe_again),
            compression: Compression::default(),
            attributes: Mutex::default(),
            transport,
            options,
        })
    }

    /// `/v1/runners/{runner}/…`
    pub(super) fn runner_call(&self, method: Method, last: &[&str]) -> Call {
        let segments: Vec<_> = ["runners", &self.options.runner_id].iter().chain(last).copied().collect();
        self.transport.request(method, Subject::Runner, &segments)
    }

    /// `/v1/runner-jobs/{job}/…`
    pub(super) fn job_call(&self, method: Method, job: &JobId, last: &[&str]) -> Call {
        let segments: Vec<_> = ["runner-jobs", job.as_str()].iter().chain(last).copied().collect();
        self.transport.request(method, Subject::Execution, &segments)
    }

    /// For how long a long poll asks to be held, as Go writes it.
    pub(super) fn wait(&self) -> String {
        GoDuration::new(self.options.wait).map_or_else(|| "0s".to_owned(), |wait| wait.to_string())
    }

    /// Deadline of a long poll: what it asks for, and time to answer.
    pub(super) fn held(&self) -> Duration {
        self.options.wait + self.options.call_timeout.min(ANSWER)
    }

    /// Who sends logs.
    pub(super) fn runner(&self) -> otlp::Runner {
        let attributes = Arc::clone(&self.attributes.lock().unwrap_or_else(PoisonError::into_inner));
        otlp::Runner {
            id: self.options.runner_id.clone(),
            version: self.options.version.clone(),
            api_url: self.options.url.to_string(),
            attributes: Arc::unwrap_or_clone(attributes),
        }
    }
}

#[async_trait]
impl Source for Client {
    async fn poll(&self, wanted: &Wanted, cancel: &Cancel) -> Result<Vec<Offer>, Error> {
        poll::poll(self, wanted, cancel).await
    }

    async fn claim(&self, job: &JobId, key: &str) -> Result<Claim, Error> {
        claim::claim(self, job, key).await
    }

    async fn plan(&self, job: &JobId) -> Result<serde_json::Value, Error> {
        plan::plan(self, job).await
    }

    async fn phase(&self, job: &JobId, execution: &ExecutionId, phase: Phase) -> Result<(), Error> {
        // A claim makes it pending; its end is reported with its outcome.
        let status = match ExecutionStatus::of_phase(phase) {
            None | Some(ExecutionStatus::Pending) => return Ok(()),
            Some(status) => status,
        };
        let call = self.job_call(Method::PATCH, job, &["executions", execution.as_str()]);
        let patch = ExecutionPatch { status, status_description: String::new() };
        self.transport.tell(&call.json(&patch)).await
    }

    async fn standings(&self, running: &[(JobId, ExecutionId)], cancel: &Cancel) -> Result<Vec<(ExecutionId, Standing)>, Error> {
        standings::standings(self, running, cancel).await
    }

    async fn logs(&self, context: &LogContext, records: &[Record]) -> Result<(), Error> {
        log_batch::send(self, context, records).await
    }

    async fn report(&self, job: &JobId, execution: &ExecutionId, receipt: &Receipt) -> Result<(), Error> {
        report::report(self, job, execution, receipt).await
    }

    async fn heartbeat(&self, alive: Duration) -> Result<(), Error> {
        let beat = HeartbeatRequest { alive_time: alive.into(), version: self.options.version.clone(), ..HeartbeatRequest::default() };
        let call = self.runner_call(Method::POST, &["heart-beats"]).json(&beat);
        self.transport.tell(&call).await
    }

    async fn settings(&self) -> Result<Settings, Error> {
        let call = self.runner_call(Method::GET, &["settings"]);
        let answer = self.transport.send(&call).await?;
        let said: RunnerSettings = if answer.is_unsupported() { RunnerSettings::default() } else { answer.success(&call)?.json(&call)? };
        *self.attributes.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(said.metadata.clone());
        Ok(Settings {
            heartbeat: said.heart_beat_timeout.said().unwrap_or(HEARTBEAT).clamp(HEARTBEATS.0, HEARTBEATS.1),
            logs: said.enable_logging.unwrap_or(true),
            attributes: said.metadata,
        })
    }
}

/// HTTP/1.1 on purpose: a connection that died takes one call with it, not all of them. Redirects are not followed, so that the token
/// goes nowhere but where it was meant to.
fn http_client(options: &ClientOptions) -> Result<reqwest::Client, ClientError> {
    // Whoever was first wins, and it is always the same one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .http1_only()
        .user_agent(concat!("build-runner/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .connect_timeout(Duration::from_secs(5))
        .tcp_keepalive(Duration::from_secs(15))
        .tcp_nodelay(true);
    if is_loopback(&options.url) {
        builder = builder.no_proxy();
    }
    let bundle = options.ca_file.as_ref().map(bundle).transpose()?.unwrap_or_default();
    // Plain HTTP needs nobody's certificate, and not the time and memory of reading the system's.
    builder = if options.url.scheme() == "http" { builder.tls_certs_only([]) } else { builder.tls_certs_merge(bundle) };
    builder.build().map_err(|error| ClientError::Tls(innermost(&error)))
}

fn bundle(path: &PathBuf) -> Result<Vec<Certificate>, ClientError> {
    let unusable = |source| ClientError::Bundle { path: path.clone(), source };
    let invalid = |what| unusable(std::io::Error::new(std::io::ErrorKind::InvalidData, what));
    let text = std::fs::read(path).map_err(unusable)?;
    let certificates = Certificate::from_pem_bundle(&text).map_err(|_| invalid("not PEM"))?;
    if certificates.is_empty() { Err(invalid("no certificate in it")) } else { Ok(certificates) }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
