//! One message to one or more accounts.

use redoubt_log::id::{AccountId, EmailId, MailboxId, ThreadId};
use redoubt_log::record::{
    AccountState, Arrival, Deliver, Done, Message, Recipient, Rejection, ThreadKeys,
};

use super::capture::Capturing;
use super::operations::{ANY_MAILBOX, DELIVERY_LIFE, first_arrival, remember_item};
use super::placing::{self, Marks};
use super::work::Work;
use super::{Ruled, Stop, settle};
use crate::email::{bounded_keys, thread};
use crate::mailbox::{INBOX, plan_keywords};
use crate::rows::EmailData;

/// To all recipients, and into the archives that the rules over them want.
pub(crate) fn deliver(
    work: &mut Work<'_>,
    record: &Deliver,
    archives: &[AccountId],
) -> Ruled<Done> {
    let keys = bounded_keys(&record.message.thread);
    let mut capturing = Capturing::begin(work, archives)?;
    let mut answers = Vec::with_capacity(record.recipients.len());
    for (ordinal, recipient) in (0u32..).zip(&record.recipients) {
        answers.push(settle(one(work, record, &keys, (recipient, ordinal), &mut capturing))?);
    }
    capturing.delivered(work, record)?;
    Ok(Done::Delivered(answers))
}

/// Every check comes before the first write, since the others' changes stay.
fn one(
    work: &mut Work<'_>,
    record: &Deliver,
    keys: &ThreadKeys,
    (recipient, ordinal): (&Recipient, u32),
    capturing: &mut Capturing<'_>,
) -> Ruled<Arrival> {
    let a = recipient.account;
    let operation = recipient.operation;
    if let Some(id) = operation
        && let Some(first) = first_arrival(work, id, a, ANY_MAILBOX)?
    {
        return Ok(first);
    }
    check_account(work, a, record.message.size)?;
    let m = target(work, a, recipient.mailbox)?;
    let mailbox = work.mailbox(a, m)?;
    placing::check_uid(mailbox.counters.get().uid_next, None)?;
    capturing.take(work, a)?;
    let mailbox = work.mailbox(a, m)?;
    // Mail is not refused for a keyword that has no room.
    let keywords = plan_keywords(mailbox.row.get(), &recipient.keywords).unwrap_or_default();
    let email = EmailId { sequence: work.sequence(a)?, ordinal };
    let thread = thread(&mut work.tx, a, keys, ThreadId(email))?;
    let data = EmailData {
        envelope: Some(record.envelope),
        ..email_data(&record.message, record.received, keys, thread)
    };
    placing::bring(work, a, email, data)?;
    let marks = Marks { flags: recipient.flags, keywords };
    let arrival = placing::place(work, a, m, email, marks, None)?;
    if let Some(id) = operation {
        remember_item(work, id, (a, ANY_MAILBOX), arrival, DELIVERY_LIFE)?;
    }
    Ok(arrival)
}

pub(crate) fn email_data(
    message: &Message,
    received: redoubt_log::id::Timestamp,
    keys: &ThreadKeys,
    thread: ThreadId,
) -> EmailData {
    EmailData {
        blob: message.blob,
        original: message.original,
        size: message.size,
        received,
        envelope: None,
        thread,
        keys: keys.clone(),
    }
}

fn check_account(work: &mut Work<'_>, a: AccountId, size: u64) -> Ruled<()> {
    let account = work.account(a)?;
    let state = account.row.get().settings.state;
    match state {
        AccountState::Closed => return Err(Rejection::AccountState(state).into()),
        AccountState::Archive => return Err(Rejection::Archive.into()),
        _ => {}
    }
    Ok(account.takes(size)?)
}

/// The mailbox that was meant, or INBOX where it is gone.
fn target(work: &mut Work<'_>, a: AccountId, wished: MailboxId) -> Ruled<MailboxId> {
    match work.selectable(a, wished) {
        Ok(_) => Ok(wished),
        Err(Stop::Rejected(_)) => work.selectable(a, INBOX).map(|_| INBOX),
        Err(broken) => Err(broken),
    }
}
