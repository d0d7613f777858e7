//! Errors as the admin API answers them.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use redoubt_log::record::Rejection;
use redoubt_store::mailstore::{StoreError, WriteError};

use super::wire::ErrorBody;

/// A status and a text.
#[derive(Debug)]
pub struct ApiError(pub StatusCode, pub String);

/// Why a call was refused by a role, a floor, a hold or another rule; beside its answer.
#[derive(Debug, Clone)]
pub(super) struct WasRefused(pub(super) String);

impl ApiError {
    /// 400 with a text that says what to do.
    pub fn bad(text: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, text.into())
    }

    /// 404.
    pub fn not_found(text: impl Into<String>) -> Self {
        Self(StatusCode::NOT_FOUND, text.into())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Self(status, error) = self;
        let refuses = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
        let refused = refuses.contains(&status) || status == StatusCode::UNPROCESSABLE_ENTITY;
        let refused = refused.then(|| WasRefused(error.clone()));
        let mut response = (status, Json(ErrorBody { error })).into_response();
        refused.map(|refused| response.extensions_mut().insert(refused));
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let status = match error {
            StoreError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            StoreError::BelowFloor { .. } => StatusCode::GONE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self(status, error.to_string())
    }
}

impl From<Rejection> for ApiError {
    fn from(rejection: Rejection) -> Self {
        let status = match rejection {
            Rejection::Exists(_) => StatusCode::CONFLICT,
            Rejection::NoSuchDomain(_)
            | Rejection::NoSuchAccount
            | Rejection::NoSuchMailbox
            | Rejection::NotFound(_) => StatusCode::NOT_FOUND,
            Rejection::Held(_) => StatusCode::FORBIDDEN,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Self(status, rejection.to_string())
    }
}

impl From<WriteError> for ApiError {
    fn from(error: WriteError) -> Self {
        let status = match &error {
            WriteError::Rejected(rejection) => return rejection.clone().into(),
            WriteError::Invalid(_) => StatusCode::BAD_REQUEST,
            WriteError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            WriteError::DiskFull { .. } => StatusCode::INSUFFICIENT_STORAGE,
            WriteError::Unavailable(_)
            | WriteError::Unknown(_)
            | WriteError::Store(StoreError::Unavailable(_)) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self(status, error.to_string())
    }
}
