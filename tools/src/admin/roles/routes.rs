//! Giving roles, and tokens.

use axum::extract::{ConnectInfo, Path, State};
use axum::http::StatusCode;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use redoubt_log::dump::rfc3339;
use redoubt_log::id::{AccountId, Hash, Timestamp};
use redoubt_log::record::{Change, PersonalTokenAdd, PersonalTokenRevoke, Principal, RoleGrant};
use redoubt_store::view::View;

use super::wire::{GrantBody, GrantLine, TokenLine, TokenMade, TokenWish};
use super::{PREFIX, hash, refused};
use crate::admin::directory::domain_name;
use crate::admin::{ApiError, App, Caller};

/// Digits of a token's hash that name it.
const ID: usize = 16;

pub(in crate::admin) fn routes(app: App) -> Router {
    Router::new()
        .route("/v1/roles", get(roles).post(grant))
        .route("/v1/roles/revoke", post(revoke))
        .route("/v1/tokens", get(tokens).post(token_add))
        .route("/v1/tokens/{token}", delete(token_revoke))
        .with_state(app)
}

async fn roles(State(app): State<App>) -> Result<Json<Vec<GrantLine>>, ApiError> {
    app.read(|view| {
        let line = |(grant, row): (RoleGrant, redoubt_store::rows::GrantRow)| {
            Ok(GrantLine {
                account: name(view, grant.account)?,
                role: grant.role,
                domain: grant.domain,
                since: rfc3339(row.since),
                index: row.index.0,
            })
        };
        view.grants()?.into_iter().map(line).collect::<Result<_, ApiError>>().map(Json)
    })
    .await
}

fn name(view: &View, account: AccountId) -> Result<String, ApiError> {
    let found = view.account(account)?;
    Ok(found.map_or_else(|| format!("account {account} (deleted)"), |a| a.address.to_string()))
}

async fn granted(app: &App, body: GrantBody) -> Result<RoleGrant, ApiError> {
    let account = app.account(&body.account).await?.id;
    let domain = body.domain.as_deref().map(domain_name).transpose()?;
    Ok(RoleGrant { account, role: body.role, domain })
}

async fn grant(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Json(body): Json<GrantBody>,
) -> Result<(), ApiError> {
    let grant = granted(&app, body).await?;
    app.change(&caller, Change::RoleGrant(grant)).await.map(drop)
}

async fn revoke(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Json(body): Json<GrantBody>,
) -> Result<(), ApiError> {
    let grant = granted(&app, body).await?;
    app.change(&caller, Change::RoleRevoke(grant)).await.map(drop)
}

/// By a token one has to do with one's own alone: else it would be as good as all of them.
fn own_alone(caller: &Caller, account: AccountId) -> Result<(), ApiError> {
    match caller.0.principal {
        Principal::Person(own) if own != account => {
            Err(refused("a token makes, shows and revokes tokens of its own account alone"))
        }
        _ => Ok(()),
    }
}

async fn tokens(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
) -> Result<Json<Vec<TokenLine>>, ApiError> {
    app.read(move |view| {
        let mut lines = Vec::new();
        for (token, row) in view.personal_tokens()? {
            if own_alone(&caller, row.account).is_ok() {
                lines.push(TokenLine {
                    id: id_of(token),
                    account: name(view, row.account)?,
                    name: row.name,
                    made: rfc3339(row.made),
                    expires: row.expires.map(rfc3339),
                });
            }
        }
        Ok(Json(lines))
    })
    .await
}

fn id_of(token: Hash) -> String {
    token.to_string().chars().take(ID).collect()
}

async fn token_add(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Json(wish): Json<TokenWish>,
) -> Result<Json<TokenMade>, ApiError> {
    let account = app.account(&wish.account).await?.id;
    own_alone(&caller, account)?;
    let expires = wish.seconds.map(|seconds| {
        let life = i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX);
        Timestamp(Timestamp::now().0.saturating_add(life))
    });
    let secret = new_secret();
    let token = hash(&secret);
    let add = PersonalTokenAdd { token, account, name: wish.name, expires };
    app.change(&caller, Change::PersonalTokenAdd(add)).await?;
    Ok(Json(TokenMade { id: id_of(token), secret, expires: expires.map(rfc3339) }))
}

fn new_secret() -> String {
    let octets: [u8; 32] = rand::random();
    let mut secret = PREFIX.to_owned();
    for octet in octets {
        secret += &format!("{octet:02x}");
    }
    secret
}

async fn token_revoke(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(id): Path<String>,
) -> Result<(), ApiError> {
    let own = caller.clone();
    let token = app
        .read(move |view| {
            let all = view.personal_tokens()?.into_iter();
            let mut fitting =
                all.filter(|(token, _)| id.len() >= 4 && token.to_string().starts_with(&id));
            let none = || ApiError::not_found(format!("there is no token {id}"));
            let (token, row) = fitting.next().ok_or_else(none)?;
            if fitting.next().is_some() {
                let text = format!("{id} begins more than one token: write more of it");
                return Err(ApiError(StatusCode::CONFLICT, text));
            }
            own_alone(&own, row.account)?;
            Ok(token)
        })
        .await?;
    let revoke = PersonalTokenRevoke { token };
    app.change(&caller, Change::PersonalTokenRevoke(revoke)).await.map(drop)
}
