//! Status, stop, reload, check.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use redoubt_store::mailstore::StoreStatus;
use serde_json::json;

use super::wire::StatusBody;
use super::{ApiError, App, Wish};
use crate::verify::{Report, verify};

pub(super) fn routes(app: App) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/check", get(check))
        .route("/v1/checkpoint", post(checkpoint))
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
        state: app
            .mailstore
            .status()
            .node
            .stopped
            .map_or_else(|| "serving".into(), |why| why.to_string()),
        listen: (*app.listen).clone(),
        sessions,
        store: store(&app.mailstore.status()),
    })
}

/// The store's numbers, by stable names.
fn store(status: &StoreStatus) -> serde_json::Value {
    let node = &status.node;
    let blobs = &status.blobs;
    json!({
        "node": node.node,
        "term": node.term,
        "leader": node.leader,
        "last": node.last.map(|id| id.index),
        "committed": node.committed,
        "applied": status.applied,
        "apply_lag": status.apply_lag,
        "chain": node.applied.as_ref().map(|applied| applied.chain),
        "checkpoint": status.checkpoint,
        "records": status.records,
        "disk_free_bytes": status.disk_free,
        "disk_reserve_bytes": status.disk_reserve,
        "growth_allowed": node.growth_allowed,
        "blobs": {
            "count": blobs.blobs,
            "raw_bytes": blobs.raw_bytes,
            "stored_bytes": blobs.stored_bytes,
            "dedup_hits": blobs.dedup_hits,
            "dedup_bytes": blobs.dedup_bytes,
            "packs": blobs.packs,
        },
    })
}

async fn check(State(app): State<App>) -> Result<Json<Report>, ApiError> {
    let mailstore = app.mailstore.clone();
    let report = app.read(move |view| {
        verify(&mailstore, view)
            .map_err(|error| ApiError(StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}")))
    });
    report.await.map(Json)
}

async fn checkpoint(State(app): State<App>) -> Result<(), ApiError> {
    let taken = app.mailstore.checkpoint().await;
    taken.map(drop).map_err(|error| ApiError(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
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
