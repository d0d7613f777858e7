//! Histories and differences.

use axum::Json;
use axum::extract::{Path, Query, State};
use redoubt_log::id::{AccountId, EmailId, LogIndex, MailboxId, Timestamp};
use redoubt_store::moment::{Then, reaches};
use redoubt_store::travel::{self, By, Change, Event, Names, Scope};
use redoubt_store::view::View;
use serde::Deserialize;

use super::emails::placed;
use super::wire::{DiffPage, HistoryPage, Told};
use super::{account_of, cursor, cursor_text, index, mailbox_of, moment, page_size, view_at, who};
use crate::admin::{ApiError, App};

/// Whose history, from when to when.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    what: Option<String>,
    from: Option<String>,
    to: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

/// What a history is of.
enum Subject {
    Account,
    Mailbox(MailboxId),
    Email(EmailId),
}

pub(super) async fn history(
    State(app): State<App>,
    Path(account): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Json<HistoryPage>, ApiError> {
    let account = account_of(&app, &account, &[asked.to.as_ref(), asked.from.as_ref()]).await?;
    app.read(move |now| Ok(Json(page(now, account, &asked)?))).await
}

fn page(now: &View, account: AccountId, asked: &Asked) -> Result<HistoryPage, ApiError> {
    let (view, to) = view_at(now, account, asked.to.as_deref())?;
    let from = begin(now, account, asked.from.as_deref())?;
    let names = Names::read(&view, account)?;
    let first = index(asked.after.as_deref())?.map_or(from.index, |after| LogIndex(after.0 + 1));
    let mut page = HistoryPage {
        moments: vec![from.into(), to.into()],
        email_id: None,
        events: Vec::new(),
        changes: Vec::new(),
        next: None,
    };
    let only = match subject(&view, account, &names, asked.what.as_deref())? {
        Subject::Email(email) => {
            let life = travel::life(&view, account, email, &names)?;
            let known = !life.is_empty();
            let life = life.into_iter().filter(|event| event.by.index >= first);
            page.events = life.map(|event| told_event(now, event)).collect::<Result<_, _>>()?;
            page.email_id = Some(email.to_string());
            return match known {
                true => Ok(page),
                false => Err(ApiError::not_found(format!("the account never had {email}"))),
            };
        }
        Subject::Mailbox(mailbox) => Some(mailbox),
        Subject::Account => None,
    };
    let limit = page_size(asked.limit);
    let found = travel::changes(&view, account, only, first, to.index, limit)?;
    page.next = found.next.map(|next| next.to_string());
    let told = found.changes.into_iter().map(|change| told_change(now, change));
    page.changes = told.collect::<Result<_, _>>()?;
    Ok(page)
}

/// From when on; without a word from the beginning of what is known.
fn begin(now: &View, account: AccountId, from: Option<&str>) -> Result<Then, ApiError> {
    if let Some(from) = from {
        return Ok(moment(Some(from))?.resolve(now, Timestamp::now())?);
    }
    let first = now.first_record()?.ok_or(redoubt_store::moment::MomentError::Empty)?;
    let floor = redoubt_store::moment::floor(now, account)?;
    let time = now.time_at(floor)?.unwrap_or(first.time);
    Ok(if floor > first.index { Then { index: floor, time } } else { first })
}

fn subject(
    view: &View,
    account: AccountId,
    names: &Names,
    what: Option<&str>,
) -> Result<Subject, ApiError> {
    let Some(what) = what else { return Ok(Subject::Account) };
    let name = super::normal(what);
    if let Some(mailbox) = view.mailbox_named(account, &name)? {
        return Ok(Subject::Mailbox(mailbox.id));
    }
    if let Ok(email) = what.parse() {
        return Ok(Subject::Email(email));
    }
    if let Some(mailbox) = names.ever_called(&name).first() {
        return Ok(Subject::Mailbox(*mailbox));
    }
    let unknown = |_| {
        ApiError::not_found(format!(
            "the account never had a mailbox {what}, and it is no email such as e1f-0 or INBOX/7"
        ))
    };
    let (name, uid) = placed(what).map_err(unknown)?;
    for mailbox in names.ever_called(&super::normal(name)) {
        if let Some(email) = travel::email_at(view, account, mailbox, uid)? {
            return Ok(Subject::Email(email));
        }
    }
    Err(ApiError::not_found(format!("no mailbox that was called {name} ever had a UID {uid}")))
}

fn told_event(now: &View, item: Event) -> Result<Told<Event>, ApiError> {
    let (who, record) = by(now, &item.by)?;
    Ok(Told { who, record, item })
}

fn told_change(now: &View, item: Change) -> Result<Told<Change>, ApiError> {
    let (who, record) = by(now, &item.by)?;
    Ok(Told { who, record, item })
}

fn by(now: &View, by: &By) -> Result<(String, String), ApiError> {
    Ok((who(now, by)?, by.word().to_owned()))
}

// ----------------------------------------------------------------------- diff

/// Two moments.
#[derive(Debug, Deserialize)]
pub(super) struct Compared {
    mailbox: Option<String>,
    from: String,
    to: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

pub(super) async fn diff(
    State(app): State<App>,
    Path(account): Path<String>,
    Query(asked): Query<Compared>,
) -> Result<Json<DiffPage>, ApiError> {
    let account = account_of(&app, &account, &[Some(&asked.from), asked.to.as_ref()]).await?;
    app.read(move |now| Ok(Json(differences(now, account, &asked)?))).await
}

fn differences(now: &View, account: AccountId, asked: &Compared) -> Result<DiffPage, ApiError> {
    let (old, from) = view_at(now, account, Some(&asked.from))?;
    let (new, to) = view_at(now, account, asked.to.as_deref())?;
    if from.index > to.index {
        return Err(ApiError::bad(format!("{from} is after {to}: name the earlier moment first")));
    }
    reaches(now, account, from.index)?;
    let scope = match &asked.mailbox {
        Some(name) => Scope::Mailbox(either(&old, &new, account, name, &to)?),
        None => Scope::Account,
    };
    let after = cursor(asked.after.as_deref())?;
    let mut items = match after {
        Some(_) => Vec::new(),
        None => travel::mailbox_differences(&old, &new, account, scope)?,
    };
    let (emails, next) = travel::diff(&old, &new, account, scope, after, page_size(asked.limit))?;
    items.extend(emails);
    Ok(DiffPage { moments: vec![from.into(), to.into()], items, next: next.map(cursor_text) })
}

/// A mailbox by the name that it has at the later moment, or had at the earlier one.
fn either(
    old: &View,
    new: &View,
    account: AccountId,
    name: &str,
    to: &Then,
) -> Result<MailboxId, ApiError> {
    match old.mailbox_named(account, &super::normal(name))? {
        Some(then) if new.mailbox_named(account, &super::normal(name))?.is_none() => Ok(then.id),
        _ => Ok(mailbox_of(new, account, name, to)?.id),
    }
}
