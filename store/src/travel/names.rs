//! Every name that an account's mailboxes ever had.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use redoubt_log::id::{AccountId, LogIndex, MailboxId};
use redoubt_log::record::SpecialUse;

use crate::keys::{Object, kind, objects, parse_history};
use crate::mailbox::MAX_LEVELS;
use crate::mailstore::StoreError;
use crate::rows::{MailboxRow, MailboxState, Version};
use crate::storage::{Order, StorageError, Table, decode};
use crate::view::View;

/// Versions of all mailboxes of an account, up to a view's index.
#[derive(Debug, Clone, Default)]
pub struct Names {
    versions: BTreeMap<MailboxId, Vec<(LogIndex, Option<MailboxRow>)>>,
}

impl Names {
    /// Reads them: as many as mailboxes were ever made, renamed or deleted.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn read(view: &View, account: AccountId) -> Result<Self, StoreError> {
        let range = objects(account, kind::MAILBOX).range();
        let (mut names, to) = (Self::default(), view.index());
        view.reader().visit(Table::History, &range, Order::Rising, &mut |key, value| {
            let broken = || StorageError::corrupt(Table::History, key, "no version of a mailbox");
            let Some((Object::Mailbox(_, id), index)) = parse_history(key) else {
                return Err(broken());
            };
            if index <= to {
                let row = Version::decode(value).ok_or_else(broken)?;
                let row = row.map(|row| decode(Table::History, key, row)).transpose()?;
                names.versions.entry(id).or_default().push((index, row));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(names)
    }

    /// Every mailbox that ever was, by id.
    pub fn ids(&self) -> impl Iterator<Item = MailboxId> + '_ {
        self.versions.keys().copied()
    }

    /// Mailboxes that had this whole name at any time, the last made first.
    pub fn ever_called(&self, name: &str) -> Vec<MailboxId> {
        let mut found: Vec<MailboxId> = self
            .ids()
            .filter(|id| self.moments(*id).iter().any(|index| self.name(*id, *index) == name))
            .collect();
        found.reverse();
        found
    }

    /// The whole name at an index; of one that was gone the name that it had before.
    pub fn name(&self, mailbox: MailboxId, index: LogIndex) -> String {
        let mut levels = Vec::new();
        let mut next = Some(mailbox);
        while let Some(row) = next.and_then(|id| self.row(id, index)) {
            levels.push(row.name.as_str());
            next = row.parent.filter(|_| levels.len() <= MAX_LEVELS);
        }
        levels.reverse();
        levels.join("/")
    }

    /// What it was used for at an index; of one that was gone what it was used for before.
    pub fn special_use(&self, mailbox: MailboxId, index: LogIndex) -> Option<SpecialUse> {
        self.row(mailbox, index).and_then(|row| row.special_use)
    }

    /// From which index on it cannot be selected any more.
    pub fn gone(&self, mailbox: MailboxId) -> Option<LogIndex> {
        let live = |row: &Option<MailboxRow>| {
            row.as_ref().is_some_and(|row| row.state == MailboxState::Live)
        };
        self.of(mailbox).iter().find(|(_, row)| !live(row)).map(|(index, _)| *index)
    }

    /// The mailbox as it was, one that was gone included.
    fn row(&self, mailbox: MailboxId, index: LogIndex) -> Option<&MailboxRow> {
        let versions = self.of(mailbox).iter().rev();
        versions.filter(|(from, _)| *from <= index).find_map(|(_, row)| row.as_ref())
    }

    /// Versions of one mailbox, oldest first.
    pub(super) fn of(&self, mailbox: MailboxId) -> &[(LogIndex, Option<MailboxRow>)] {
        self.versions.get(&mailbox).map_or(&[], Vec::as_slice)
    }

    /// Indexes at which its whole name or its state may have changed, rising.
    pub(super) fn moments(&self, mailbox: MailboxId) -> Vec<LogIndex> {
        let mut above = vec![mailbox];
        let mut looked = 0;
        let mut moments = Vec::new();
        while let Some(id) = above.get(looked).copied() {
            looked += 1;
            for (index, row) in self.of(id) {
                moments.push(*index);
                let parent = row.as_ref().and_then(|row| row.parent);
                above.extend(parent.filter(|parent| !above.contains(parent)));
            }
        }
        moments.sort_unstable();
        moments.dedup();
        let born = self.of(mailbox).first().map_or(LogIndex(0), |(index, _)| *index);
        moments.retain(|index| *index >= born);
        moments
    }
}
