//! Accounts and their addresses.

use redoubt_log::id::{AccountId, MailboxId};
use redoubt_log::record::{
    AccountAdd, AccountDelete, AccountRename, AccountSet, AccountSettings, AccountState,
    AccountSweep, Address, AliasAdd, AliasRemove, Done, Expunge, Rejection,
};

use super::work::{Kept, Work};
use super::{Ruled, capture, credential, domain, expunge, hold, mailbox, policy, settle};
use crate::account::{FIRST_MAILBOXES, MAX_DISPLAY_NAME, check_address, check_text};
use crate::classes::Said;
use crate::keys::{Bytes, Key, Meta, Object, Parts, SWEPT_ACCOUNT};
use crate::mailbox::INBOX;
use crate::rows::{AccountRow, AddressRow, Usage};
use crate::storage::{StorageError, Table};

pub(crate) fn add(work: &mut Work<'_>, record: &AccountAdd) -> Ruled<Done> {
    check_settings(&record.settings)?;
    let id = next_account(work)?;
    let row = AddressRow { account: id, alias: false };
    take_address(work, &record.address, row)?;
    let row = AccountRow {
        address: record.address.clone(),
        settings: record.settings.clone(),
        created: work.time,
        base: 0,
        next_mailbox: INBOX.0,
        mailboxes: 0,
        last_uid_validity: 0,
    };
    work.hold_account(id, Kept::new(row, true), Kept::new(Usage::default(), true), Said::default());
    for (name, special_use) in FIRST_MAILBOXES {
        let made: MailboxId = mailbox::make(work, id, None, name, special_use)?.0;
        debug_assert!(name != "INBOX" || made == INBOX);
        work.tx.save(
            &Key::Subscription(id, name),
            &Object::Subscription(id, name.to_owned()),
            &(),
        )?;
    }
    if let Some(phc) = &record.password {
        credential::save(work, id, credential::MAIN, phc)?;
    }
    Ok(Done::Account(id))
}

fn next_account(work: &mut Work<'_>) -> Ruled<AccountId> {
    let key = Key::Meta(Meta::NextAccount);
    let id: u64 = work.tx.get(&key)?.unwrap_or(1);
    let next = id.checked_add(1).ok_or(Rejection::Limit("accounts".to_owned()))?;
    work.tx.put(&key, &next)?;
    Ok(AccountId(id))
}

pub(crate) fn set(work: &mut Work<'_>, record: &AccountSet) -> Ruled<Done> {
    check_settings(&record.settings)?;
    let account = work.account(record.account)?;
    let is_archive = |settings: &AccountSettings| settings.state == AccountState::Archive;
    if is_archive(&account.row.get().settings) != is_archive(&record.settings) {
        return Err(Rejection::ArchiveForEver.into());
    }
    account.row.change().settings = record.settings.clone();
    Ok(Done::Unit)
}

fn check_settings(settings: &AccountSettings) -> Result<(), Rejection> {
    if settings.state == AccountState::Deleted {
        return Err(Rejection::AccountState(AccountState::Deleted));
    }
    check_text("a display name", &settings.display_name, MAX_DISPLAY_NAME)
}

/// A switch: nobody finds the account from here on. Its rows stay, so that it can come back with
/// its ids and credentials; its placements go by records that follow.
pub(crate) fn delete(work: &mut Work<'_>, record: AccountDelete) -> Ruled<Done> {
    let a = record.account;
    capture::unneeded(work, |rule| rule.archive == a)?;
    let account = work.account(a)?;
    // An archive goes when retention has emptied it.
    if account.row.get().settings.state == AccountState::Archive && account.usage.get().emails > 0 {
        return Err(Rejection::Archive.into());
    }
    account.row.change().settings.state = AccountState::Deleted;
    let (address, emails) = (account.row.get().address.clone(), account.usage.get().emails);
    work.tx.drop(&Key::Address(&address), &Object::Address(address.clone()));
    for alias in aliases(work, a)? {
        work.tx.drop(&Key::Address(&alias), &Object::Address(alias.clone()));
    }
    if emails > 0 {
        work.tx.put(&Key::Deleting(a, SWEPT_ACCOUNT), &())?;
    }
    Ok(Done::Unit)
}

fn aliases(work: &Work<'_>, a: AccountId) -> Result<Vec<Address>, StorageError> {
    let rows = work.tx.scan(Table::Account, &Bytes::account(a).u8(b'i').range(), usize::MAX)?;
    let alias = |(key, _): (Vec<u8>, Vec<u8>)| {
        let address = Parts::new(key.get(9..).unwrap_or_default()).address();
        address.ok_or_else(|| StorageError::corrupt(Table::Account, &key, "no alias"))
    };
    rows.into_iter().map(alias).collect()
}

/// Placements of a deleted account go; of one that came back meanwhile none does.
pub(crate) fn sweep(work: &mut Work<'_>, record: &AccountSweep) -> Ruled<Done> {
    work.deleted_too = true;
    let (account, mailbox) = (record.account, record.mailbox);
    if work.account(account)?.row.get().settings.state != AccountState::Deleted {
        return Err(refused_sweep().into());
    }
    let uids = record.uids.clone();
    expunge::expunge(work, &Expunge { account, mailbox, uids, only_deleted: false })
}

fn refused_sweep() -> Rejection {
    Rejection::Restore("the account is not deleted any more".to_owned())
}

/// A deleted account is found again. Aliases that are taken meanwhile are no longer its own.
/// False when it was not deleted.
pub(crate) fn undelete(
    work: &mut Work<'_>,
    a: AccountId,
    address: &Address,
    settings: &AccountSettings,
) -> Ruled<bool> {
    check_settings(settings)?;
    let row = work.account(a)?.row.get();
    if row.settings.state != AccountState::Deleted {
        return Ok(false);
    }
    let old = row.address.domain.clone();
    take_address(work, address, AddressRow { account: a, alias: false })?;
    policy::account_renamed(work, a, &address.domain)?;
    for alias in aliases(work, a)? {
        let row = AddressRow { account: a, alias: true };
        if settle(take_address(work, &alias, row))?.is_err() {
            work.tx.delete(&Key::Alias(a, &alias));
        }
    }
    if old != address.domain {
        hold::leaves(work, a, &old)?;
    }
    let row = work.account(a)?.row.change();
    row.settings = settings.clone();
    row.address = address.clone();
    work.reopen(a)?;
    work.tx.delete(&Key::Deleting(a, SWEPT_ACCOUNT));
    Ok(true)
}

pub(crate) fn rename(work: &mut Work<'_>, record: &AccountRename) -> Ruled<Done> {
    let old = work.account(record.account)?.row.get().address.clone();
    let row = AddressRow { account: record.account, alias: false };
    take_address(work, &record.address, row)?;
    policy::account_renamed(work, record.account, &record.address.domain)?;
    work.tx.drop(&Key::Address(&old), &Object::Address(old.clone()));
    if old.domain != record.address.domain {
        hold::leaves(work, record.account, &old.domain)?;
    }
    work.account(record.account)?.row.change().address = record.address.clone();
    Ok(Done::Unit)
}

pub(crate) fn alias_add(work: &mut Work<'_>, record: &AliasAdd) -> Ruled<Done> {
    work.account(record.account)?;
    let row = AddressRow { account: record.account, alias: true };
    take_address(work, &record.alias, row)?;
    work.tx.put(&Key::Alias(record.account, &record.alias), &())?;
    Ok(Done::Unit)
}

pub(crate) fn alias_remove(work: &mut Work<'_>, record: &AliasRemove) -> Ruled<Done> {
    let key = Key::Address(&record.alias);
    let Some(row) = work.tx.get::<AddressRow>(&key)?.filter(|row| row.alias) else {
        return Err(Rejection::NotFound(format!("alias {}", record.alias)).into());
    };
    work.tx.drop(&key, &Object::Address(record.alias.clone()));
    work.tx.delete(&Key::Alias(row.account, &record.alias));
    Ok(Done::Unit)
}

/// An address that is free, in a domain that is ours.
fn take_address(work: &mut Work<'_>, address: &Address, row: AddressRow) -> Ruled<()> {
    check_address(address)?;
    domain::need(work, &address.domain)?;
    let key = Key::Address(address);
    if work.tx.get_raw(&key)?.is_some() {
        return Err(Rejection::Exists(address.to_string()).into());
    }
    work.tx.save(&key, &Object::Address(address.clone()), &row)?;
    Ok(())
}
