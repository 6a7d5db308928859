//! Which path is answered by which handler, in one table that makes both the router and the API's document.
//!
//! Around every handler: a panic becomes a 500 and a message in the log, and every answer is counted.

use std::{panic::AssertUnwindSafe, sync::Arc};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing,
};
use futures_util::FutureExt as _;

use super::{
    api::{executions, health, logs, openapi, openapi::Tokens, operator, path, runner, stream, submit, tokens},
    error::{ErrorBody, Refusal},
    state::Plane,
};

macro_rules! routes {
    ($($method:ident $path:literal => $($handler:ident)::+;)+) => {
        /// Method and path of every route, for the test that compares them with the document.
        #[cfg(test)]
        const ROUTES: &[(&str, &str)] = &[$((stringify!($method), $path),)+];

        fn table() -> Router<Arc<Plane>> {
            Router::new()$(.route($path, routing::$method($($handler)::+)))+
        }

        /// The API's description.
        #[derive(utoipa::OpenApi)]
        #[openapi(
            info(title = "build-runner control plane", description = "The runner API, and an API for operators."),
            paths($($($handler)::+,)+),
            components(schemas(ErrorBody)),
            modifiers(&Tokens),
            tags((name = "runner", description = "What runners ask and tell."), (name = "operator", description = "What people and their tools ask."),
                (name = "health", description = "Probes, metrics, this document. No token."))
        )]
        pub(crate) struct Document;
    };
}

routes! {
    get "/v1/runners/{runner_id}/settings" => runner::settings;
    get "/v1/runners/{runner_id}/jobs" => runner::jobs;
    get "/v1/runners/{runner_id}/jobs/tail" => runner::tail;
    get "/v1/runners/{runner_id}/executions/tail" => runner::standings;
    post "/v1/runners/{runner_id}/heart-beats" => runner::heartbeat;
    post "/v1/runners/{runner_id}/traces" => logs::traces;
    post "/v1/runners/{runner_id}/metrics" => logs::metrics;
    get "/v1/runners/{runner_id}" => runner::show;
    get "/v1/runner-jobs/{job_id}" => executions::job;
    patch "/v1/runner-jobs/{job_id}" => executions::set_job_status;
    get "/v1/runner-jobs/{job_id}/plan" => executions::plan;
    get "/v1/runner-jobs/{job_id}/executions" => executions::list;
    post "/v1/runner-jobs/{job_id}/executions" => executions::claim;
    get "/v1/runner-jobs/{job_id}/executions/{execution_id}" => executions::show;
    patch "/v1/runner-jobs/{job_id}/executions/{execution_id}" => executions::set_status;
    post "/v1/runner-jobs/{job_id}/executions/{execution_id}/result" => executions::put_result;
    post "/v1/runner-jobs/{job_id}/executions/{execution_id}/outputs" => executions::put_outputs;
    post "/v1/runner-jobs/{job_id}/cancel" => operator::cancel_hosted;
    post "/v1/log-streams/{log_stream_id}/logs" => logs::append;
    post "/v1/jobs" => submit::submit;
    get "/v1/jobs" => operator::list;
    get "/v1/jobs/{job_id}" => operator::show;
    post "/v1/jobs/{job_id}/cancel" => operator::cancel;
    post "/v1/jobs/{job_id}/retry" => operator::retry;
    get "/v1/jobs/{job_id}/logs" => stream::logs;
    get "/v1/runners" => operator::runners;
    get "/v1/tokens" => tokens::list;
    post "/v1/tokens" => tokens::create;
    delete "/v1/tokens/{token_id}" => tokens::revoke;
    get "/v1/openapi.json" => openapi::document;
    get "/livez" => health::livez;
    get "/readyz" => health::readyz;
    get "/metrics" => health::metrics;
}

/// The whole of it.
pub(crate) fn router(plane: Arc<Plane>) -> Router {
    surrounded(table(), plane)
}

fn surrounded(table: Router<Arc<Plane>>, plane: Arc<Plane>) -> Router {
    table
        .fallback(path::unknown)
        .method_not_allowed_fallback(path::wrong_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&plane), around))
        .with_state(plane)
}

async fn around(State(plane): State<Arc<Plane>>, request: Request, next: Next) -> Response {
    let method = match request.method().as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") => known.to_owned(),
        // Anybody can make up methods; a label for each would be a leak.
        _ => "other".to_owned(),
    };
    let route = request.extensions().get::<MatchedPath>().map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let mut response = answer.unwrap_or_else(|_| {
        // The panic itself, with its place, went to standard error.
        tracing::error!(method, route, "a handler panicked; please report this");
        Refusal::internal().into_response()
    });
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response.headers_mut().insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    plane.metrics.request(&method, &route, response.status().as_u16());
    response
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::server::{ServerOptions, store::sqlite::SqliteStore};
    use utoipa::OpenApi as _;

    #[tokio::test]
    async fn a_panic_is_an_answer_and_the_next_request_is_served() {
        async fn broken() -> &'static str {
            panic!("on purpose")
        }
        let folder = tempfile::tempdir().expect("a folder");
        let options = ServerOptions::new((std::net::Ipv4Addr::LOCALHOST, 0).into(), folder.path());
        let store =
            SqliteStore::open(folder.path(), crate::server::store::Limits::default(), jiff::Timestamp::now()).await.expect("a store");
        let plane = Arc::new(Plane::new(Arc::new(store), &options, tokio_util::sync::CancellationToken::new()));
        let table = table().route("/broken", routing::get(broken));
        let listener = tokio::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let serving = crate::server::serve::serve(listener, surrounded(table, Arc::clone(&plane)), Arc::clone(&plane));
        let asking = async {
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
            let http = reqwest::Client::builder().no_proxy().build().expect("a client");
            let answer = http.get(format!("http://{addr}/broken")).send().await.expect("an answer");
            assert_eq!(answer.status(), 500);
            let body: serde_json::Value = answer.json().await.expect("JSON");
            assert_eq!((&body["error"], &body["user_error"]), (&"internal error".into(), &false.into()));
            let metrics = http.get(format!("http://{addr}/metrics")).send().await.expect("an answer").text().await.expect("text");
            assert!(metrics.contains("requests_total{method=\"GET\",route=\"/broken\",status=\"500\"} 1"), "{metrics}");
            plane.stop.cancel();
        };
        tokio::join!(serving, asking);
        plane.store.close().await;
    }

    #[test]
    fn every_route_is_in_the_document_and_nothing_else_is() {
        let document = serde_json::to_value(Document::openapi()).expect("JSON");
        let paths = document["paths"].as_object().expect("paths");
        let described: BTreeSet<(String, String)> = paths
            .iter()
            .flat_map(|(path, methods)| methods.as_object().into_iter().flatten().map(move |(method, _)| (method.clone(), path.clone())))
            .collect();
        let routed: BTreeSet<_> = ROUTES.iter().map(|(method, path)| ((*method).to_owned(), (*path).to_owned())).collect();
        assert_eq!(described, routed);
        // Everything that is referred to is there.
        let text = document.to_string();
        let schemas = document["components"]["schemas"].as_object().expect("schemas");
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap_or_default();
            assert!(schemas.contains_key(name), "{name} is referred to and not described");
        }
    }
}
