//! A control plane in memory that can be told to misbehave, and remembers everything it was sent.
//!
//! It speaks the runner API as hosted planes do, and our additions to it where its [`Habits`] say so. [`Fault`]s make single requests
//! go wrong: refused, answered with rubbish, never answered, cut off before or after they took effect. Every request is kept in a log,
//! and of every execution all that was said about it: statuses, results, outputs, decoded log lines, repetitions included.
//!
//! Used by the black-box tests of polling runners.

mod api;
mod call;
mod fault;
mod state;

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex},
    time::Instant,
};

use axum::{Router, body::Body, extract::State as Extract, http::Request, response::Response};
use tempfile::TempDir;
use tokio::{net::TcpListener, runtime::Runtime, sync::Notify};

pub(crate) use call::Endpoint;
pub(crate) use fault::{Fault, What};
pub(crate) use state::Job;

use self::{call::Call, state::State};
use super::process::PATIENCE;

/// Largest request that is read.
const MAX_BODY: usize = 64 << 20;
/// The runner that jobs are for.
pub(crate) const RUNNER: &str = "runner-of-the-fake-plane";
/// What it has to show.
pub(crate) const TOKEN: &str = "a-token-of-the-fake-plane";

/// How the plane behaves all the time. The default is a plane as ours; [`Habits::hosted`] is one of the first generation.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is a habit of its own")]
pub(crate) struct Habits {
    /// Has the long polls (`/jobs/tail`, `/executions/tail`).
    pub(crate) tails: bool,
    /// Knows `Idempotency-Key`. Without, a second claim withdraws the job, as the hosted plane does.
    pub(crate) idempotent: bool,
    /// Reads gzip.
    pub(crate) gzip: bool,
    /// Offers every job twice.
    pub(crate) doubles: bool,
}

impl Default for Habits {
    fn default() -> Self {
        Self { tails: true, idempotent: true, gzip: true, doubles: false }
    }
}

impl Habits {
    /// A plane that has nothing but what the hosted one of today has.
    pub(crate) fn hosted() -> Self {
        Self { tails: false, idempotent: false, gzip: false, doubles: false }
    }
}

/// A running plane; stops when dropped.
pub(crate) struct FakePlane {
    address: SocketAddr,
    dir: TempDir,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

/// What the server and the test both see.
struct Shared {
    habits: Habits,
    state: Mutex<State>,
    /// Rung at every change, for the test.
    changed: Condvar,
    /// Rung when there is something to offer or to stop, for long polls.
    news: Notify,
}

impl FakePlane {
    /// Starts one.
    pub(crate) fn start(habits: Habits) -> Self {
        let dir = tempfile::Builder::new().prefix("fake-plane-").tempdir().unwrap();
        std::fs::write(dir.path().join("token"), TOKEN).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { habits, state: Mutex::default(), changed: Condvar::new(), news: Notify::new() });
        let app = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self { address, dir, shared, runtime: Some(runtime) }
    }

    /// Its base URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The file with the runner's token.
    pub(crate) fn token_file(&self) -> PathBuf {
        self.dir.path().join("token")
    }

    /// Offers a job and gives its id. The plan is what `/plan` answers, byte for byte.
    pub(crate) fn submit(&self, job_type: &str, plan: &str) -> String {
        let id = self.change(|state| state.submit(job_type, plan));
        self.shared.news.notify_waiters();
        id
    }

    /// Misbehaves as told, from now on.
    pub(crate) fn fault(&self, fault: Fault) {
        self.change(|state| state.faults.push(fault));
    }

    /// Behaves from now on; what hangs goes on hanging.
    pub(crate) fn behave(&self) {
        self.change(|state| state.faults.clear());
    }

    /// A job, with all that was said about it.
    pub(crate) fn job(&self, id: &str) -> Job {
        self.shared.state.lock().unwrap().job(id).cloned().unwrap_or_else(|| panic!("there is no job {id}"))
    }

    /// Number of requests to an endpoint so far.
    pub(crate) fn count(&self, endpoint: Endpoint) -> usize {
        self.shared.state.lock().unwrap().requests.iter().filter(|seen| **seen == endpoint).count()
    }

    /// Waits until that many requests to an endpoint have come in.
    pub(crate) fn seen(&self, endpoint: Endpoint, times: usize) {
        self.until(&format!("{times} × {endpoint:?}"), |state| state.requests.iter().filter(|seen| **seen == endpoint).count() >= times);
    }

    /// Waits until a job is over and gives it.
    pub(crate) fn ended(&self, id: &str) -> Job {
        self.until(&format!("the end of {id}"), |state| state.job(id).is_some_and(Job::is_over));
        self.job(id)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.shared.state.lock().unwrap());
        self.shared.changed.notify_all();
        result
    }

    fn until(&self, what: &str, reached: impl Fn(&State) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.shared.state.lock().unwrap();
        while !reached(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{what} did not happen\n{state:#?}");
            state = self.shared.changed.wait_timeout(state, left).unwrap().0;
        }
    }
}

impl Drop for FakePlane {
    fn drop(&mut self) {
        // Hanging requests would hold it for ever.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn answer(Extract(shared): Extract<Arc<Shared>>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    // A server that refuses early still drains the request, else the client sees a reset instead of the answer.
    let Ok(body) = axum::body::to_bytes(body, MAX_BODY).await else { fault::cut() };
    let call = Call::new(&parts, &body);
    let what = {
        let mut state = shared.state.lock().unwrap();
        state.requests.push(call.endpoint);
        state.fault(call.endpoint)
    };
    shared.changed.notify_all();
    if matches!(what, Some(What::Hang)) {
        std::future::pending::<()>().await;
    }
    if let Some(response) = what.and_then(fault::instead) {
        return response;
    }
    let reply = if parts.headers.get("authorization").is_some_and(|value| value == &format!("Bearer {TOKEN}")) {
        api::answer(&shared, &call, &parts.headers, &body).await
    } else {
        api::Reply::error(401, "no such token")
    };
    shared.changed.notify_all();
    shared.news.notify_waiters();
    fault::spoil(reply, what).await
}
