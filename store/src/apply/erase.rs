//! Erasures: emails go for good, with all that the history knows of them. Each email is asked
//! for anew when its piece is applied: what a hold or a floor keeps stays, and why is kept too.

use redoubt_log::id::{AccountId, EmailId, LogIndex, MailboxId, OperationId, Uid};
use redoubt_log::record::{
    Actor, Approves, Done, EraseBegin, ErasePiece, ErasePlace, EraseReached, EraseReport,
    ErasuresKept, Rejection,
};

use super::placing::{self, Place};
use super::work::Work;
use super::{Ruled, approval, blobs, hold, policy, settle};
use crate::keys::{Key, Object, Parts, parse_history};
use crate::rows::{
    EmailData, EraseReportRow, ErasedRow, ErasureRow, ErasureState, Standing, Version,
};
use crate::storage::{KeyRange, StorageError, Table, decode};

/// The most places that a report names.
const PLACES: usize = 64;

fn refused(what: String) -> Rejection {
    Rejection::Erasure(what)
}

/// Why an email may not be erased now. The one place that says so.
pub(crate) fn may_erase(work: &mut Work<'_>, account: AccountId, email: EmailId) -> Ruled<()> {
    hold::check_email(work, account, email)?;
    match policy::floor(work, account, email)? {
        Some(kept) => Err(Rejection::Retained(kept.policy).into()),
        None => Ok(()),
    }
}

pub(crate) fn begin(work: &mut Work<'_>, actor: &Actor, record: &EraseBegin) -> Ruled<Done> {
    blobs::counted(work)?;
    let key = Key::Erasure(record.erasure);
    if work.tx.get_raw(&Key::Account(record.account))?.is_none() {
        return Err(Rejection::NoSuchAccount.into());
    }
    if record.emails == 0 || work.tx.get_raw(&key)?.is_some() {
        return Err(refused("there is nothing to erase, or it has begun".into()).into());
    }
    let state = if record.review { ErasureState::Review } else { ErasureState::Working };
    let row = ErasureRow {
        account: record.account,
        asked: Some(record.asked),
        list: record.list.clone(),
        emails: record.emails,
        done: 0,
        erased: 0,
        kept: 0,
        state,
        actor: actor.clone(),
        index: work.index,
        begun: work.time,
        last: work.index,
        first: LogIndex(u64::MAX),
    };
    work.tx.put(&key, &row)?;
    if record.review {
        approval::ask(work, Approves::Erasure(record.erasure), actor.principal)?;
    }
    Ok(Done::Unit)
}

fn known(work: &Work<'_>, erasure: OperationId) -> Ruled<ErasureRow> {
    let none = || Rejection::NotFound(format!("erasure {erasure}"));
    Ok(work.tx.get(&Key::Erasure(erasure))?.ok_or_else(none)?)
}

/// A second person has decided it.
pub(super) fn decided(work: &mut Work<'_>, erasure: OperationId, given: bool) -> Ruled<Done> {
    let mut row = known(work, erasure)?;
    row.state = if given { ErasureState::Working } else { ErasureState::Declined };
    work.tx.put(&Key::Erasure(erasure), &row)?;
    Ok(Done::Unit)
}

pub(crate) fn piece(work: &mut Work<'_>, record: &ErasePiece) -> Ruled<Done> {
    work.deleted_too = true;
    let mut row = known(work, record.erasure)?;
    let after = record.first.saturating_add(record.emails.len() as u64);
    let next = row.state == ErasureState::Working && row.done == record.first;
    if !next || row.account != record.account || record.emails.is_empty() || after > row.emails {
        return Err(refused("this is not the next piece of it".into()).into());
    }
    let mut answers = Vec::with_capacity(record.emails.len());
    for email in &record.emails {
        let answer = settle(one(work, record.erasure, row.account, *email))?;
        match &answer {
            Ok(first) => {
                row.erased += 1;
                row.first = row.first.min(*first);
            }
            Err(Rejection::Gone) => {}
            Err(why) => {
                row.kept += 1;
                work.tx.put(&Key::EraseKept(record.erasure, *email), why)?;
            }
        }
        answers.push(answer.map(drop));
    }
    (row.done, row.last) = (after, work.index);
    if after == row.emails {
        row.state = ErasureState::Done;
    }
    work.tx.put(&Key::Erasure(record.erasure), &row)?;
    Ok(Done::Erased(answers))
}

/// Which record made it.
fn one(work: &mut Work<'_>, erasure: OperationId, a: AccountId, email: EmailId) -> Ruled<LogIndex> {
    let (first, data) = known_email(work, a, email)?.ok_or(Rejection::Gone)?;
    may_erase(work, a, email)?;
    goes(work, erasure, a, email, &data)?;
    Ok(first)
}

/// What an email is or was, as far as the history goes, and which record made it.
fn known_email(
    work: &Work<'_>,
    a: AccountId,
    email: EmailId,
) -> Ruled<Option<(LogIndex, EmailData)>> {
    let range = Object::Email(a, email).versions();
    for (key, value) in work.tx.scan(Table::History, &range, usize::MAX)? {
        let no_version = || StorageError::corrupt(Table::History, &key, "no version of an email");
        if let Some(value) = Version::decode(&value).ok_or_else(no_version)? {
            let (_, index) = parse_history(&key).ok_or_else(no_version)?;
            return Ok(Some((index, decode(Table::History, &key, value)?)));
        }
    }
    Ok(None)
}

/// All rows that tell of an email go, now and in the history. That its UIDs vanished stays,
/// for clients that know them.
fn goes(
    work: &mut Work<'_>,
    erasure: OperationId,
    a: AccountId,
    email: EmailId,
    data: &EmailData,
) -> Ruled<()> {
    let range = KeyRange::prefix(&Key::Email(a, email).bytes());
    for (key, value) in work.tx.scan(Table::EmailPlacement, &range, usize::MAX)? {
        let (mailbox, uid) = stood(&key)?;
        let standing: Standing = decode(Table::EmailPlacement, &key, &value)?;
        if standing.until.is_none() {
            let place = Place { account: a, mailbox, uid };
            let row = placing::find(work, place)?;
            placing::remove(work, place, &row)?;
        }
        forget(work, &Object::Placement(a, mailbox, uid))?;
        work.tx.delete_raw(Table::EmailPlacement, key);
    }
    forget(work, &Object::Email(a, email))?;
    blobs::leave(work, a, email, blobs::blobs_of(data))?;
    for blob in blobs::blobs_of(data) {
        work.tx.put(&Key::ErasedBlob(erasure, blob), &())?;
    }
    work.tx.delete(&Key::Retained(a, email));
    Ok(work.tx.put(&Key::Erased(a, email), &ErasedRow { erasure })?)
}

fn stood(key: &[u8]) -> Result<(MailboxId, Uid), StorageError> {
    let mut parts = Parts::new(key.get(20..).unwrap_or_default());
    let place = parts.mailbox().zip(parts.uid());
    place.ok_or_else(|| StorageError::corrupt(Table::EmailPlacement, key, "no placement"))
}

fn forget(work: &mut Work<'_>, object: &Object) -> Ruled<()> {
    for (key, _) in work.tx.scan(Table::History, &object.versions(), usize::MAX)? {
        work.tx.delete_raw(Table::History, key);
    }
    Ok(())
}

pub(crate) fn report(work: &mut Work<'_>, record: &EraseReport) -> Ruled<Done> {
    known(work, record.erasure)?;
    if record.places.len() > PLACES {
        return Err(refused("it names too many places".into()).into());
    }
    let key = Key::EraseReport(record.erasure, record.node);
    let before: Option<EraseReportRow> = work.tx.get(&key)?;
    let views = |it: &EraseReached| it.place == ErasePlace::Views && it.pending.is_none();
    let cleared = record.places.iter().any(views).then_some(work.index);
    // What was said once holds: nothing of it comes back.
    let cleared = before.and_then(|before| before.cleared).or(cleared);
    let row = EraseReportRow { time: work.time, places: record.places.clone(), cleared };
    work.tx.put(&key, &row)?;
    Ok(Done::Unit)
}

/// Who goes back to a moment before an erasure finds it done: whatever holds say, since it was
/// allowed when it was done, and nothing can be kept that is no more.
pub(crate) fn keep(work: &mut Work<'_>, record: &ErasuresKept) -> Ruled<Done> {
    work.deleted_too = true;
    let ErasuresKept { erasure, account, begun, ref emails } = *record;
    if work.tx.get_raw(&Key::Account(account))?.is_none() {
        return Ok(Done::Erased(vec![Err(Rejection::NoSuchAccount); emails.len()]));
    }
    let mut row = work.tx.get(&Key::Erasure(erasure))?.unwrap_or_else(|| ErasureRow {
        account,
        asked: None,
        list: Vec::new(),
        emails: 0,
        done: 0,
        erased: 0,
        kept: 0,
        state: ErasureState::Done,
        actor: Actor::SYSTEM,
        index: work.index,
        begun,
        last: work.index,
        // Other histories may have images with any of it.
        first: LogIndex(0),
    });
    let mut answers = Vec::with_capacity(emails.len());
    for email in emails {
        let new = work.tx.get_raw(&Key::Erased(account, *email))?.is_none();
        answers.push(match known_email(work, account, *email)? {
            Some((_, data)) => settle(goes(work, erasure, account, *email, &data))?,
            None => Err(Rejection::Gone),
        });
        work.tx.put(&Key::Erased(account, *email), &ErasedRow { erasure })?;
        if new {
            row.erased += 1;
            if row.asked.is_none() {
                row.emails = row.emails.max(row.erased);
            }
        }
    }
    (row.last, row.first) = (work.index, LogIndex(0));
    // One under way goes on with the rest of its list, and finds these gone.
    if row.asked.is_none() || !row.is_under_way() {
        (row.done, row.state) = (row.emails, ErasureState::Done);
    }
    work.tx.put(&Key::Erasure(erasure), &row)?;
    Ok(Done::Erased(answers))
}
