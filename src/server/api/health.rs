//! Probes and metrics. They need no token, and tell nothing about jobs but how many there are.

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};

use crate::server::{
    error::{ErrorBody, Refusal},
    state::Shared,
};

/// The process answers.
#[utoipa::path(get, path = "/livez", tag = "health", responses((status = 200, body = String)))]
pub(crate) async fn livez() -> &'static str {
    "ok\n"
}

/// The store can be read and written, and the control plane is not about to stop.
#[utoipa::path(get, path = "/readyz", tag = "health", responses((status = 200, body = String), (status = 503, body = ErrorBody)))]
pub(crate) async fn readyz(State(plane): Shared) -> Result<&'static str, Refusal> {
    if plane.stop.is_cancelled() {
        return Err(Refusal::unavailable("the control plane is shutting down"));
    }
    plane.store.check().await?;
    Ok("ok\n")
}

/// Metrics in the text format of `OpenMetrics`.
#[utoipa::path(get, path = "/metrics", tag = "health", responses((status = 200, body = String), (status = "default", body = ErrorBody)))]
pub(crate) async fn metrics(State(plane): Shared) -> Result<Response, Refusal> {
    let counts = plane.store.counts().await?;
    let text = plane.metrics.render(&counts, plane.store.bells().parked(), plane.now());
    Ok(([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response())
}
