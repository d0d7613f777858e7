//! Matters: who works on them, whose mail they are about, what was searched and exported in them.

use redoubt_log::id::{MatterId, OperationId};
use redoubt_log::record::{
    Actor, Approves, DiscoveryBegin, DiscoveryEnd, DiscoveryEnded, DiscoveryWork, Done, MatterAdd,
    MatterCustodian, MatterMember, MatterNote, MatterRole, MatterSet, Principal, Rejection,
};

use super::work::Work;
use super::{Ruled, approval};
use crate::account::check_text;
use crate::holds;
use crate::keys::{Key, Meta, custodians_of, matters, members_of};
use crate::rows::{
    ApprovalRow, ApprovalState, HoldRow, JobEnd, JobRow, MatterMemberRow, MatterNoteRow, MatterRow,
    SinceRow,
};
use crate::storage::{Table, decode};

/// Matters that there may be, and members and custodians of one.
const MAX_MATTERS: usize = 10_000;
const MAX_MEMBERS: usize = 1000;
const MAX_CUSTODIANS: usize = 100_000;
const MAX_NAME: usize = 200;
/// Holds that a refusal names.
const NAMED: usize = 10;
/// Octets of a text.
const MAX_TEXT: usize = 10_000;

pub(crate) fn add(work: &mut Work<'_>, actor: &Actor, record: &MatterAdd) -> Ruled<Done> {
    free_name(work, None, &record.name)?;
    check_lines("what a matter is about", &record.settings.about)?;
    let key = Key::Meta(Meta::NextMatter);
    let id: u64 = work.tx.get(&key)?.unwrap_or(1);
    let next = id.checked_add(1).ok_or(Rejection::Limit("matters".to_owned()))?;
    work.tx.put(&key, &next)?;
    let matter = MatterId(id);
    let (name, settings) = (record.name.clone(), record.settings.clone());
    let row = MatterRow { name, settings, opened: work.time, by: actor.principal, next_note: 1 };
    work.tx.put(&Key::Matter(matter), &row)?;
    if let Principal::Person(account) = actor.principal {
        let row = MatterMemberRow { role: MatterRole::Lead, since: work.time };
        work.tx.put(&Key::MatterMember(matter, account), &row)?;
    }
    Ok(Done::Matter(matter))
}

pub(crate) fn set(work: &mut Work<'_>, record: &MatterSet) -> Ruled<Done> {
    let mut row = need(work, record.matter)?;
    free_name(work, Some(record.matter), &record.name)?;
    check_lines("what a matter is about", &record.settings.about)?;
    if record.settings.closed && !row.settings.closed {
        needs_no_hold(work, record.matter)?;
    }
    (row.name, row.settings) = (record.name.clone(), record.settings.clone());
    work.tx.put(&Key::Matter(record.matter), &row)?;
    Ok(Done::Unit)
}

/// Nobody makes himself a member, or more of one: who gives roles by a token is known by it.
pub(crate) fn member(work: &mut Work<'_>, actor: &Actor, record: MatterMember) -> Ruled<Done> {
    let MatterMember { matter, account, role } = record;
    need_open(work, matter)?;
    let key = Key::MatterMember(matter, account);
    let there = work.tx.get_raw(&key)?.is_some();
    match role {
        None if there => work.tx.delete(&key),
        None => return Err(Rejection::NotFound(format!("member {account} of it")).into()),
        Some(_) if actor.principal == Principal::Person(account) => {
            let text = "nobody gives a role to himself: somebody else has to";
            return Err(Rejection::Role(text.to_owned()).into());
        }
        Some(role) => {
            work.account(account)?;
            bounded(work, members_of(matter).range(), there, MAX_MEMBERS, "members")?;
            work.tx.put(&key, &MatterMemberRow { role, since: work.time })?;
        }
    }
    Ok(Done::Unit)
}

pub(crate) fn custodian(work: &mut Work<'_>, record: MatterCustodian) -> Ruled<Done> {
    let MatterCustodian { matter, account, is } = record;
    need_open(work, matter)?;
    let key = Key::MatterCustodian(matter, account);
    let there = work.tx.get_raw(&key)?.is_some();
    match is {
        false if there => work.tx.delete(&key),
        false => return Err(Rejection::NotFound(format!("custodian {account} of it")).into()),
        true if work.tx.get_raw(&Key::Account(account))?.is_none() => {
            return Err(Rejection::NoSuchAccount.into());
        }
        true if there => {}
        true => {
            bounded(work, custodians_of(matter).range(), false, MAX_CUSTODIANS, "custodians")?;
            work.tx.put(&key, &SinceRow { since: work.time })?;
        }
    }
    Ok(Done::Unit)
}

pub(crate) fn note(work: &mut Work<'_>, actor: &Actor, record: &MatterNote) -> Ruled<Done> {
    let mut row = need_open(work, record.matter)?;
    check_lines("a note", &record.text)?;
    let number = row.next_note;
    let next = number.checked_add(1).ok_or(Rejection::Limit("notes".to_owned()))?;
    row.next_note = next;
    work.tx.put(&Key::Matter(record.matter), &row)?;
    let (by, time, text) = (actor.principal, work.time, record.text.clone());
    work.tx.put(&Key::MatterNote(record.matter, number), &MatterNoteRow { by, time, text })?;
    Ok(Done::Unit)
}

/// What is of a matter stays in it: an export of its search is one of its exports.
pub(crate) fn begins(work: &mut Work<'_>, actor: &Actor, record: &DiscoveryBegin) -> Ruled<Done> {
    let from = record.of.map(|of| matter_of(work, of)).transpose()?.flatten();
    if record.of.is_some() && from != record.matter {
        let text = match from {
            Some(matter) => format!("the search is of matter {matter}: so is what comes of it"),
            None => "the search is of no matter: begin one in the matter".to_owned(),
        };
        return Err(Rejection::Matter(text).into());
    }
    let settings = match record.matter {
        Some(matter) => Some(need_open(work, matter)?.settings),
        None => None,
    };
    let job = JobRow {
        matter: record.matter,
        work: record.work,
        of: record.of,
        by: actor.principal,
        begun: work.time,
        asked: record.asked,
        pinned: record.pinned,
        end: None,
    };
    work.tx.put(&Key::Job(record.job), &job)?;
    let Some((matter, settings)) = record.matter.zip(settings) else { return Ok(Done::Unit) };
    work.tx.put(&Key::MatterJob(matter, record.job), &())?;
    if settings.review_exports && record.work == DiscoveryWork::Export {
        asks(work, actor, record.job)?;
    }
    Ok(Done::Unit)
}

/// One that is begun twice is decided once.
fn asks(work: &mut Work<'_>, actor: &Actor, job: OperationId) -> Ruled<()> {
    let of = Approves::Export(job);
    match work.tx.get::<ApprovalRow>(&Key::Approval(of))?.map(|row| row.state) {
        None | Some(ApprovalState::Over(_)) => approval::ask(work, of, actor.principal),
        Some(_) => Ok(()),
    }
}

/// An export that nobody has approved has not come to its end, whatever the node says.
pub(crate) fn ends(work: &mut Work<'_>, record: &DiscoveryEnd) -> Ruled<Done> {
    let of = Approves::Export(record.job);
    match record.ended {
        DiscoveryEnded::Completed => approval::need(work, of)?,
        _ => approval::over(work, of)?,
    }
    let key = Key::Job(record.job);
    let Some(mut job) = work.tx.get::<JobRow>(&key)? else { return Ok(Done::Unit) };
    let DiscoveryEnd { found, failed, ended, .. } = *record;
    job.end = Some(JobEnd { found, failed, ended, time: work.time });
    work.tx.put(&key, &job)?;
    Ok(Done::Unit)
}

fn matter_of(work: &Work<'_>, job: OperationId) -> Ruled<Option<MatterId>> {
    Ok(work.tx.get::<JobRow>(&Key::Job(job))?.and_then(|job| job.matter))
}

fn need(work: &Work<'_>, matter: MatterId) -> Ruled<MatterRow> {
    match work.tx.get(&Key::Matter(matter))? {
        Some(row) => Ok(row),
        None => Err(Rejection::NotFound(format!("matter {matter}")).into()),
    }
}

/// A matter whose holds go on is not over. One that is released runs out by itself.
fn needs_no_hold(work: &Work<'_>, matter: MatterId) -> Ruled<()> {
    let of = |row: &HoldRow| row.terms.matter == Some(matter) && row.releasing.is_none();
    let held = holds::all(&work.tx)?.into_iter().filter(|(_, row)| of(row)).map(|(hold, _)| hold);
    let held: Vec<String> = held.take(NAMED).map(|hold| hold.to_string()).collect();
    if held.is_empty() {
        return Ok(());
    }
    let held = held.join(", ");
    let text = format!("holds of matter {matter} are in force ({held}): release them first");
    Err(Rejection::Matter(text).into())
}

pub(super) fn need_open(work: &Work<'_>, matter: MatterId) -> Ruled<MatterRow> {
    let row = need(work, matter)?;
    match row.settings.closed {
        true => Err(Rejection::Matter(format!("matter {matter} is closed")).into()),
        false => Ok(row),
    }
}

fn bounded(
    work: &Work<'_>,
    range: crate::storage::KeyRange,
    there: bool,
    most: usize,
    what: &str,
) -> Ruled<()> {
    if !there && work.tx.scan(Table::Directory, &range, most)?.len() >= most {
        return Err(Rejection::Limit(format!("{most} {what}")).into());
    }
    Ok(())
}

/// Text of more than one line.
pub(super) fn check_lines(what: &str, text: &str) -> Result<(), Rejection> {
    if text.len() > MAX_TEXT {
        return Err(Rejection::Limit(format!("{MAX_TEXT} octets of {what}")));
    }
    text.split(['\n', '\t']).try_for_each(|line| check_text(what, line, MAX_TEXT))
}

/// A name that no other matter has. A number would read as an id.
fn free_name(work: &Work<'_>, matter: Option<MatterId>, name: &str) -> Ruled<()> {
    check_text("a matter's name", name, MAX_NAME)?;
    if name.is_empty() || name.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Rejection::InvalidName(format!("{name:?} for a matter")).into());
    }
    let own = matter.map(|matter| Key::Matter(matter).bytes());
    let rows = work.tx.scan(Table::Directory, &matters().range(), MAX_MATTERS)?;
    if matter.is_none() && rows.len() >= MAX_MATTERS {
        return Err(Rejection::Limit(format!("{MAX_MATTERS} matters")).into());
    }
    for (key, value) in rows {
        let row: MatterRow = decode(Table::Directory, &key, &value)?;
        if row.name == name && Some(&key) != own.as_ref() {
            return Err(Rejection::Exists(format!("matter {name}")).into());
        }
    }
    Ok(())
}
