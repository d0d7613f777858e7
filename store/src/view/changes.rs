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
use crate::uids::UidSet;

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

    /// From the versions of what was touched since, up to now: a placement is changed when its
    /// MODSEQ is above, and vanished when it went above `since` and is not there.
    fn changed_then(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        since: ModSeq,
    ) -> Result<MailboxChanges, StorageError> {
        let touched = self.touched_above(account, mailbox, since)?;
        let mut changes = MailboxChanges { complete: true, ..MailboxChanges::default() };
        if touched.as_ref().is_some_and(UidSet::is_empty) {
            return Ok(changes);
        }
        let behind = |uid: Uid| match &touched {
            Some(touched) => touched.first_from(uid),
            None => Some(uid),
        };
        let mut there = Vec::new();
        let range = objects(account, kind::PLACEMENT).u32(mailbox.0).range();
        self.placements_of_history(account, mailbox, &range, &behind, &mut |uid, version| {
            there.push(uid);
            if version.modseq > since {
                changes.changed.push((uid, version.modseq));
            }
            Ok(true)
        })?;
        changes.vanished = match touched {
            Some(touched) => self.gone_of(account, mailbox, since, &touched, &there)?,
            None => self.gone_of_all(account, since, &range)?,
        };
        Ok(changes)
    }

    /// Those of `touched` that went above `since`, each looked up by itself.
    fn gone_of(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        since: ModSeq,
        touched: &UidSet,
        there: &[Uid],
    ) -> Result<Vec<Uid>, StorageError> {
        let next = self.counters(account, mailbox)?.uid_next;
        let mut gone = Vec::new();
        // What came later has UIDs from UIDNEXT on.
        for uid in touched.iter().take_while(|uid| u64::from(uid.get()) < next) {
            if there.binary_search(&uid).is_ok() {
                continue;
            }
            let versions = Object::Placement(account, mailbox, uid).versions_to(self.index());
            let last = self.reader().last(Table::History, &versions)?;
            let went = last.filter(|(_, value)| Version::decode(value) == Some(None));
            let index = went.and_then(|(key, _)| Some(parse_history(&key)?.1));
            if let Some(index) = index
                && self.modseq_at(account, index)? > since
            {
                gone.push(uid);
            }
        }
        Ok(gone)
    }

    /// The same of a mailbox that the feed has forgotten: of all that ever stood there.
    fn gone_of_all(
        &self,
        account: AccountId,
        since: ModSeq,
        range: &KeyRange,
    ) -> Result<Vec<Uid>, StorageError> {
        let row: Option<AccountRow> = self.source.get(&Key::Account(account))?;
        let base = row.map_or(0, |row| row.base);
        let (after, at) = (LogIndex(since.0.saturating_sub(base)), self.index());
        let mut gone: BTreeMap<Uid, LogIndex> = BTreeMap::new();
        self.reader().visit(Table::History, range, Order::Rising, &mut |key, value| {
            if let Some((Object::Placement(_, _, uid), index)) = parse_history(key)
                && index <= at
                && index > after
                && Version::decode(value) == Some(None)
            {
                gone.insert(uid, index);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(gone.into_keys().collect())
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
