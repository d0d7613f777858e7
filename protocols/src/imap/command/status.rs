//! STATUS (RFC 9051 section 6.3.11), with SIZE (RFC 8438), HIGHESTMODSEQ (RFC 7162) and
//! MAILBOXID (RFC 8474).

use redoubt_log::id::{AccountId, LogIndex, ModSeq, Uid};
use redoubt_store::mailstore::{MailboxRef, StoreError};
use redoubt_store::view::{Mailbox, View};

use crate::imap::encode::{StatusValue, status};
use crate::imap::history;
use crate::imap::reply::{Answer, Reply, Trouble};
use crate::imap::selected::Selected;
use crate::imap::session::Session;
use crate::imap::types::{MailboxName, StatusItem};

/// Tells the items of one mailbox.
pub(crate) async fn run(
    session: &mut Session,
    mailbox: MailboxName,
    items: &[StatusItem],
) -> Answer {
    let account = session.user()?.account;
    if session.selected.is_some() {
        // Of its own mailbox a session says no more than it told: that must be as of now.
        session.mark_dirty();
    }
    session.sync(true).await?;
    let place = session.place(&mailbox).await?;
    let (name, past) = (place.name.clone(), place.index());
    let found = session.read_at(past, move |view| view.mailbox_named(account, &name)).await?;
    let Some(mut found) = found else { return Ok(Reply::nonexistent()) };
    if !found.selectable {
        return Ok(Reply::no("NONEXISTENT", "This name only has mailboxes below it"));
    }
    found.name = place.written(&found.name);
    tell(session, account, &found, past, items).await?;
    Ok(Reply::ok("STATUS done"))
}

/// Queues the STATUS response of one mailbox of now, or of then.
pub(crate) async fn tell(
    session: &mut Session,
    account: AccountId,
    mailbox: &Mailbox,
    past: Option<LogIndex>,
    items: &[StatusItem],
) -> Result<(), Trouble> {
    if items.contains(&StatusItem::HighestModSeq) {
        session.enable_condstore();
    }
    let recent = match items.contains(&StatusItem::Recent) && past.is_none() {
        true => recent(session, account, mailbox).await?,
        false => 0,
    };
    let highest = highest(session, mailbox, past);
    let values = values(mailbox, past, items, recent, highest);
    status(session.conn.output(), &mailbox.name, false, &values);
    Ok(())
}

/// Not past an expunge that this session has not told yet, of its own mailbox.
fn highest(session: &Session, mailbox: &Mailbox, past: Option<LogIndex>) -> ModSeq {
    let is_it = |s: &&Selected| s.mailbox.mailbox == mailbox.id && s.past == past;
    let selected = session.selected.as_ref().filter(is_it);
    match selected {
        Some(selected) => selected.highest_modseq().min(mailbox.highest_modseq),
        None => mailbox.highest_modseq,
    }
}

async fn recent(session: &Session, account: AccountId, mailbox: &Mailbox) -> Result<u32, Trouble> {
    let reference = MailboxRef { account, mailbox: mailbox.id };
    let watermark = session.imap.store.recent(reference, None, false);
    if watermark.is_some_and(|mark| u64::from(mark.get()) + 1 >= mailbox.uid_next) {
        return Ok(0);
    }
    session.read(move |view| count_above(view, reference, watermark)).await
}

fn count_above(
    view: &View,
    mailbox: MailboxRef,
    watermark: Option<Uid>,
) -> Result<u32, StoreError> {
    let uids = view.uids(mailbox.account, mailbox.mailbox)?;
    let first = match watermark {
        None => Some(Uid::MIN),
        Some(mark) => mark.get().checked_add(1).and_then(Uid::new),
    };
    let count = first.map_or(0, |first| uids.range(first, Uid::MAX).count());
    Ok(u32::try_from(count).unwrap_or(u32::MAX))
}

fn values(
    mailbox: &Mailbox,
    past: Option<LogIndex>,
    items: &[StatusItem],
    recent: u32,
    highest: ModSeq,
) -> Vec<StatusValue> {
    let value = |item: &StatusItem| {
        let number = match item {
            StatusItem::Messages => u64::from(mailbox.messages),
            StatusItem::Recent => u64::from(recent),
            // The grammar has no 2^32.
            StatusItem::UidNext => mailbox.uid_next.min(u64::from(u32::MAX)),
            StatusItem::UidValidity => u64::from(mailbox.uid_validity.get()),
            StatusItem::Unseen => u64::from(mailbox.unseen),
            StatusItem::Deleted => u64::from(mailbox.deleted),
            StatusItem::Size => mailbox.size,
            StatusItem::HighestModSeq => highest.0,
            StatusItem::MailboxId => {
                return StatusValue::MailboxId(history::object_id(mailbox.id, past));
            }
        };
        StatusValue::Number(*item, number)
    };
    items.iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use redoubt_log::id::{MailboxId, UidValidity};

    #[test]
    fn items_come_in_the_order_asked() {
        let mailbox = Mailbox {
            id: MailboxId(7),
            name: "Entwürfe".into(),
            parent: None,
            special_use: None,
            selectable: true,
            has_children: false,
            uid_validity: UidValidity::MIN,
            uid_next: 1 << 32,
            highest_modseq: ModSeq(9),
            messages: 3,
            unseen: 2,
            deleted: 1,
            size: 1234,
            keywords: Vec::new(),
        };
        let items = [StatusItem::UidNext, StatusItem::Size, StatusItem::MailboxId];
        let number = |item, value| StatusValue::Number(item, value);
        assert_eq!(
            values(&mailbox, None, &items, 0, ModSeq(9)),
            [
                number(StatusItem::UidNext, u64::from(u32::MAX)),
                number(StatusItem::Size, 1234),
                StatusValue::MailboxId("m7".into()),
            ]
        );
    }
}
