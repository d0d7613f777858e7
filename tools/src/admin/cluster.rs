//! The cluster: status, tokens, and changes of its members.

use axum::extract::{ConnectInfo, Path, State};
use axum::http::StatusCode;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use redoubt_log::id::NodeId;

use super::{ApiError, App, Caller};
use crate::cluster::{ClusterBody, Refusal, TokenBody, TokenWish, TransferWish};

pub(super) fn routes(app: App) -> Router {
    Router::new()
        .route("/v1/cluster", get(status))
        .route("/v1/cluster/token", post(token))
        .route("/v1/cluster/transfer", post(transfer))
        .route("/v1/cluster/finalize", post(finalize))
        .route("/v1/cluster/nodes/{node}", delete(remove))
        .with_state(app)
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal {
            Refusal::Refused(_) => StatusCode::FORBIDDEN,
            Refusal::NotFound(_) => StatusCode::NOT_FOUND,
            Refusal::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Refusal::Unavailable(_) | Refusal::NotLeader => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self(status, refusal.to_string())
    }
}

async fn status(State(app): State<App>) -> Json<ClusterBody> {
    Json(app.cluster.status().await)
}

async fn token(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Json(wish): Json<TokenWish>,
) -> Result<Json<TokenBody>, ApiError> {
    Ok(Json(app.cluster.token(&caller.0, wish).await?))
}

async fn transfer(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Json(wish): Json<TransferWish>,
) -> Result<Json<NodeId>, ApiError> {
    Ok(Json(app.cluster.transfer(&caller.0, wish.to).await?))
}

async fn finalize(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
) -> Result<Json<u32>, ApiError> {
    Ok(Json(app.cluster.finalize(&caller.0).await?))
}

async fn remove(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(node): Path<NodeId>,
) -> Result<(), ApiError> {
    Ok(app.cluster.remove(&caller.0, node).await?)
}
