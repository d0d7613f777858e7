//! Passwords. The history keeps that one changed, never its hash.

use redoubt_log::id::AccountId;
use redoubt_log::record::{CredentialRemove, CredentialSet, Done, Rejection};

use super::Ruled;
use super::work::Work;
use crate::account::{MAX_CREDENTIAL_NAME, MAX_CREDENTIALS, MAX_PHC, check_text, invalid};
use crate::keys::{Bytes, Key, Object};
use crate::rows::CredentialRow;
use crate::storage::Table;

/// The name of the main password.
pub(crate) const MAIN: &str = "password";

pub(crate) fn set(work: &mut Work<'_>, record: &CredentialSet) -> Ruled<Done> {
    work.account(record.account)?;
    let range = Bytes::account(record.account).u8(b'c').range();
    let known = work.tx.get_raw(&Key::Credential(record.account, &record.name))?.is_some();
    if !known && work.tx.scan(Table::Account, &range, MAX_CREDENTIALS)?.len() >= MAX_CREDENTIALS {
        return Err(Rejection::Limit(format!("{MAX_CREDENTIALS} credentials")).into());
    }
    save(work, record.account, &record.name, &record.phc)?;
    Ok(Done::Unit)
}

pub(crate) fn save(work: &mut Work<'_>, account: AccountId, name: &str, phc: &str) -> Ruled<()> {
    check_text("a credential", name, MAX_CREDENTIAL_NAME)?;
    check_text("a PHC string", phc, MAX_PHC)?;
    if name.is_empty() || phc.is_empty() {
        return Err(invalid("a credential", name).into());
    }
    let row = CredentialRow { phc: phc.to_owned(), set: work.time };
    work.tx.put(&Key::Credential(account, name), &row)?;
    let version = CredentialRow { phc: String::new(), set: work.time };
    work.tx.remember(&Object::Credential(account, name.to_owned()), &version)?;
    Ok(())
}

pub(crate) fn remove(work: &mut Work<'_>, record: &CredentialRemove) -> Ruled<Done> {
    work.account(record.account)?;
    let key = Key::Credential(record.account, &record.name);
    if work.tx.get_raw(&key)?.is_none() {
        return Err(Rejection::NotFound(format!("credential {}", record.name)).into());
    }
    work.tx.drop(&key, &Object::Credential(record.account, record.name.clone()));
    Ok(Done::Unit)
}
