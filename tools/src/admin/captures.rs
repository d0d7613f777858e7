//! Capture rules, and what was captured.

use axum::extract::{ConnectInfo, Path, State};
use axum::routing::{delete, get};
use axum::{Json, Router};
use redoubt_log::id::{AccountId, CaptureId};
use redoubt_log::record::{
    AccountState, CaptureRemove, CaptureRule, CaptureScope, CaptureSet, Change, Done,
};
use redoubt_store::rows::CapturedRow;
use redoubt_store::view::{CaptureRuleShown, View};

use super::classes::find_id;
use super::directory::domain_name;
use super::wire::{CaptureBody, CaptureLine, CaptureStatus, Captured, ScopeBody};
use super::{ApiError, App, Caller};

/// Accounts that are looked at together.
const PAGE: usize = 1000;

pub(super) fn routes(app: App) -> Router {
    Router::new()
        .route("/v1/captures", get(rules).post(add))
        .route("/v1/captures/{rule}", delete(remove))
        .route("/v1/captured", get(status))
        .with_state(app)
}

async fn rules(State(app): State<App>) -> Result<Json<Vec<CaptureLine>>, ApiError> {
    app.read(|view| {
        let lines = view.captures()?.into_iter().map(|rule| line(view, rule));
        lines.collect::<Result<_, ApiError>>().map(Json)
    })
    .await
}

fn line(
    view: &View,
    CaptureRuleShown { id, rule, set }: CaptureRuleShown,
) -> Result<CaptureLine, ApiError> {
    let CaptureRule { scope, direction, archive } = rule;
    let scope = match scope {
        CaptureScope::All => ScopeBody::All,
        CaptureScope::Domain(domain) => ScopeBody::Domain(domain),
        CaptureScope::Class(class) => {
            let name = view.class(class)?.map(|class| class.name);
            ScopeBody::Class(name.unwrap_or_else(|| class.to_string()))
        }
        CaptureScope::Account(account) => ScopeBody::Account(address(view, account)?),
        CaptureScope::Journal => ScopeBody::Journal,
    };
    let archive = address(view, archive)?;
    Ok(CaptureLine { id, set, rule: CaptureBody { scope, direction, archive } })
}

fn address(view: &View, account: AccountId) -> Result<String, ApiError> {
    let found = view.account(account)?;
    Ok(found.map_or_else(|| account.to_string(), |account| account.address.to_string()))
}

async fn add(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Json(CaptureBody { scope, direction, archive }): Json<CaptureBody>,
) -> Result<Json<CaptureId>, ApiError> {
    let scope = match scope {
        ScopeBody::All => CaptureScope::All,
        ScopeBody::Domain(name) => CaptureScope::Domain(domain_name(&name)?),
        ScopeBody::Class(name) => CaptureScope::Class(find_id(&app, &name).await?),
        ScopeBody::Account(name) => CaptureScope::Account(app.account(&name).await?.id),
        ScopeBody::Journal => CaptureScope::Journal,
    };
    let archive = app.account(&archive).await?.id;
    let rule = CaptureRule { scope, direction, archive };
    match app.change(&caller, Change::CaptureSet(CaptureSet { rule })).await?.result {
        Ok(Done::Capture(id)) => Ok(Json(id)),
        other => Err(ApiError::bad(format!("unexpected answer of the store: {other:?}"))),
    }
}

async fn remove(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(rule): Path<String>,
) -> Result<(), ApiError> {
    let rule = rule.parse().map_err(|_| {
        ApiError::not_found(format!("{rule:?} is no rule's number: `redoubt capture rule list`"))
    })?;
    let remove = CaptureRemove { rule };
    app.change(&caller, Change::CaptureRemove(remove)).await.map(drop)
}

async fn status(State(app): State<App>) -> Result<Json<CaptureStatus>, ApiError> {
    app.read(|view| {
        let domains = view.captured_by_domain()?.into_iter();
        let domains = domains.map(|(name, captured)| Captured { name, captured }).collect();
        let (mut accounts, mut archives, mut after) = (Vec::new(), Vec::new(), None);
        loop {
            let page = view.accounts(after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            for account in page {
                let captured = view.captured(account.id)?;
                let name = account.address.to_string();
                match account.settings.state {
                    AccountState::Archive => archives.push(Captured { name, captured }),
                    _ if captured != CapturedRow::default() => {
                        accounts.push(Captured { name, captured });
                    }
                    _ => {}
                }
            }
        }
        Ok(Json(CaptureStatus { domains, accounts, archives }))
    })
    .await
}
