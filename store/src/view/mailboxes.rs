//! Mailboxes, their names and subscriptions.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use redoubt_log::id::{AccountId, MailboxId, Uid};
use redoubt_log::record::Flags;

use super::{Key, Mailbox, Object, Order, Parts, StorageError, StoreError, Table, View, decode};
use crate::keys::{Bytes, erased_of, kind, names_under, objects};
use crate::mailbox::{MAX_LEVELS, is_inbox};
use crate::rows::{Counters, MailboxRow, MailboxState};

impl View {
    /// An account's mailboxes, by name.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn mailboxes(&self, account: AccountId) -> Result<Vec<Mailbox>, StoreError> {
        let rows = self.mailbox_rows(account)?;
        let parents: BTreeSet<MailboxId> = rows.values().filter_map(|row| row.parent).collect();
        let mut mailboxes = Vec::with_capacity(rows.len());
        for (id, row) in &rows {
            let name = whole_name(&rows, row);
            let counters = self.counted(account, *id)?;
            mailboxes.push(join(*id, row.clone(), counters, name, parents.contains(id)));
        }
        mailboxes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(mailboxes)
    }

    /// One mailbox; `None` if it is deleted.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn mailbox(
        &self,
        account: AccountId,
        mailbox: MailboxId,
    ) -> Result<Option<Mailbox>, StoreError> {
        if self.source.is_past() {
            return self.one_of(account, &|id, _| id == mailbox);
        }
        let Some(row) = self.named_row(account, mailbox)? else { return Ok(None) };
        let mut rows = BTreeMap::new();
        let mut above = row.parent;
        while let Some(id) = above.filter(|id| !rows.contains_key(id)) {
            let Some(parent) = self.named_row(account, id)? else { break };
            above = parent.parent;
            rows.insert(id, parent);
        }
        let name = whole_name(&rows, &row);
        let below = names_under(account, Some(mailbox)).range();
        let has_children = !self.reader().scan(Table::Mailbox, &below, 1)?.is_empty();
        let counters = self.counters(account, mailbox)?;
        Ok(Some(join(mailbox, row, counters, name, has_children)))
    }

    /// A mailbox by its whole name; `INBOX` in any case.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn mailbox_named(
        &self,
        account: AccountId,
        name: &str,
    ) -> Result<Option<Mailbox>, StoreError> {
        let (top, rest) = name.split_once('/').map_or((name, None), |(top, r)| (top, Some(r)));
        let top = if is_inbox(top) { "INBOX" } else { top };
        if self.source.is_past() {
            let name = rest.map_or(top.to_owned(), |rest| format!("{top}/{rest}"));
            return self.one_of(account, &|_, known| known == name);
        }
        let mut found = None;
        for level in std::iter::once(top).chain(rest.into_iter().flat_map(|r| r.split('/'))) {
            let id: Option<MailboxId> = self.source.get(&Key::Name(account, found, level))?;
            let Some(id) = id else { return Ok(None) };
            found = Some(id);
        }
        found.map_or(Ok(None), |id| self.mailbox(account, id))
    }

    /// The first that is meant, by id and name, of all that have a name.
    fn one_of(
        &self,
        account: AccountId,
        is_meant: &dyn Fn(MailboxId, &str) -> bool,
    ) -> Result<Option<Mailbox>, StoreError> {
        let rows = self.mailbox_rows(account)?;
        let mut named = rows.iter().map(|(id, row)| (*id, row, whole_name(&rows, row)));
        let Some((id, row, name)) = named.find(|(id, _, name)| is_meant(*id, name)) else {
            return Ok(None);
        };
        let has_children = rows.values().any(|row| row.parent == Some(id));
        let counters = self.counted(account, id)?;
        Ok(Some(join(id, row.clone(), counters, name, has_children)))
    }

    /// Names that are subscribed to, sorted.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn subscriptions(&self, account: AccountId) -> Result<Vec<String>, StoreError> {
        let mut names = Vec::new();
        if self.source.is_past() {
            let range = objects(account, kind::SUBSCRIPTION).range();
            self.source.objects(&range, &mut |object, _| {
                if let Object::Subscription(_, name) = object {
                    names.push(name);
                }
                Ok(true)
            })?;
            names.sort();
            return Ok(names);
        }
        let range = Bytes::account(account).u8(b's').range();
        self.reader().visit(Table::Mailbox, &range, Order::Rising, &mut |key, _| {
            let name = Parts::new(key.get(9..).unwrap_or_default()).text();
            let name = name.ok_or_else(|| StorageError::corrupt(Table::Mailbox, key, "no name"))?;
            names.push(name.to_owned());
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(names)
    }

    /// The rows of mailboxes that have a name.
    fn mailbox_rows(
        &self,
        account: AccountId,
    ) -> Result<BTreeMap<MailboxId, MailboxRow>, StorageError> {
        let mut rows = BTreeMap::new();
        let mut add = |id: Option<MailboxId>, row: MailboxRow| {
            if let Some(id) = id.filter(|_| row.state != MailboxState::Deleted) {
                rows.insert(id, row);
            }
        };
        if self.source.is_past() {
            let range = objects(account, kind::MAILBOX).range();
            self.source.objects(&range, &mut |object, value| {
                if let Object::Mailbox(_, id) = object {
                    add(Some(id), decode(Table::History, &[], value)?);
                }
                Ok(true)
            })?;
            return Ok(rows);
        }
        let range = Bytes::account(account).u8(b'm').range();
        self.reader().visit(Table::Mailbox, &range, Order::Rising, &mut |key, value| {
            let id = Parts::new(key.get(9..).unwrap_or_default()).mailbox();
            add(id, decode(Table::Mailbox, key, value)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(rows)
    }

    /// The row of a mailbox that has a name.
    pub(super) fn named_row(
        &self,
        account: AccountId,
        mailbox: MailboxId,
    ) -> Result<Option<MailboxRow>, StorageError> {
        let key = Key::Mailbox(account, mailbox);
        let row: Option<MailboxRow> = self.source.row(&key, &Object::Mailbox(account, mailbox))?;
        Ok(row.filter(|row| row.state != MailboxState::Deleted))
    }

    /// Whether a mailbox can be selected: the others' placements are not shown.
    pub(super) fn is_selectable(
        &self,
        account: AccountId,
        mailbox: MailboxId,
    ) -> Result<bool, StorageError> {
        let row = self.named_row(account, mailbox)?;
        Ok(row.is_some_and(|row| row.state == MailboxState::Live))
    }

    /// What is counted in a mailbox. What stood there once and was erased since does not count:
    /// where anything was, a mailbox of then is counted anew.
    fn counted(&self, account: AccountId, mailbox: MailboxId) -> Result<Counters, StorageError> {
        let kept = self.counters(account, mailbox)?;
        let erased = erased_of(account).range();
        if !self.source.is_past() || self.reader().scan(Table::Account, &erased, 1)?.is_empty() {
            return Ok(kept);
        }
        let mut counters = Counters { messages: 0, unseen: 0, deleted: 0, size: 0, ..kept };
        let (first, last) = (Uid::MIN, Uid::MAX);
        for placement in self.placements_then(account, mailbox, first, last, usize::MAX)? {
            counters.messages = counters.messages.saturating_add(1);
            counters.unseen += u32::from(!placement.flags.contains(Flags::SEEN));
            counters.deleted += u32::from(placement.flags.contains(Flags::DELETED));
            counters.size = counters.size.saturating_add(placement.size);
        }
        Ok(counters)
    }

    pub(super) fn counters(
        &self,
        account: AccountId,
        mailbox: MailboxId,
    ) -> Result<Counters, StorageError> {
        let key = Key::Counters(account, mailbox);
        self.source
            .row(&key, &Object::Counters(account, mailbox))?
            .ok_or_else(|| StorageError::corrupt(Table::Mailbox, &key.bytes(), "no counters"))
    }
}

fn join(
    id: MailboxId,
    row: MailboxRow,
    counters: Counters,
    name: String,
    has_children: bool,
) -> Mailbox {
    let selectable = row.state == MailboxState::Live;
    // What a name that only has children once held is being swept, and not shown.
    let count = |number: u32| if selectable { number } else { 0 };
    Mailbox {
        id,
        name,
        parent: row.parent,
        special_use: row.special_use,
        selectable,
        has_children,
        uid_validity: row.uid_validity,
        uid_next: counters.uid_next,
        highest_modseq: counters.highest_modseq,
        messages: count(counters.messages),
        unseen: count(counters.unseen),
        deleted: count(counters.deleted),
        size: if selectable { counters.size } else { 0 },
        keywords: row.keywords,
    }
}

/// The name with its parents'; bounded, should the tree be damaged.
fn whole_name(rows: &BTreeMap<MailboxId, MailboxRow>, row: &MailboxRow) -> String {
    let mut levels = vec![row.name.as_str()];
    let mut above = row.parent;
    while let Some(parent) = above.and_then(|id| rows.get(&id)) {
        if levels.len() > MAX_LEVELS {
            break;
        }
        levels.push(parent.name.as_str());
        above = parent.parent;
    }
    levels.reverse();
    levels.join("/")
}
