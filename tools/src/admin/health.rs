//! `/livez`, `/readyz` and `/metrics`.

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

/// It serves: reads are linearizable and writes are taken.
async fn readyz(State(app): State<App>) -> impl IntoResponse {
    match app.mailstore.view().await {
        Ok(_) => (StatusCode::OK, "ok\n".to_string()),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
    }
}

async fn expose(State(app): State<App>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], metrics::text(&app))
}
