//! What was before a record and what was after it, out of the version history.

use redoubt_log::audit::Event;
use redoubt_log::id::{AccountId, CaptureId, ClassId, LogIndex, MailboxId};
use redoubt_log::record::{Address, Change, SetFlags};
use redoubt_store::mailstore::StoreError;
use redoubt_store::travel::flag_names;
use redoubt_store::view::{Class, View};
use serde_json::{Value, json};

/// The most emails of which flags are told.
const MOST_EMAILS: usize = 10;

/// Before and after, as far as they are known.
pub type Both = (Option<Value>, Option<Value>);

/// What was before an event and after it; neither where the history has been let go.
///
/// # Errors
/// The state cannot be read.
pub fn of(view: &View, event: &Event) -> Result<Both, StoreError> {
    let Some(record) = &event.record else { return Ok((None, None)) };
    let before = event.index.0.checked_sub(1).map(|index| view.at(LogIndex(index)));
    let after = view.at(event.index);
    let past = before.as_ref();
    let told = tell(past, &after, &record.change);
    match told {
        Err(StoreError::BelowFloor { .. }) => Ok((None, None)),
        told => told,
    }
}

fn tell(before: Option<&View>, after: &View, change: &Change) -> Result<Both, StoreError> {
    let both = |look: &dyn Fn(&View) -> Result<Option<Value>, StoreError>| {
        let was = before.map_or(Ok(None), look)?;
        Ok((was, look(after)?))
    };
    match change {
        Change::DomainAdd(r) => both(&|view| domain(view, &r.domain)),
        Change::DomainSet(r) => both(&|view| domain(view, &r.domain)),
        Change::DomainRemove(r) => both(&|view| domain(view, &r.domain)),
        Change::AccountSet(r) => both(&|view| account(view, r.account)),
        Change::AccountRename(r) => both(&|view| account(view, r.account)),
        Change::AccountDelete(r) => both(&|view| account(view, r.account)),
        Change::AliasAdd(r) => both(&|view| alias(view, &r.alias)),
        Change::AliasRemove(r) => both(&|view| alias(view, &r.alias)),
        Change::ClassSet(r) => both(&|view| class(view, r.class)),
        Change::ClassRemove(r) => both(&|view| class(view, r.class)),
        Change::AccountClass(r) => both(&|view| account_class(view, r.account)),
        Change::DomainClass(r) => both(&|view| Ok(Some(json!(view.domain_class(&r.domain)?)))),
        Change::CaptureRemove(r) => both(&|view| capture_rule(view, r.rule)),
        Change::MailboxRename(r) => both(&|view| mailbox(view, r.account, r.mailbox)),
        Change::MailboxDelete(r) => both(&|view| mailbox(view, r.account, r.mailbox)),
        Change::MailboxNamed(r) => both(&|view| mailbox(view, r.account, r.mailbox)),
        Change::SetFlags(r) => both(&|view| flags(view, r)),
        Change::Move(r) => {
            let was = before.map_or(Ok(None), |view| mailbox(view, r.account, r.from))?;
            Ok((was, mailbox(after, r.account, r.to)?))
        }
        Change::Copy(r) => Ok((None, mailbox(after, r.account, r.to)?)),
        Change::Append(r) => Ok((None, mailbox(after, r.account, r.mailbox)?)),
        Change::Expunge(r) => {
            Ok((before.map_or(Ok(None), |view| mailbox(view, r.account, r.mailbox))?, None))
        }
        _ => Ok((None, None)),
    }
}

fn domain(view: &View, name: &str) -> Result<Option<Value>, StoreError> {
    Ok(view.domain(name)?.and_then(|domain| serde_json::to_value(domain.settings).ok()))
}

fn account(view: &View, id: AccountId) -> Result<Option<Value>, StoreError> {
    Ok(view.account(id)?.map(|account| {
        let settings = &account.settings;
        json!({
            "address": account.address.to_string(),
            "display_name": settings.display_name,
            "state": settings.state,
            "quota": settings.quota,
        })
    }))
}

fn class(view: &View, id: ClassId) -> Result<Option<Value>, StoreError> {
    let told = |class: Class| json!({ "name": class.name, "settings": class.settings });
    Ok(view.class(id)?.map(told))
}

fn account_class(view: &View, id: AccountId) -> Result<Option<Value>, StoreError> {
    let said = view.account_class(id)?;
    Ok(Some(json!({ "class": said.class, "own": said.own })))
}

fn capture_rule(view: &View, id: CaptureId) -> Result<Option<Value>, StoreError> {
    Ok(view.capture_rule(id)?.map(|shown| json!(shown.rule)))
}

fn alias(view: &View, alias: &Address) -> Result<Option<Value>, StoreError> {
    let found = view.login(&alias.to_string(), "")?;
    Ok(found.map(|account| json!({ "account": account.address.to_string() })))
}

fn mailbox(view: &View, account: AccountId, id: MailboxId) -> Result<Option<Value>, StoreError> {
    Ok(view.mailbox(account, id)?.map(|mailbox| json!({ "mailbox": mailbox.name })))
}

fn flags(view: &View, set: &SetFlags) -> Result<Option<Value>, StoreError> {
    let uids = set.uids.get(..MOST_EMAILS).unwrap_or(&set.uids);
    let found = view.placements_at(set.account, set.mailbox, set.reader, uids)?;
    let told = found.iter().map(|placement| {
        json!({ "uid": placement.uid, "flags": flag_names(placement.flags, &placement.keywords) })
    });
    let told: Vec<Value> = told.collect();
    Ok(Some(Value::Array(told)).filter(|_| !found.is_empty()))
}
