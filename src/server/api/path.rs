//! Ids in paths, and the answers that need no body of their own.

use axum::{
    extract::{FromRequestParts, Path},
    http::{Method, Uri, request::Parts},
};
use serde::de::DeserializeOwned;

use crate::server::error::Refusal;

/// The ids of a path. One that cannot be an id is a mistake of whoever asks, not an unknown thing.
pub(crate) struct Ids<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Ids<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let ids = Path::<T>::from_request_parts(parts, state).await;
        ids.map(|Path(ids)| Self(ids)).map_err(|rejection| Refusal::malformed(rejection.body_text()))
    }
}

/// 404 for a path that leads nowhere.
pub(crate) async fn unknown(uri: Uri) -> Refusal {
    Refusal::not_found(format!("there is nothing at {}; /v1/openapi.json lists what there is", uri.path()))
}

/// 405 for a path that is asked the wrong way.
pub(crate) async fn wrong_method(method: Method, uri: Uri) -> Refusal {
    Refusal::wrong_method(method.as_str(), uri.path())
}
