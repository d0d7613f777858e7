//! What stood in a mailbox at a past index.
//!
//! What is there now and has a MODSEQ that is not above the index stood there
//! already, and as it is. So the present is read first, and the history only of
//! what changed since: a mailbox at rest opens at any past index as fast as now.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use redoubt_log::id::{AccountId, EmailId, LogIndex, MailboxId, ModSeq, Uid};

use super::placements::placed;
use super::{
    AccountRow, EmailData, Key, KeyRange, Object, Order, Parts, Placement, StorageError,
    StoreError, Table, View, decode,
};
use crate::keys::{Bytes, chunk_of, kind, objects};
use crate::rows::{Bits, MailboxRow, MailboxState, PlacementRow, PlacementVersion, UidChunk};
use crate::storage::successor;
use crate::uids::UidSet;

/// Sees a placement of then, until it says false.
pub(super) type Standing<'a> =
    &'a mut dyn FnMut(Uid, PlacementVersion) -> Result<bool, StorageError>;

impl View {
    /// UIDs of a mailbox whose placements came, changed or went after an index, up to now
    /// whatever this view's index. `None` when the change feed does not know: the mailbox is
    /// gone, or only a name.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn touched_since(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        index: LogIndex,
    ) -> Result<Option<UidSet>, StoreError> {
        Ok(self.touched(account, mailbox, index)?)
    }

    /// What the history says of placements as of this view, of all or of these UIDs, rising.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn placement_versions(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        only: Option<&UidSet>,
    ) -> Result<Vec<(Uid, PlacementVersion)>, StoreError> {
        let mut found = Vec::new();
        if !self.is_selectable(account, mailbox)? {
            return Ok(found);
        }
        let range = objects(account, kind::PLACEMENT).u32(mailbox.0).range();
        let behind = |uid: Uid| match only {
            Some(only) => only.first_from(uid),
            None => Some(uid),
        };
        self.placements_of_history(account, mailbox, &range, &behind, &mut |uid, version| {
            found.push((uid, version));
            Ok(true)
        })?;
        Ok(found)
    }

    pub(super) fn touched(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        index: LogIndex,
    ) -> Result<Option<UidSet>, StorageError> {
        self.source.reaches(account, index)?;
        self.touched_above(account, mailbox, self.modseq_at(account, index)?)
    }

    /// The same above a MODSEQ; of what vanished, as far as that is remembered.
    pub(super) fn touched_above(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        since: ModSeq,
    ) -> Result<Option<UidSet>, StorageError> {
        let row: Option<MailboxRow> = self.source.get(&Key::Mailbox(account, mailbox))?;
        // A mailbox is live from its beginning on: the feed has all that ever changed in it.
        if row.is_none_or(|row| row.state != MailboxState::Live) {
            return Ok(None);
        }
        let Some(from) = since.0.checked_add(1) else {
            return Ok(Some(UidSet::default()));
        };
        let prefix = Bytes::mailbox(account, mailbox);
        let to = successor(&Bytes::mailbox(account, mailbox).done());
        let range = KeyRange { from: prefix.u64(from).done(), to };
        let mut chunks: BTreeMap<u32, Bits> = BTreeMap::new();
        self.reader().visit(Table::Change, &range, Order::Rising, &mut |key, _| {
            let uid = Parts::new(key.get(20..).unwrap_or_default()).uid();
            let uid = uid.ok_or_else(|| StorageError::corrupt(Table::Change, key, "no change"))?;
            chunks.entry(chunk_of(uid)).or_default().set(uid, true);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(Some(set_of(chunks)))
    }

    /// The MODSEQ that a record at an index gave.
    pub(super) fn modseq_at(
        &self,
        account: AccountId,
        index: LogIndex,
    ) -> Result<ModSeq, StorageError> {
        let row: Option<AccountRow> = self.source.get(&Key::Account(account))?;
        Ok(row.map_or(ModSeq(index.0), |row| row.sequence(index).into()))
    }

    /// The UID map as it was.
    pub(super) fn uid_map_then(
        &self,
        account: AccountId,
        mailbox: MailboxId,
    ) -> Result<BTreeMap<u32, UidChunk>, StorageError> {
        let mut chunks: BTreeMap<u32, UidChunk> = BTreeMap::new();
        let touched = self.touched(account, mailbox, self.index())?;
        if let Some(touched) = &touched {
            self.uid_map_now(account, mailbox, &mut |number, chunk| {
                chunks.insert(number, untouched(chunk, &touched.chunk(number)));
                Ok(())
            })?;
        }
        if touched.as_ref().is_some_and(UidSet::is_empty) {
            return Ok(chunks);
        }
        for (number, then) in self.uid_map_of_history(account, mailbox, touched.as_ref())? {
            let chunk = chunks.entry(number).or_default();
            *chunk = UidChunk {
                present: chunk.present.with(&then.present),
                seen: chunk.seen.with(&then.seen),
                deleted: chunk.deleted.with(&then.deleted),
            };
        }
        Ok(chunks)
    }

    /// Shows the placements of then in a mailbox's history, until the witness says false,
    /// without the UIDs that `behind` passes over: it gives the next one that matters, from this
    /// one on.
    pub(super) fn placements_of_history(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        range: &KeyRange,
        behind: &dyn Fn(Uid) -> Option<Uid>,
        witness: Standing<'_>,
    ) -> Result<(), StorageError> {
        let uid_of = |object: &[u8]| Parts::new(object.get(13..).unwrap_or_default()).uid();
        let end = range.to.clone().unwrap_or_else(|| vec![u8::MAX]);
        let mut leap = |object: &[u8]| {
            let uid = uid_of(object)?;
            match behind(uid) {
                Some(next) if next == uid => None,
                Some(next) => Some(Object::Placement(account, mailbox, next).bytes()),
                None => Some(end.clone()),
            }
        };
        self.source.newest(range, &mut leap, &mut |object, value| {
            let uid = uid_of(object)
                .ok_or_else(|| StorageError::corrupt(Table::History, object, "no UID"))?;
            witness(uid, decode(Table::History, object, value)?)
        })
    }

    /// Placements of then with UIDs from `first` to `last`, rising, at most `limit`.
    pub(super) fn placements_then(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        first: Uid,
        last: Uid,
        limit: usize,
    ) -> Result<Vec<Placement>, StorageError> {
        // What came later has UIDs from UIDNEXT on.
        let next = self.counters(account, mailbox)?.uid_next.saturating_sub(1);
        let Some(last) = u32::try_from(next).map_or(Some(last), |n| Uid::new(n.min(last.get())))
        else {
            return Ok(Vec::new());
        };
        if last < first {
            return Ok(Vec::new());
        }
        let mut rows = self.rows_now(account, mailbox, first, last, limit)?;
        let last = rows.reached.unwrap_or(last);
        let range = KeyRange {
            from: Object::Placement(account, mailbox, first).bytes(),
            to: successor(&Object::Placement(account, mailbox, last).bytes()),
        };
        let unchanged: UidSet = rows.unchanged.iter().map(|placement| placement.uid).collect();
        let behind = |uid: Uid| first_absent(&unchanged, uid, last);
        let mut found = std::mem::take(&mut rows.unchanged);
        self.placements_of_history(account, mailbox, &range, &behind, &mut |uid, version| {
            found.push(self.joined(account, uid, version, rows.changed.remove(&uid))?);
            Ok(true)
        })?;
        found.sort_unstable_by_key(|placement| placement.uid);
        found.truncate(limit);
        Ok(found)
    }

    /// What stands there now, by whether it stood there as it is.
    fn rows_now(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        first: Uid,
        last: Uid,
        limit: usize,
    ) -> Result<RowsNow, StorageError> {
        let then = self.modseq_at(account, self.index())?;
        let mut rows = RowsNow::default();
        self.rows_of(account, mailbox, first, last, &mut |uid, row| {
            if row.version.modseq > then {
                rows.changed.insert(uid, row);
            } else {
                rows.unchanged.push(placed(uid, row));
            }
            // Below UIDNEXT of then, what is there now was there.
            let more = rows.unchanged.len() + rows.changed.len() < limit;
            if !more {
                rows.reached = Some(uid);
            }
            more
        })?;
        Ok(rows)
    }

    /// A version with what its email says: of the row that stands there now, if there is one.
    fn joined(
        &self,
        account: AccountId,
        uid: Uid,
        version: PlacementVersion,
        now: Option<PlacementRow>,
    ) -> Result<Placement, StorageError> {
        match now {
            Some(row) => Ok(placed(uid, PlacementRow { version, ..row })),
            None => self.as_it_was(account, uid, version),
        }
    }

    /// A placement of any time.
    pub(crate) fn as_it_was(
        &self,
        account: AccountId,
        uid: Uid,
        version: PlacementVersion,
    ) -> Result<Placement, StorageError> {
        let email = version.email;
        let data: EmailData = self.source.email_ever(account, email)?.ok_or_else(|| {
            let key = Object::Email(account, email).bytes();
            StorageError::corrupt(Table::History, &key, "a placement's email is missing")
        })?;
        let EmailData { thread, blob, size, received, .. } = data;
        Ok(placed(uid, PlacementRow { email, thread, blob, size, received, version }))
    }

    /// What an email is or was, also of one that is expunged.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn email_ever(
        &self,
        account: AccountId,
        email: EmailId,
    ) -> Result<Option<EmailData>, StoreError> {
        Ok(self.source.email_ever(account, email)?)
    }
}

/// The rows of a range as they are now.
#[derive(Default)]
struct RowsNow {
    unchanged: Vec<Placement>,
    changed: BTreeMap<Uid, PlacementRow>,
    /// The last UID looked at, where the limit was reached.
    reached: Option<Uid>,
}

/// The first UID from `uid` on, up to `last`, that is not in the set.
fn first_absent(set: &UidSet, uid: Uid, last: Uid) -> Option<Uid> {
    let mut next = Some(uid);
    for there in set.range(uid, last) {
        if next != Some(there) {
            break;
        }
        next = there.get().checked_add(1).and_then(Uid::new);
    }
    next.filter(|next| *next <= last)
}

fn untouched(chunk: UidChunk, touched: &Bits) -> UidChunk {
    UidChunk {
        present: chunk.present.without(touched),
        seen: chunk.seen.without(touched),
        deleted: chunk.deleted.without(touched),
    }
}

fn set_of(chunks: BTreeMap<u32, Bits>) -> UidSet {
    let mut set = UidSet::default();
    for (number, bits) in chunks {
        set.push_chunk(number, bits);
    }
    set
}
