//! Holds: set, shown, released, and kept after all. A second person ends one early:
//! `approvals.rs`.

use axum::extract::{ConnectInfo, Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use redoubt_log::dump::{principal, rfc3339};
use redoubt_log::id::{AccountId, HoldId, Timestamp};
use redoubt_log::record::{
    Change, Done, HoldMove, HoldOver, HoldQuery, HoldRelease, HoldScope, HoldSet, HoldStays, Reach,
};
use redoubt_search::holds;
use redoubt_store::view::{Hold, View};

use super::directory::domain_name;
use super::holds_wire::{
    HoldLine, HoldMade, HoldShown, HoldState, HoldWish, MoveWish, ReleaseWish,
};
use super::{ApiError, App, Caller, matters};

/// Addresses that a listing writes out.
const NAMED: usize = 5;

pub(super) fn routes(app: App) -> Router {
    Router::new()
        .route("/v1/holds", get(list).post(set))
        .route("/v1/holds/{hold}", get(show))
        .route("/v1/holds/{hold}/release", post(release))
        .route("/v1/holds/{hold}/cancel", post(cancel))
        .route("/v1/holds/{hold}/move", post(move_to))
        .with_state(app)
}

async fn list(State(app): State<App>) -> Result<Json<Vec<HoldLine>>, ApiError> {
    app.read(|view| {
        let lines = view.holds()?.into_iter().map(|hold| line(view, &hold));
        lines.collect::<Result<_, _>>().map(Json)
    })
    .await
}

async fn show(
    State(app): State<App>,
    Path(hold): Path<HoldId>,
) -> Result<Json<HoldShown>, ApiError> {
    app.read(move |view| {
        let none = || ApiError::not_found(format!("there is no hold {hold}"));
        let hold = view.hold(hold)?.ok_or_else(none)?;
        let line = line(view, &hold)?;
        let counts = view.hold_counts(&hold)?;
        let queried = hold.terms.scope.query().is_some();
        let of_query = |count: u64| queried.then_some(count);
        Ok(Json(HoldShown {
            line,
            accounts: counts.accounts,
            held: of_query(counts.held),
            unread: of_query(counts.unread),
            unjudged: of_query(counts.unjudged),
        }))
    })
    .await
}

pub(super) fn line(view: &View, hold: &Hold) -> Result<HoldLine, ApiError> {
    let Hold { id, terms, set, at, releasing } = hold.clone();
    let over = match terms.scope.reach() {
        Reach::All => "all accounts".to_owned(),
        Reach::Domain(domain) => format!("domain {domain}"),
        Reach::Accounts(accounts) => addresses(view, accounts)?,
    };
    let state = match releasing {
        None => HoldState::Held,
        Some(releasing) if releasing.ending => HoldState::Ending,
        Some(_) => HoldState::Releasing,
    };
    Ok(HoldLine {
        hold: id.0,
        over,
        query: terms.scope.query().map(|query| query.text.clone()),
        name: terms.name,
        reason: terms.reason,
        matter: terms.matter,
        state,
        set: rfc3339(set),
        index: at.0,
        delay: terms.delay,
        until: releasing.map(|releasing| rfc3339(releasing.until)),
        released_by: releasing.map(|releasing| principal(&releasing.by)),
    })
}

fn addresses(view: &View, accounts: &[AccountId]) -> Result<String, ApiError> {
    let mut names = Vec::new();
    for account in accounts.iter().take(NAMED) {
        names.push(match view.account(*account)? {
            Some(account) => account.address.to_string(),
            None => format!("account {account} (deleted)"),
        });
    }
    if let Some(more) = accounts.len().checked_sub(NAMED).filter(|more| *more > 0) {
        names.push(format!("{more} more"));
    }
    Ok(names.join(", "))
}

async fn set(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Json(wish): Json<HoldWish>,
) -> Result<Json<HoldMade>, ApiError> {
    let scope = scope(&app, &wish).await?;
    let HoldWish { name, reason, matter, delay, .. } = wish;
    let matter = match matter {
        Some(name) => Some(app.read(move |view| matters::called(view, &name)).await?),
        None => None,
    };
    let set = HoldSet { scope, name, reason, matter, delay: delay.unwrap_or(app.hold_delay) };
    match app.change(&caller, Change::HoldSet(set)).await?.result {
        Ok(Done::Hold(hold)) => Ok(Json(HoldMade { hold: hold.0 })),
        other => Err(ApiError::bad(format!("unexpected answer of the store: {other:?}"))),
    }
}

async fn scope(app: &App, wish: &HoldWish) -> Result<HoldScope, ApiError> {
    let over = over(app, wish).await?;
    if let Some(text) = &wish.query {
        holds::read(text, Timestamp::now()).map_err(|error| ApiError::bad(error.to_string()))?;
        return Ok(HoldScope::Query(HoldQuery { over, text: text.clone() }));
    }
    match over {
        HoldOver::Domain(domain) => Ok(HoldScope::Domain(domain)),
        HoldOver::Accounts(accounts) => match accounts.as_slice() {
            [account] => Ok(HoldScope::Account(*account)),
            _ => Err(ApiError::bad("without a query a hold is over one account, or a domain")),
        },
        HoldOver::All => Err(ApiError::bad(
            "a hold over all accounts has a query; without one it is over an account or a domain",
        )),
    }
}

/// Exactly one of the three ways to say whose mail.
async fn over(app: &App, wish: &HoldWish) -> Result<HoldOver, ApiError> {
    match (wish.accounts.is_empty(), &wish.domain, wish.all) {
        (false, None, false) => {
            let mut accounts = Vec::new();
            for name in &wish.accounts {
                accounts.push(app.account(name).await?.id);
            }
            accounts.sort_unstable();
            accounts.dedup();
            Ok(HoldOver::Accounts(accounts))
        }
        (true, Some(domain), false) => Ok(HoldOver::Domain(domain_name(domain)?)),
        (true, None, true) => Ok(HoldOver::All),
        _ => Err(ApiError::bad("a hold is over accounts, or a domain, or all: name one of them")),
    }
}

async fn release(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(hold): Path<HoldId>,
    Json(wish): Json<ReleaseWish>,
) -> Result<(), ApiError> {
    let release = HoldRelease { hold, delay: wish.delay.unwrap_or(0) };
    app.change(&caller, Change::HoldRelease(release)).await.map(drop)
}

async fn move_to(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(hold): Path<HoldId>,
    Json(MoveWish { matter }): Json<MoveWish>,
) -> Result<(), ApiError> {
    let matter = app.read(move |view| matters::called(view, &matter)).await?;
    app.change(&caller, Change::HoldMove(HoldMove { hold, matter })).await.map(drop)
}

async fn cancel(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(hold): Path<HoldId>,
) -> Result<(), ApiError> {
    app.change(&caller, Change::HoldStays(HoldStays { hold })).await.map(drop)
}
