//! Domains, accounts and aliases.

use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Extension, Json, Router};
use redoubt_log::id::{AccountId, OperationId};
use redoubt_log::record::{
    AccountAdd, AccountRename, AccountSet, AccountSettings, AccountState, Address, AliasAdd,
    AliasRemove, Change, CredentialSet, DomainAdd, DomainRemove, DomainSet, Done, Outcome, Role,
};
use redoubt_store::account::{normal_domain, normal_local};
use redoubt_store::view::{Account, Domain};
use serde::Deserialize;

use super::matters::has_role;
use super::roles::Reach;
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
    pub(super) async fn change(
        &self,
        caller: &Caller,
        change: Change,
    ) -> Result<Outcome, ApiError> {
        let outcome = self.mailstore.submit(&caller.0, OperationId::random(), change).await?;
        if let Err(rejection) = outcome.result {
            return Err(rejection.into());
        }
        Ok(outcome)
    }

    pub(super) fn address(&self, text: &str) -> Result<Address, ApiError> {
        let (local, domain) = text.rsplit_once('@').unwrap_or((text, &self.default_domain));
        let local = normal_local(local).ok_or_else(|| {
            ApiError::bad(format!("{local:?} is not the local part of an address"))
        })?;
        Ok(Address { local, domain: domain_name(domain)? })
    }
}

pub(super) fn domain_name(text: &str) -> Result<String, ApiError> {
    normal_domain(text).ok_or_else(|| ApiError::bad(format!("{text:?} is not a domain name")))
}

async fn domains(
    State(app): State<App>,
    Extension(reach): Extension<Reach>,
) -> Result<Json<Vec<Domain>>, ApiError> {
    app.read(move |view| {
        let all = view.domains()?.into_iter();
        Ok(Json(all.filter(|domain| reach.has(&domain.name)).collect()))
    })
    .await
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
    Extension(reach): Extension<Reach>,
    Path(name): Path<String>,
    Json(body): Json<DomainBody>,
) -> Result<(), ApiError> {
    let (domain, catch_all) = (domain_name(&name)?, body.settings.catch_all);
    let of = domain.clone();
    app.read(move |view| {
        let now = view.domain(&of)?.and_then(|domain| domain.settings.catch_all);
        let news = catch_all.filter(|_| catch_all != now);
        reach.check_accounts(view, news.as_slice())
    })
    .await?;
    let set = DomainSet { domain, settings: body.settings };
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
    Extension(reach): Extension<Reach>,
    Query(After { after }): Query<After>,
) -> Result<Json<Vec<AccountLine>>, ApiError> {
    app.read(move |view| {
        let mut after = after;
        loop {
            let page = view.accounts(after, PAGE)?;
            let Some(last) = page.last().map(|last| last.id) else { return Ok(Json(Vec::new())) };
            let own: Vec<_> =
                page.into_iter().filter(|a| reach.has(&a.address.domain)).map(line).collect();
            // An empty page would be the end.
            if !own.is_empty() {
                return Ok(Json(own));
            }
            after = Some(last);
        }
    })
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
    Extension(reach): Extension<Reach>,
    Json(body): Json<NewAccount>,
) -> Result<Json<AccountId>, ApiError> {
    let address = app.address(&body.address)?;
    reach.check(&address.domain)?;
    let state = if body.archive { AccountState::Archive } else { AccountState::Active };
    if body.password.is_some() {
        may_open(&app, &caller, state).await?;
    }
    let add = AccountAdd {
        address,
        settings: AccountSettings { display_name: body.display_name, quota: body.quota, state },
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
    Extension(reach): Extension<Reach>,
    Path(name): Path<String>,
    Json(patch): Json<AccountPatch>,
) -> Result<(), ApiError> {
    let now = app.account(&name).await?;
    if let Some(address) = &patch.address {
        reach.check(&app.address(address)?.domain)?;
    }
    if patch.password.is_some() {
        may_open(&app, &caller, now.settings.state).await?;
    }
    for change in changes(&app, &now, patch).await? {
        app.change(&caller, change).await?;
    }
    Ok(())
}

/// Who logs in to an archive reads everybody's mail: that is not for who administers accounts.
async fn may_open(app: &App, caller: &Caller, state: AccountState) -> Result<(), ApiError> {
    if state != AccountState::Archive {
        return Ok(());
    }
    let asker = caller.clone();
    match app.read(move |view| has_role(view, &asker, Role::Compliance)).await? {
        true => Ok(()),
        false => Err(ApiError(
            StatusCode::FORBIDDEN,
            "an archive has everybody's mail: its password needs the role compliance".to_owned(),
        )),
    }
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

async fn aliases(
    State(app): State<App>,
    Extension(reach): Extension<Reach>,
) -> Result<Json<Vec<AliasBody>>, ApiError> {
    app.read(move |view| {
        let aliases = view.aliases(None)?.into_iter();
        let own = aliases.filter(|(alias, _)| reach.has(&alias.domain));
        let aliases = own.map(|(alias, account)| {
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
    let Json(all) = aliases(State(app), Extension(Reach::All)).await?;
    let found = all.into_iter().find(|known| known.alias == address);
    found.map(Json).ok_or_else(|| {
        ApiError::not_found(format!("there is no alias {address}; `redoubt alias list` shows all"))
    })
}

async fn alias_add(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Extension(reach): Extension<Reach>,
    Json(body): Json<AliasBody>,
) -> Result<(), ApiError> {
    let account = app.account(&body.account).await?;
    let alias = app.address(&body.alias)?;
    reach.check(&account.address.domain)?;
    reach.check(&alias.domain)?;
    let add = AliasAdd { alias, account: account.id };
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
