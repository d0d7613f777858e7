//! Which UIDs stand in a mailbox, and what stands there.

use std::ops::ControlFlow;

use redoubt_log::id::{AccountId, EmailId, MailboxId, Uid};
use redoubt_log::record::Flags;

use super::{
    Key, KeyRange, Object, Order, Parts, Placement, StorageError, StoreError, Table, View, decode,
};
use crate::keys::{Bytes, chunk_of};
use crate::rows::{Bits, PlacementRow, Standing, UidChunk};
use crate::storage::successor;
use crate::uids::UidSet;

impl View {
    /// The UIDs of a mailbox; none when it cannot be selected.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn uids(&self, account: AccountId, mailbox: MailboxId) -> Result<UidSet, StoreError> {
        self.select(account, mailbox, &mut |_, chunk| Ok(chunk.present))
    }

    /// The UIDs that `reader` has not seen.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn unseen(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        reader: AccountId,
    ) -> Result<UidSet, StoreError> {
        self.select(account, mailbox, &mut |number, chunk| {
            Ok(chunk.present.without(&self.seen_of(account, mailbox, number, reader, chunk)?))
        })
    }

    /// The UIDs that have `\Deleted`.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn deleted(&self, account: AccountId, mailbox: MailboxId) -> Result<UidSet, StoreError> {
        self.select(account, mailbox, &mut |_, chunk| Ok(chunk.deleted))
    }

    /// The UIDs of a mailbox and those of them that `reader` has not seen, at the price of one:
    /// what opening a mailbox asks for.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn opened(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        reader: AccountId,
    ) -> Result<(UidSet, UidSet), StoreError> {
        let mut unseen = UidSet::default();
        let uids = self.select(account, mailbox, &mut |number, chunk| {
            let seen = self.seen_of(account, mailbox, number, reader, chunk)?;
            unseen.push_chunk(number, chunk.present.without(&seen));
            Ok(chunk.present)
        })?;
        Ok((uids, unseen))
    }

    /// UIDs by chunks of the UID map.
    fn select(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        bits: &mut dyn FnMut(u32, &UidChunk) -> Result<Bits, StorageError>,
    ) -> Result<UidSet, StoreError> {
        let mut uids = UidSet::default();
        if !self.is_selectable(account, mailbox)? {
            return Ok(uids);
        }
        if self.source.is_past() {
            for (number, chunk) in self.uid_map_then(account, mailbox)? {
                uids.push_chunk(number, bits(number, &chunk)?);
            }
            return Ok(uids);
        }
        self.uid_map_now(account, mailbox, &mut |number, chunk| {
            uids.push_chunk(number, bits(number, &chunk)?);
            Ok(())
        })?;
        Ok(uids)
    }

    pub(super) fn uid_map_now(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        witness: &mut dyn FnMut(u32, UidChunk) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let range = Bytes::mailbox(account, mailbox).range();
        self.reader().visit(Table::UidMap, &range, Order::Rising, &mut |key, value| {
            let number = Parts::new(key.get(12..).unwrap_or_default()).u32();
            let (Some(number), Some(chunk)) = (number, UidChunk::from_bytes(value)) else {
                return Err(StorageError::corrupt(Table::UidMap, key, "not three bitmaps"));
            };
            witness(number, chunk)?;
            Ok(ControlFlow::Continue(()))
        })
    }

    fn seen_of(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        number: u32,
        reader: AccountId,
        chunk: &UidChunk,
    ) -> Result<Bits, StorageError> {
        match reader == account {
            true => Ok(chunk.seen),
            false => self.seen_bits(account, mailbox, number, reader),
        }
    }

    /// One placement.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn placement(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        reader: AccountId,
        uid: Uid,
    ) -> Result<Option<Placement>, StoreError> {
        Ok(self.placements(account, mailbox, reader, uid, uid, 1)?.pop())
    }

    /// The placements of some UIDs, in their order; those that are not there are left out.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn placements_at(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        reader: AccountId,
        uids: &[Uid],
    ) -> Result<Vec<Placement>, StoreError> {
        let mut found = Vec::with_capacity(uids.len());
        if self.source.is_past() {
            for uid in uids {
                found.extend(self.placement(account, mailbox, reader, *uid)?);
            }
            return Ok(found);
        }
        if !self.is_selectable(account, mailbox)? {
            return Ok(found);
        }
        for uid in uids {
            let row = self.source.get(&Key::Placement(account, mailbox, *uid))?;
            found.extend(row.map(|row| placed(*uid, row)));
        }
        self.as_read_by(account, mailbox, reader, &mut found)?;
        Ok(found)
    }

    /// Flags as one sees them who is not the owner.
    fn as_read_by(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        reader: AccountId,
        found: &mut [Placement],
    ) -> Result<(), StoreError> {
        for p in found.iter_mut().filter(|_| reader != account) {
            p.flags = self.seen_by(account, mailbox, reader, p.uid, p.flags)?;
        }
        Ok(())
    }

    /// Placements with UIDs from `first` to `last`, rising, at most `limit`.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn placements(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        reader: AccountId,
        first: Uid,
        last: Uid,
        limit: usize,
    ) -> Result<Vec<Placement>, StoreError> {
        if limit == 0 || last < first || !self.is_selectable(account, mailbox)? {
            return Ok(Vec::new());
        }
        let mut found = if self.source.is_past() {
            self.placements_then(account, mailbox, first, last, limit)?
        } else if first == last {
            let row = self.source.get(&Key::Placement(account, mailbox, first))?;
            row.map(|row| placed(first, row)).into_iter().collect()
        } else {
            self.placements_now(account, mailbox, first, last, limit)?
        };
        self.as_read_by(account, mailbox, reader, &mut found)?;
        Ok(found)
    }

    fn placements_now(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        first: Uid,
        last: Uid,
        limit: usize,
    ) -> Result<Vec<Placement>, StorageError> {
        let mut found = Vec::new();
        self.rows_of(account, mailbox, first, last, &mut |uid, row| {
            found.push(placed(uid, row));
            found.len() < limit
        })?;
        Ok(found)
    }

    /// Shows what stands now from one UID to another, until the witness says false.
    pub(super) fn rows_of(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        first: Uid,
        last: Uid,
        witness: &mut dyn FnMut(Uid, PlacementRow) -> bool,
    ) -> Result<(), StorageError> {
        let range = KeyRange {
            from: Key::Placement(account, mailbox, first).bytes(),
            to: successor(&Key::Placement(account, mailbox, last).bytes()),
        };
        self.reader().visit(Table::Placement, &range, Order::Rising, &mut |key, value| {
            let uid = Parts::new(key.get(12..).unwrap_or_default()).uid();
            let uid = uid.ok_or_else(|| StorageError::corrupt(Table::Placement, key, "no UID"))?;
            Ok(match witness(uid, decode(Table::Placement, key, value)?) {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            })
        })
    }

    /// Every standing of one email that is shown.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn placements_of(
        &self,
        account: AccountId,
        email: EmailId,
    ) -> Result<Vec<(MailboxId, Uid)>, StoreError> {
        let mut places = Vec::new();
        let range = KeyRange::prefix(&Key::Email(account, email).bytes());
        self.reader().visit(Table::EmailPlacement, &range, Order::Rising, &mut |key, value| {
            let standing: Standing = decode(Table::EmailPlacement, key, value)?;
            let mut parts = Parts::new(key.get(20..).unwrap_or_default());
            let (Some(mailbox), Some(uid)) = (parts.mailbox(), parts.uid()) else {
                return Err(StorageError::corrupt(Table::EmailPlacement, key, "no placement"));
            };
            let at = self.index();
            if standing.from <= at && standing.until.is_none_or(|until| until > at) {
                places.push((mailbox, uid));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let mut shown = Vec::with_capacity(places.len());
        for (mailbox, uid) in places {
            if self.is_selectable(account, mailbox)? {
                shown.push((mailbox, uid));
            }
        }
        Ok(shown)
    }

    /// Emails of an account that its history knows, live or gone, by rising id and behind one, at
    /// most `limit`. As of now, whatever the view's index.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn emails_ever(
        &self,
        account: AccountId,
        after: Option<EmailId>,
        limit: usize,
    ) -> Result<Vec<EmailId>, StoreError> {
        let mut range = Bytes::account(account).range();
        if let Some(after) = after {
            let prefix = Key::Email(account, after).bytes();
            range.from = successor(&prefix).unwrap_or(prefix);
        }
        let mut emails: Vec<EmailId> = Vec::new();
        self.reader().visit(Table::EmailPlacement, &range, Order::Rising, &mut |key, _| {
            let email = Parts::new(key.get(8..).unwrap_or_default()).email();
            let email = email
                .ok_or_else(|| StorageError::corrupt(Table::EmailPlacement, key, "no email"))?;
            if emails.last() == Some(&email) {
                return Ok(ControlFlow::Continue(()));
            }
            if emails.len() >= limit {
                return Ok(ControlFlow::Break(()));
            }
            emails.push(email);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(emails)
    }

    /// The UIDs under which an email stands in one mailbox: as [`View::placements_of`], for a
    /// mailbox that is known to be selectable.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn uids_of(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        email: EmailId,
    ) -> Result<Vec<Uid>, StoreError> {
        let range = KeyRange::prefix(&Key::Email(account, email).bytes());
        let (at, mut uids) = (self.index(), Vec::new());
        self.reader().visit(Table::EmailPlacement, &range, Order::Rising, &mut |key, value| {
            let mut parts = Parts::new(key.get(20..).unwrap_or_default());
            let (Some(place), Some(uid)) = (parts.mailbox(), parts.uid()) else {
                return Err(StorageError::corrupt(Table::EmailPlacement, key, "no placement"));
            };
            if place == mailbox {
                let standing: Standing = decode(Table::EmailPlacement, key, value)?;
                let there = standing.from <= at && standing.until.is_none_or(|until| until > at);
                uids.extend(there.then_some(uid));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(uids)
    }

    /// Flags as a reader sees them.
    fn seen_by(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        reader: AccountId,
        uid: Uid,
        flags: Flags,
    ) -> Result<Flags, StorageError> {
        if reader == account {
            return Ok(flags);
        }
        let bits = self.seen_bits(account, mailbox, chunk_of(uid), reader)?;
        let own = if bits.get(uid) { Flags::SEEN } else { Flags::NONE };
        Ok(flags.without(Flags::SEEN).with(own))
    }

    fn seen_bits(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        chunk: u32,
        reader: AccountId,
    ) -> Result<Bits, StorageError> {
        let key = Key::Seen(account, mailbox, chunk, reader);
        let object = Object::Seen(account, mailbox, chunk, reader);
        let Some(bytes) = self.source.raw(&key, &object)? else { return Ok(Bits::default()) };
        Bits::from_bytes(&bytes)
            .ok_or_else(|| StorageError::corrupt(Table::Seen, &key.bytes(), "not a bitmap"))
    }
}

pub(super) fn placed(uid: Uid, row: PlacementRow) -> Placement {
    Placement {
        uid,
        email: row.email,
        thread: row.thread,
        blob: row.blob,
        size: row.size,
        received: row.received,
        saved: row.version.saved,
        flags: row.version.flags,
        keywords: row.version.keywords,
        modseq: row.version.modseq,
    }
}
