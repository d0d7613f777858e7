//! Classes of service, and what holds for an account by them.

use axum::extract::{ConnectInfo, Path, State};
use axum::routing::{get, put};
use axum::{Json, Router};
use redoubt_log::id::ClassId;
use redoubt_log::record::{
    AccountClass, Change, ClassAdd, ClassRemove, ClassSet, DomainClass, Done, Limits,
};
use redoubt_store::classes::{Effective, Origin, Setting};
use redoubt_store::view::{Class, View};

use super::directory::domain_name;
use super::wire::{AccountClassPatch, ClassBody, ClassLine, DomainClassBody};
use super::{ApiError, App, Caller};

/// Accounts that are looked at together.
const PAGE: usize = 1000;

pub(super) fn routes(app: App) -> Router {
    Router::new()
        .route("/v1/classes", get(classes).post(class_add))
        .route("/v1/classes/{class}", get(class).put(class_set).delete(class_remove))
        .route("/v1/accounts/{account}/effective", get(effective))
        .route("/v1/accounts/{account}/class", put(account_class))
        .route("/v1/domains/{name}/class", get(domain_class).put(domain_class_set))
        .with_state(app)
}

/// The class with this name or id.
fn find(view: &View, name: &str) -> Result<Class, ApiError> {
    let id: Option<ClassId> = name.parse().ok();
    let fits = |class: &Class| Some(class.id) == id || class.name == name;
    let found = view.classes()?.into_iter().find(fits);
    found.ok_or_else(|| {
        ApiError::not_found(format!("there is no class {name}; `redoubt class list` shows all"))
    })
}

pub(super) async fn find_id(app: &App, name: &str) -> Result<ClassId, ApiError> {
    let name = name.to_owned();
    app.read(move |view| Ok(find(view, &name)?.id)).await
}

async fn classes(State(app): State<App>) -> Result<Json<Vec<ClassLine>>, ApiError> {
    app.read(|view| {
        let mut lines: Vec<ClassLine> = view.classes()?.into_iter().map(line).collect();
        count(view, &mut lines)?;
        Ok(Json(lines))
    })
    .await
}

async fn class(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<ClassLine>, ApiError> {
    app.read(move |view| {
        let mut lines = vec![line(find(view, &name)?)];
        count(view, &mut lines)?;
        lines.pop().map(Json).ok_or_else(|| ApiError::not_found("the class is gone"))
    })
    .await
}

fn line(Class { id, name, settings }: Class) -> ClassLine {
    ClassLine { id, name, settings, accounts: 0, domains: Vec::new() }
}

/// How many accounts have each by themselves, and which domains give it to theirs.
fn count(view: &View, lines: &mut [ClassLine]) -> Result<(), ApiError> {
    for domain in view.domains()? {
        let class = view.domain_class(&domain.name)?;
        if let Some(line) = lines.iter_mut().find(|line| Some(line.id) == class) {
            line.domains.push(domain.name);
        }
    }
    let mut after = None;
    loop {
        let page = view.accounts(after, PAGE)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.id);
        for account in page {
            let class = view.account_class(account.id)?.class;
            if let Some(line) = lines.iter_mut().find(|line| Some(line.id) == class) {
                line.accounts += 1;
            }
        }
    }
}

async fn class_add(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Json(ClassBody { name, settings }): Json<ClassBody>,
) -> Result<Json<ClassId>, ApiError> {
    let add = ClassAdd { name, settings };
    match app.change(&caller, Change::ClassAdd(add)).await?.result {
        Ok(Done::Class(id)) => Ok(Json(id)),
        other => Err(ApiError::bad(format!("unexpected answer of the store: {other:?}"))),
    }
}

async fn class_set(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(class): Path<String>,
    Json(ClassBody { name, settings }): Json<ClassBody>,
) -> Result<(), ApiError> {
    let class = find_id(&app, &class).await?;
    let set = ClassSet { class, name, settings };
    app.change(&caller, Change::ClassSet(set)).await.map(drop)
}

async fn class_remove(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(class): Path<String>,
) -> Result<(), ApiError> {
    let class = find_id(&app, &class).await?;
    app.change(&caller, Change::ClassRemove(ClassRemove { class })).await.map(drop)
}

async fn effective(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<Effective>, ApiError> {
    let account = app.account(&name).await?.id;
    let defaults = app.mailstore.defaults();
    app.read(move |view| {
        let found = view.effective(account)?;
        let mut found = found.ok_or_else(|| ApiError::not_found("the account is gone"))?;
        fill(&mut found.history, defaults.history);
        fill(&mut found.largest_message, Some(defaults.largest_message));
        fill(&mut found.mailboxes, Some(defaults.mailboxes));
        // For ever is no number: whoever says so wants none.
        found.history.value = found.history.value.filter(|seconds| *seconds != Limits::FOREVER);
        Ok(Json(found))
    })
    .await
}

fn fill<T>(setting: &mut Setting<T>, configured: Option<T>) {
    if setting.from == Origin::Configuration {
        setting.value = configured;
    }
}

async fn account_class(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(name): Path<String>,
    Json(patch): Json<AccountClassPatch>,
) -> Result<(), ApiError> {
    let account = app.account(&name).await?.id;
    let now = app.read(move |view| Ok(view.account_class(account)?)).await?;
    let class = match patch.class {
        None => now.class,
        Some(name) => class_named(&app, &name).await?,
    };
    let own = patch.limits.over(now.own);
    let set = AccountClass { account, class, own };
    app.change(&caller, Change::AccountClass(set)).await.map(drop)
}

async fn class_named(app: &App, name: &str) -> Result<Option<ClassId>, ApiError> {
    match name {
        "none" => Ok(None),
        name => find_id(app, name).await.map(Some),
    }
}

async fn domain_class(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<DomainClassBody>, ApiError> {
    let domain = domain_name(&name)?;
    app.read(move |view| {
        let class = view.domain_class(&domain)?.map(|id| view.class(id)).transpose()?.flatten();
        Ok(Json(DomainClassBody { class: class.map_or_else(|| "none".into(), |c| c.name) }))
    })
    .await
}

async fn domain_class_set(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(name): Path<String>,
    Json(body): Json<DomainClassBody>,
) -> Result<(), ApiError> {
    let class = class_named(&app, &body.class).await?;
    let set = DomainClass { domain: domain_name(&name)?, class };
    app.change(&caller, Change::DomainClass(set)).await.map(drop)
}
