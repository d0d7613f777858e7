//! Who has which role, and the tokens by which people show that it is they.

use redoubt_log::id::Timestamp;
use redoubt_log::record::{
    Actor, Done, PersonalTokenAdd, PersonalTokenRevoke, Principal, Rejection, Role, RoleGrant,
};

use super::work::Work;
use super::{Ruled, domain};
use crate::account::check_text;
use crate::keys::{Key, Meta, grants, personal_tokens};
use crate::rows::{GrantRow, PersonalTokenRow};
use crate::storage::{Table, decode};

/// Roles and tokens that there may be.
const MOST: usize = 10_000;
const MAX_NAME: usize = 100;

/// Nobody gives a role to himself: who gives out roles by a token is known by it.
pub(crate) fn grant(work: &mut Work<'_>, actor: &Actor, record: &RoleGrant) -> Ruled<Done> {
    work.account(record.account)?;
    let refused = |why: &str| Err(Rejection::Role(why.to_owned()).into());
    if actor.principal == Principal::Person(record.account) {
        return refused("nobody gives a role to himself: somebody else has to");
    }
    if let Some(name) = &record.domain {
        domain::need(work, name)?;
        if !record.role.has_domains() {
            return refused(&format!("the role {} is over all domains, or none", record.role));
        }
    }
    if work.tx.scan(Table::Directory, &grants().range(), MOST)?.len() >= MOST {
        return Err(Rejection::Limit(format!("{MOST} roles given")).into());
    }
    let given = given(work)? | bit(record.role);
    work.tx.put(&Key::Meta(Meta::RolesGiven), &given)?;
    let key = key_of(record);
    if work.tx.get_raw(&key)?.is_none() {
        work.tx.put(&key, &GrantRow { index: work.index, since: work.time })?;
    }
    Ok(Done::Unit)
}

pub(crate) fn revoke(work: &mut Work<'_>, record: &RoleGrant) -> Ruled<Done> {
    let key = key_of(record);
    if work.tx.get_raw(&key)?.is_none() {
        let what = format!("role {} of account {} so", record.role, record.account);
        return Err(Rejection::NotFound(what).into());
    }
    work.tx.delete(&key);
    Ok(Done::Unit)
}

fn key_of(record: &RoleGrant) -> Key<'_> {
    Key::Grant(record.account, record.role, record.domain.as_deref())
}

fn given(work: &Work<'_>) -> Ruled<u64> {
    Ok(work.tx.get(&Key::Meta(Meta::RolesGiven))?.unwrap_or(0))
}

fn bit(role: Role) -> u64 {
    1 << role.number()
}

pub(crate) fn token_add(
    work: &mut Work<'_>,
    actor: &Actor,
    record: &PersonalTokenAdd,
) -> Ruled<Done> {
    work.account(record.account)?;
    check_text("a token's name", &record.name, MAX_NAME)?;
    forget_expired(work)?;
    let key = Key::PersonalToken(record.token);
    if work.tx.get_raw(&key)?.is_some() {
        return Err(Rejection::Exists("this token".into()).into());
    }
    if work.tx.scan(Table::Directory, &personal_tokens().range(), MOST)?.len() >= MOST {
        return Err(Rejection::Limit(format!("{MOST} personal tokens")).into());
    }
    let PersonalTokenAdd { account, name, expires, .. } = record.clone();
    let (made, by) = (work.time, actor.principal);
    work.tx.put(&key, &PersonalTokenRow { account, name, made, by, expires })?;
    Ok(Done::Unit)
}

fn forget_expired(work: &mut Work<'_>) -> Ruled<()> {
    for (key, value) in work.tx.scan(Table::Directory, &personal_tokens().range(), MOST)? {
        let row: PersonalTokenRow = decode(Table::Directory, &key, &value)?;
        if row.expires.is_some_and(|Timestamp(end)| end <= work.time.0) {
            work.tx.delete_raw(Table::Directory, key);
        }
    }
    Ok(())
}

pub(crate) fn token_revoke(work: &mut Work<'_>, record: PersonalTokenRevoke) -> Ruled<Done> {
    let key = Key::PersonalToken(record.token);
    if work.tx.get_raw(&key)?.is_none() {
        return Err(Rejection::NotFound("such token".into()).into());
    }
    work.tx.delete(&key);
    Ok(Done::Unit)
}
