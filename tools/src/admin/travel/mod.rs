//! Time travel over the admin API: `ls`, `find`, `show`, `history` and `diff`.
//!
//! A listing's first page resolves its moment; the pages behind it name the index.

mod emails;
mod histories;
mod raw;
mod recorded;
pub mod wire;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use jiff::Zoned;
use jiff::tz::TimeZone;
use redoubt_log::id::{AccountId, LogIndex, MailboxId, Timestamp};
use redoubt_store::mailstore::MailboxPath;
use redoubt_store::moment::{Moment, MomentError, Then};
use redoubt_store::travel::Cursor;
use redoubt_store::view::{Mailbox, View};

use super::{ApiError, App};
pub(super) use emails::address;

/// Items of a page, if the caller does not say.
const PAGE: usize = 500;
/// The most items of a page.
const MAX_PAGE: usize = 5000;

pub(super) fn routes(app: App) -> Router {
    let at = |path: &str| format!("/v1/accounts/{{account}}/travel/{path}");
    Router::new()
        .route(&at("mailboxes"), get(emails::mailboxes))
        .route(&at("emails"), get(emails::emails))
        .route(&at("find"), get(emails::find))
        .route(&at("email"), get(emails::show))
        .route(&at("content"), get(raw::content))
        .route(&at("history"), get(histories::history))
        .route(&at("diff"), get(histories::diff))
        .route_layer(axum::middleware::from_fn_with_state(app.clone(), recorded::recorded))
        .with_state(app)
}

impl From<MomentError> for ApiError {
    fn from(error: MomentError) -> Self {
        let status = match error {
            MomentError::Store(error) => return error.into(),
            MomentError::BelowFloor { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            MomentError::Empty => StatusCode::NOT_FOUND,
            _ => StatusCode::BAD_REQUEST,
        };
        Self(status, error.to_string())
    }
}

/// A moment as a call names it; absent is now. Times without an offset are in UTC here: verbs
/// resolve the zone of their own machine.
fn moment(text: Option<&str>) -> Result<Moment, ApiError> {
    let now = Zoned::now().with_time_zone(TimeZone::UTC);
    Ok(Moment::parse(text.unwrap_or("now"), &now)?)
}

/// The view of an account at a moment.
fn view_at(view: &View, account: AccountId, at: Option<&str>) -> Result<(View, Then), ApiError> {
    Ok(moment(at)?.of(view, account, Timestamp::now())?)
}

/// An account of now; or one of then, which may be deleted or have another address now.
async fn account_of(
    app: &App,
    name: &str,
    moments: &[Option<&String>],
) -> Result<AccountId, ApiError> {
    let unknown = match app.account(name).await {
        Ok(account) => return Ok(account.id),
        Err(error) => error,
    };
    let moments: Vec<String> = moments.iter().flatten().map(|text| (*text).clone()).collect();
    let (name, domain) = (name.to_owned(), app.default_domain.clone());
    let found = app.read(move |view| {
        for text in &moments {
            let then = moment(Some(text))?.resolve(view, Timestamp::now())?;
            let view = view.at(then.index);
            let found = match name.parse() {
                Ok(id) => view.account(id)?,
                Err(_) => view.login(&name, &domain)?,
            };
            if let Some(found) = found {
                return Ok(Some(found.id));
            }
        }
        Ok(None)
    });
    found.await?.ok_or(unknown)
}

fn page_size(limit: Option<usize>) -> usize {
    limit.unwrap_or(PAGE).clamp(1, MAX_PAGE)
}

/// A mailbox of then, by its name.
fn mailbox_of(
    view: &View,
    account: AccountId,
    name: &str,
    then: &Then,
) -> Result<Mailbox, ApiError> {
    let found = view.mailbox_named(account, &normal(name))?;
    found.ok_or_else(|| {
        ApiError::not_found(format!("there is no mailbox {name} as of {then}; see `redoubt ls`"))
    })
}

/// A name as the store writes it, where it is one.
fn normal(name: &str) -> String {
    MailboxPath::parse(name).map_or_else(|_| name.to_owned(), |path| path.to_string())
}

/// `m3:77`: where a listing goes on.
fn cursor(text: Option<&str>) -> Result<Option<Cursor>, ApiError> {
    let Some(text) = text else { return Ok(None) };
    let read = || {
        let (mailbox, uid) = text.split_once(':')?;
        let mailbox = MailboxId::from_object_id(mailbox).ok()?;
        Some(Cursor { mailbox, uid: uid.parse().ok()? })
    };
    read().map(Some).ok_or_else(|| ApiError::bad(format!("{text:?} is not where a page ended")))
}

fn cursor_text(cursor: Cursor) -> String {
    format!("{}:{}", cursor.mailbox.object_id(), cursor.uid)
}

/// An index behind which a listing goes on.
fn index(text: Option<&str>) -> Result<Option<LogIndex>, ApiError> {
    let read = |text: &str| {
        text.parse().map_err(|_| ApiError::bad(format!("{text:?} is not where a page ended")))
    };
    text.map(read).transpose()
}

/// Who did something, as people know them.
fn who(view: &View, by: &redoubt_store::travel::By) -> Result<String, ApiError> {
    use redoubt_log::record::Principal;
    let name = |account: AccountId| -> Result<String, ApiError> {
        let found = view.account(account)?;
        Ok(found.map_or_else(|| format!("account {account}"), |a| a.address.to_string()))
    };
    let actor = &by.actor;
    let mut text = match actor.principal {
        Principal::System => "system".to_owned(),
        Principal::Mta => "mta".to_owned(),
        Principal::Account(account) => name(account)?,
        Principal::LocalUser(uid) => format!("uid {uid}"),
        Principal::Person(account) => format!("token of {}", name(account)?),
    };
    if let Some(account) = actor.on_behalf_of {
        text += &format!(" for {}", name(account)?);
    }
    if let Some(from) = actor.from {
        text += &format!(" from {from}");
    }
    Ok(text)
}
