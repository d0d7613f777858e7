//! Status, stop, reload, check.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};

use super::wire::StatusBody;
use super::{ApiError, App, Wish};

pub(super) fn routes(app: App) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/stop", post(stop))
        .route("/v1/reload", post(reload))
        .with_state(app)
}

async fn status(State(app): State<App>) -> Json<StatusBody> {
    let sessions: BTreeMap<String, u64> =
        app.stats.iter().map(|(name, stats)| ((*name).to_string(), stats.sessions_now())).collect();
    Json(StatusBody {
        version: env!("CARGO_PKG_VERSION").into(),
        uptime_seconds: app.started.elapsed().as_secs(),
        state: "serving".into(),
        listen: (*app.listen).clone(),
        sessions,
        store: serde_json::Value::Null,
    })
}

async fn stop(State(app): State<App>) -> Result<(), ApiError> {
    wish(&app, Wish::Stop).await
}

async fn reload(State(app): State<App>) -> Result<(), ApiError> {
    wish(&app, Wish::Reload).await
}

async fn wish(app: &App, wish: Wish) -> Result<(), ApiError> {
    app.wishes.send(wish).await.map_err(|_| {
        ApiError(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping already".into())
    })
}
