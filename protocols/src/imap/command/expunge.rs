//! EXPUNGE and UID EXPUNGE (RFC 9051 sections 6.4.3 and 6.4.9, RFC 4315).

use redoubt_log::id::{AccountId, Uid};
use redoubt_log::record::Flags;
use redoubt_store::mailstore::{MailboxRef, StoreError};
use redoubt_store::view::View;

use crate::imap::reply::{Answer, Reply, Trouble};
use crate::imap::selected::UidRange;
use crate::imap::session::Session;
use crate::imap::types::{MessageSet, Numbering};

/// Placements looked at in one read.
const PAGE: usize = 1000;

/// Removes what is marked `\Deleted`, of these UIDs only where some are given.
pub(crate) async fn run(session: &mut Session, uids: Option<&MessageSet>) -> Answer {
    let selected = session.writable()?;
    let ranges = uids.map(|set| selected.targets(set, Numbering::Uid).unwrap_or_default());
    remove(session, ranges).await?;
    session.mark_dirty();
    Ok(Reply::ok("EXPUNGE done").with_highest_modseq())
}

/// Removes without telling.
pub(crate) async fn remove(
    session: &mut Session,
    ranges: Option<Vec<UidRange>>,
) -> Result<(), Trouble> {
    let selected = session.selected()?;
    let (mailbox, reader) = (selected.mailbox, selected.reader);
    let ranges = ranges.unwrap_or_else(|| vec![(Uid::MIN, Uid::MAX)]);
    let deleted = session.read(move |view| deleted(view, mailbox, reader, &ranges)).await?;
    if !deleted.is_empty() {
        let actor = &session.user()?.actor;
        session.imap.store.expunge(actor, mailbox, deleted, true).await?;
    }
    Ok(())
}

/// Those marked `\Deleted`, found by a scan that ends with the last of them.
fn deleted(
    view: &View,
    mailbox: MailboxRef,
    reader: AccountId,
    ranges: &[UidRange],
) -> Result<Vec<Uid>, StoreError> {
    let MailboxRef { account, mailbox } = mailbox;
    let total = view.mailbox(account, mailbox)?.map_or(0, |mailbox| mailbox.deleted as usize);
    let mut found = Vec::new();
    for &(first, last) in ranges {
        let mut from = Some(first);
        while let Some(first) = from.filter(|from| *from <= last && found.len() < total) {
            let page = view.placements(account, mailbox, reader, first, last, PAGE)?;
            let marked = page.iter().filter(|placement| placement.flags.contains(Flags::DELETED));
            found.extend(marked.map(|placement| placement.uid));
            let end = page.last().filter(|_| page.len() == PAGE).map(|placement| placement.uid);
            from = end.and_then(|uid| uid.get().checked_add(1)).and_then(Uid::new);
        }
    }
    Ok(found)
}
