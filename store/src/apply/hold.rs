//! Holds: what is under one is kept, whatever floors, policies and people say.
//!
//! What a hold is over never changes, so that a mark of one is a mark for good. One ends by a record
//! of its own, once the delay is over that it was set with, or by a second person's word: neither a
//! configuration nor who releases it makes that shorter.

use redoubt_log::id::{AccountId, EmailId, HoldId, Timestamp};
use redoubt_log::record::{
    Actor, Approves, Done, HoldEnd, HoldMarks, HoldMove, HoldOver, HoldRelease, HoldScope, HoldSet,
    HoldStays, HoldsKept, Judged, KeptHold, Principal, Reach, Rejection, Releasing,
};

use super::work::Work;
use super::{Ruled, approval, domain, matter, settle};
use crate::account::check_text;
use crate::holds;
use crate::keys::{DIRECTORY, Key, Meta, Object, holds_over, judged_by, marks_of};
use crate::rows::{HoldAtRow, HoldRow};
use crate::storage::{StorageError, Table};

/// Holds that there may be.
const MOST: usize = 10_000;
const MAX_NAME: usize = 200;
/// Octets of a query, as its parser has them.
const MAX_QUERY: usize = 16 * 1024;
/// Accounts that one query names.
const MAX_ACCOUNTS: usize = 1000;
/// Seconds of the longest delay: a hundred years.
const MAX_DELAY: u64 = 100 * 366 * 86_400;
/// Rows that one record removes of a hold that has ended.
const PIECE: usize = 2000;

pub(crate) fn set(work: &mut Work<'_>, record: &HoldSet) -> Ruled<Done> {
    check_terms(work, record)?;
    let range = holds_over(DIRECTORY).range();
    if work.tx.scan(Table::Account, &range, MOST)?.len() >= MOST {
        return Err(Rejection::Limit(format!("{MOST} holds")).into());
    }
    let hold = next_hold(work)?;
    let (set, at) = (work.time, work.index);
    put(work, hold, &HoldRow { terms: record.clone(), set, at, releasing: None })?;
    Ok(Done::Hold(hold))
}

fn check_terms(work: &Work<'_>, terms: &HoldSet) -> Ruled<()> {
    if !terms.name.is_empty() {
        check_text("a hold's name", &terms.name, MAX_NAME)?;
    }
    matter::check_lines("why a hold is set", &terms.reason)?;
    if let Some(of) = terms.matter {
        matter::need_open(work, of)?;
    }
    if terms.delay > MAX_DELAY {
        return refused("a hold's delay is a hundred years at most");
    }
    if let HoldScope::Query(query) = &terms.scope {
        let text = query.text.trim();
        if text.is_empty() || query.text.len() > MAX_QUERY {
            return refused("a hold's query has some text, and 16 KiB of it at most");
        }
        if let HoldOver::Accounts(accounts) = &query.over
            && (accounts.is_empty() || accounts.len() > MAX_ACCOUNTS)
        {
            return refused("a hold's query names 1 to 1000 accounts, a domain or all");
        }
    }
    match terms.scope.reach() {
        Reach::Domain(name) => domain::need(work, name),
        Reach::All => Ok(()),
        Reach::Accounts(accounts) => accounts.iter().try_for_each(|account| {
            let there = work.tx.get_raw(&Key::Account(*account))?;
            there.map(drop).ok_or_else(|| Rejection::NoSuchAccount.into())
        }),
    }
}

fn refused<T>(why: &str) -> Ruled<T> {
    Err(Rejection::Hold(why.to_owned()).into())
}

/// Accounts that are not known are passed over.
fn put(work: &mut Work<'_>, hold: HoldId, row: &HoldRow) -> Ruled<()> {
    work.tx.put(&Key::Hold(DIRECTORY, hold), row)?;
    match row.terms.scope.reach() {
        Reach::Domain(name) => work.tx.put(&Key::HoldOn(name, hold), &())?,
        Reach::All => work.tx.put(&Key::HoldOn("", hold), &())?,
        Reach::Accounts(accounts) => {
            for account in accounts {
                if work.tx.get_raw(&Key::Account(*account))?.is_some() {
                    work.tx.put(&Key::Hold(*account, hold), &())?;
                }
            }
        }
    }
    anew(work)
}

/// Whatever was decided on before is to be decided again.
fn anew(work: &mut Work<'_>) -> Ruled<()> {
    Ok(work.tx.put(&Key::Meta(Meta::LastHold), &work.index)?)
}

fn next_hold(work: &mut Work<'_>) -> Ruled<HoldId> {
    let key = Key::Meta(Meta::NextHold);
    let id: u64 = work.tx.get(&key)?.unwrap_or(1);
    let next = id.checked_add(1).ok_or(Rejection::Limit("holds".to_owned()))?;
    work.tx.put(&key, &next)?;
    Ok(HoldId(id))
}

/// An account leaves a domain, and stays under what is over the domain.
pub(crate) fn leaves(work: &mut Work<'_>, account: AccountId, domain: &str) -> Ruled<()> {
    for hold in holds::on(&work.tx, domain)? {
        stays(work, hold, account)?;
    }
    Ok(())
}

fn stays(work: &mut Work<'_>, hold: HoldId, account: AccountId) -> Ruled<()> {
    work.tx.put(&Key::Hold(account, hold), &())?;
    let at: HoldAtRow = holds::at(&work.tx, hold, account)?;
    Ok(work.tx.put(&Key::HoldAt(hold, account), &at)?)
}

// ------------------------------------------------------------------ recovered

/// Who goes back to a moment before a hold was set is bound by it all the same.
pub(crate) fn keep(work: &mut Work<'_>, record: &HoldsKept) -> Ruled<Done> {
    let mut next: u64 = work.tx.get(&Key::Meta(Meta::NextHold))?.unwrap_or(1).max(record.next.0);
    for kept in &record.holds {
        next = next.max(kept.hold.0.saturating_add(1));
        keep_one(work, kept)?;
    }
    work.tx.put(&Key::Meta(Meta::NextHold), &next)?;
    for hold in &record.ended {
        approval::over(work, Approves::HoldRelease(*hold))?;
        if let Some(row) = find_row(work, *hold)? {
            let now = work.time;
            let by = Principal::System;
            go(work, *hold, row, Releasing { since: now, until: now, by, ending: true })?;
        }
    }
    Ok(Done::Unit)
}

fn keep_one(work: &mut Work<'_>, kept: &KeptHold) -> Ruled<()> {
    let known = |account: &AccountId| Ok(work.tx.get_raw(&Key::Account(*account))?.is_some());
    let some = match kept.terms.scope.reach() {
        Reach::Accounts(accounts) => {
            let known: Vec<bool> =
                accounts.iter().map(known).collect::<Result<_, StorageError>>()?;
            known.contains(&true)
        }
        _ => true,
    };
    if !some {
        return Ok(());
    }
    let KeptHold { hold, terms, set, at, releasing, accounts } = kept.clone();
    releases(work, hold, releasing)?;
    put(work, hold, &HoldRow { terms, set, at, releasing })?;
    for account in accounts {
        if work.tx.get_raw(&Key::Account(account))?.is_some() {
            stays(work, hold, account)?;
        }
    }
    Ok(())
}

/// Who has released it there is not the second person here.
fn releases(work: &mut Work<'_>, hold: HoldId, releasing: Option<Releasing>) -> Ruled<()> {
    let of = Approves::HoldRelease(hold);
    let before = find_row(work, hold)?.and_then(|row| row.releasing);
    match releasing.filter(|releasing| !releasing.ending) {
        None => approval::over(work, of),
        Some(_) if before == releasing => Ok(()),
        Some(releasing) => approval::ask(work, of, releasing.by),
    }
}

// ------------------------------------------------------------------- released

fn find_row(work: &Work<'_>, hold: HoldId) -> Result<Option<HoldRow>, StorageError> {
    work.tx.get(&Key::Hold(DIRECTORY, hold))
}

fn find(work: &Work<'_>, hold: HoldId) -> Ruled<HoldRow> {
    Ok(find_row(work, hold)?.ok_or_else(|| Rejection::NotFound(format!("hold {hold}")))?)
}

pub(crate) fn release(work: &mut Work<'_>, actor: &Actor, record: HoldRelease) -> Ruled<Done> {
    let row = find(work, record.hold)?;
    if row.releasing.is_some() {
        return refused("it is being released already: `redoubt hold show` says until when");
    }
    if record.delay > MAX_DELAY {
        return refused("a hold's delay is a hundred years at most");
    }
    let seconds = row.terms.delay.max(record.delay);
    let delay = i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX);
    let until = Timestamp(work.time.0.saturating_add(delay));
    let by = actor.principal;
    let releasing = Releasing { since: work.time, until, by, ending: seconds == 0 };
    match seconds {
        0 => go(work, record.hold, row, releasing).map(|_| Done::Unit),
        _ => {
            let row = HoldRow { releasing: Some(releasing), ..row };
            work.tx.put(&Key::Hold(DIRECTORY, record.hold), &row)?;
            approval::ask(work, Approves::HoldRelease(record.hold), by)?;
            Ok(Done::Unit)
        }
    }
}

/// Out of a closed matter, too: what it is for is open.
pub(crate) fn move_to(work: &mut Work<'_>, record: HoldMove) -> Ruled<Done> {
    let mut row = find(work, record.hold)?;
    matter::need_open(work, record.matter)?;
    if row.releasing.is_some_and(|releasing| releasing.ending) {
        return refused("it has ended");
    }
    let before = row.terms.matter.replace(record.matter);
    if before == row.terms.matter {
        return refused("it is for that matter already");
    }
    work.tx.put(&Key::Hold(DIRECTORY, record.hold), &row)?;
    Ok(Done::Unit)
}

pub(crate) fn stay(work: &mut Work<'_>, record: HoldStays) -> Ruled<Done> {
    let row = find(work, record.hold)?;
    match row.releasing {
        None => return refused("it is not being released"),
        Some(releasing) if releasing.ending => return refused("it has ended"),
        Some(_) => {}
    }
    work.tx.put(&Key::Hold(DIRECTORY, record.hold), &HoldRow { releasing: None, ..row })?;
    approval::over(work, Approves::HoldRelease(record.hold))?;
    anew(work)?;
    Ok(Done::Unit)
}

pub(crate) fn end(work: &mut Work<'_>, record: HoldEnd) -> Ruled<Done> {
    let (row, releasing) = released(work, record.hold)?;
    if !releasing.ending && work.time < releasing.until {
        return refused("its delay is not over: before that a second person ends it");
    }
    approval::over(work, Approves::HoldRelease(record.hold))?;
    go(work, record.hold, row, Releasing { ending: true, ..releasing })
}

/// A second person has said so. What is left of it the leader removes.
pub(super) fn ends_now(work: &mut Work<'_>, hold: HoldId) -> Ruled<Done> {
    let (row, releasing) = released(work, hold)?;
    go(work, hold, row, Releasing { ending: true, ..releasing })
}

fn released(work: &Work<'_>, hold: HoldId) -> Ruled<(HoldRow, Releasing)> {
    let row = find(work, hold)?;
    match row.releasing {
        Some(releasing) => Ok((row, releasing)),
        None => refused("it is not being released: `redoubt hold release` first"),
    }
}

/// Removes what is known of a hold, and the hold with the last of it: until then it is in force,
/// but for what it has forgotten.
fn go(work: &mut Work<'_>, hold: HoldId, row: HoldRow, releasing: Releasing) -> Ruled<Done> {
    let marks = work.tx.scan(Table::EmailPlacement, &marks_of(hold).range(), PIECE)?;
    let accounts = work.tx.scan(Table::Account, &judged_by(hold).range(), PIECE)?;
    let more = marks.len() == PIECE || accounts.len() == PIECE;
    if more {
        let row = HoldRow { releasing: Some(releasing), ..row };
        work.tx.put(&Key::Hold(DIRECTORY, hold), &row)?;
    } else {
        forget(work, hold, &row);
        // What it held may be due.
        anew(work)?;
    }
    for (key, _) in marks {
        work.tx.delete_raw(Table::EmailPlacement, key);
    }
    for (key, _) in accounts {
        let account = crate::keys::Parts::new(key.get(17..).unwrap_or_default()).account();
        let account = account
            .ok_or_else(|| StorageError::corrupt(Table::Account, &key, "no account of a hold"))?;
        work.tx.delete(&Key::Hold(account, hold));
        work.tx.delete_raw(Table::Account, key);
    }
    Ok(Done::More(more))
}

fn forget(work: &mut Work<'_>, hold: HoldId, row: &HoldRow) {
    work.tx.delete(&Key::Hold(DIRECTORY, hold));
    match row.terms.scope.reach() {
        Reach::Domain(name) => work.tx.delete(&Key::HoldOn(name, hold)),
        Reach::All => work.tx.delete(&Key::HoldOn("", hold)),
        Reach::Accounts(accounts) => {
            accounts.iter().for_each(|account| work.tx.delete(&Key::Hold(*account, hold)));
        }
    }
}

// --------------------------------------------------------------------- marked

/// Which emails a query holds, judged outside by its text.
pub(crate) fn marks(work: &mut Work<'_>, record: &HoldMarks) -> Ruled<Done> {
    let row = find(work, record.hold)?;
    if row.terms.scope.query().is_none() {
        return refused("this hold has no query");
    }
    if row.releasing.is_some_and(|releasing| releasing.ending) {
        return refused("it has ended");
    }
    let mut answers = Vec::with_capacity(record.judged.len());
    for judged in &record.judged {
        answers.push(settle(mark(work, record.hold, judged))?);
    }
    Ok(Done::Marked(answers))
}

fn mark(work: &mut Work<'_>, hold: HoldId, judged: &Judged) -> Ruled<()> {
    let Judged { account, after, upto, marks } = judged;
    if !holds::over(&work.tx, *account)?.iter().any(|(id, _)| *id == hold) {
        return refused("this hold is not over the account");
    }
    let at = holds::at(&work.tx, hold, *account)?;
    let rising = marks.is_sorted_by(|(one, _), (other, _)| one < other);
    let between = |(email, _): &(EmailId, _)| Some(*email) > *after && email <= upto;
    if at.upto != *after || Some(*upto) <= *after || !rising || !marks.iter().all(between) {
        return Err(Rejection::MarkedSince.into());
    }
    let mut count = at.held;
    for (email, held) in marks {
        if is_there(work, *account, *email)? {
            work.tx.put(&Key::HoldMark(hold, *account, *email), held)?;
            count = count.saturating_add(1);
        }
    }
    let at = HoldAtRow { upto: Some(*upto), held: count };
    Ok(work.tx.put(&Key::HoldAt(hold, *account), &at)?)
}

fn is_there(work: &Work<'_>, account: AccountId, email: EmailId) -> Ruled<bool> {
    let range = Object::Email(account, email).versions();
    Ok(!work.tx.scan(Table::History, &range, 1)?.is_empty())
}

// -------------------------------------------------------------------- checked

/// Rejects what a hold forbids that touches an account as a whole; over the directory: what any
/// hold does, since the directory says who was who.
pub(crate) fn check(work: &Work<'_>, account: AccountId) -> Ruled<()> {
    match holds::of_account(&work.tx, account)? {
        Some(hold) => Err(Rejection::Held(hold).into()),
        None => Ok(()),
    }
}

/// Rejects what a hold forbids that touches one email: one that no query has judged yet counts
/// as held.
pub(crate) fn check_email(work: &Work<'_>, account: AccountId, email: EmailId) -> Ruled<()> {
    match holds::of_email(&work.tx, account, email, true)?.pop() {
        Some(hold) => Err(Rejection::Held(hold).into()),
        None => Ok(()),
    }
}
