//! Retention policies, labels, and what they say of an email.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{ConnectInfo, Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use redoubt_log::id::{AccountId, ClassId, EmailId, PolicyId, Timestamp};
use redoubt_log::record::{
    Approves, Change, Done, Label, PolicyLock, PolicyRemove, PolicyScope, PolicySet,
    PolicySettings, PolicyWhose, RetentionEvent,
};
use redoubt_search::holds;
use redoubt_search::texts::Texts;
use redoubt_store::retention::{Facts, Policy};
use redoubt_store::view::{PolicyEffect, View};
use serde::{Deserialize, Serialize};

use super::approvals::{self, Decided};
use super::directory::domain_name;
use super::{ApiError, App, Caller};

/// Accounts that are looked at together.
const PAGE: usize = 1000;

/// A policy in a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyLine {
    /// The policy with its versions.
    #[serde(flatten)]
    pub policy: Policy,
    /// Emails that it took today (UTC).
    pub taken_today: u64,
    /// Emails that it ever took.
    pub taken: u64,
    /// The server's clock.
    pub now: Timestamp,
    /// What a second person has said of its versions, by their numbers.
    pub decided: BTreeMap<u32, Decided>,
}

/// What a policy says, with names where the record has ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyBody {
    /// What it says; whose mail it is over stands in `whose`.
    pub settings: PolicySettings,
    /// Whose mail.
    pub whose: Whose,
}

/// Whose mail, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Whose {
    /// As the settings say.
    AsBefore,
    /// Everybody's.
    All,
    /// That of a domain's accounts.
    Domain(String),
    /// That of a class, by name or id.
    Class(String),
    /// One account's, by address or id.
    Account(String),
}

/// What a supposed policy would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Supposed {
    /// The policy that it would be a new version of; none for a new one.
    pub policy: Option<String>,
    /// What it would say.
    pub body: PolicyBody,
}

/// A label that is put on emails, or taken off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelBody {
    /// The policy, by name or id.
    pub policy: String,
    /// Which emails.
    pub emails: Vec<EmailId>,
    /// Whether it is put on them.
    pub put: bool,
}

/// Something that happened to an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventBody {
    /// What.
    pub name: String,
    /// When.
    pub time: Timestamp,
}

pub(super) fn routes(app: App) -> Router {
    Router::new()
        .route("/v1/policies", get(list).post(add))
        .route("/v1/policies/simulate", post(simulate))
        .route("/v1/policies/{policy}", get(show).put(set).delete(remove))
        .route("/v1/policies/{policy}/effect", get(effect))
        .route("/v1/policies/{policy}/lock", post(lock))
        .route("/v1/accounts/{account}/labels", post(label))
        .route("/v1/accounts/{account}/events", post(event))
        .route("/v1/accounts/{account}/why/{email}", get(super::why::why))
        .with_state(app)
}

/// The policy with this name or id, one that has ended by its id alone.
pub(super) fn find(policies: &[Policy], name: &str) -> Result<Policy, ApiError> {
    let id: Option<PolicyId> = name.parse().ok();
    let named = |policy: &&Policy| {
        Some(policy.id) == id || policy.settings().is_some_and(|said| said.name == name)
    };
    policies.iter().find(named).cloned().ok_or_else(|| {
        ApiError::not_found(format!("there is no policy {name}; `redoubt policy list` shows all"))
    })
}

async fn find_id(app: &App, name: &str) -> Result<PolicyId, ApiError> {
    let name = name.to_owned();
    app.read(move |view| Ok(find(&view.policies()?, &name)?.id)).await
}

fn line(view: &View, policy: Policy, now: Timestamp) -> Result<PolicyLine, ApiError> {
    let taken = view.policy_taken(policy.id)?;
    let today = taken.day == now.0.div_euclid(24 * 3600 * 1000);
    let taken_today = if today { taken.emails } else { 0 };
    let mut decided = BTreeMap::new();
    for version in policy.versions.iter().filter(|version| version.review) {
        let of = Approves::Policy { policy: policy.id, version: version.number };
        decided.extend(approvals::decided(view, of)?.map(|said| (version.number, said)));
    }
    Ok(PolicyLine { policy, taken_today, taken: taken.all, now, decided })
}

async fn list(State(app): State<App>) -> Result<Json<Vec<PolicyLine>>, ApiError> {
    app.read(|view| {
        let now = Timestamp::now();
        let binding = view.policies()?.into_iter().filter(|policy| !policy.has_ended(now));
        Ok(Json(binding.map(|policy| line(view, policy, now)).collect::<Result<_, _>>()?))
    })
    .await
}

async fn show(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<PolicyLine>, ApiError> {
    app.read(move |view| Ok(Json(line(view, find(&view.policies()?, &name)?, Timestamp::now())?)))
        .await
}

/// The settings with ids where the body has names.
async fn settings(app: &App, body: PolicyBody) -> Result<PolicySettings, ApiError> {
    let whose = match body.whose {
        Whose::AsBefore => body.settings.scope.whose.clone(),
        Whose::All => PolicyWhose::All,
        Whose::Domain(name) => PolicyWhose::Domain(domain_name(&name)?),
        Whose::Class(name) => PolicyWhose::Class(class(app, name).await?),
        Whose::Account(name) => PolicyWhose::Account(app.account(&name).await?.id),
    };
    if let Some(query) = &body.settings.scope.query {
        // What is read now is read alike by whoever judges.
        holds::read(query, Timestamp::now()).map_err(|error| ApiError::bad(error.to_string()))?;
    }
    let scope = PolicyScope { whose, ..body.settings.scope };
    Ok(PolicySettings { scope, ..body.settings })
}

async fn class(app: &App, name: String) -> Result<ClassId, ApiError> {
    app.read(move |view| {
        let id: Option<ClassId> = name.parse().ok();
        let found = view.classes()?.into_iter().find(|it| Some(it.id) == id || it.name == name);
        found
            .map(|it| it.id)
            .ok_or_else(|| ApiError::not_found(format!("there is no class {name}")))
    })
    .await
}

async fn put(
    app: &App,
    caller: &Caller,
    policy: Option<PolicyId>,
    body: PolicyBody,
) -> Result<Json<PolicyId>, ApiError> {
    let settings = settings(app, body).await?;
    let set = Change::PolicySet(PolicySet { policy, settings });
    match app.change(caller, set).await?.result {
        Ok(Done::Policy(id, _)) => Ok(Json(id)),
        other => Err(ApiError::bad(format!("unexpected answer of the store: {other:?}"))),
    }
}

async fn add(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Json(body): Json<PolicyBody>,
) -> Result<Json<PolicyId>, ApiError> {
    put(&app, &caller, None, body).await
}

async fn set(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(name): Path<String>,
    Json(body): Json<PolicyBody>,
) -> Result<Json<PolicyId>, ApiError> {
    let policy = find_id(&app, &name).await?;
    put(&app, &caller, Some(policy), body).await
}

async fn remove(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(name): Path<String>,
) -> Result<(), ApiError> {
    let policy = find_id(&app, &name).await?;
    app.change(&caller, Change::PolicyRemove(PolicyRemove { policy })).await.map(drop)
}

async fn lock(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(name): Path<String>,
) -> Result<(), ApiError> {
    let policy = find_id(&app, &name).await?;
    app.change(&caller, Change::PolicyLock(PolicyLock { policy })).await.map(drop)
}

/// What it would do to all mail if its newest version acted now.
async fn effect(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<PolicyEffect>, ApiError> {
    app.read(move |view| {
        let policies = view.policies()?;
        let policy = find(&policies, &name)?.id;
        Ok(Json(effect_of(view, &policies, policy)?))
    })
    .await
}

async fn simulate(
    State(app): State<App>,
    Json(Supposed { policy, body }): Json<Supposed>,
) -> Result<Json<PolicyEffect>, ApiError> {
    let settings = settings(&app, body).await?;
    let (store, texts) = (app.mailstore.clone(), app.texts.clone());
    let texts = texts.map(|texts| Arc::new(texts) as Arc<dyn Texts>);
    let (waits, gone) = Waits::new();
    let effect = app.read(move |view| {
        let (mut policies, now) = (view.policies()?, Timestamp::now());
        let id = match policy {
            Some(name) => find(&policies, &name)?.id,
            None => view.next_policy()?,
        };
        policies.retain(|policy| policy.id != id);
        policies.push(Policy::supposed(id, settings.clone(), now));
        let query = settings.scope.query.as_deref();
        let asks = query.map(|text| holds::Supposed::new(text, now, view, &store, texts));
        let asks = asks.transpose().map_err(|error| ApiError::bad(error.to_string()))?;
        let mut effect = PolicyEffect::default();
        for account in everybody(view)? {
            let asks = asks.as_ref().filter(|_| view.is_under(&settings, account).unwrap_or(true));
            let know = |facts: &mut Facts| {
                if gone.load(Ordering::Relaxed) {
                    return Err(ApiError::bad("nobody waits for it any more"));
                }
                if let Some(asks) = asks {
                    let found = asks.finds(account, facts.email)?;
                    facts.asked.push((id, 1, found));
                }
                Ok(())
            };
            effect.add(&view.policy_effect(&policies, id, account, now, know)?);
        }
        Ok(Json(effect))
    });
    let effect = effect.await;
    drop(waits);
    effect
}

/// Whoever asked, as long as they wait for the answer.
struct Waits(Arc<AtomicBool>);

impl Waits {
    fn new() -> (Self, Arc<AtomicBool>) {
        let gone = Arc::new(AtomicBool::new(false));
        (Self(gone.clone()), gone)
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn effect_of(view: &View, policies: &[Policy], id: PolicyId) -> Result<PolicyEffect, ApiError> {
    let (mut effect, now) = (PolicyEffect::default(), Timestamp::now());
    for account in everybody(view)? {
        let known = |_: &mut Facts| Ok::<_, ApiError>(());
        effect.add(&view.policy_effect(policies, id, account, now, known)?);
    }
    Ok(effect)
}

fn everybody(view: &View) -> Result<Vec<AccountId>, ApiError> {
    let mut all: Vec<_> = view.deleted_accounts()?.into_iter().map(|it| it.id).collect();
    let mut after = None;
    loop {
        let page = view.accounts(after, PAGE)?;
        let Some(last) = page.last() else { return Ok(all) };
        after = Some(last.id);
        all.extend(page.into_iter().map(|account| account.id));
    }
}

async fn label(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(name): Path<String>,
    Json(LabelBody { policy, emails, put }): Json<LabelBody>,
) -> Result<(), ApiError> {
    let account = app.account(&name).await?.id;
    let policy = find_id(&app, &policy).await?;
    let label = Label { account, policy, emails };
    let change = if put { Change::Label(label) } else { Change::Unlabel(label) };
    app.change(&caller, change).await.map(drop)
}

async fn event(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(account): Path<String>,
    Json(EventBody { name, time }): Json<EventBody>,
) -> Result<(), ApiError> {
    let account = app.account(&account).await?.id;
    let event = RetentionEvent { account, name, time };
    app.change(&caller, Change::RetentionEvent(event)).await.map(drop)
}
