//! Mailboxes of an account, for administrators.

use axum::extract::{ConnectInfo, Path, Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use redoubt_log::record::Actor;
use redoubt_store::view::Mailbox;
use serde::Deserialize;

use super::wire::{NewMailbox, RenameMailbox};
use super::{ApiError, App, Caller};

pub(super) fn routes(app: App) -> Router {
    Router::new()
        .route("/v1/accounts/{account}/mailboxes", get(list).post(create).delete(remove))
        .route("/v1/accounts/{account}/mailboxes/rename", post(rename))
        .with_state(app)
}

/// The administrator, on behalf of the account.
pub(super) fn on_behalf(caller: &Caller, account: redoubt_log::id::AccountId) -> Actor {
    Actor { on_behalf_of: Some(account), ..caller.0.clone() }
}

async fn list(
    State(app): State<App>,
    Path(account): Path<String>,
) -> Result<Json<Vec<Mailbox>>, ApiError> {
    let account = app.account(&account).await?.id;
    app.read(move |view| Ok(Json(view.mailboxes(account)?))).await
}

async fn create(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(account): Path<String>,
    Json(body): Json<NewMailbox>,
) -> Result<Json<Mailbox>, ApiError> {
    let account = app.account(&account).await?.id;
    let actor = on_behalf(&caller, account);
    let made = app.mailstore.create_mailbox(&actor, account, &body.name, body.special_use).await?;
    Ok(Json(made))
}

/// Which mailbox.
#[derive(Debug, Deserialize)]
struct Named {
    name: String,
}

async fn remove(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(account): Path<String>,
    Query(Named { name }): Query<Named>,
) -> Result<(), ApiError> {
    let account = app.account(&account).await?.id;
    let actor = on_behalf(&caller, account);
    Ok(app.mailstore.delete_mailbox(&actor, account, &name).await?)
}

async fn rename(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(account): Path<String>,
    Json(body): Json<RenameMailbox>,
) -> Result<(), ApiError> {
    let account = app.account(&account).await?.id;
    let actor = on_behalf(&caller, account);
    Ok(app.mailstore.rename_mailbox(&actor, account, &body.from, &body.to).await?)
}
