//! Rights of a history that goes on from an earlier moment: as they were last.

use redoubt_log::id::AccountId;
use redoubt_log::record::{AccountState, Done, MatterSettings, Right, RightsKept, RoleGrant};

use super::Ruled;
use super::work::Work;
use crate::keys::{Key, Meta, Object};
use crate::rows::{
    CredentialRow, GrantRow, MatterMemberRow, MatterRow, PersonalTokenRow, SinceRow,
};

pub(crate) fn keep(work: &mut Work<'_>, record: &RightsKept) -> Ruled<Done> {
    work.deleted_too = true;
    let key = Key::Meta(Meta::RolesGiven);
    let given: u64 = work.tx.get(&key)?.unwrap_or(0);
    if given | record.given != given {
        work.tx.put(&key, &(given | record.given))?;
    }
    let key = Key::Meta(Meta::NextMatter);
    let next: u64 = work.tx.get(&key)?.unwrap_or(1);
    if next < record.next_matter.0 {
        work.tx.put(&key, &record.next_matter.0)?;
    }
    record.rights.iter().try_for_each(|right| one(work, right))?;
    Ok(Done::Unit)
}

fn one(work: &mut Work<'_>, right: &Right) -> Ruled<()> {
    match right {
        Right::State { account, state } => account_state(work, *account, *state),
        Right::Password { account, name, is } if there(work, *account)? => {
            let object = Object::Credential(*account, name.clone());
            let key = Key::Credential(*account, name);
            match is {
                None if work.tx.get_raw(&key)?.is_some() => work.tx.drop(&key, &object),
                None => {}
                Some((phc, set)) => {
                    work.tx.put(&key, &CredentialRow { phc: phc.clone(), set: *set })?;
                    let version = CredentialRow { phc: String::new(), set: *set };
                    work.tx.remember(&object, &version)?;
                }
            }
            Ok(())
        }
        Right::Grant { grant: RoleGrant { account, role, domain }, is } => {
            let row = is.map(|(index, since)| GrantRow { index, since });
            put(work, *account, &Key::Grant(*account, *role, domain.as_deref()), row.as_ref())
        }
        Right::Token { token, is } => {
            let row = is.clone().map(|it| PersonalTokenRow {
                account: it.account,
                name: it.name,
                made: it.made,
                by: it.by,
                expires: it.expires,
            });
            let account = row.as_ref().map_or(AccountId(0), |row| row.account);
            put(work, account, &Key::PersonalToken(*token), row.as_ref())
        }
        Right::Matter { matter, name, settings, opened, by } => {
            let key = Key::Matter(*matter);
            let old: Option<MatterRow> = work.tx.get(&key)?;
            let (name, settings): (_, MatterSettings) = (name.clone(), settings.clone());
            let next_note = old.map_or(1, |old| old.next_note);
            let row = MatterRow { name, settings, opened: *opened, by: *by, next_note };
            Ok(work.tx.put(&key, &row)?)
        }
        Right::Member { matter, account, is } => {
            let row = is.map(|(role, since)| MatterMemberRow { role, since });
            put(work, *account, &Key::MatterMember(*matter, *account), row.as_ref())
        }
        Right::Custodian { matter, account, is } => {
            let row = is.map(|since| SinceRow { since });
            put(work, *account, &Key::MatterCustodian(*matter, *account), row.as_ref())
        }
        Right::Password { .. } => Ok(()),
    }
}

fn there(work: &Work<'_>, account: AccountId) -> Ruled<bool> {
    Ok(work.tx.get_raw(&Key::Account(account))?.is_some())
}

/// What is of nobody is left out: the account was made later than the moment.
fn put<T: serde::Serialize>(
    work: &mut Work<'_>,
    account: AccountId,
    key: &Key<'_>,
    row: Option<&T>,
) -> Ruled<()> {
    match row {
        Some(row) if there(work, account)? => work.tx.put(key, row)?,
        _ if work.tx.get_raw(key)?.is_some() => work.tx.delete(key),
        _ => {}
    }
    Ok(())
}

/// Who was deleted at the moment stays so, and comes back by a restore; an archive is one for ever.
fn account_state(work: &mut Work<'_>, account: AccountId, state: AccountState) -> Ruled<()> {
    let settles = |state| !matches!(state, AccountState::Deleted | AccountState::Archive);
    if !there(work, account)? {
        return Ok(());
    }
    let row = &mut work.account(account)?.row;
    if settles(state) && settles(row.get().settings.state) {
        row.change().settings.state = state;
    }
    Ok(())
}
