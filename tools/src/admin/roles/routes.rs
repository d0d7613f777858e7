//! Giving roles, and tokens.

use axum::extract::{ConnectInfo, Path, State};
use axum::http::StatusCode;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use redoubt_log::dump::{principal, rfc3339};
use redoubt_log::id::{AccountId, Hash, Timestamp};
use redoubt_log::record::{
    Actor, Change, PersonalTokenAdd, PersonalTokenRevoke, Principal, RoleGrant,
};
use redoubt_store::view::View;

use super::wire::{GrantBody, GrantLine, TokenLine, TokenMade, TokenWish};
use super::{PREFIX, hash, refused};
use crate::admin::directory::domain_name;
use crate::admin::{ApiError, App, Caller};

/// Seconds that a token is good for if nobody says otherwise: 90 days.
const DEFAULT_LIFE: u64 = 90 * 24 * 3600;
/// Seconds that it may be good for at most.
const LONGEST_LIFE: u64 = 366 * 24 * 3600;
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
                    by: principal(&row.by),
                    own: row.by == Principal::Person(row.account),
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
    let seconds = wish.seconds.unwrap_or(DEFAULT_LIFE);
    if seconds > LONGEST_LIFE {
        return Err(ApiError::bad("a token is good for 366 days at most: make another then"));
    }
    let caller = minter(&app, caller, account, wish.password).await?;
    let life = i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX);
    let expires = Some(Timestamp(Timestamp::now().0.saturating_add(life)));
    let secret = new_secret();
    let token = hash(&secret);
    let add = PersonalTokenAdd { token, account, name: wish.name, expires };
    app.change(&caller, Change::PersonalTokenAdd(add)).await?;
    Ok(Json(TokenMade { id: id_of(token), secret, expires: expires.map(rfc3339) }))
}

/// Who makes a token: its owner, who shows the password or a token of his own making, or the
/// server's own user. What somebody else made makes no others, or it would be as good as one's own.
async fn minter(
    app: &App,
    caller: Caller,
    account: AccountId,
    password: Option<String>,
) -> Result<Caller, ApiError> {
    if let Some(password) = password {
        let (from, domain) = (caller.0.from, app.default_domain.clone());
        let name = app.account(&account.to_string()).await?.address.to_string();
        let login = app.mailstore.authenticate(&name, password.as_bytes(), &domain, from).await;
        login.map_err(|error| ApiError(StatusCode::UNAUTHORIZED, error.to_string()))?;
        let itself = Principal::Person(account);
        return Ok(Caller(Actor { principal: itself, ..caller.0 }, Some(itself)));
    }
    match caller.0.principal {
        Principal::Person(_) if !caller.is_itself() => Err(refused(
            "this token was made by somebody else, and makes no others: make one of your own with \
             your password (--password-stdin)",
        )),
        _ => Ok(caller),
    }
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
