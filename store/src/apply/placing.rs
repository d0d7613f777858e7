//! How emails come to stand in mailboxes, and leave them: every table that says
//! so is written here, and here only.

use redoubt_log::id::{AccountId, EmailId, MailboxId, ModSeq, Uid};
use redoubt_log::record::{Arrival, Flags, Rejection};

use super::work::Work;
use super::{Ruled, Stop, blobs, policy};
use crate::keys::{Key, Object, SWEPT_ACCOUNT, chunk_of};
use crate::mailbox::KeywordPlan;
use crate::rows::{
    ChangeKind, EmailData, EmailRow, MailboxState, PlacementRow, PlacementVersion, Standing,
    UidChunk,
};
use crate::storage::{KeyRange, StorageError, Table};

/// Flags that there are.
const KNOWN: u8 = 0b1_1111;

/// A placement's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) account: AccountId,
    pub(crate) mailbox: MailboxId,
    pub(crate) uid: Uid,
}

impl Place {
    fn key(self) -> Key<'static> {
        Key::Placement(self.account, self.mailbox, self.uid)
    }
    fn object(self) -> Object {
        Object::Placement(self.account, self.mailbox, self.uid)
    }
}

/// Known flags only.
pub(crate) fn known(flags: Flags) -> Flags {
    Flags(flags.0 & KNOWN)
}

/// What a new placement begins with.
#[derive(Debug, Clone)]
pub(crate) struct Marks {
    pub(crate) flags: Flags,
    pub(crate) keywords: KeywordPlan,
}

/// A new email; it has no placement yet. Counts for the quota.
pub(crate) fn bring(work: &mut Work<'_>, a: AccountId, id: EmailId, data: EmailData) -> Ruled<()> {
    let usage = work.account(a)?.usage.change();
    usage.bytes = usage.bytes.saturating_add(data.size);
    usage.emails += 1;
    work.tx.remember(&Object::Email(a, id), &data)?;
    blobs::refer(work, a, id, &data)?;
    work.tx.put(&Key::Email(a, id), &EmailRow { data, placements: 0 })?;
    Ok(())
}

/// An email of the account gets a placement.
pub(crate) fn place(
    work: &mut Work<'_>,
    a: AccountId,
    m: MailboxId,
    email: EmailId,
    marks: Marks,
    wished: Option<Uid>,
) -> Ruled<Arrival> {
    let modseq = ModSeq::from(work.sequence(a)?);
    let uid = take_uid(work, a, m, wished)?;
    let mut row: EmailRow = work.tx.need(&Key::Email(a, email))?;
    row.placements += 1;
    work.tx.put(&Key::Email(a, email), &row)?;
    let standing = Standing { from: work.index, until: None };
    work.tx.put(&Key::EmailPlacement(a, email, m, uid), &standing)?;
    let mailbox = work.mailbox(a, m)?;
    let uid_validity = mailbox.row.get().uid_validity;
    if !marks.keywords.new.is_empty() {
        mailbox.row.change().keywords.extend(marks.keywords.new);
    }
    let version = PlacementVersion {
        email,
        saved: work.time,
        flags: known(marks.flags),
        keywords: marks.keywords.keywords,
        modseq,
    };
    let thread = row.data.thread;
    let placement = PlacementRow {
        email,
        thread,
        blob: row.data.blob,
        size: row.data.size,
        received: row.data.received,
        version,
    };
    count(work, a, m, &placement, Step::Up)?;
    write(work, Place { account: a, mailbox: m, uid }, &placement)?;
    Ok(Arrival { email, thread, mailbox: m, uid_validity, uid, modseq })
}

fn take_uid(work: &mut Work<'_>, a: AccountId, m: MailboxId, wished: Option<Uid>) -> Ruled<Uid> {
    let counters = work.mailbox(a, m)?.counters.change();
    let uid = check_uid(counters.uid_next, wished)?;
    counters.uid_next = u64::from(uid.get()) + 1;
    Ok(uid)
}

/// The UID that a new placement would get.
pub(crate) fn check_uid(uid_next: u64, wished: Option<Uid>) -> Result<Uid, Rejection> {
    match wished {
        Some(uid) if u64::from(uid.get()) < uid_next => Err(Rejection::UidTaken(uid)),
        Some(uid) => Ok(uid),
        None => u32::try_from(uid_next).ok().and_then(Uid::new).ok_or(Rejection::UidsExhausted),
    }
}

/// The placement with this UID.
pub(crate) fn find(work: &Work<'_>, place: Place) -> Ruled<PlacementRow> {
    work.tx.get(&place.key())?.ok_or(Stop::Rejected(Rejection::Gone))
}

/// A placement's flags or keywords change.
pub(crate) fn change(
    work: &mut Work<'_>,
    place: Place,
    old: &PlacementRow,
    flags: Flags,
    keywords: Vec<String>,
) -> Ruled<ModSeq> {
    let Place { account: a, mailbox: m, uid } = place;
    if old.version.keywords.iter().any(|keyword| !keywords.contains(keyword)) {
        policy::capture(work, a, old.email)?;
    }
    if old.version.flags.contains(Flags::DRAFT) && !flags.contains(Flags::DRAFT) {
        policy::finished(work, a, old.email)?;
    }
    let modseq = ModSeq::from(work.sequence(a)?);
    let mut new = old.clone();
    new.version = PlacementVersion { flags, keywords, modseq, ..old.version.clone() };
    work.tx.delete(&Key::Change(a, m, old.version.modseq, uid));
    count(work, a, m, old, Step::Down)?;
    count(work, a, m, &new, Step::Up)?;
    write(work, place, &new)?;
    Ok(modseq)
}

/// A placement goes; with its last one the email.
pub(crate) fn remove(work: &mut Work<'_>, place: Place, row: &PlacementRow) -> Ruled<ModSeq> {
    policy::capture(work, place.account, row.email)?;
    go(work, place, row)
}

/// What a move leaves goes: which floors hung on it was asked before the new placement came, for
/// the email never stood in both.
pub(crate) fn go(work: &mut Work<'_>, place: Place, row: &PlacementRow) -> Ruled<ModSeq> {
    let Place { account: a, mailbox: m, uid } = place;
    let modseq = ModSeq::from(work.sequence(a)?);
    count(work, a, m, row, Step::Down)?;
    work.tx.drop(&place.key(), &place.object());
    unmap(work, place)?;
    work.tx.delete(&Key::Change(a, m, row.version.modseq, uid));
    // Of a mailbox that is gone nobody can ask what vanished.
    if work.mailbox(a, m)?.row.get().state == MailboxState::Live {
        work.tx.put(&Key::Change(a, m, modseq, uid), &ChangeKind::Vanished)?;
    }
    leave(work, a, row.email, m, uid)?;
    swept(work, a, m)?;
    Ok(modseq)
}

fn leave(work: &mut Work<'_>, a: AccountId, email: EmailId, m: MailboxId, uid: Uid) -> Ruled<()> {
    let key = Key::EmailPlacement(a, email, m, uid);
    let standing: Standing = work.tx.need(&key)?;
    work.tx.put(&key, &Standing { until: Some(work.index), ..standing })?;
    let key = Key::Email(a, email);
    let mut row: EmailRow = work.tx.need(&key)?;
    row.placements = row.placements.saturating_sub(1);
    if row.placements > 0 {
        return Ok(work.tx.put(&key, &row)?);
    }
    work.tx.drop(&key, &Object::Email(a, email));
    let usage = work.account(a)?.usage.change();
    usage.bytes = usage.bytes.saturating_sub(row.data.size);
    usage.emails = usage.emails.saturating_sub(1);
    if usage.emails == 0 {
        // The last one of a deleted account: nothing is left to sweep.
        work.tx.delete(&Key::Deleting(a, SWEPT_ACCOUNT));
    }
    Ok(())
}

/// Writes a placement as it is now.
fn write(work: &mut Work<'_>, place: Place, row: &PlacementRow) -> Ruled<()> {
    let Place { account: a, mailbox: m, uid } = place;
    work.tx.put(&place.key(), row)?;
    work.tx.remember(&place.object(), &row.version)?;
    work.tx.put(&Key::Change(a, m, row.version.modseq, uid), &ChangeKind::Live)?;
    let mut bits = chunk(work, place)?;
    bits.present.set(uid, true);
    bits.seen.set(uid, row.version.flags.contains(Flags::SEEN));
    bits.deleted.set(uid, row.version.flags.contains(Flags::DELETED));
    work.tx.put_raw(&Key::UidMap(a, m, chunk_of(uid)), bits.to_bytes());
    Ok(())
}

fn chunk(work: &Work<'_>, place: Place) -> Result<UidChunk, StorageError> {
    let key = Key::UidMap(place.account, place.mailbox, chunk_of(place.uid));
    let Some(bytes) = work.tx.get_raw(&key)? else { return Ok(UidChunk::default()) };
    UidChunk::from_bytes(&bytes)
        .ok_or_else(|| StorageError::corrupt(Table::UidMap, &key.bytes(), "not three bitmaps"))
}

fn unmap(work: &mut Work<'_>, place: Place) -> Ruled<()> {
    let Place { account: a, mailbox: m, uid } = place;
    let key = Key::UidMap(a, m, chunk_of(uid));
    let mut bits = chunk(work, place)?;
    bits.present.set(uid, false);
    bits.seen.set(uid, false);
    bits.deleted.set(uid, false);
    if !bits.present.is_empty() {
        work.tx.put_raw(&key, bits.to_bytes());
        return Ok(());
    }
    work.tx.delete(&key);
    // No reader's `\Seen` outlives its chunk: the key begins alike.
    for (seen, _) in work.tx.scan(Table::Seen, &KeyRange::prefix(&key.bytes()), usize::MAX)? {
        if let Some(reader) = crate::keys::Parts::new(seen.get(16..).unwrap_or_default()).account()
        {
            let chunk = chunk_of(uid);
            let object = Object::Seen(a, m, chunk, reader);
            work.tx.drop(&Key::Seen(a, m, chunk, reader), &object);
        }
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Up,
    Down,
}

fn count(
    work: &mut Work<'_>,
    a: AccountId,
    m: MailboxId,
    row: &PlacementRow,
    step: Step,
) -> Ruled<()> {
    let modseq = ModSeq::from(work.sequence(a)?);
    let counters = work.mailbox(a, m)?.counters.change();
    let small = |number: u32, by: bool| match step {
        Step::Up => number.saturating_add(u32::from(by)),
        Step::Down => number.saturating_sub(u32::from(by)),
    };
    let flags = row.version.flags;
    counters.messages = small(counters.messages, true);
    counters.unseen = small(counters.unseen, !flags.contains(Flags::SEEN));
    counters.deleted = small(counters.deleted, flags.contains(Flags::DELETED));
    counters.size = match step {
        Step::Up => counters.size.saturating_add(row.size),
        Step::Down => counters.size.saturating_sub(row.size),
    };
    counters.highest_modseq = counters.highest_modseq.max(modseq);
    Ok(())
}

pub(crate) fn has_messages(work: &mut Work<'_>, a: AccountId, m: MailboxId) -> Ruled<bool> {
    Ok(work.mailbox(a, m)?.counters.get().messages > 0)
}

/// A mailbox lost its content at once: its placements are to be swept.
pub(crate) fn hide(work: &mut Work<'_>, a: AccountId, m: MailboxId) -> Ruled<()> {
    Ok(work.tx.put(&Key::Deleting(a, m), &())?)
}

/// The last placement of a hidden mailbox went.
fn swept(work: &mut Work<'_>, a: AccountId, m: MailboxId) -> Ruled<()> {
    let mailbox = work.mailbox(a, m)?;
    let state = mailbox.row.get().state;
    if mailbox.counters.get().messages > 0 || state == MailboxState::Live {
        return Ok(());
    }
    work.tx.delete(&Key::Deleting(a, m));
    if state == MailboxState::Deleted {
        work.forget_mailbox(a, m);
    }
    Ok(())
}
