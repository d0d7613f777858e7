//! `/livez`, `/readyz` and `/metrics`.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use super::App;
use super::metrics;

pub(super) fn routes(app: App) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(expose))
        .with_state(app)
}

/// The process answers.
async fn livez() -> &'static str {
    "ok\n"
}

/// How long a quorum may take to answer: longer than an election.
const PATIENCE: Duration = Duration::from_secs(2);

/// It serves: a quorum stands behind it, and it has applied what that has.
async fn readyz(State(app): State<App>) -> impl IntoResponse {
    match app.mailstore.ready(PATIENCE).await {
        Ok(()) => (StatusCode::OK, "ok\n".to_string()),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
    }
}

async fn expose(State(app): State<App>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], metrics::text(&app))
}
