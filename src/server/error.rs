//! What a request is answered with when it is refused: one status code and one body, whatever went wrong.
//!
//! The body is that of the runner API, `{"error", "user_error", "description"}`; a refused plan has `problems` as well. Messages never
//! hold tokens, plans or log text. Used by every handler and by the fall-backs of the router.

use axum::{
    http::{HeaderName, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::store;

/// One mistake in a submitted job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FieldProblem {
    /// Keys from the root, joined by dots, list items in brackets; empty for the whole body.
    pub path: String,
    /// What is wrong there and what to do.
    pub message: String,
}

/// Body of every answer that is an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    /// What is wrong, in a few words that stay the same.
    pub error: String,
    /// Whether whoever asked can do something about it.
    pub user_error: bool,
    /// What exactly, and what to do about it.
    pub description: String,
    /// Every mistake in a submitted job.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<FieldProblem>,
}

/// A request that is refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    error: &'static str,
    description: String,
    problems: Vec<FieldProblem>,
    header: Option<(&'static str, &'static str)>,
}

impl Refusal {
    fn new(status: StatusCode, error: &'static str, description: impl Into<String>) -> Self {
        Self { status, error, description: description.into(), problems: Vec::new(), header: None }
    }

    /// With a header; its name in small letters.
    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.header = Some((name, value));
        self
    }

    /// The status code.
    #[cfg(test)]
    pub(crate) const fn status(&self) -> StatusCode {
        self.status
    }

    /// 400: the request makes no sense as it is written.
    pub(crate) fn malformed(description: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad request", description)
    }

    /// 401: no token at all.
    pub(crate) fn no_token() -> Self {
        let description = "this needs a token: send it as 'Authorization: Bearer TOKEN'";
        Self::new(StatusCode::UNAUTHORIZED, "no token", description).with("www-authenticate", "Bearer realm=\"build-runner\"")
    }

    /// 401: a token that is good for nothing.
    pub(crate) fn unknown_token() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid token", "the token is unknown, expired or revoked: use another one")
            .with("www-authenticate", "Bearer realm=\"build-runner\", error=\"invalid_token\"")
    }

    /// 403: a good token, but not for this.
    pub(crate) fn forbidden(description: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", description)
    }

    /// 404.
    pub(crate) fn not_found(description: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not found", description)
    }

    /// 405.
    pub(crate) fn wrong_method(method: &str, path: &str) -> Self {
        let description = format!("{path} cannot be asked with {method}; the header Allow and /v1/openapi.json say how it can");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "wrong method", description)
    }

    /// 408: the client was too slow.
    pub(crate) fn slow() -> Self {
        let description = "the body did not arrive in time; send the request again";
        Self::new(StatusCode::REQUEST_TIMEOUT, "too slow", description).with("connection", "close")
    }

    /// 409: what is asked for does not go with how things stand.
    pub(crate) fn conflict(error: &'static str, description: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, error, description)
    }

    /// 413.
    pub(crate) fn too_large(what: &str, limit: usize) -> Self {
        Self::over_limit(format!("{what} is bigger than {limit} bytes; send less at once"))
    }

    /// 413, for a limit that is not one of bytes alone.
    pub(crate) fn over_limit(description: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too large", description)
    }

    /// 415.
    pub(crate) fn unsupported(description: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported content", description)
    }

    /// 422: understood, and every mistake in it.
    pub(crate) fn invalid(problems: Vec<FieldProblem>) -> Self {
        let line = |problem: &FieldProblem| {
            if problem.path.is_empty() { problem.message.clone() } else { format!("{}: {}", problem.path, problem.message) }
        };
        let first = problems.first().map_or_else(|| "the job is invalid".to_owned(), line);
        let description = match problems.len() {
            0 | 1 => first,
            count => format!("{first} (and {} more, see problems)", count - 1),
        };
        Self { problems, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid job", description) }
    }

    /// 500: our mistake; the log has it.
    pub(crate) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error", "the control plane made a mistake, which is in its log; try again")
    }

    /// 503: not now.
    pub(crate) fn unavailable(description: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", description).with("retry-after", "1")
    }
}

impl From<store::Error> for Refusal {
    fn from(error: store::Error) -> Self {
        use store::Error as E;
        let text = error.to_string();
        match error {
            E::UnknownJob(_) => Self::not_found(text),
            E::JobExists(_) => Self::conflict("id in use", text),
            E::Stale { .. } => Self::conflict("stale execution", text),
            E::Conflict { .. } => Self::conflict("reported before", text),
            E::State { .. } => Self::conflict("wrong state", text),
            E::LogLimit { .. } => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "log limit reached", text),
            E::Full => {
                tracing::error!("{text}");
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "disk full", text).with("retry-after", "5")
            }
            E::Unavailable(source) => {
                tracing::error!(error = %source, "{text}");
                Self::unavailable(text)
            }
            E::Damaged(_) => {
                tracing::error!("{text}");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "damaged", text)
            }
            E::Closed => Self::unavailable(text),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let user_error = self.status.is_client_error();
        let body = ErrorBody { error: self.error.to_owned(), user_error, description: self.description, problems: self.problems };
        let mut response = (self.status, axum::Json(body)).into_response();
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        response
    }
}
