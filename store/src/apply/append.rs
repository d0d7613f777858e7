//! Messages that a client or an import brings: all or none (RFC 3502).

use redoubt_log::id::{AccountId, EmailId, MailboxId, ThreadId};
use redoubt_log::record::{Append, AppendItem, Arrival, Done};

use super::Ruled;
use super::deliver::email_data;
use super::operations::{IMPORT_LIFE, any_arrival, first_arrival, remember_item};
use super::placing::{self, Marks};
use super::work::Work;
use crate::email::{bounded_keys, thread};
use crate::keys::Key;
use crate::mailbox::plan_keywords;

pub(crate) fn append(work: &mut Work<'_>, record: &Append) -> Ruled<Done> {
    work.selectable(record.account, record.mailbox)?;
    let mut arrivals = Vec::with_capacity(record.items.len());
    for (ordinal, item) in (0u32..).zip(&record.items) {
        arrivals.push(Ok(one(work, record.account, record.mailbox, item, ordinal)?));
    }
    Ok(Done::Arrived(arrivals))
}

fn one(
    work: &mut Work<'_>,
    a: AccountId,
    m: MailboxId,
    item: &AppendItem,
    ordinal: u32,
) -> Ruled<Arrival> {
    let Some(operation) = item.operation else {
        let email = bring(work, a, item, ordinal)?;
        return place(work, a, m, email, item);
    };
    if let Some(first) = first_arrival(work, operation, a, m)? {
        return Ok(first);
    }
    let email = match any_arrival(work, operation, a)? {
        Some(first) if is_live(work, a, first.email)? => first.email,
        _ => bring(work, a, item, ordinal)?,
    };
    let arrival = place(work, a, m, email, item)?;
    remember_item(work, operation, (a, m), arrival, IMPORT_LIFE)?;
    Ok(arrival)
}

fn is_live(work: &Work<'_>, a: AccountId, email: EmailId) -> Ruled<bool> {
    Ok(work.tx.get_raw(&Key::Email(a, email))?.is_some())
}

fn bring(work: &mut Work<'_>, a: AccountId, item: &AppendItem, ordinal: u32) -> Ruled<EmailId> {
    work.account(a)?.takes(item.message.size)?;
    let email = EmailId { sequence: work.sequence(a)?, ordinal };
    let keys = bounded_keys(&item.message.thread);
    let thread = thread(&mut work.tx, a, &keys, ThreadId(email))?;
    placing::bring(work, a, email, email_data(&item.message, item.received, &keys, thread))?;
    Ok(email)
}

fn place(
    work: &mut Work<'_>,
    a: AccountId,
    m: MailboxId,
    email: EmailId,
    item: &AppendItem,
) -> Ruled<Arrival> {
    let keywords = plan_keywords(work.mailbox(a, m)?.row.get(), &item.keywords)?;
    placing::place(work, a, m, email, Marks { flags: item.flags, keywords }, item.uid)
}
