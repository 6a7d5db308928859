//! Tokens: made, listed, taken back. A secret is shown once, in the answer that makes it.

use axum::{Json, extract::State, http::StatusCode};
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::path::Ids;
use crate::{
    job::{RunnerId, TokenId},
    server::{
        auth::Operator,
        body::Incoming,
        error::{ErrorBody, FieldProblem, Refusal},
        state::Shared,
        store::{NewToken, Token, TokenKind},
    },
};

/// Longest name, in characters.
const MAX_NAME: usize = 100;

/// A token to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTokenBody {
    /// `operator` or `runner`.
    #[schema(example = "runner")]
    kind: String,
    /// What people call it.
    #[serde(default)]
    name: String,
    /// The only runner that may use it; for runner tokens.
    #[serde(default)]
    runner_id: Option<String>,
    /// When it stops working; never when absent.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

/// A token without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokenView {
    /// Its id.
    #[schema(value_type = String)]
    id: TokenId,
    /// `operator` or `runner`.
    kind: &'static str,
    /// What people call it.
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    /// The only runner that may use it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    runner_id: Option<RunnerId>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it stops working.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// When it was last used, roughly.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Timestamp>,
    /// The secret; only in the answer that makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

/// All tokens.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokenList {
    /// Oldest first, expired ones included.
    tokens: Vec<TokenView>,
}

impl From<Token> for TokenView {
    fn from(token: Token) -> Self {
        Self {
            id: token.id,
            kind: token.kind.as_str(),
            name: token.name,
            runner_id: token.runner,
            created_at: token.created_at,
            expires_at: token.expires_at,
            last_used_at: token.last_used_at,
            token: None,
        }
    }
}

/// All tokens, without their secrets.
#[utoipa::path(get, path = "/v1/tokens", tag = "operator", security(("token" = [])),
    responses((status = 200, body = TokenList), (status = "default", body = ErrorBody)))]
pub(crate) async fn list(_: Operator, State(plane): Shared) -> Result<Json<TokenList>, Refusal> {
    Ok(Json(TokenList { tokens: plane.store.tokens().await?.into_iter().map(TokenView::from).collect() }))
}

/// Makes a token. Its secret is in this answer and nowhere else.
#[utoipa::path(post, path = "/v1/tokens", tag = "operator", security(("token" = [])), request_body = NewTokenBody,
    responses((status = 201, body = TokenView), (status = 422, description = "Every mistake in the body.", body = ErrorBody),
        (status = "default", body = ErrorBody)))]
pub(crate) async fn create(_: Operator, State(plane): Shared, body: Incoming) -> Result<(StatusCode, Json<TokenView>), Refusal> {
    let body: NewTokenBody = body.json(plane.limits.report, &plane.limits).await?;
    let now = plane.now();
    let new = check(body, now).map_err(Refusal::invalid)?;
    let (token, secret) = plane.store.create_token(new, now).await?;
    let view = TokenView { token: Some(secret.expose_secret().to_owned()), ..TokenView::from(token) };
    Ok((StatusCode::CREATED, Json(view)))
}

fn check(body: NewTokenBody, now: Timestamp) -> Result<NewToken, Vec<FieldProblem>> {
    let mut problems = Vec::new();
    let mut note = |path: &str, message: String| problems.push(FieldProblem { path: path.to_owned(), message });
    let kind = body.kind.parse::<TokenKind>();
    if kind.is_err() {
        note("kind", "has to be operator or runner".to_owned());
    }
    let runner = body.runner_id.as_deref().map(str::parse::<RunnerId>).transpose();
    if let Err(error) = &runner {
        note("runner_id", error.to_string());
    }
    if kind == Ok(TokenKind::Operator) && body.runner_id.is_some() {
        note("runner_id", "is for runner tokens; remove it or change the kind".to_owned());
    }
    if body.name.chars().count() > MAX_NAME {
        note("name", format!("is longer than {MAX_NAME} characters"));
    }
    if body.expires_at.is_some_and(|end| end <= now) {
        note("expires_at", "is in the past".to_owned());
    }
    match (kind, runner) {
        (Ok(kind), Ok(runner)) if problems.is_empty() => Ok(NewToken { kind, name: body.name, runner, expires_at: body.expires_at }),
        _ => Err(problems),
    }
}

/// Takes a token back, at once.
#[utoipa::path(delete, path = "/v1/tokens/{token_id}", tag = "operator", security(("token" = [])), params(("token_id" = String, Path)),
    responses((status = 204), (status = "default", body = ErrorBody)))]
pub(crate) async fn revoke(_: Operator, State(plane): Shared, Ids(token): Ids<TokenId>) -> Result<StatusCode, Refusal> {
    if plane.store.revoke_token(&token).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Refusal::not_found(format!("there is no token '{token}'")))
    }
}
