//! Labels, and events that policies count from.

use redoubt_log::id::{AccountId, Timestamp};
use redoubt_log::record::{Done, Label, MAX_CHANGES, PolicyAnchor, Rejection, RetentionEvent};

use super::work::Work;
use super::{Ruled, policy};
use crate::keys::{Key, events_of};
use crate::retention::Policy;
use crate::rows::RetainedRow;
use crate::storage::Table;

/// Events that an account may have.
const MAX_EVENTS: usize = 1000;

fn need(work: &Work<'_>, record: &Label) -> Ruled<Policy> {
    if work.tx.get_raw(&Key::Account(record.account))?.is_none() {
        return Err(Rejection::NoSuchAccount.into());
    }
    if record.emails.len() > MAX_CHANGES {
        return Err(Rejection::Limit(format!("{MAX_CHANGES} emails at a time")).into());
    }
    let policy: Option<Policy> = work.tx.get(&Key::Policy(record.policy))?;
    let policy = policy.ok_or_else(|| Rejection::NotFound(format!("policy {}", record.policy)))?;
    let is_label = policy.settings().is_some_and(|said| said.anchor == PolicyAnchor::Labelled);
    match is_label {
        true => Ok(policy),
        false => Err(Rejection::Policy("this policy is no label".to_owned()).into()),
    }
}

/// An email that has the label already has it from now on: that lengthens.
pub(crate) fn label(work: &mut Work<'_>, record: &Label) -> Ruled<Done> {
    let policy = need(work, record)?;
    for email in &record.emails {
        if !policy::is_known(work, record.account, *email)? {
            return Err(Rejection::NotFound(format!("email {email}")).into());
        }
        let key = Key::Retained(record.account, *email);
        let mut row: RetainedRow = work.tx.get(&key)?.unwrap_or_default();
        row.labels.retain(|(id, _)| *id != policy.id);
        row.labels.push((policy.id, work.time));
        work.tx.put(&key, &row)?;
    }
    changed(work, record.account)
}

/// What a locked policy keeps it keeps.
pub(crate) fn unlabel(work: &mut Work<'_>, record: &Label) -> Ruled<Done> {
    let policy = need(work, record)?;
    if policy.locked {
        let why = "the policy is locked: it stays on what it was put on";
        return Err(Rejection::Policy(why.to_owned()).into());
    }
    for email in &record.emails {
        let key = Key::Retained(record.account, *email);
        if let Some(mut row) = work.tx.get::<RetainedRow>(&key)? {
            row.labels.retain(|(id, _)| *id != policy.id);
            work.tx.put(&key, &row)?;
        }
    }
    changed(work, record.account)
}

/// What happened does not move back: that would shorten.
pub(crate) fn event(work: &mut Work<'_>, record: &RetentionEvent) -> Ruled<Done> {
    let RetentionEvent { account, name, time } = record;
    if work.tx.get_raw(&Key::Account(*account))?.is_none() {
        return Err(Rejection::NoSuchAccount.into());
    }
    policy::check_event(name)?;
    let key = Key::RetentionEvent(*account, name);
    let old: Option<Timestamp> = work.tx.get(&key)?;
    if old.is_some_and(|old| old > *time) {
        let why = "it happened later, as is known already, and does not move back";
        return Err(Rejection::Policy(why.to_owned()).into());
    }
    let range = events_of(*account).range();
    if old.is_none() && work.tx.scan(Table::Account, &range, MAX_EVENTS)?.len() >= MAX_EVENTS {
        return Err(Rejection::Limit(format!("{MAX_EVENTS} events of an account")).into());
    }
    work.tx.put(&key, time)?;
    changed(work, *account)
}

/// Whoever has decided before decides again.
fn changed(work: &mut Work<'_>, account: AccountId) -> Ruled<Done> {
    work.tx.put(&Key::Labelled(account), &work.index)?;
    Ok(Done::Unit)
}
