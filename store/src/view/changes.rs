//! What changed in a mailbox above a MODSEQ (RFC 7162).

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use redoubt_log::id::{AccountId, LogIndex, MailboxId, ModSeq, Uid};

use super::{
    Key, KeyRange, MailboxChanges, Object, Order, Parts, Read, StorageError, StoreError, Table,
    View, decode,
};
use crate::keys::{Bytes, kind, objects, parse_history};
use crate::rows::{AccountRow, ChangeKind, PlacementVersion, Version};
use crate::storage::successor;

impl View {
    /// The MODSEQ that a placement had before the record at `index` of this view; `None` if it was
    /// not there, or the view is not that far.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn modseq_before(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        uid: Uid,
        index: LogIndex,
    ) -> Result<Option<ModSeq>, StoreError> {
        let Some(before) = index.0.checked_sub(1).map(LogIndex) else { return Ok(None) };
        let then = self.source.at(before);
        let floor = self.source.floor(account)?;
        if !then.is_past() || floor.is_some_and(|row| before < row.floor) {
            return Ok(None);
        }
        let key = Key::Placement(account, mailbox, uid);
        let version = then.row(&key, &Object::Placement(account, mailbox, uid))?;
        Ok(version.map(|version: PlacementVersion| version.modseq))
    }

    /// What changed in a mailbox above `since`.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn changed_since(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        since: ModSeq,
    ) -> Result<MailboxChanges, StoreError> {
        if !self.is_selectable(account, mailbox)? {
            return Ok(MailboxChanges { complete: true, ..MailboxChanges::default() });
        }
        let mut changes = if self.source.is_past() {
            self.changed_then(account, mailbox, since)?
        } else {
            changed_now(self.reader(), account, mailbox, since)?
        };
        changes.changed.sort_unstable();
        changes.vanished.sort_unstable();
        changes.complete = self.remembers(account, since)?;
        Ok(changes)
    }

    /// Whether all that vanished above a MODSEQ is known.
    fn remembers(&self, account: AccountId, since: ModSeq) -> Result<bool, StorageError> {
        let Some(floor) = self.source.floor(account)? else { return Ok(true) };
        let row: Option<AccountRow> = self.source.get(&Key::Account(account))?;
        Ok(row.is_none_or(|row| since >= ModSeq::from(row.sequence(floor.floor))))
    }

    /// From the versions: a placement is changed when its MODSEQ is above, and
    /// vanished when it went above `since` and is not there.
    fn changed_then(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        since: ModSeq,
    ) -> Result<MailboxChanges, StorageError> {
        let range = objects(account, kind::PLACEMENT).u32(mailbox.0).range();
        let mut changes = MailboxChanges { complete: true, ..MailboxChanges::default() };
        self.versions(&range, &mut |uid, version| {
            if version.modseq > since {
                changes.changed.push((uid, version.modseq));
            }
            Ok(true)
        })?;
        let row: Option<AccountRow> = self.source.get(&Key::Account(account))?;
        let base = row.map_or(0, |row| row.base);
        let (after, at) = (LogIndex(since.0.saturating_sub(base)), self.index());
        let mut gone: BTreeMap<Uid, LogIndex> = BTreeMap::new();
        self.reader().visit(Table::History, &range, Order::Rising, &mut |key, value| {
            let object = parse_history(key);
            if let Some((crate::keys::Object::Placement(_, _, uid), index)) = object
                && index <= at
                && index > after
                && Version::decode(value) == Some(None)
            {
                gone.insert(uid, index);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        changes.vanished = gone.into_keys().collect();
        Ok(changes)
    }
}

fn changed_now(
    reader: &dyn Read,
    account: AccountId,
    mailbox: MailboxId,
    since: ModSeq,
) -> Result<MailboxChanges, StorageError> {
    let mut changes = MailboxChanges { complete: true, ..MailboxChanges::default() };
    let Some(from) = since.0.checked_add(1) else { return Ok(changes) };
    let prefix = Bytes::mailbox(account, mailbox);
    let to = successor(&Bytes::mailbox(account, mailbox).done());
    let range = KeyRange { from: prefix.u64(from).done(), to };
    reader.visit(Table::Change, &range, Order::Rising, &mut |key, value| {
        let mut parts = Parts::new(key.get(12..).unwrap_or_default());
        let (Some(modseq), Some(uid)) = (parts.u64(), parts.uid()) else {
            return Err(StorageError::corrupt(Table::Change, key, "no change"));
        };
        match decode(Table::Change, key, value)? {
            ChangeKind::Live => changes.changed.push((uid, ModSeq(modseq))),
            ChangeKind::Vanished => changes.vanished.push(uid),
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(changes)
}
