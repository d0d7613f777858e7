//! Subscriptions: names, not mailboxes (RFC 9051 section 6.3.7).

use redoubt_log::record::{Done, Rejection, Subscribe};

use super::Ruled;
use super::work::Work;
use crate::keys::{Bytes, Key, Object};
use crate::mailbox::{MAX_SUBSCRIPTIONS, check_name, is_inbox};
use crate::storage::Table;

pub(crate) fn subscribe(work: &mut Work<'_>, record: &Subscribe) -> Ruled<Done> {
    check_name(&record.name)?;
    work.account(record.account)?;
    let name = if is_inbox(&record.name) { "INBOX" } else { record.name.as_str() };
    let key = Key::Subscription(record.account, name);
    let object = Object::Subscription(record.account, name.to_owned());
    let known = work.tx.get_raw(&key)?.is_some();
    match record.subscribed {
        true if !known => {
            check_count(work, record)?;
            work.tx.save(&key, &object, &())?;
        }
        false if known => work.tx.drop(&key, &object),
        _ => {}
    }
    Ok(Done::Unit)
}

fn check_count(work: &Work<'_>, record: &Subscribe) -> Ruled<()> {
    let range = Bytes::account(record.account).u8(b's').range();
    if work.tx.scan(Table::Mailbox, &range, MAX_SUBSCRIPTIONS)?.len() >= MAX_SUBSCRIPTIONS {
        return Err(Rejection::Limit(format!("{MAX_SUBSCRIPTIONS} subscriptions")).into());
    }
    Ok(())
}
