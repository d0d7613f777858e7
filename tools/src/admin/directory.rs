//! Domains, accounts and aliases.

use axum::extract::{ConnectInfo, Path, Query, State};
use axum::routing::get;
use axum::{Json, Router};
use redoubt_log::id::{AccountId, OperationId};
use redoubt_log::record::{
    AccountAdd, AccountRename, AccountSet, AccountSettings, Address, AliasAdd, AliasRemove, Change,
    CredentialSet, DomainAdd, DomainRemove, DomainSet, Done, Outcome,
};
use redoubt_store::account::{normal_domain, normal_local};
use redoubt_store::view::{Account, Domain};
use serde::Deserialize;

use super::wire::{AccountLine, AccountPatch, AliasBody, DomainBody, NewAccount};
use super::{ApiError, App, Caller};

/// Accounts of one answer.
const PAGE: usize = 1000;

pub(super) fn routes(app: App) -> Router {
    Router::new()
        .route("/v1/domains", get(domains).post(domain_add))
        .route("/v1/domains/{name}", get(domain).put(domain_set).delete(domain_remove))
        .route("/v1/accounts", get(accounts).post(account_add))
        .route("/v1/accounts/{account}", get(account).patch(account_patch))
        .route("/v1/aliases", get(aliases).post(alias_add))
        .route("/v1/aliases/{alias}", get(alias).delete(alias_remove))
        .with_state(app)
}

impl App {
    async fn change(&self, caller: &Caller, change: Change) -> Result<Outcome, ApiError> {
        let outcome = self.mailstore.submit(&caller.0, OperationId::random(), change).await?;
        if let Err(rejection) = outcome.result {
            return Err(rejection.into());
        }
        Ok(outcome)
    }

    fn address(&self, text: &str) -> Result<Address, ApiError> {
        let (local, domain) = text.rsplit_once('@').unwrap_or((text, &self.default_domain));
        let local = normal_local(local).ok_or_else(|| {
            ApiError::bad(format!("{local:?} is not the local part of an address"))
        })?;
        Ok(Address { local, domain: domain_name(domain)? })
    }
}

fn domain_name(text: &str) -> Result<String, ApiError> {
    normal_domain(text).ok_or_else(|| ApiError::bad(format!("{text:?} is not a domain name")))
}

async fn domains(State(app): State<App>) -> Result<Json<Vec<Domain>>, ApiError> {
    app.read(|view| Ok(Json(view.domains()?))).await
}

async fn domain(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<Domain>, ApiError> {
    let name = domain_name(&name)?;
    app.read(move |view| {
        let found = view.domain(&name)?;
        found.map(Json).ok_or_else(|| ApiError::not_found(format!("there is no domain {name}")))
    })
    .await
}

async fn domain_add(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Json(body): Json<DomainBody>,
) -> Result<(), ApiError> {
    let domain = domain_name(&body.name)?;
    let add = DomainAdd { domain, settings: body.settings };
    app.change(&caller, Change::DomainAdd(add)).await.map(drop)
}

async fn domain_set(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(name): Path<String>,
    Json(body): Json<DomainBody>,
) -> Result<(), ApiError> {
    let set = DomainSet { domain: domain_name(&name)?, settings: body.settings };
    app.change(&caller, Change::DomainSet(set)).await.map(drop)
}

async fn domain_remove(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(name): Path<String>,
) -> Result<(), ApiError> {
    let remove = DomainRemove { domain: domain_name(&name)? };
    app.change(&caller, Change::DomainRemove(remove)).await.map(drop)
}

/// From which account on to list.
#[derive(Debug, Deserialize)]
struct After {
    after: Option<AccountId>,
}

async fn accounts(
    State(app): State<App>,
    Query(After { after }): Query<After>,
) -> Result<Json<Vec<AccountLine>>, ApiError> {
    app.read(move |view| Ok(Json(view.accounts(after, PAGE)?.into_iter().map(line).collect())))
        .await
}

fn line(account: Account) -> AccountLine {
    AccountLine {
        id: account.id,
        address: account.address.to_string(),
        display_name: account.settings.display_name,
        state: account.settings.state,
        emails: account.emails,
        used_bytes: account.used_bytes,
        quota: account.quota,
    }
}

async fn account(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<Account>, ApiError> {
    app.account(&name).await.map(Json)
}

async fn account_add(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Json(body): Json<NewAccount>,
) -> Result<Json<AccountId>, ApiError> {
    let add = AccountAdd {
        address: app.address(&body.address)?,
        settings: AccountSettings {
            display_name: body.display_name,
            quota: body.quota,
            ..AccountSettings::default()
        },
        password: match body.password {
            Some(password) => Some(app.mailstore.hash_password(password.as_bytes()).await?),
            None => None,
        },
    };
    match app.change(&caller, Change::AccountAdd(add)).await?.result {
        Ok(Done::Account(id)) => Ok(Json(id)),
        other => Err(ApiError::bad(format!("unexpected answer of the store: {other:?}"))),
    }
}

async fn account_patch(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(name): Path<String>,
    Json(patch): Json<AccountPatch>,
) -> Result<(), ApiError> {
    let now = app.account(&name).await?;
    for change in changes(&app, &now, patch).await? {
        app.change(&caller, change).await?;
    }
    Ok(())
}

/// Everything is checked before the first change is proposed.
async fn changes(app: &App, now: &Account, patch: AccountPatch) -> Result<Vec<Change>, ApiError> {
    let account = now.id;
    let mut changes = Vec::new();
    if let Some(address) = patch.address {
        let address = app.address(&address)?;
        changes.push(Change::AccountRename(AccountRename { account, address }));
    }
    if let Some(password) = patch.password {
        let phc = app.mailstore.hash_password(password.as_bytes()).await?;
        changes.push(Change::CredentialSet(CredentialSet {
            account,
            name: "password".into(),
            phc,
        }));
    }
    let settings = AccountSettings {
        display_name: patch.display_name.unwrap_or_else(|| now.settings.display_name.clone()),
        state: patch.state.unwrap_or(now.settings.state),
        quota: patch.quota.unwrap_or(now.settings.quota),
    };
    if settings != now.settings {
        changes.push(Change::AccountSet(AccountSet { account, settings }));
    }
    Ok(changes)
}

async fn aliases(State(app): State<App>) -> Result<Json<Vec<AliasBody>>, ApiError> {
    app.read(|view| {
        let aliases = view.aliases(None)?.into_iter().map(|(alias, account)| {
            let address = view.account(account)?.map(|account| account.address.to_string());
            let account = address.unwrap_or_else(|| account.to_string());
            Ok(AliasBody { alias: alias.to_string(), account })
        });
        aliases.collect::<Result<_, ApiError>>().map(Json)
    })
    .await
}

async fn alias(
    State(app): State<App>,
    Path(alias): Path<String>,
) -> Result<Json<AliasBody>, ApiError> {
    let address = app.address(&alias)?.to_string();
    let Json(all) = aliases(State(app)).await?;
    let found = all.into_iter().find(|known| known.alias == address);
    found.map(Json).ok_or_else(|| {
        ApiError::not_found(format!("there is no alias {address}; `redoubt alias list` shows all"))
    })
}

async fn alias_add(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Json(body): Json<AliasBody>,
) -> Result<(), ApiError> {
    let account = app.account(&body.account).await?.id;
    let add = AliasAdd { alias: app.address(&body.alias)?, account };
    app.change(&caller, Change::AliasAdd(add)).await.map(drop)
}

async fn alias_remove(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(alias): Path<String>,
) -> Result<(), ApiError> {
    let remove = AliasRemove { alias: app.address(&alias)? };
    app.change(&caller, Change::AliasRemove(remove)).await.map(drop)
}
