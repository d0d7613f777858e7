//! Messages that a client or an import brings: all or none (RFC 3502).

use redoubt_log::id::{AccountId, EmailId, MailboxId, ThreadId};
use redoubt_log::record::{Actor, Append, AppendItem, Arrival, Done, Flags, Principal};

use super::Ruled;
use super::deliver::email_data;
use super::operations::{IMPORT_LIFE, any_arrival, first_arrival, remember_item};
use super::placing::{self, Marks};
use super::work::Work;
use crate::email::{bounded_keys, thread};
use crate::keys::Key;
use crate::mailbox::plan_keywords;
use crate::rows::RetainedRow;

/// What a client says of when it came may be so much beside the clock, in milliseconds.
const BESIDE: u64 = 60_000;

pub(crate) fn append(work: &mut Work<'_>, actor: &Actor, record: &Append) -> Ruled<Done> {
    work.selectable(record.account, record.mailbox)?;
    let mut arrivals = Vec::with_capacity(record.items.len());
    for (ordinal, item) in (0u32..).zip(&record.items) {
        let own = matches!(actor.principal, Principal::Account(_));
        let to = (record.account, record.mailbox);
        arrivals.push(Ok(one(work, own, to, item, ordinal)?));
    }
    Ok(Done::Arrived(arrivals))
}

fn one(
    work: &mut Work<'_>,
    own: bool,
    (a, m): (AccountId, MailboxId),
    item: &AppendItem,
    ordinal: u32,
) -> Ruled<Arrival> {
    let Some(operation) = item.operation else {
        let email = bring(work, own, a, item, ordinal)?;
        return place(work, a, m, email, item);
    };
    if let Some(first) = first_arrival(work, operation, a, m)? {
        return Ok(first);
    }
    let email = match any_arrival(work, operation, a)? {
        Some(first) if is_live(work, a, first.email)? => first.email,
        _ => bring(work, own, a, item, ordinal)?,
    };
    let arrival = place(work, a, m, email, item)?;
    remember_item(work, operation, (a, m), arrival, IMPORT_LIFE)?;
    Ok(arrival)
}

fn is_live(work: &Work<'_>, a: AccountId, email: EmailId) -> Ruled<bool> {
    Ok(work.tx.get_raw(&Key::Email(a, email))?.is_some())
}

fn bring(
    work: &mut Work<'_>,
    own: bool,
    a: AccountId,
    item: &AppendItem,
    ordinal: u32,
) -> Ruled<EmailId> {
    work.account(a)?.takes(item.message.size)?;
    let email = EmailId { sequence: work.sequence(a)?, ordinal };
    let keys = bounded_keys(&item.message.thread);
    let thread = thread(&mut work.tx, a, &keys, ThreadId(email))?;
    placing::bring(work, a, email, email_data(&item.message, item.received, &keys, thread))?;
    let beside = own && item.received.0.abs_diff(work.time.0) > BESIDE;
    let draft = item.flags.contains(Flags::DRAFT);
    if beside || draft {
        // Policies count from the entry: a client may not choose it.
        let entered = beside.then_some(work.time);
        let row = RetainedRow { entered, draft, ..RetainedRow::default() };
        work.tx.put(&Key::Retained(a, email), &row)?;
    }
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
