//! Mailboxes: names both ways, the tree, what is counted.

use std::collections::BTreeMap;

use redoubt_log::id::{AccountId, MailboxId, ModSeq};
use redoubt_log::record::{AccountState, Flags};

use super::{Checked, Checker};
use crate::keys::{Bytes, Key, Parts, SWEPT_ACCOUNT};
use crate::mailbox::MAX_LEVELS;
use crate::rows::{
    AccountRow, ChangeKind, Counters, MailboxRow, MailboxState, PlacementRow, UidChunk, Usage,
};
use crate::storage::{KeyRange, StorageError, Table, decode};

type Rows = BTreeMap<MailboxId, MailboxRow>;

impl Checker<'_> {
    pub(super) fn mailboxes(&mut self) -> Checked {
        let mut accounts: Vec<AccountId> = Vec::new();
        self.raw_rows(Table::Mailbox, &KeyRange::all(), |c, key, value| {
            let mut parts = Parts::new(key);
            let (Some(id), Some(kind)) = (parts.account(), parts.u8()) else {
                c.unreadable(Table::Mailbox, key, "the key cannot be read");
                return Ok(());
            };
            if accounts.last() != Some(&id) {
                accounts.push(id);
            }
            match kind {
                b'n' => c.name(id, key, parts, value),
                b'k' => c.counters_have_mailbox(id, key, parts, value),
                b's' => {
                    let named = parts.text().is_some_and(|name| !name.is_empty());
                    c.expect(named, "subscription", id, "it has no name");
                    Ok(())
                }
                b'm' => Ok(()),
                _ => {
                    c.unreadable(Table::Mailbox, key, "no such kind of row");
                    Ok(())
                }
            }
        })?;
        for account in accounts {
            self.tree(account)?;
        }
        self.deleting()
    }

    fn name(&mut self, a: AccountId, key: &[u8], mut parts: Parts<'_>, value: &[u8]) -> Checked {
        let (parent, name) = (parts.mailbox(), parts.text());
        let id = decode::<MailboxId>(Table::Mailbox, key, value);
        let (Some(parent), Some(name), Ok(id)) = (parent, name, id) else {
            self.unreadable(Table::Mailbox, key, "the row cannot be read");
            return Ok(());
        };
        let parent = Some(parent).filter(|parent| parent.0 != 0);
        let row: Option<MailboxRow> = self.get(&Key::Mailbox(a, id))?;
        let right = row.is_some_and(|row| {
            row.name == name && row.parent == parent && row.state != MailboxState::Deleted
        });
        let what = format!("mailbox {id} of account {a} is not called so");
        self.expect(right, "mailbox-name", name, what);
        Ok(())
    }

    fn counters_have_mailbox(
        &mut self,
        a: AccountId,
        key: &[u8],
        mut parts: Parts<'_>,
        value: &[u8],
    ) -> Checked {
        let id = parts.mailbox();
        let (Some(id), Ok(_)) = (id, decode::<Counters>(Table::Mailbox, key, value)) else {
            self.unreadable(Table::Mailbox, key, "the row cannot be read");
            return Ok(());
        };
        let there = self.has(&Key::Mailbox(a, id))?;
        self.expect(there, "mailbox", at(a, id), "there are counters and no mailbox");
        Ok(())
    }

    fn tree(&mut self, a: AccountId) -> Checked {
        let mut rows = Rows::new();
        let range = Bytes::account(a).u8(b'm').range();
        let parse = |mut parts: Parts<'_>| {
            parts.account()?;
            parts.u8()?;
            parts.mailbox()
        };
        self.rows(Table::Mailbox, &range, parse, |_, id, row: MailboxRow| {
            rows.insert(id, row);
            Ok(())
        })?;
        self.numbers(a, &rows)?;
        for (id, row) in &rows {
            self.place_in_tree(a, *id, row, &rows)?;
            self.counted(a, *id, row)?;
        }
        Ok(())
    }

    fn numbers(&mut self, a: AccountId, rows: &Rows) -> Checked {
        let Some(account) = self.get::<AccountRow>(&Key::Account(a))? else {
            self.wrong("mailbox", format!("account {a}"), "there are mailboxes and no account");
            return Ok(());
        };
        let named = rows.values().filter(|row| row.state != MailboxState::Deleted).count();
        let what = format!("{} mailboxes are kept, {named} are there", account.mailboxes);
        self.expect(account.mailboxes as usize == named, "account", a, what);
        let last = rows.keys().next_back().map_or(0, |id| id.0);
        let what = format!("the next mailbox is {}, and {last} is there", account.next_mailbox);
        self.expect(last < account.next_mailbox, "account", a, what);
        let validity = rows.values().map(|row| row.uid_validity.get()).max().unwrap_or(0);
        let what = format!("a UIDVALIDITY of {validity} is above the account's last");
        self.expect(validity <= account.last_uid_validity, "account", a, what);
        Ok(())
    }

    fn place_in_tree(
        &mut self,
        a: AccountId,
        id: MailboxId,
        row: &MailboxRow,
        rows: &Rows,
    ) -> Checked {
        if row.state == MailboxState::Deleted {
            return Ok(());
        }
        let named: Option<MailboxId> = self.get(&Key::Name(a, row.parent, &row.name))?;
        self.expect(named == Some(id), "mailbox-name", at(a, id), "it is not found by its name");
        let mut above = row.parent;
        for _ in 0..=MAX_LEVELS {
            let Some(parent) = above else { return Ok(()) };
            match rows.get(&parent).filter(|row| row.state != MailboxState::Deleted) {
                Some(row) => above = row.parent,
                None => {
                    self.wrong("mailbox", at(a, id), format!("its parent {parent} is not there"));
                    return Ok(());
                }
            }
        }
        self.wrong("mailbox", at(a, id), "it stands below itself");
        Ok(())
    }

    /// Counts and sizes equal the sum of what is there; the UID map agrees.
    fn counted(&mut self, a: AccountId, id: MailboxId, row: &MailboxRow) -> Checked {
        let Some(kept) = self.get::<Counters>(&Key::Counters(a, id))? else {
            self.wrong("mailbox", at(a, id), "it has no counters");
            return Ok(());
        };
        let sum = self.sum(a, id, &kept)?;
        self.expect(sum == kept, "counters", at(a, id), format!("{kept:?} kept, {sum:?} there"));
        self.uid_map(a, id, &sum)?;
        let hidden = row.state != MailboxState::Live && sum.messages > 0;
        let listed = self.has(&Key::Deleting(a, id))?;
        self.expect(hidden == listed, "deleting", at(a, id), "what is swept is not what is hidden");
        Ok(())
    }

    /// The counters as they should be; UIDNEXT and HIGHESTMODSEQ at the least.
    fn sum(
        &mut self,
        a: AccountId,
        id: MailboxId,
        kept: &Counters,
    ) -> Result<Counters, StorageError> {
        let mut sum = Counters { messages: 0, unseen: 0, deleted: 0, size: 0, ..*kept };
        let range = Bytes::mailbox(a, id).range();
        let uid = |mut parts: Parts<'_>| parts.account().and(parts.mailbox()).and(parts.uid());
        self.rows(Table::Placement, &range, uid, |_, uid, row: PlacementRow| {
            sum.messages += 1;
            sum.unseen += u32::from(!row.version.flags.contains(Flags::SEEN));
            sum.deleted += u32::from(row.version.flags.contains(Flags::DELETED));
            sum.size = sum.size.saturating_add(row.size);
            sum.uid_next = sum.uid_next.max(u64::from(uid.get()) + 1);
            sum.highest_modseq = sum.highest_modseq.max(row.version.modseq);
            Ok(())
        })?;
        let change = |mut parts: Parts<'_>| {
            parts.account().and(parts.mailbox())?;
            Some((ModSeq(parts.u64()?), parts.uid()?))
        };
        self.rows(Table::Change, &range, change, |_, (modseq, uid), _: ChangeKind| {
            sum.uid_next = sum.uid_next.max(u64::from(uid.get()) + 1);
            sum.highest_modseq = sum.highest_modseq.max(modseq);
            Ok(())
        })?;
        Ok(sum)
    }

    /// Every placement has its bit (see `placements`); here, that there are no more.
    fn uid_map(&mut self, a: AccountId, id: MailboxId, sum: &Counters) -> Checked {
        let (mut present, mut seen, mut deleted) = (0, 0, 0);
        let count = |bits: &[u64; 16]| bits.iter().map(|word| word.count_ones()).sum::<u32>();
        let range = Bytes::mailbox(a, id).range();
        self.raw_rows(Table::UidMap, &range, |c, key, value| {
            let Some(chunk) = UidChunk::from_bytes(value) else {
                c.unreadable(Table::UidMap, key, "not three bitmaps");
                return Ok(());
            };
            c.expect(!chunk.present.is_empty(), "uid-map", at(a, id), "a chunk is empty");
            present += count(&chunk.present.0);
            seen += count(&chunk.seen.0);
            deleted += count(&chunk.deleted.0);
            Ok(())
        })?;
        let map = (present, present.saturating_sub(seen), deleted);
        let there = (sum.messages, sum.unseen, sum.deleted);
        let what = format!("messages, unseen, deleted: {map:?} in the map, {there:?} there");
        self.expect(map == there, "uid-map", at(a, id), what);
        Ok(())
    }

    fn deleting(&mut self) -> Checked {
        let place = |mut parts: Parts<'_>| Some((parts.account()?, parts.mailbox()?));
        self.rows(Table::Deleting, &KeyRange::all(), place, |c, (a, id), (): ()| {
            if id == SWEPT_ACCOUNT {
                return c.swept_account(a);
            }
            let row: Option<MailboxRow> = c.get(&Key::Mailbox(a, id))?;
            let hidden = row.is_some_and(|row| row.state != MailboxState::Live);
            c.expect(hidden, "deleting", at(a, id), "it is swept, and not deleted");
            Ok(())
        })
    }

    /// An account is swept when it is deleted and holds emails.
    fn swept_account(&mut self, a: AccountId) -> Checked {
        let row: Option<AccountRow> = self.get(&Key::Account(a))?;
        let usage: Option<Usage> = self.get(&Key::Usage(a))?;
        let deleted = row.is_some_and(|row| row.settings.state == AccountState::Deleted);
        let right = deleted && usage.is_some_and(|usage| usage.emails > 0);
        let what = "it is swept, and not deleted or empty";
        self.expect(right, "deleting", format!("account {a}"), what);
        Ok(())
    }
}

pub(super) fn at(account: AccountId, mailbox: MailboxId) -> String {
    format!("mailbox {mailbox} of account {account}")
}
