//! The archive, and bases of this node.

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use redoubt_snapshot::archive::{ArchiveState, ArchiveStatus, BaseRun, Watcher};
use serde::Deserialize;

use super::{ApiError, App};

pub(super) fn routes(app: App) -> Router {
    Router::new()
        .route("/v1/archive", get(archive))
        .route("/v1/backup/base", post(start).get(base))
        .with_state(app)
}

/// How the archive is; nothing where none is configured.
async fn archive(State(app): State<App>) -> Json<Option<ArchiveStatus>> {
    Json(app.archive.as_ref().map(Watcher::status))
}

/// Whether the base is to be this node's, whoever feeds the archive.
#[derive(Debug, Deserialize)]
struct Start {
    #[serde(default)]
    here: bool,
}

/// Begins a base, unless one is being taken.
async fn start(
    State(app): State<App>,
    Query(query): Query<Start>,
) -> Result<Json<BaseRun>, ApiError> {
    let watcher = watcher(&app)?;
    let status = watcher.status();
    if status.state == ArchiveState::Waiting && !query.here {
        let node = status.feeder.map_or_else(String::new, |node| format!(", node {node},"));
        let text = format!("another node{node} feeds the repository: ask there, or say --here");
        return Err(ApiError(StatusCode::CONFLICT, text));
    }
    watcher.bases().request();
    Ok(Json(watcher.status().base))
}

/// The base under way, or the last one.
async fn base(State(app): State<App>) -> Result<Json<BaseRun>, ApiError> {
    Ok(Json(watcher(&app)?.status().base))
}

fn watcher(app: &App) -> Result<&Watcher, ApiError> {
    let none = || ApiError::bad("this node has no repository: set backup.repository");
    app.archive.as_ref().ok_or_else(none)
}
