//! Sheets of the mailboxes that were sorted last, in a bounded share of memory.

use std::sync::Arc;

use lru::LruCache;
use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::Sheet;
use crate::mailstore::MailboxRef;

/// A sheet that several sessions may ask and add to.
pub type SharedSheet = Arc<RwLock<Sheet>>;

/// A sheet whose texts are in their order.
pub fn ranked(sheet: &SharedSheet) -> RwLockReadGuard<'_, Sheet> {
    let read = sheet.read();
    if read.is_ranked() {
        return read;
    }
    drop(read);
    let mut write = sheet.write();
    write.rank();
    RwLockWriteGuard::downgrade(write)
}

/// A sheet with more messages that are gone than that, and than live ones, is made anew.
const GONE: usize = 4096;

/// The sheets that are kept.
#[derive(Debug)]
pub(crate) struct Shelf {
    kept: Mutex<Kept>,
    limit: usize,
}

#[derive(Debug)]
struct Kept {
    sheets: LruCache<MailboxRef, (SharedSheet, usize)>,
    octets: usize,
}

impl Shelf {
    /// A shelf that keeps so many octets, about.
    pub(crate) fn new(limit: usize) -> Self {
        Self { kept: Mutex::new(Kept { sheets: LruCache::unbounded(), octets: 0 }), limit }
    }

    /// A mailbox's sheet; `live` messages are in the mailbox.
    pub(crate) fn sheet(&self, mailbox: MailboxRef, live: usize) -> SharedSheet {
        let known = self.kept.lock().sheets.get(&mailbox).map(|(sheet, _)| sheet.clone());
        match known {
            // Asked without the shelf's lock: who writes to a sheet may take a moment.
            Some(sheet) if sheet.read().len() <= 2 * live + GONE => sheet,
            stale => self.put(mailbox, stale.as_ref()),
        }
    }

    /// A new one in the place of `stale`, or what another put there meanwhile.
    fn put(&self, mailbox: MailboxRef, stale: Option<&SharedSheet>) -> SharedSheet {
        let mut kept = self.kept.lock();
        if let Some((sheet, _)) = kept.sheets.get(&mailbox)
            && stale.is_none_or(|stale| !Arc::ptr_eq(stale, sheet))
        {
            return sheet.clone();
        }
        let sheet = SharedSheet::default();
        let octets = sheet.read().memory();
        kept.replace(mailbox, sheet.clone(), octets);
        kept.shrink(self.limit);
        sheet
    }

    /// Nothing stays of an account.
    pub(crate) fn forget(&self, account: redoubt_log::id::AccountId) {
        let mut kept = self.kept.lock();
        let of = |(mailbox, _): (&MailboxRef, _)| (mailbox.account == account).then_some(*mailbox);
        let its: Vec<MailboxRef> = kept.sheets.iter().filter_map(of).collect();
        for mailbox in its {
            let octets = kept.sheets.pop(&mailbox).map_or(0, |(_, octets)| octets);
            kept.octets -= octets;
        }
    }

    /// To be told when a sheet has grown; others go then. Whether it is still kept: else its
    /// memory is of who asks.
    pub(crate) fn weigh(&self, mailbox: MailboxRef, sheet: &SharedSheet) -> bool {
        let octets = sheet.read().memory();
        let mut kept = self.kept.lock();
        let is_kept = kept.sheets.get(&mailbox).is_some_and(|(kept, _)| Arc::ptr_eq(kept, sheet));
        if is_kept {
            kept.replace(mailbox, sheet.clone(), octets);
            kept.shrink(self.limit);
        }
        is_kept && kept.sheets.contains(&mailbox)
    }
}

impl Kept {
    fn replace(&mut self, mailbox: MailboxRef, sheet: SharedSheet, octets: usize) {
        let old = self.sheets.put(mailbox, (sheet, octets));
        self.octets = self.octets + octets - old.map_or(0, |(_, octets)| octets);
    }

    /// The one that was used last goes last.
    fn shrink(&mut self, limit: usize) {
        while self.octets > limit {
            let Some((_, (_, octets))) = self.sheets.pop_lru() else { return };
            self.octets -= octets;
        }
    }
}

#[cfg(test)]
mod tests {
    use redoubt_log::id::{AccountId, MailboxId, Timestamp, Uid};

    use super::super::{Facts, Head};
    use super::*;

    fn mailbox(id: u32) -> MailboxRef {
        MailboxRef { account: AccountId(1), mailbox: MailboxId(id) }
    }

    fn fill(sheet: &SharedSheet, count: u32) {
        let facts = |uid| Facts {
            uid: Uid::new(uid).unwrap(),
            received: Timestamp(0),
            size: 1,
            head: Head::Unasked,
        };
        sheet.write().add(&(1..=count).map(facts).collect::<Vec<_>>()).unwrap();
    }

    #[test]
    fn the_least_used_goes_where_there_is_no_room_and_what_is_too_large_is_not_kept() {
        let shelf = Shelf::new(100_000);
        let (one, two) = (shelf.sheet(mailbox(1), 0), shelf.sheet(mailbox(2), 0));
        fill(&one, 1000);
        assert!(shelf.weigh(mailbox(1), &one) && shelf.weigh(mailbox(2), &two));
        assert!(Arc::ptr_eq(&one, &shelf.sheet(mailbox(1), 1000)));
        fill(&two, 3000);
        assert!(shelf.weigh(mailbox(2), &two));
        assert!(!shelf.weigh(mailbox(1), &one));
        let again = shelf.sheet(mailbox(1), 1000);
        assert!(again.read().is_empty() && !Arc::ptr_eq(&one, &again));
        // What is not on the shelf is not weighed into it.
        assert!(!shelf.weigh(mailbox(1), &one));
        fill(&again, 9000);
        assert!(!shelf.weigh(mailbox(1), &again));
        assert_eq!(shelf.kept.lock().octets, 0);
    }

    #[test]
    fn a_sheet_of_mostly_expunged_messages_is_made_anew() {
        let shelf = Shelf::new(1 << 20);
        let sheet = shelf.sheet(mailbox(1), 0);
        fill(&sheet, 5000);
        assert!(Arc::ptr_eq(&sheet, &shelf.sheet(mailbox(1), 600)));
        assert!(shelf.sheet(mailbox(1), 400).read().is_empty());
        assert_eq!(shelf.kept.lock().octets, super::super::Sheet::default().memory());
    }
}
