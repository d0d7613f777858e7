//! What a policy takes goes, and nothing of it stays in the history. The record names it;
//! whether it may go is judged here anew, by everything that the state knows.

use redoubt_log::id::{AccountId, EmailId, LogIndex, MailboxId, Uid};
use redoubt_log::record::{Done, PurgeItem, PurgePolicy, Rejection};

use super::placing::{self, Place};
use super::work::Work;
use super::{Ruled, blobs, hold, policy, restore, settle};
use crate::keys::{Key, Meta, Object, Parts};
use crate::retention::{Policy, account_facts, due_places, email_facts, judge};
use crate::rows::{EmailData, PolicyDayRow, Standing, Version};
use crate::storage::{KeyRange, StorageError, Table, decode};

/// Milliseconds of a day.
const DAY: i64 = 24 * 3600 * 1000;

pub(crate) fn purge(work: &mut Work<'_>, record: &PurgePolicy) -> Ruled<Done> {
    let a = record.account;
    restore::check(work, a)?;
    blobs::counted(work)?;
    unchanged(work, a, record.decided)?;
    let known: Option<Policy> = work.tx.get(&Key::Policy(record.policy))?;
    let missing = || Rejection::NotFound(format!("policy {}", record.policy));
    let by = known.ok_or_else(missing)?;
    if by.in_force(work.time).is_none_or(|version| version.number != record.version) {
        return Err(Rejection::DecidedBefore.into());
    }
    let mut answers = Vec::with_capacity(record.items.len());
    // Of a deleted account that is not swept to the end too.
    work.deleted_too = true;
    for item in &record.items {
        answers.push(settle(one(work, a, &by, item))?);
    }
    Ok(Done::Purged(answers))
}

/// Who decided before something bound the account decides again.
fn unchanged(work: &Work<'_>, a: AccountId, decided: LogIndex) -> Ruled<()> {
    let keys = [
        Key::Meta(Meta::LastHold),
        Key::Meta(Meta::Policies),
        Key::Meta(Meta::Classes),
        Key::Labelled(a),
    ];
    for key in keys {
        let last: Option<LogIndex> = work.tx.get(&key)?;
        if last.is_some_and(|last| last > decided) {
            return Err(Rejection::DecidedBefore.into());
        }
    }
    Ok(())
}

fn one(work: &mut Work<'_>, a: AccountId, by: &Policy, item: &PurgeItem) -> Ruled<u32> {
    hold::check_email(work, a, item.email)?;
    let all = policy::all(work)?;
    let of = account_facts(&work.tx, a)?.ok_or(Rejection::NoSuchAccount)?;
    let facts = email_facts(&work.tx, &of, item.email)?.ok_or(Rejection::Gone)?;
    if let Some(floor) = judge(all.iter(), &facts, work.time).kept_by(work.time) {
        return Err(Rejection::Retained(floor.policy).into());
    }
    let due = due_places(by, &facts, work.time);
    let is_live = work.tx.get_raw(&Key::Email(a, item.email))?.is_some();
    if due.is_empty() || item.placements.iter().any(|place| !due.contains(place)) {
        return Err(Rejection::Policy("the policy does not take it now".to_owned()).into());
    }
    if is_live && item.placements.is_empty() {
        return Err(Rejection::Policy("it was not expunged".to_owned()).into());
    }
    count(work, by)?;
    for (mailbox, uid) in &item.placements {
        take(work, a, item.email, *mailbox, *uid)?;
    }
    if work.tx.get_raw(&Key::Email(a, item.email))?.is_none() {
        forget(work, a, item.email)?;
    }
    Ok(u32::try_from(item.placements.len()).unwrap_or(u32::MAX))
}

fn take(work: &mut Work<'_>, a: AccountId, e: EmailId, m: MailboxId, uid: Uid) -> Ruled<()> {
    let place = Place { account: a, mailbox: m, uid };
    let row = placing::find(work, place)?;
    if row.email != e {
        return Err(Rejection::Gone.into());
    }
    placing::remove(work, place, &row).map(drop)
}

/// Counts what a policy takes, against its daily maximum.
fn count(work: &mut Work<'_>, by: &Policy) -> Ruled<()> {
    let key = Key::PolicyDay(by.id);
    let old: PolicyDayRow = work.tx.get(&key)?.unwrap_or_default();
    let day = work.time.0.div_euclid(DAY);
    let today = if old.day == day { old.emails } else { 0 };
    // The lowest of what waits and what is in force.
    let binding = by.binding(work.time).iter().filter_map(|version| version.settings.as_ref());
    let most = binding.filter_map(|settings| settings.daily).min();
    if most.is_some_and(|most| today >= u64::from(most)) {
        return Err(Rejection::Limit(format!("policy {} has taken enough today", by.id)).into());
    }
    let row = PolicyDayRow { day, emails: today + 1, all: old.all.saturating_add(1) };
    Ok(work.tx.put(&key, &row)?)
}

/// Nothing of an email stays in the history but that it went.
fn forget(work: &mut Work<'_>, a: AccountId, e: EmailId) -> Ruled<()> {
    let range = KeyRange::prefix(&Key::Email(a, e).bytes());
    for (key, value) in work.tx.scan(Table::EmailPlacement, &range, usize::MAX)? {
        let _: Standing = decode(Table::EmailPlacement, &key, &value)?;
        let mut parts = Parts::new(key.get(20..).unwrap_or_default());
        let (Some(m), Some(uid)) = (parts.mailbox(), parts.uid()) else {
            return Err(StorageError::corrupt(Table::EmailPlacement, &key, "no place").into());
        };
        versions(work, &Object::Placement(a, m, uid), &mut |_, _, _| Ok(()))?;
        work.tx.delete_raw(Table::EmailPlacement, key);
    }
    versions(work, &Object::Email(a, e), &mut |work, key, value| {
        let data: EmailData = decode(Table::History, key, value)?;
        blobs::leave(work, a, e, blobs::blobs_of(&data))
    })?;
    work.tx.delete(&Key::Retained(a, e));
    Ok(work.tx.put(&Key::Purged(a), &work.index)?)
}

/// What is done with a version that goes.
type Leaving<'s> = &'s mut dyn FnMut(&mut Work<'_>, &[u8], &[u8]) -> Ruled<()>;

/// All versions of an object go but the last, which says that it went.
fn versions(work: &mut Work<'_>, object: &Object, leaving: Leaving<'_>) -> Ruled<()> {
    let rows = work.tx.scan(Table::History, &object.versions(), usize::MAX)?;
    let last = rows.len().saturating_sub(1);
    for (n, (key, value)) in rows.into_iter().enumerate() {
        let version = Version::decode(&value)
            .ok_or_else(|| StorageError::corrupt(Table::History, &key, "no version"))?;
        match version {
            Some(value) => leaving(work, &key, value)?,
            None if n == last => continue,
            None => {}
        }
        work.tx.delete_raw(Table::History, key);
    }
    Ok(())
}
