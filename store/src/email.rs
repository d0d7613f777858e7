//! The rules of emails: quota and threads.

use redoubt_log::id::{AccountId, ThreadId, ThreadKey};
use redoubt_log::record::{Rejection, ThreadKeys};

use crate::apply::Ruled;
use crate::apply::Tx;
use crate::keys::Key;
use crate::rows::Usage;

/// Message-ids of one email that thread it; those beyond are not looked at.
pub const MAX_THREAD_KEYS: usize = 100;

/// Whether so many octets more fit. Emails in several mailboxes count once.
pub(crate) fn check_quota(usage: &Usage, quota: Option<u64>, more: u64) -> Result<(), Rejection> {
    match quota {
        Some(limit) if usage.bytes.saturating_add(more) > limit => {
            Err(Rejection::OverQuota { used: usage.bytes, limit })
        }
        _ => Ok(()),
    }
}

/// The keys that count, each message-id once.
pub(crate) fn bounded_keys(keys: &ThreadKeys) -> ThreadKeys {
    let mut message_ids: Vec<ThreadKey> = Vec::new();
    for id in keys.message_ids.iter().take(MAX_THREAD_KEYS) {
        if !message_ids.contains(id) {
            message_ids.push(*id);
        }
    }
    ThreadKeys { message_ids, subject: keys.subject }
}

/// The thread of a new email (RFC 8621 section 3): the oldest that shares a
/// message-id and the base subject, or one of its own. Threads never merge:
/// each pair of keys stays with the thread that had it first.
pub(crate) fn thread(
    tx: &mut Tx<'_>,
    account: AccountId,
    keys: &ThreadKeys,
    own: ThreadId,
) -> Ruled<ThreadId> {
    let mut found: Option<ThreadId> = None;
    let mut free = Vec::new();
    for id in &keys.message_ids {
        match tx.get::<ThreadId>(&Key::Thread(account, *id, keys.subject))? {
            Some(thread) => found = Some(found.map_or(thread, |best| best.min(thread))),
            None => free.push(*id),
        }
    }
    let thread = found.unwrap_or(own);
    for id in free {
        tx.put(&Key::Thread(account, id, keys.subject), &thread)?;
    }
    Ok(thread)
}
