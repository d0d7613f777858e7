//! Mailboxes and emails of a moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use redoubt_log::dump::rfc3339;
use redoubt_log::id::{AccountId, EmailId, MailboxId, Uid};
use redoubt_search::facts::FactsError;
use redoubt_search::find::{Finder, among};
use redoubt_search::query::{self, Context};
use redoubt_search::texts::{NoTexts, Texts};
use redoubt_store::mailstore::{Mailstore, StoreError};
use redoubt_store::mime::{EnvelopeAddress, Parsed, decode_words};
use redoubt_store::moment::Then;
use redoubt_store::travel::{Hit, Names, Search, Which, flag_names};
use redoubt_store::view::{Mailbox, Placement, View};
use serde::Deserialize;

use super::wire::{EmailLine, FoundLine, MailboxLine, Page, Shown, Told};
use super::{account_of, cursor, cursor_text, mailbox_of, page_size, view_at, who};
use crate::admin::{ApiError, App};

/// When, and which part of a listing.
#[derive(Debug, Deserialize)]
pub(super) struct Listing {
    at: Option<String>,
    mailbox: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

pub(super) async fn mailboxes(
    State(app): State<App>,
    Path(account): Path<String>,
    Query(asked): Query<Listing>,
) -> Result<Json<Page<MailboxLine>>, ApiError> {
    let account = account_of(&app, &account, &[asked.at.as_ref()]).await?;
    app.read(move |view| {
        let (view, then) = view_at(view, account, asked.at.as_deref())?;
        let items = view.mailboxes(account)?.into_iter().map(mailbox_line).collect();
        Ok(Json(Page { moments: vec![then.into()], items, next: None }))
    })
    .await
}

fn mailbox_line(mailbox: Mailbox) -> MailboxLine {
    MailboxLine {
        mailbox_id: mailbox.id.object_id(),
        mailbox: mailbox.name,
        special_use: mailbox.special_use,
        selectable: mailbox.selectable,
        messages: mailbox.messages,
        unseen: mailbox.unseen,
        deleted: mailbox.deleted,
        size: mailbox.size,
        uid_validity: mailbox.uid_validity.get(),
        uid_next: mailbox.uid_next,
        highest_modseq: mailbox.highest_modseq.0,
    }
}

pub(super) async fn emails(
    State(app): State<App>,
    Path(account): Path<String>,
    Query(asked): Query<Listing>,
) -> Result<Json<Page<EmailLine>>, ApiError> {
    let account = account_of(&app, &account, &[asked.at.as_ref()]).await?;
    let store = app.mailstore.clone();
    app.read(move |view| {
        let (view, then) = view_at(view, account, asked.at.as_deref())?;
        let mailbox =
            mailbox_of(&view, account, asked.mailbox.as_deref().unwrap_or("INBOX"), &then)?;
        let limit = page_size(asked.limit);
        let found = match cursor(asked.after.as_deref())? {
            Some(after) => match after.uid.checked_add(1).and_then(Uid::new) {
                Some(first) => page(&view, account, mailbox.id, first, limit)?,
                None => Vec::new(),
            },
            None => page(&view, account, mailbox.id, Uid::MIN, limit)?,
        };
        let last = found.last().filter(|_| found.len() == limit);
        let next = last.map(|last| format!("{}:{}", mailbox.id.object_id(), last.uid));
        let line = |placement: &Placement| email_line(&store, &mailbox.name, placement);
        let items = found.iter().map(line).collect();
        Ok(Json(Page { moments: vec![then.into()], items, next }))
    })
    .await
}

fn page(
    view: &View,
    account: AccountId,
    mailbox: MailboxId,
    first: Uid,
    limit: usize,
) -> Result<Vec<Placement>, StoreError> {
    view.placements(account, mailbox, account, first, Uid::MAX, limit)
}

/// What a listing says of an email; of one that cannot be read all but its header.
fn email_line(store: &Mailstore, mailbox: &str, placement: &Placement) -> EmailLine {
    let parsed = store.parsed(&placement.blob);
    let unreadable = |error: &StoreError| format!("({error})");
    let (subject, from) = match &parsed {
        Ok(parsed) => (subject(parsed), parsed.envelope.from.first().map(address)),
        Err(error) => (unreadable(error), None),
    };
    EmailLine {
        email_id: placement.email.to_string(),
        thread_id: placement.thread.to_string(),
        mailbox: mailbox.to_owned(),
        uid: placement.uid.get(),
        modseq: placement.modseq.0,
        flags: flag_names(placement.flags, &placement.keywords),
        size: placement.size,
        received: rfc3339(placement.received),
        saved: rfc3339(placement.saved),
        subject,
        from: from.unwrap_or_default(),
        blob: placement.blob.to_string(),
    }
}

fn subject(parsed: &Parsed) -> String {
    decode_words(parsed.envelope.subject.as_deref().unwrap_or_default())
}

/// An address as people read it.
pub(crate) fn address(address: &EnvelopeAddress) -> String {
    let text = |part: &Option<Vec<u8>>| {
        part.as_deref().map(|octets| String::from_utf8_lossy(octets).into_owned())
    };
    let mailbox = text(&address.mailbox).unwrap_or_default();
    let plain = match text(&address.host) {
        Some(host) => format!("{mailbox}@{host}"),
        None => mailbox,
    };
    match address.name.as_deref().map(decode_words).filter(|name| !name.is_empty()) {
        Some(name) => format!("{name} <{plain}>"),
        None => plain,
    }
}

// ----------------------------------------------------------------------- find

/// What is looked for.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    query: String,
    /// Of days and times in the query; UTC, if it is not named.
    zone: Option<String>,
    which: Which,
    at: Option<String>,
    mailbox: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

pub(super) async fn find(
    State(app): State<App>,
    Path(account): Path<String>,
    Query(asked): Query<Wanted>,
) -> Result<Json<Page<FoundLine>>, ApiError> {
    let query = asked.query()?;
    let at = asked.at.clone().or_else(|| query.as_of().map(|at| at.to_string()));
    let account = account_of(&app, &account, &[at.as_ref()]).await?;
    let (store, index, texts) = (app.mailstore.clone(), app.index.clone(), app.texts.clone());
    app.read(move |now| {
        let texts: &dyn Texts = texts.as_ref().map_or(&NoTexts, |texts| texts);
        let (view, then) = view_at(now, account, at.as_deref())?;
        let mailboxes = match &asked.mailbox {
            Some(name) => wanted(&view, account, name, asked.which, &then)?,
            None => Vec::new(),
        };
        let among = among(index.as_ref(), &query, account)?;
        let (which, among) = (asked.which, among.as_deref());
        let search = Search { view: &view, account, mailboxes: &mailboxes, which, among };
        let after = cursor(asked.after.as_deref())?;
        let mut finder = Finder::new(&query, &view, account, &store, texts);
        let found = search.piece(&mut finder, after, page_size(asked.limit))?;
        let items = found.hits.iter().map(|hit| found_line(&store, now, hit));
        let items = items.collect::<Result<_, _>>()?;
        Ok(Json(Page { moments: vec![then.into()], items, next: found.next.map(cursor_text) }))
    })
    .await
}

impl Wanted {
    fn query(&self) -> Result<query::Query, ApiError> {
        let mut context = Context::utc();
        if let Some(zone) = &self.zone {
            let wrong = || ApiError::bad(format!("there is no time zone {zone:?} on this server"));
            context.zone = query::zone_named(zone).ok_or_else(wrong)?;
        }
        query::Query::parse(&self.query, &context).map_err(|error| ApiError::bad(error.to_string()))
    }
}

impl From<FactsError> for ApiError {
    fn from(error: FactsError) -> Self {
        match error {
            FactsError::Store(error) => error.into(),
            FactsError::NoAccount(_) => Self::not_found(error.to_string()),
            FactsError::Envelope(_) | FactsError::Texts(_) => {
                StoreError::Stopped(error.to_string()).into()
            }
        }
    }
}

/// A mailbox of then; where expunged emails are looked for, every one that ever had the name.
fn wanted(
    view: &View,
    account: AccountId,
    name: &str,
    which: Which,
    then: &Then,
) -> Result<Vec<MailboxId>, ApiError> {
    if which != Which::There {
        let ever = Names::read(view, account)?.ever_called(&super::normal(name));
        if !ever.is_empty() {
            return Ok(ever);
        }
    }
    Ok(vec![mailbox_of(view, account, name, then)?.id])
}

fn found_line(store: &Mailstore, now: &View, hit: &Hit) -> Result<FoundLine, ApiError> {
    let email = email_line(store, &hit.place.name, &hit.placement);
    let told = hit.gone.clone().map(|gone| {
        let (who, record) = (who(now, &gone.by)?, gone.by.word().to_owned());
        Ok::<_, ApiError>(Told { who, record, item: gone })
    });
    Ok(FoundLine { email, expunged: told.transpose()? })
}

// ----------------------------------------------------------------------- show

/// Which email: an EMAILID, or MAILBOX/UID.
#[derive(Debug, Deserialize)]
pub(super) struct One {
    pub(super) what: String,
    pub(super) at: Option<String>,
}

/// An email of a moment.
pub(super) struct Standing {
    pub(super) then: Then,
    mailbox: String,
    pub(super) placement: Placement,
    places: Vec<String>,
}

pub(super) async fn show(
    State(app): State<App>,
    Path(account): Path<String>,
    Query(asked): Query<One>,
) -> Result<Json<Shown>, ApiError> {
    let account = account_of(&app, &account, &[asked.at.as_ref()]).await?;
    let store = app.mailstore.clone();
    app.read(move |view| {
        let found = standing(view, account, &asked)?;
        let parsed: Arc<Parsed> = store.parsed(&found.placement.blob)?;
        let text = |octets: &Option<Vec<u8>>| decode_words(octets.as_deref().unwrap_or_default());
        let envelope = &parsed.envelope;
        Ok(Json(Shown {
            as_of: found.then.into(),
            email: email_line(&store, &found.mailbox, &found.placement),
            places: found.places,
            date: text(&envelope.date),
            to: envelope.to.iter().map(address).collect(),
            cc: envelope.cc.iter().map(address).collect(),
            message_id: text(&envelope.message_id),
            preview: parsed.preview.clone(),
        }))
    })
    .await
}

/// Finds an email as it stood.
pub(super) fn standing(view: &View, account: AccountId, asked: &One) -> Result<Standing, ApiError> {
    let (view, then) = view_at(view, account, asked.at.as_deref())?;
    let (mailbox, uid) = match asked.what.parse::<EmailId>() {
        Ok(email) => {
            let places = view.placements_of(account, email)?;
            places.first().copied().ok_or_else(|| not_there(&asked.what, &then))?
        }
        Err(_) => {
            let (name, uid) = placed(&asked.what)?;
            (mailbox_of(&view, account, name, &then)?.id, uid)
        }
    };
    let placement = view.placement(account, mailbox, account, uid)?;
    let placement = placement.ok_or_else(|| not_there(&asked.what, &then))?;
    let names: BTreeMap<MailboxId, String> =
        view.mailboxes(account)?.into_iter().map(|m| (m.id, m.name)).collect();
    let name = |id: &MailboxId| names.get(id).cloned().unwrap_or_default();
    let places = view.placements_of(account, placement.email)?;
    let places = places.iter().map(|(id, uid)| format!("{}/{uid}", name(id))).collect();
    Ok(Standing { then, mailbox: name(&mailbox), placement, places })
}

/// `MAILBOX/UID`, where the mailbox's name may have slashes too.
pub(super) fn placed(text: &str) -> Result<(&str, Uid), ApiError> {
    let read = || {
        let (name, uid) = text.rsplit_once('/')?;
        Some((name, Uid::new(uid.parse().ok()?)?))
    };
    read().ok_or_else(|| {
        ApiError::bad(format!("{text:?} is no email: name it as e1f-0 or as INBOX/7"))
    })
}

fn not_there(what: &str, then: &Then) -> ApiError {
    ApiError::not_found(format!(
        "{what} is not there as of {then}; `redoubt history` says when it was, --at shows it then"
    ))
}
