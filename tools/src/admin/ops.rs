//! Status, stop, reload, check.

use std::collections::BTreeMap;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use redoubt_log::dump::rfc3339;
use redoubt_log::id::{LogIndex, Timestamp};
use redoubt_search::index::Index;
use redoubt_snapshot::archive::Watcher;
use redoubt_store::mailstore::{ScrubStatus, StoreStatus, Verdict};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::oneshot;

use super::wire::{LogPiece, StatusBody};
use super::{ApiError, App, Wish};
use crate::verify::{Report, verify};

/// Octets of entries in one answer.
const LOG_PIECE: usize = 1024 * 1024;

pub(super) fn routes(app: App) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/check", get(check))
        .route("/v1/compare", post(compare))
        .route("/v1/scrub", post(scrub))
        .route("/v1/log", get(log))
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
        time: rfc3339(Timestamp::now()),
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
        archive: app.archive.as_ref().map(Watcher::status),
        texts: app.texts.as_ref().map(|texts| super::texts::body(&texts.stats())),
        index: app.index.as_ref().map(Index::status),
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
        "alarms": status.alarms,
        "scrub": status.scrub,
        "compared": status.compared,
        "blobs": {
            "count": blobs.blobs,
            "raw_bytes": blobs.raw_bytes,
            "stored_bytes": blobs.stored_bytes,
            "dedup_hits": blobs.dedup_hits,
            "dedup_bytes": blobs.dedup_bytes,
            "packs": blobs.packs,
            "damaged": blobs.damaged,
            "repaired": blobs.repaired,
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

/// Compares what all nodes have at one index.
async fn compare(State(app): State<App>) -> Result<Json<Verdict>, ApiError> {
    Ok(Json(app.mailstore.compare().await?))
}

/// Reads everything now, and repairs what it can.
async fn scrub(State(app): State<App>) -> Result<Json<ScrubStatus>, ApiError> {
    app.mailstore.scrub().await;
    Ok(Json(app.mailstore.status().scrub))
}

/// Which entries, and how they are wished.
#[derive(Debug, Deserialize)]
struct LogQuery {
    from: Option<u64>,
    to: Option<u64>,
    #[serde(default)]
    json: bool,
}

async fn log(
    State(app): State<App>,
    Query(query): Query<LogQuery>,
) -> Result<Json<LogPiece>, ApiError> {
    let node = app.mailstore.clone();
    let read = app.read(move |_| {
        let node = node.node();
        let first = node.status().purged.map_or(0, |purged| purged.index.0 + 1);
        let from = LogIndex(query.from.unwrap_or(first));
        let end = LogIndex(query.to.map_or(u64::MAX, |to| to.saturating_add(1)));
        let entries = node.read(from..end, LOG_PIECE);
        let entries = entries.map_err(|error| ApiError::bad(error.to_string()))?;
        LogPiece::of(&entries, query.json)
            .map_err(|error| ApiError(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
    });
    read.await.map(Json)
}

async fn checkpoint(State(app): State<App>) -> Result<(), ApiError> {
    let taken = app.mailstore.checkpoint().await;
    taken.map(drop).map_err(|error| ApiError(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

async fn stop(State(app): State<App>) -> Result<(), ApiError> {
    wish(&app, Wish::Stop).await
}

async fn reload(State(app): State<App>) -> Result<(), ApiError> {
    let (answer, done) = oneshot::channel();
    wish(&app, Wish::Reload(answer)).await?;
    let done = done.await.unwrap_or_else(|_| Err("the server is stopping".into()));
    done.map_err(|why| ApiError(StatusCode::UNPROCESSABLE_ENTITY, why))
}

async fn wish(app: &App, wish: Wish) -> Result<(), ApiError> {
    app.wishes.send(wish).await.map_err(|_| {
        ApiError(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping already".into())
    })
}
