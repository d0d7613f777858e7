//! Flags and keywords of placements (RFC 9051 section 6.4.6, RFC 7162 section 3.1.3).

use redoubt_log::id::{AccountId, MailboxId, Sequence, Uid};
use redoubt_log::record::{Done, FlagChange, Flags, Keyword, Rejection, SetFlags};

use super::placing::{self, Place, known};
use super::work::Work;
use super::{Ruled, settle};
use crate::keys::{Key, Object, chunk_of};
use crate::mailbox::{KeywordPlan, find, plan_keywords, sort};
use crate::rows::{Bits, PlacementRow};
use crate::storage::{StorageError, Table};

pub(crate) fn set(work: &mut Work<'_>, record: &SetFlags) -> Ruled<Done> {
    let row = work.selectable(record.account, record.mailbox)?.row.get();
    // Taking away needs no room: what the mailbox does not know, no placement has.
    let plan = match record.how {
        FlagChange::Remove => KeywordPlan::default(),
        FlagChange::Add | FlagChange::Replace => plan_keywords(row, &record.keywords)?,
    };
    work.account(record.reader)?;
    let mut answers = Vec::with_capacity(record.uids.len());
    for uid in &record.uids {
        answers.push(settle(one(work, record, &plan, *uid))?);
    }
    Ok(Done::Changed(answers))
}

fn one(work: &mut Work<'_>, record: &SetFlags, plan: &KeywordPlan, uid: Uid) -> Ruled<Sequence> {
    let place = Place { account: record.account, mailbox: record.mailbox, uid };
    let old = placing::find(work, place)?;
    let modseq = old.version.modseq;
    if record.unchanged_since.is_some_and(|since| modseq > since) {
        return Err(Rejection::Modified(modseq).into());
    }
    let mut flags = new_flags(old.version.flags, record);
    if record.reader != record.account {
        set_seen(work, place, record)?;
        flags = with_seen_of(flags, old.version.flags);
    }
    let keywords = new_keywords(&old, record, plan);
    if flags == old.version.flags && keywords == old.version.keywords {
        return Ok(Sequence(modseq.0));
    }
    learn(work, record.account, record.mailbox, plan)?;
    Ok(Sequence(placing::change(work, place, &old, flags, keywords)?.0))
}

/// The mailbox gets to know keywords when the first placement has them.
fn learn(work: &mut Work<'_>, a: AccountId, m: MailboxId, plan: &KeywordPlan) -> Ruled<()> {
    let row = &mut work.mailbox(a, m)?.row;
    let new = plan.new.iter().filter(|k| find(&row.get().keywords, k).is_none());
    let new: Vec<Keyword> = new.cloned().collect();
    if !new.is_empty() {
        row.change().keywords.extend(new);
    }
    Ok(())
}

fn new_flags(old: Flags, record: &SetFlags) -> Flags {
    let wished = known(record.flags);
    match record.how {
        FlagChange::Add => old.with(wished),
        FlagChange::Remove => old.without(wished),
        FlagChange::Replace => wished,
    }
}

fn with_seen_of(flags: Flags, owner: Flags) -> Flags {
    flags.without(Flags::SEEN).with(Flags(owner.0 & Flags::SEEN.0))
}

fn new_keywords(old: &PlacementRow, record: &SetFlags, plan: &KeywordPlan) -> Vec<Keyword> {
    let mut keywords = old.version.keywords.clone();
    match record.how {
        FlagChange::Replace => return plan.keywords.clone(),
        FlagChange::Remove => keywords.retain(|k| find(&record.keywords, k).is_none()),
        FlagChange::Add => {
            let new = plan.keywords.iter().filter(|k| find(&keywords, k).is_none());
            let new: Vec<Keyword> = new.cloned().collect();
            keywords.extend(new);
            sort(&mut keywords);
        }
    }
    keywords
}

/// Another reader's own `\Seen`. The placement stays as it is for all others.
fn set_seen(work: &mut Work<'_>, place: Place, record: &SetFlags) -> Ruled<()> {
    let Place { account: a, mailbox: m, uid } = place;
    let key = Key::Seen(a, m, chunk_of(uid), record.reader);
    let mut bits = match work.tx.get_raw(&key)? {
        Some(bytes) => Bits::from_bytes(&bytes)
            .ok_or_else(|| StorageError::corrupt(Table::Seen, &key.bytes(), "not a bitmap"))?,
        None => Bits::default(),
    };
    let before = bits;
    let old = if bits.get(uid) { Flags::SEEN } else { Flags::NONE };
    bits.set(uid, new_flags(old, record).contains(Flags::SEEN));
    if bits != before {
        let object = Object::Seen(a, m, chunk_of(uid), record.reader);
        write_seen(work, &key, &object, &bits);
    }
    Ok(())
}

fn write_seen(work: &mut Work<'_>, key: &Key<'_>, object: &Object, bits: &Bits) {
    if bits.is_empty() {
        work.tx.drop(key, object);
    } else {
        work.tx.save_raw(key, object, bits.to_bytes());
    }
}
