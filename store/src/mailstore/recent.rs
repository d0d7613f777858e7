//! The watermark of `\Recent` (RFC 3501 section 2.3.2): soft state of this node.

use std::num::NonZeroUsize;

use lru::LruCache;
use parking_lot::Mutex;
use redoubt_log::id::Uid;

use super::MailboxRef;

const MAILBOXES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(256 * 1024 - 1);

/// By mailbox the highest UID that a session was told of; the least recent are forgotten.
#[derive(Debug)]
pub(super) struct Recent {
    told: Mutex<LruCache<MailboxRef, Uid>>,
}

impl Default for Recent {
    fn default() -> Self {
        Self { told: Mutex::new(LruCache::new(MAILBOXES)) }
    }
}

impl Recent {
    /// The watermark before this call; raised to `last` when `claim`.
    pub(super) fn get(&self, mailbox: MailboxRef, last: Option<Uid>, claim: bool) -> Option<Uid> {
        let mut told = self.told.lock();
        let before = told.get(&mailbox).copied();
        if claim && last > before {
            last.map(|last| told.put(mailbox, last));
        }
        before
    }
}

#[cfg(test)]
mod tests {
    use redoubt_log::id::{AccountId, MailboxId};

    use super::*;

    #[test]
    fn a_claim_raises_and_a_look_does_not() {
        let recent = Recent::default();
        let inbox = MailboxRef { account: AccountId(1), mailbox: MailboxId(1) };
        let (five, three) = (Uid::new(5), Uid::new(3));
        assert_eq!(recent.get(inbox, five, false), None);
        assert_eq!(recent.get(inbox, five, true), None);
        assert_eq!(recent.get(inbox, three, true), five);
        assert_eq!(recent.get(inbox, None, true), five);
    }
}
