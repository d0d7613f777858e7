//! Accounts and their addresses.

use redoubt_log::id::{AccountId, MailboxId};
use redoubt_log::record::{
    AccountAdd, AccountRename, AccountSet, AccountSettings, Address, AliasAdd, AliasRemove, Done,
    Rejection,
};

use super::work::{Kept, Work};
use super::{Ruled, credential, domain, mailbox};
use crate::account::{FIRST_MAILBOXES, MAX_DISPLAY_NAME, check_address, check_text};
use crate::keys::{Key, Meta, Object};
use crate::mailbox::INBOX;
use crate::rows::{AccountRow, AddressRow, Usage};

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
    work.hold_account(id, Kept::new(row, true), Kept::new(Usage::default(), true), None);
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
    account.row.change().settings = record.settings.clone();
    Ok(Done::Unit)
}

fn check_settings(settings: &AccountSettings) -> Result<(), Rejection> {
    check_text("a display name", &settings.display_name, MAX_DISPLAY_NAME)
}

pub(crate) fn rename(work: &mut Work<'_>, record: &AccountRename) -> Ruled<Done> {
    let old = work.account(record.account)?.row.get().address.clone();
    let row = AddressRow { account: record.account, alias: false };
    take_address(work, &record.address, row)?;
    work.tx.drop(&Key::Address(&old), &Object::Address(old.clone()));
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
