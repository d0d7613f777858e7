//! What one record works on: accounts and mailboxes are loaded once, changed in
//! memory, and saved with one version each at the end.

use std::collections::BTreeMap;
use std::sync::Arc;

use redoubt_log::id::{AccountId, ClassId, LogIndex, MailboxId, Sequence, Timestamp};
use redoubt_log::record::{AccountState, Actor, Principal, Rejection};

use super::tx::Tx;
use super::{Ruled, Stop};
use crate::classes::Said;
use crate::email::check_quota;
use crate::keys::{Key, Object};
use crate::retention::Policy;
use crate::rows::{
    AccountClassRow, AccountRow, ClassRow, Counters, DomainRow, MailboxRow, MailboxState, Usage,
};
use crate::storage::StorageError;

/// A value, and whether it is to be saved.
#[derive(Debug)]
pub(crate) struct Kept<T> {
    value: T,
    changed: bool,
}

impl<T> Kept<T> {
    pub(crate) fn new(value: T, changed: bool) -> Self {
        Self { value, changed }
    }
    pub(crate) fn get(&self) -> &T {
        &self.value
    }
    pub(crate) fn change(&mut self) -> &mut T {
        self.changed = true;
        &mut self.value
    }
}

#[derive(Debug)]
pub(crate) struct OpenAccount {
    pub(crate) row: Kept<AccountRow>,
    pub(crate) usage: Kept<Usage>,
    /// What its quota and limits say.
    pub(crate) said: Said,
}

impl OpenAccount {
    /// Whether a new message of so many octets may come in.
    pub(crate) fn takes(&self, size: u64) -> Result<(), Rejection> {
        match self.said.largest_message().value {
            Some(limit) if size > limit => Err(Rejection::TooLarge { size, limit }),
            _ => self.has_room(size),
        }
    }

    /// Whether so many octets more fit.
    pub(crate) fn has_room(&self, more: u64) -> Result<(), Rejection> {
        check_quota(self.usage.get(), self.said.quota().value, more)
    }
}

#[derive(Debug)]
pub(crate) struct OpenMailbox {
    pub(crate) row: Kept<MailboxRow>,
    pub(crate) counters: Kept<Counters>,
}

/// A record at work.
#[derive(Debug)]
pub(crate) struct Work<'a> {
    pub(crate) tx: Tx<'a>,
    pub(crate) index: LogIndex,
    pub(crate) time: Timestamp,
    /// Whether the record may touch deleted accounts.
    pub(crate) deleted_too: bool,
    /// All policies, once somebody has asked.
    pub(crate) policies: Option<Arc<[Policy]>>,
    accounts: BTreeMap<AccountId, OpenAccount>,
    mailboxes: BTreeMap<(AccountId, MailboxId), OpenMailbox>,
}

impl<'a> Work<'a> {
    pub(crate) fn new(tx: Tx<'a>, index: LogIndex, time: Timestamp) -> Self {
        let (accounts, mailboxes) = (BTreeMap::new(), BTreeMap::new());
        Self { tx, index, time, deleted_too: false, policies: None, accounts, mailboxes }
    }

    pub(crate) fn account(&mut self, id: AccountId) -> Ruled<&mut OpenAccount> {
        if !self.accounts.contains_key(&id) {
            let row: AccountRow =
                self.tx.get(&Key::Account(id))?.ok_or(Rejection::NoSuchAccount)?;
            let deleted = row.settings.state == AccountState::Deleted;
            if deleted && !self.deleted_too {
                return Err(Rejection::NoSuchAccount.into());
            }
            let usage = self.tx.need(&Key::Usage(id))?;
            // Its domain may be gone too.
            let said = if deleted { Said::default() } else { self.said(id, &row)? };
            self.hold_account(id, Kept::new(row, false), Kept::new(usage, false), said);
        }
        self.accounts.get_mut(&id).ok_or(Stop::Rejected(Rejection::NoSuchAccount))
    }

    /// What holds for an account that came back.
    pub(crate) fn reopen(&mut self, id: AccountId) -> Ruled<()> {
        let row = self.account(id)?.row.get().clone();
        self.account(id)?.said = self.said(id, &row)?;
        Ok(())
    }

    fn said(&self, id: AccountId, row: &AccountRow) -> Result<Said, StorageError> {
        let domain: DomainRow = self.tx.need(&Key::Domain(&row.address.domain))?;
        let own: AccountClassRow = self.tx.get(&Key::AccountClass(id))?.unwrap_or_default();
        let class = self.class_of(id, &row.address.domain)?;
        let class: Option<ClassRow> = match class {
            Some(class) => self.tx.get(&Key::Class(class))?,
            None => None,
        };
        Ok(Said {
            own_quota: row.settings.quota,
            own: own.own,
            class: class.map(|class| class.settings).unwrap_or_default(),
            domain_quota: domain.settings.default_quota,
        })
    }

    /// The class of an account: its own, or else its domain's.
    pub(crate) fn class_of(
        &self,
        id: AccountId,
        domain: &str,
    ) -> Result<Option<ClassId>, StorageError> {
        let own: AccountClassRow = self.tx.get(&Key::AccountClass(id))?.unwrap_or_default();
        match own.class {
            Some(class) => Ok(Some(class)),
            None => self.tx.get(&Key::DomainClass(domain)),
        }
    }

    pub(crate) fn hold_account(
        &mut self,
        id: AccountId,
        row: Kept<AccountRow>,
        usage: Kept<Usage>,
        said: Said,
    ) {
        self.accounts.insert(id, OpenAccount { row, usage, said });
    }

    /// The account's sequence at this record.
    pub(crate) fn sequence(&mut self, id: AccountId) -> Ruled<Sequence> {
        let index = self.index;
        Ok(self.account(id)?.row.get().sequence(index))
    }

    /// Whether the account's own user may still write: a lock ends open sessions. Into an archive
    /// nobody writes.
    pub(crate) fn may_write(&mut self, actor: &Actor, account: AccountId) -> Ruled<()> {
        let state = self.account(account)?.row.get().settings.state;
        if state == AccountState::Archive {
            return Err(Rejection::Archive.into());
        }
        let own = actor.principal == Principal::Account(account);
        if own && state != AccountState::Active {
            return Err(Rejection::AccountState(state).into());
        }
        Ok(())
    }

    /// A mailbox in any state.
    pub(crate) fn mailbox(&mut self, a: AccountId, m: MailboxId) -> Ruled<&mut OpenMailbox> {
        if !self.mailboxes.contains_key(&(a, m)) {
            let row: MailboxRow =
                self.tx.get(&Key::Mailbox(a, m))?.ok_or(Rejection::NoSuchMailbox)?;
            let counters = self.tx.need(&Key::Counters(a, m))?;
            self.hold_mailbox(a, m, Kept::new(row, false), Kept::new(counters, false));
        }
        self.mailboxes.get_mut(&(a, m)).ok_or(Stop::Rejected(Rejection::NoSuchMailbox))
    }

    pub(crate) fn hold_mailbox(
        &mut self,
        account: AccountId,
        mailbox: MailboxId,
        row: Kept<MailboxRow>,
        counters: Kept<Counters>,
    ) {
        self.mailboxes.insert((account, mailbox), OpenMailbox { row, counters });
    }

    /// A mailbox that has a name.
    pub(crate) fn named(&mut self, a: AccountId, m: MailboxId) -> Ruled<&mut OpenMailbox> {
        let mailbox = self.mailbox(a, m)?;
        match mailbox.row.get().state {
            MailboxState::Deleted => Err(Rejection::NoSuchMailbox.into()),
            _ => Ok(mailbox),
        }
    }

    /// A mailbox that can be selected.
    pub(crate) fn selectable(&mut self, a: AccountId, m: MailboxId) -> Ruled<&mut OpenMailbox> {
        let mailbox = self.named(a, m)?;
        match mailbox.row.get().state {
            MailboxState::NoSelect => Err(Rejection::NoSelect.into()),
            _ => Ok(mailbox),
        }
    }

    /// Nothing of a mailbox stays in the current state.
    pub(crate) fn forget_mailbox(&mut self, account: AccountId, mailbox: MailboxId) {
        self.mailboxes.remove(&(account, mailbox));
        let object = Object::Mailbox(account, mailbox);
        self.tx.drop(&Key::Mailbox(account, mailbox), &object);
        let object = Object::Counters(account, mailbox);
        self.tx.drop(&Key::Counters(account, mailbox), &object);
    }

    /// Saves what is held. Whether the record changed anything.
    pub(crate) fn save(&mut self) -> Result<bool, StorageError> {
        for (id, account) in std::mem::take(&mut self.accounts) {
            if account.row.changed {
                self.tx.save(&Key::Account(id), &Object::Account(id), &account.row.value)?;
            }
            if account.usage.changed {
                self.tx.save(&Key::Usage(id), &Object::Usage(id), &account.usage.value)?;
            }
        }
        for ((a, m), mailbox) in std::mem::take(&mut self.mailboxes) {
            if mailbox.row.changed {
                self.tx.save(&Key::Mailbox(a, m), &Object::Mailbox(a, m), &mailbox.row.value)?;
            }
            if mailbox.counters.changed {
                let object = Object::Counters(a, m);
                self.tx.save(&Key::Counters(a, m), &object, &mailbox.counters.value)?;
            }
        }
        Ok(!self.tx.is_empty())
    }
}
