//! The admin port: `/livez`, `/readyz`, `/status` and `/metrics` for kubelets, scrapers and people.
//!
//! In: [`Status`] and [`Metrics`], read at each request. Out: text and JSON without secrets; whoever reaches the port may read all of it, and
//! nothing can be changed there. Served by the command that runs the agent, only when an address is configured.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;

use super::{Metrics, Snapshot, Status};
use crate::shutdown::Cancel;

/// What the `OpenMetrics` specification calls its text format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The address cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("admin_address {address} cannot be listened on: {}; choose another, or set it to nothing to go without", source.kind())]
pub struct AdminError {
    address: SocketAddr,
    source: std::io::Error,
}

/// The port, taken and not yet served.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    address: SocketAddr,
}

type Shared = State<(Arc<Status>, Arc<Metrics>)>;

impl Admin {
    /// Takes the port; port 0 takes any.
    ///
    /// # Errors
    /// When somebody else has it, or the address is not this machine's.
    pub async fn bind(address: SocketAddr) -> Result<Self, AdminError> {
        let taken = async {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            Ok(Self { listener, address })
        };
        taken.await.map_err(|source| AdminError { address, source })
    }

    /// Where it is.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until cancelled.
    ///
    /// # Errors
    /// When connections cannot be accepted any more.
    pub async fn serve(self, status: Arc<Status>, metrics: Arc<Metrics>, cancel: &Cancel) -> std::io::Result<()> {
        let routes = Router::new()
            .route("/livez", get(livez))
            .route("/readyz", get(readyz))
            .route("/status", get(snapshot))
            .route("/metrics", get(exposition))
            .fallback(|| async { (StatusCode::NOT_FOUND, "there are /livez, /readyz, /status and /metrics\n") })
            .with_state((status, metrics));
        // A scraper that keeps its connection must not keep the process.
        cancel.run(axum::serve(self.listener, routes).into_future()).await.unwrap_or(Ok(()))
    }
}

/// 503 is what makes a kubelet restart the runner: only for a runner that cannot get well by itself.
async fn livez(State((status, _)): Shared) -> Response {
    said(status.not_live())
}

/// 503 with the reason until jobs are taken.
async fn readyz(State((status, _)): Shared) -> Response {
    said(status.not_ready())
}

fn said(problem: Option<String>) -> Response {
    match problem {
        None => "ok\n".into_response(),
        Some(problem) => (StatusCode::SERVICE_UNAVAILABLE, format!("{problem}\n")).into_response(),
    }
}

async fn snapshot(State((status, _)): Shared) -> Json<Snapshot> {
    Json(status.snapshot())
}

async fn exposition(State((status, metrics)): Shared) -> Response {
    match metrics.encode(&status) {
        Ok(text) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::telemetry::Gate;

    async fn ask(address: SocketAddr, path: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("connects");
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("writes");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("reads");
        answer
    }

    #[tokio::test]
    async fn each_path_tells_what_the_status_says() {
        let (status, cancel) = (Arc::new(Status::new("run-1", 4)), Cancel::new());
        let admin = Admin::bind(([127, 0, 0, 1], 0).into()).await.expect("a port");
        let address = admin.address();
        let taken = Admin::bind(address).await.expect_err("taken").to_string();
        assert!(taken.contains("cannot be listened on: address in use; choose another"), "{taken}");
        let questions = async {
            assert!(ask(address, "/livez").await.starts_with("HTTP/1.1 200 OK"));
            let unready = ask(address, "/readyz").await;
            assert!(unready.starts_with("HTTP/1.1 503") && unready.ends_with("Validated: NotEvaluated\n"), "{unready}");
            for gate in Gate::ALL {
                status.pass(gate, "Done");
            }
            assert!(ask(address, "/readyz").await.ends_with("ok\n"));
            assert!(ask(address, "/status").await.contains(r#""phase":"Ready""#));
            let metrics = ask(address, "/metrics").await;
            assert!(metrics.contains(OPEN_METRICS) && metrics.contains("build_runner_ready 1\n"), "{metrics}");
            assert!(ask(address, "/nothing").await.starts_with("HTTP/1.1 404"));
            cancel.cancel(crate::job::CancelCause::Shutdown);
        };
        let served = tokio::join!(admin.serve(Arc::clone(&status), Arc::default(), &cancel), questions).0;
        served.expect("ended by the cancel");
    }
}
