//! Holds: what is under one is kept, whatever floors say.

use redoubt_log::id::{AccountId, HoldId};
use redoubt_log::record::{Done, HoldRelease, HoldScope, HoldSet, Rejection};

use super::Ruled;
use super::work::Work;
use crate::keys::{DIRECTORY, Key, Meta, Parts, holds_over};
use crate::rows::HoldRow;
use crate::storage::{StorageError, Table};

pub(crate) fn set(work: &mut Work<'_>, record: &HoldSet) -> Ruled<Done> {
    let HoldScope::Account(account) = record.scope;
    if work.tx.get_raw(&Key::Account(account))?.is_none() {
        return Err(Rejection::NoSuchAccount.into());
    }
    let hold = next_hold(work)?;
    let row = HoldRow { scope: record.scope.clone(), set: work.time };
    work.tx.put(&Key::Hold(DIRECTORY, hold), &row)?;
    work.tx.put(&Key::Hold(account, hold), &())?;
    work.tx.put(&Key::Meta(Meta::LastHold), &work.index)?;
    Ok(Done::Hold(hold))
}

fn next_hold(work: &mut Work<'_>) -> Ruled<HoldId> {
    let key = Key::Meta(Meta::NextHold);
    let id: u64 = work.tx.get(&key)?.unwrap_or(1);
    let next = id.checked_add(1).ok_or(Rejection::Limit("holds".to_owned()))?;
    work.tx.put(&key, &next)?;
    Ok(HoldId(id))
}

pub(crate) fn release(work: &mut Work<'_>, record: HoldRelease) -> Ruled<Done> {
    let key = Key::Hold(DIRECTORY, record.hold);
    let Some(row) = work.tx.get::<HoldRow>(&key)? else {
        return Err(Rejection::NotFound(format!("hold {}", record.hold)).into());
    };
    let HoldScope::Account(account) = row.scope;
    work.tx.delete(&key);
    work.tx.delete(&Key::Hold(account, record.hold));
    Ok(Done::Unit)
}

/// Rejects what a hold over the account forbids; over the directory: what any hold does,
/// since the directory says who was who.
pub(crate) fn check(work: &Work<'_>, account: AccountId) -> Ruled<()> {
    let range = holds_over(account).range();
    let Some((key, _)) = work.tx.scan(Table::Account, &range, 1)?.pop() else { return Ok(()) };
    let hold = Parts::new(key.get(9..).unwrap_or_default()).u64();
    let hold = hold.ok_or_else(|| StorageError::corrupt(Table::Account, &key, "no hold"))?;
    Err(Rejection::Held(HoldId(hold)).into())
}
