//! SELECT and EXAMINE (RFC 9051 sections 6.3.2 and 6.3.3), with CONDSTORE and QRESYNC (RFC 7162).

use std::ops::RangeInclusive;

use redoubt_log::id::{AccountId, LogIndex, ModSeq, Uid};
use redoubt_log::record::AccountState;
use redoubt_store::mailstore::{MailboxRef, StoreError};
use redoubt_store::uids::UidSet;
use redoubt_store::view::{Mailbox, MailboxChanges, View};

use crate::imap::encode::vanished;
use crate::imap::history::{self, Place};
use crate::imap::reply::{Answer, Reply, Trouble};
use crate::imap::selected::Selected;
use crate::imap::session::Session;
use crate::imap::types::{Qresync, Select, SequenceMatch};
use crate::imap::updates::placements;

/// Messages whose flags are read at one time.
const PAGE: usize = 256;

/// A mailbox as it is when it is opened; all of one view.
struct Opened {
    mailbox: Mailbox,
    uids: UidSet,
    first_unseen: Option<Uid>,
    changes: Option<MailboxChanges>,
    /// Nobody but retention changes it.
    archive: bool,
}

/// Leaves the mailbox of before and opens another.
pub(crate) async fn run(session: &mut Session, select: Select) -> Answer {
    let account = session.user()?.account;
    if select.qresync.is_some() && !session.qresync {
        return Ok(Reply::bad("ENABLE QRESYNC first"));
    }
    if session.selected.take().is_some() {
        // RFC 7162 section 3.2.11: what follows is of the new mailbox.
        session.untagged("OK [CLOSED] The mailbox of before is closed");
    }
    session.condstore |= select.condstore || select.qresync.is_some();
    session.woken().await;
    let place = session.place(&select.mailbox).await?;
    let Some(opened) = open(session, account, &select, &place).await? else {
        return Ok(Reply::nonexistent());
    };
    if !opened.mailbox.selectable {
        return Ok(Reply::no("NONEXISTENT", "This name only has mailboxes below it"));
    }
    let past = place.index();
    let archive = opened.archive;
    let read_only = select.read_only || archive;
    announce(session, account, &opened, read_only, past);
    if let (Some(qresync), Some(changes)) = (select.qresync, opened.changes) {
        let told = resynchronize(session, &qresync, &changes, opened.mailbox.uid_next).await;
        if let Err(trouble) = told {
            // Behind a NO none is selected (RFC 9051 section 6.3.2).
            session.selected = None;
            return Err(trouble);
        }
    }
    Ok(match read_only || past.is_some() {
        true if select.read_only => Reply::ok("EXAMINE done").code("READ-ONLY"),
        true if archive => {
            Reply::ok("SELECT done, and nobody changes an archive").code("READ-ONLY")
        }
        true => Reply::ok("SELECT done, and nothing changes what was").code("READ-ONLY"),
        false => Reply::ok("SELECT done").code("READ-WRITE"),
    })
}

async fn open(
    session: &Session,
    account: AccountId,
    select: &Select,
    place: &Place,
) -> Result<Option<Opened>, Trouble> {
    let name = place.name.clone();
    let since = select.qresync.as_ref().map(|qresync| (qresync.uid_validity, qresync.mod_seq));
    session
        .read_at(place.index(), move |view| {
            let Some(mailbox) = view.mailbox_named(account, &name)? else { return Ok(None) };
            let since = since.filter(|(validity, _)| *validity == mailbox.uid_validity);
            opened(view, account, mailbox, since.map(|(_, modseq)| modseq)).map(Some)
        })
        .await
}

fn opened(
    view: &View,
    account: AccountId,
    mailbox: Mailbox,
    since: Option<ModSeq>,
) -> Result<Opened, StoreError> {
    let changes = since.map(|since| view.changed_since(account, mailbox.id, since)).transpose()?;
    let (uids, unseen) = view.opened(account, mailbox.id, account)?;
    let archive = view.account(account)?.is_some_and(|a| a.settings.state == AccountState::Archive);
    Ok(Opened { uids, first_unseen: unseen.first(), changes, mailbox, archive })
}

fn announce(
    session: &mut Session,
    account: AccountId,
    opened: &Opened,
    read_only: bool,
    past: Option<LogIndex>,
) {
    let now = &opened.mailbox;
    let reference = MailboxRef { account, mailbox: now.id };
    let selected = Selected::new(reference, account, now, opened.uids.clone(), read_only);
    let mut selected = selected.then(past);
    if past.is_none() {
        let watermark = session.imap.store.recent(reference, opened.uids.last(), !read_only);
        selected.mark_recent_above(watermark);
    }
    let (exists, recent) = (selected.exists(), selected.recent().len());
    let unseen = opened.first_unseen.and_then(|uid| selected.number(uid));
    session.selected = Some(selected);
    session.tell_keywords();
    session.untagged(&format!("{exists} EXISTS"));
    session.untagged(&format!("{recent} RECENT"));
    if let Some(unseen) = unseen {
        session.untagged(&format!("OK [UNSEEN {unseen}] The first unseen message"));
    }
    session.untagged(&format!("OK [UIDVALIDITY {}] UIDs are valid", now.uid_validity));
    let uid_next = now.uid_next.min(u64::from(u32::MAX));
    session.untagged(&format!("OK [UIDNEXT {uid_next}] The next UID"));
    // RFC 7162 section 3.1.2.1: told without being asked for.
    session.untagged(&format!("OK [HIGHESTMODSEQ {}] The highest MODSEQ", now.highest_modseq));
    let id = history::object_id(now.id, past);
    session.untagged(&format!("OK [MAILBOXID ({id})] The mailbox's id"));
}

/// What the client missed (RFC 7162 section 3.2.5): first what vanished, then what changed.
async fn resynchronize(
    session: &mut Session,
    qresync: &Qresync,
    changes: &MailboxChanges,
    uid_next: u64,
) -> Result<(), Trouble> {
    let selected = session.selected()?;
    let known = |uid: Uid| is_known(qresync, uid, uid_next);
    if changes.complete {
        let gone: Vec<Uid> = changes.vanished.iter().copied().filter(|uid| known(*uid)).collect();
        vanished(session.conn.output(), gone.into_iter(), true);
    } else {
        let absent = absent(selected, qresync, uid_next);
        if !absent.is_empty() {
            session.untagged(&format!("VANISHED (EARLIER) {absent}"));
        }
    }
    let changed: Vec<Uid> =
        changes.changed.iter().map(|(uid, _)| *uid).filter(|uid| known(*uid)).collect();
    tell_changed(session, &changed).await
}

/// Whether the client says that it knows a UID; without a list it knows all below UIDNEXT.
fn is_known(qresync: &Qresync, uid: Uid, uid_next: u64) -> bool {
    let highest = u32::try_from(uid_next.saturating_sub(1)).unwrap_or(u32::MAX);
    qresync.known_uids.as_ref().is_none_or(|known| known.contains(uid.get(), highest))
}

/// When it is not remembered what vanished: every known UID that is not there, as ranges, from
/// where the client's pairs of numbers and UIDs stop to agree with ours (section 3.2.5.2).
fn absent(selected: &Selected, qresync: &Qresync, uid_next: u64) -> String {
    let highest = u32::try_from(uid_next.saturating_sub(1)).unwrap_or(u32::MAX);
    let agreed = qresync.sequence_match.as_ref().map_or(0, |pairs| agreement(selected, pairs));
    let known = match &qresync.known_uids {
        Some(known) => known.resolve(highest),
        None => vec![1..=highest],
    };
    let above = |range: RangeInclusive<u32>| {
        let first = (*range.start()).max(agreed.saturating_add(1));
        (first <= *range.end()).then(|| first..=*range.end())
    };
    let unsure: Vec<_> = known.into_iter().filter_map(above).collect();
    selected.absent(&unsure, highest)
}

/// The highest UID whose sequence number is still what the client thinks: nothing vanished below.
fn agreement(selected: &Selected, pairs: &SequenceMatch) -> u32 {
    let exists = selected.exists();
    let numbers = pairs.numbers.resolve(exists).into_iter().flatten();
    let uids = pairs.uids.resolve(u32::MAX).into_iter().flatten();
    numbers
        .take_while(|number| *number <= exists)
        .zip(uids)
        .filter(|(number, uid)| {
            Uid::new(*uid).and_then(|uid| selected.number(uid)) == Some(*number)
        })
        .map(|(_, uid)| uid)
        .max()
        .unwrap_or(0)
}

async fn tell_changed(session: &mut Session, changed: &[Uid]) -> Result<(), Trouble> {
    for page in changed.chunks(PAGE) {
        let selected = session.selected()?;
        let (mailbox, reader, page) = (selected.mailbox, selected.reader, page.to_vec());
        let found = session.read_here(move |view| placements(view, mailbox, reader, &page)).await?;
        for placement in found {
            session.tell_placement(&placement, true);
        }
        session.conn.relieve().await?;
    }
    Ok(())
}
