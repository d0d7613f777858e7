//! The indexes for search.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use redoubt_search::index::{FollowError, Index, Status};

use super::wire::RebuildIndex;
use super::{ApiError, App};

pub(super) fn routes(app: App) -> Router {
    Router::new()
        .route("/v1/index", get(status))
        .route("/v1/index/rebuild", post(rebuild))
        .with_state(app)
}

async fn status(State(app): State<App>) -> Result<Json<Status>, ApiError> {
    Ok(Json(index(&app)?.status()))
}

/// Answers when what was there is thrown away; it is built again behind the scene.
async fn rebuild(
    State(app): State<App>,
    Json(wish): Json<RebuildIndex>,
) -> Result<Json<Status>, ApiError> {
    let index = index(&app)?;
    let account = match wish.account {
        Some(name) => Some(app.account(&name).await?.id),
        None => None,
    };
    let rebuilt = tokio::task::spawn_blocking(move || {
        index.rebuild(account)?;
        Ok::<_, FollowError>(index.status())
    });
    let rebuilt = rebuilt.await.map_err(|error| failed(&error))?;
    rebuilt.map(Json).map_err(|error| failed(&error))
}

fn failed(error: &impl ToString) -> ApiError {
    ApiError(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

fn index(app: &App) -> Result<Index, ApiError> {
    let none = "this node keeps no index: a light voter, or search.index is false";
    app.index.clone().ok_or_else(|| ApiError(StatusCode::NOT_IMPLEMENTED, none.into()))
}
