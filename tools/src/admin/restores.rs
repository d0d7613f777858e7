//! Restores over the admin API: planned, begun, listed, shown.

use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use jiff::Zoned;
use jiff::tz::TimeZone;
use redoubt_log::dump::rfc3339;
use redoubt_log::id::{AccountId, EmailId, MailboxId, OperationId, Timestamp, Uid};
use redoubt_log::record::{
    AccountAdd, AccountDelete, Address, Change, Done, Principal, RestoreMode, RestoreOptions,
    RestoreStep, Restored,
};
use redoubt_store::account::{normal_domain, normal_local};
use redoubt_store::mailstore::{MailboxPath, RestoreError};
use redoubt_store::moment::{Moment, Then};
use redoubt_store::restore::{EmailWish, Line, PlanError, RewindWish, Summary, UndeleteWish, Wish};
use redoubt_store::rows::RestoreRow;
use redoubt_store::view::{Account, View};
use serde::Deserialize;

use super::restore_wire::{MomentTold, OutcomeLine, RestoreAsk, RestoreBody, RestorePlan};
use super::{ApiError, App, Caller};

/// Outcomes of one answer.
const PAGE: usize = 1000;

pub(super) fn routes(app: App) -> Router {
    Router::new()
        .route("/v1/restores", get(list).post(begin))
        .route("/v1/restores/plan", post(plan))
        .route("/v1/restores/{id}", get(show))
        .route("/v1/restores/{id}/outcomes", get(outcomes))
        .route("/v1/restores/{id}/resume", post(resume))
        .route("/v1/restores/{id}/cancel", post(cancel))
        .route("/v1/accounts/{account}/delete", post(account_delete))
        .with_state(app)
}

impl From<RestoreError> for ApiError {
    fn from(error: RestoreError) -> Self {
        match error {
            RestoreError::Write(error) => error.into(),
            RestoreError::Plan(PlanError::Store(error)) => error.into(),
            RestoreError::Plan(PlanError::Invalid(text)) => Self::bad(text),
            RestoreError::Plan(
                error @ (PlanError::NotDeleted(_)
                | PlanError::BelowFloor { .. }
                | PlanError::TooLarge),
            ) => Self(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
            RestoreError::Plan(error) => Self::not_found(error.to_string()),
        }
    }
}

/// What was asked, with names and moments resolved.
struct Resolved {
    wish: Asked,
    moments: Vec<MomentTold>,
}

/// A copy has no account to go to before it begins.
enum Asked {
    Wish(Wish),
    Copy { account: AccountId, at: Then, new: Address },
}

async fn resolve(app: &App, ask: RestoreAsk) -> Result<Resolved, ApiError> {
    let domain = app.default_domain.clone();
    app.read(move |view| Resolver { view, ask, domain: &domain, moments: Vec::new() }.all()).await
}

struct Resolver<'a> {
    view: &'a View,
    ask: RestoreAsk,
    domain: &'a str,
    moments: Vec<MomentTold>,
}

fn address(text: &str, domain: &str) -> Result<Address, ApiError> {
    let (local, domain) = text.rsplit_once('@').unwrap_or((text, domain));
    let read = || Some(Address { local: normal_local(local)?, domain: normal_domain(domain)? });
    read().ok_or_else(|| ApiError::bad(format!("{text:?} is not an address")))
}

impl Resolver<'_> {
    fn all(mut self) -> Result<Resolved, ApiError> {
        let wish = match self.ask.mode {
            RestoreMode::Email => Asked::Wish(Wish::Email(self.email()?)),
            RestoreMode::Undelete => Asked::Wish(Wish::Undelete(self.undelete()?)),
            RestoreMode::Rewind => Asked::Wish(Wish::Rewind(self.rewind()?)),
            RestoreMode::Account => Asked::Wish(self.deleted()?),
            RestoreMode::Copy => self.copy()?,
        };
        Ok(Resolved { wish, moments: self.moments })
    }

    fn account(&self, name: &str) -> Result<Account, ApiError> {
        let found = match name.parse() {
            Ok(id) => self.view.account(id)?,
            Err(_) => self.view.login(name, self.domain)?,
        };
        found.ok_or_else(|| {
            ApiError::not_found(format!(
                "there is no account {name}; one that is deleted comes back with \
                 `redoubt restore account`"
            ))
        })
    }

    /// One that is there, or that is deleted.
    fn any_account(&self, name: &str) -> Result<AccountId, ApiError> {
        match self.account(name) {
            Ok(account) => Ok(account.id),
            Err(_) => self.deleted_account(name),
        }
    }

    fn deleted_account(&self, name: &str) -> Result<AccountId, ApiError> {
        let wished = address(name, self.domain).ok();
        let id: Option<AccountId> = name.parse().ok();
        let all = self.view.deleted_accounts()?;
        let meant = |account: &&Account| {
            id == Some(account.id) || Some(&account.address) == wished.as_ref()
        };
        let found: Vec<&Account> = all.iter().filter(meant).collect();
        match found.as_slice() {
            [] => Err(ApiError::not_found(format!("there is no deleted account {name}"))),
            [one] => Ok(one.id),
            many => {
                let ids: Vec<String> = many.iter().map(|a| a.id.to_string()).collect();
                let ids = ids.join(", ");
                Err(ApiError::bad(format!("{name} was the address of accounts {ids}: name one")))
            }
        }
    }

    fn moment(
        &mut self,
        what: &str,
        account: AccountId,
        text: Option<String>,
    ) -> Result<Option<Then>, ApiError> {
        let Some(text) = text else { return Ok(None) };
        let now = Zoned::now().with_time_zone(TimeZone::UTC);
        let moment = Moment::parse(&text, &now).map_err(|e| ApiError::bad(e.to_string()))?;
        let (_, then) = moment
            .of(self.view, account, Timestamp::now())
            .map_err(|e| ApiError(StatusCode::UNPROCESSABLE_ENTITY, e.to_string()))?;
        let told =
            MomentTold { what: what.to_owned(), index: then.index.0, time: rfc3339(then.time) };
        self.moments.push(told);
        Ok(Some(then))
    }

    fn needed(
        &mut self,
        what: &str,
        account: AccountId,
        text: Option<String>,
    ) -> Result<Then, ApiError> {
        let then = self.moment(what, account, text)?;
        then.ok_or_else(|| ApiError::bad(format!("--{what} is missing: a time or an index")))
    }

    fn actor(&self, text: Option<String>) -> Result<Option<Principal>, ApiError> {
        let Some(text) = text else { return Ok(None) };
        let uid = text.strip_prefix("uid:").or_else(|| text.strip_prefix("uid "));
        Ok(Some(match (text.as_str(), uid) {
            ("mta", _) => Principal::Mta,
            ("system", _) => Principal::System,
            (_, Some(uid)) => Principal::LocalUser(
                uid.parse().map_err(|_| ApiError::bad(format!("{uid:?} is no uid")))?,
            ),
            (name, None) => Principal::Account(self.any_account(name)?),
        }))
    }

    fn email(&mut self) -> Result<EmailWish, ApiError> {
        let account = self.account(&self.ask.account.clone())?.id;
        let at = self.ask.at.clone();
        let at = self.moment("at", account, at)?.map(|then| then.index);
        let (mut emails, mut places) = (Vec::new(), Vec::new());
        let past = at.map_or_else(|| self.view.clone(), |at| self.view.at(at));
        for text in &self.ask.emails {
            match text.parse::<EmailId>() {
                Ok(id) => emails.push(id),
                Err(_) => places.push(place(&past, account, text)?),
            }
        }
        let to = self.ask.to.as_deref().map(|to| self.account(to)).transpose()?;
        Ok(EmailWish {
            account,
            emails,
            places,
            at,
            into: self.ask.into.as_deref().map(whole_name).transpose()?,
            to: to.map(|to| to.id),
            flags: self.ask.flags,
        })
    }

    fn undelete(&mut self) -> Result<UndeleteWish, ApiError> {
        let account = self.account(&self.ask.account.clone())?.id;
        let (since, until) = (self.ask.since.clone(), self.ask.until.clone());
        let since = self.needed("since", account, since)?.index;
        let until = self.needed("until", account, until.or_else(|| Some("now".into())))?.index;
        let by = self.actor(self.ask.by.clone())?;
        let mailbox = self.ask.mailbox.as_deref().map(whole_name).transpose()?;
        Ok(UndeleteWish { account, since, until, by, mailbox })
    }

    fn rewind(&mut self) -> Result<RewindWish, ApiError> {
        let account = self.account(&self.ask.account.clone())?.id;
        let by = self.actor(self.ask.by.clone())?;
        let (at, since, until) =
            (self.ask.at.clone(), self.ask.since.clone(), self.ask.until.clone());
        let (at, by) = match by {
            None => (self.needed("at", account, at)?.index, None),
            Some(by) => {
                let from = self.needed("from", account, since)?.index;
                let to = self.needed("to", account, until.or_else(|| Some("now".into())))?;
                (from, Some((by, to.index)))
            }
        };
        let emails =
            self.ask.emails.iter().map(|text| {
                text.parse::<EmailId>().map_err(|error| ApiError::bad(error.to_string()))
            });
        let emails = emails.collect::<Result<Vec<_>, _>>()?;
        Ok(RewindWish {
            account,
            at,
            mailbox: self.ask.mailbox.as_deref().map(whole_name).transpose()?,
            emails: self.ask.only_emails.then_some(emails),
            only_flags: self.ask.only_flags,
            exact: self.ask.exact,
            by,
        })
    }

    fn deleted(&mut self) -> Result<Wish, ApiError> {
        let name = self.ask.account.clone();
        let account = match self.deleted_account(&name) {
            Ok(account) => account,
            // Its own error says that it is not deleted.
            Err(error) => self.account(&name).map(|there| there.id).map_err(|_| error)?,
        };
        let new = self.ask.new.as_deref();
        let address = new.map(|new| address(new, self.domain)).transpose()?;
        Ok(Wish::Account { account, address })
    }

    fn copy(&mut self) -> Result<Asked, ApiError> {
        let account = self.any_account(&self.ask.account.clone())?;
        let at = self.ask.at.clone();
        let at = self.needed("at", account, at)?;
        let new = self.ask.new.as_deref().unwrap_or_default();
        let new = address(new, self.domain)?;
        if let Some(there) = self.view.login(&new.to_string(), self.domain)?
            && there.emails > 0
        {
            let text = format!("{new} exists already, and holds mail: name a new account");
            return Err(ApiError(StatusCode::CONFLICT, text));
        }
        if self.view.at(at.index).account(account)?.is_none() {
            return Err(ApiError::not_found(format!("the account was not there at {at}")));
        }
        Ok(Asked::Copy { account, at, new })
    }
}

fn whole_name(text: &str) -> Result<String, ApiError> {
    Ok(MailboxPath::parse(text)?.to_string())
}

/// `MAILBOX/UID`, with the name of then.
fn place(view: &View, account: AccountId, text: &str) -> Result<(MailboxId, Uid), ApiError> {
    let wrong = || {
        let expected = "an email id such as e1f-0, or MAILBOX/UID";
        ApiError::bad(format!("{text:?} is not {expected}"))
    };
    let (name, uid) = text.rsplit_once('/').ok_or_else(wrong)?;
    let uid = uid.parse().ok().and_then(Uid::new).ok_or_else(wrong)?;
    let found = view.mailbox_named(account, &whole_name(name)?)?;
    let none = || ApiError::not_found(format!("there is no mailbox {name}; --at says when it was"));
    Ok((found.ok_or_else(none)?.id, uid))
}

async fn plan(
    State(app): State<App>,
    Json(ask): Json<RestoreAsk>,
) -> Result<Json<RestorePlan>, ApiError> {
    let Resolved { wish, moments } = resolve(&app, ask).await?;
    let summary = match wish {
        Asked::Wish(wish) => app.mailstore.plan_restore(wish).await?.1,
        Asked::Copy { account, at, new } => {
            app.read(move |view| copied(&view.at(at.index), account, &new)).await?
        }
    };
    Ok(Json(RestorePlan { moments, summary }))
}

/// What a copy would hold.
fn copied(past: &View, account: AccountId, new: &Address) -> Result<Summary, ApiError> {
    let line = |what: &str, mailbox: String, count| Line { what: what.to_owned(), mailbox, count };
    let mut lines = vec![line("account", new.to_string(), 1)];
    for mailbox in past.mailboxes(account)?.into_iter().filter(|mailbox| mailbox.selectable) {
        lines.push(line("email", mailbox.name, u64::from(mailbox.messages)));
    }
    let emails = past.account(account)?.map_or(0, |account| account.emails);
    Ok(Summary { steps: emails, emails, lines })
}

async fn begin(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Json(ask): Json<RestoreAsk>,
) -> Result<Json<OperationId>, ApiError> {
    let options = RestoreOptions { over_quota: ask.over_quota, inbox_if_gone: ask.inbox_if_gone };
    let wish = match resolve(&app, ask).await?.wish {
        Asked::Wish(wish) => wish,
        Asked::Copy { account, at, new } => {
            let to = new_account(&app, &caller, account, new).await?;
            Wish::Copy { account, at: at.index, to }
        }
    };
    Ok(Json(app.mailstore.begin_restore(&caller.0, wish, options).await?))
}

/// The account that a copy goes to: made without a password, so that nobody logs in yet.
async fn new_account(
    app: &App,
    caller: &Caller,
    source: AccountId,
    address: Address,
) -> Result<AccountId, ApiError> {
    let name = address.to_string();
    let domain = app.default_domain.clone();
    let (there, settings) = app
        .read(move |view| {
            let settings = view.account(source)?.map(|account| account.settings);
            Ok((view.login(&name, &domain)?, settings.unwrap_or_default()))
        })
        .await?;
    if let Some(there) = there {
        return Ok(there.id);
    }
    let add = Change::AccountAdd(AccountAdd { address, settings, password: None });
    let outcome = app.mailstore.submit(&caller.0, OperationId::random(), add).await?;
    match outcome.result? {
        Done::Account(id) => Ok(id),
        other => Err(ApiError::bad(format!("unexpected answer of the store: {other:?}"))),
    }
}

async fn list(State(app): State<App>) -> Result<Json<Vec<RestoreBody>>, ApiError> {
    app.read(|view| {
        let all = view.restores()?.into_iter();
        all.map(|(id, row)| body(view, id, &row)).collect::<Result<_, _>>().map(Json)
    })
    .await
}

fn body(view: &View, id: OperationId, row: &RestoreRow) -> Result<RestoreBody, ApiError> {
    let name = |account: AccountId| -> Result<String, ApiError> {
        let found = view.account(account)?;
        Ok(found.map_or_else(|| account.to_string(), |account| account.address.to_string()))
    };
    Ok(RestoreBody {
        id,
        mode: row.mode,
        account: name(row.account)?,
        source: name(row.source)?,
        state: row.ended.map_or_else(
            || "running".to_owned(),
            |end| format!("{:?}", end.how).to_ascii_lowercase(),
        ),
        at: row.at,
        until: row.until,
        steps: row.steps,
        done: row.done,
        counts: row.counts,
        by: who(row),
        begun: rfc3339(row.begun),
        ended: row.ended.map(|end| rfc3339(end.time)),
        wish: None,
    })
}

fn who(row: &RestoreRow) -> String {
    match row.actor.principal {
        Principal::System => "system".to_owned(),
        Principal::Mta => "mta".to_owned(),
        Principal::Account(account) => format!("account {account}"),
        Principal::LocalUser(uid) => format!("uid {uid}"),
        Principal::Person(account) => format!("token of account {account}"),
    }
}

async fn row(app: &App, id: OperationId) -> Result<RestoreRow, ApiError> {
    app.read(move |view| {
        let none = || ApiError::not_found(format!("there is no restore {id}"));
        view.restore(id)?.ok_or_else(none)
    })
    .await
}

async fn show(
    State(app): State<App>,
    Path(id): Path<OperationId>,
) -> Result<Json<RestoreBody>, ApiError> {
    let found = row(&app, id).await?;
    let mailstore = app.mailstore.clone();
    app.read(move |view| {
        let wish = mailstore.restore_wish(&found)?;
        Ok(Json(RestoreBody { wish, ..body(view, id, &found)? }))
    })
    .await
}

/// From which step on.
#[derive(Debug, Deserialize)]
struct Place {
    #[serde(default)]
    from: u64,
}

async fn outcomes(
    State(app): State<App>,
    Path(id): Path<OperationId>,
    Query(Place { from }): Query<Place>,
) -> Result<Json<Vec<OutcomeLine>>, ApiError> {
    let found = row(&app, id).await?;
    let mailstore = app.mailstore.clone();
    app.read(move |view| {
        let outcomes = view.restore_outcomes(id, from)?;
        let steps = mailstore.restore_steps(&found, from, PAGE)?;
        // One that was done all at once has its steps in the log alone.
        let steps = steps.into_iter().map(Some).chain(std::iter::repeat(None));
        let lines = outcomes.into_iter().take(PAGE).zip(steps);
        Ok(Json(lines.map(|((place, outcome), step)| line(place, step, outcome)).collect()))
    })
    .await
}

fn line(place: u64, step: Option<RestoreStep>, outcome: Restored) -> OutcomeLine {
    let (what, of) = step.as_ref().map_or(("step", String::new()), told);
    let (outcome, arrival, why) = match outcome {
        Restored::Created(arrival) => ("created", arrival, None),
        Restored::Changed(arrival) => ("changed", arrival, None),
        Restored::Merged => ("merged", None, None),
        Restored::Skipped(why) => ("skipped", None, Some(why.to_string())),
        Restored::Failed(why) => ("failed", None, Some(why.to_string())),
    };
    OutcomeLine {
        step: place,
        what: what.to_owned(),
        of,
        outcome: outcome.to_owned(),
        why,
        mailbox: arrival.map(|arrival| arrival.mailbox.object_id()),
        uid: arrival.map(|arrival| arrival.uid.get()),
        email_id: arrival.map(|arrival| arrival.email.to_string()),
    }
}

fn told(step: &RestoreStep) -> (&'static str, String) {
    match step {
        RestoreStep::Account { address, .. } => ("account", address.to_string()),
        RestoreStep::Mailbox { name, .. } => ("mailbox", name.clone()),
        RestoreStep::Rename { name, .. } => ("rename", name.clone()),
        RestoreStep::Delete { mailbox } => ("delete", mailbox.object_id()),
        RestoreStep::Subscribe { name, .. } => ("subscribe", name.clone()),
        RestoreStep::Email(email) => ("email", email.email.to_string()),
        RestoreStep::Flags { email, .. } => ("flags", email.to_string()),
        RestoreStep::Move { email, .. } => ("move", email.to_string()),
        RestoreStep::Expunge { email, .. } => ("expunge", email.to_string()),
    }
}

async fn resume(
    State(app): State<App>,
    Path(id): Path<OperationId>,
) -> Result<Json<RestoreBody>, ApiError> {
    let found = row(&app, id).await?;
    app.mailstore.resume_restores();
    app.read(move |view| body(view, id, &found).map(Json)).await
}

async fn cancel(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(id): Path<OperationId>,
) -> Result<(), ApiError> {
    Ok(app.mailstore.cancel_restore(&caller.0, id).await?)
}

async fn account_delete(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(account): Path<String>,
) -> Result<(), ApiError> {
    let account = app.account(&account).await?.id;
    let delete = Change::AccountDelete(AccountDelete { account });
    let outcome = app.mailstore.submit(&caller.0, OperationId::random(), delete).await?;
    Ok(outcome.result.map(drop)?)
}
