//! Holds: what is under one is kept, whatever floors say.

use redoubt_log::id::{AccountId, HoldId};
use redoubt_log::record::{Done, HoldRelease, HoldScope, HoldSet, HoldsKept, Rejection};
use redoubt_log::world::{self, Mutation};

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
    put(work, hold, &HoldRow { scope: record.scope.clone(), set: work.time })?;
    Ok(Done::Hold(hold))
}

fn put(work: &mut Work<'_>, hold: HoldId, row: &HoldRow) -> Ruled<()> {
    let HoldScope::Account(account) = row.scope;
    work.tx.put(&Key::Hold(DIRECTORY, hold), row)?;
    work.tx.put(&Key::Hold(account, hold), &())?;
    Ok(work.tx.put(&Key::Meta(Meta::LastHold), &work.index)?)
}

/// Who goes back to a moment before a hold was set is bound by it all the same.
pub(crate) fn keep(work: &mut Work<'_>, record: &HoldsKept) -> Ruled<Done> {
    let mut next: u64 = work.tx.get(&Key::Meta(Meta::NextHold))?.unwrap_or(1).max(record.next.0);
    for kept in &record.holds {
        let HoldScope::Account(account) = kept.scope;
        next = next.max(kept.hold.0.saturating_add(1));
        if work.tx.get_raw(&Key::Account(account))?.is_some() {
            put(work, kept.hold, &HoldRow { scope: kept.scope.clone(), set: kept.set })?;
        }
    }
    work.tx.put(&Key::Meta(Meta::NextHold), &next)?;
    Ok(Done::Unit)
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
    if cfg!(feature = "sim") && world::breaks(Mutation::HoldsIgnored) {
        return Ok(());
    }
    let range = holds_over(account).range();
    let Some((key, _)) = work.tx.scan(Table::Account, &range, 1)?.pop() else { return Ok(()) };
    let hold = Parts::new(key.get(9..).unwrap_or_default()).u64();
    let hold = hold.ok_or_else(|| StorageError::corrupt(Table::Account, &key, "no hold"))?;
    Err(Rejection::Held(HoldId(hold)).into())
}
