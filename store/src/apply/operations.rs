//! The table of operations: a retry gets the first outcome, for a day of log
//! time; an MTA's retry for an hour.

use redoubt_log::id::{AccountId, MailboxId, OperationId, Timestamp};
use redoubt_log::record::{Arrival, MAX_CHANGES, Outcome};

use super::work::Work;
use crate::keys::{Key, Meta, expired, items_of};
use crate::rows::{ItemRow, OperationRow};
use crate::storage::{StorageError, Table, decode};

const HOUR: i64 = 3_600_000;
/// How long a record's outcome is kept, in milliseconds of log time.
const RECORD_LIFE: i64 = 24 * HOUR;
/// How long an MTA's retry is recognised, in milliseconds of log time.
pub(crate) const DELIVERY_LIFE: i64 = HOUR;
/// How long an import's retry is recognised, in milliseconds of log time.
pub(crate) const IMPORT_LIFE: i64 = RECORD_LIFE;
/// How long what came of a restore can be asked for, in milliseconds of log time.
pub(crate) const RESTORE_LIFE: i64 = 90 * RECORD_LIFE;
/// Rows swept by one record: not fewer than one record can add.
const SWEEP: usize = MAX_CHANGES + 100;

/// Items of a delivery stand under no mailbox: where it goes may change between tries.
pub(crate) const ANY_MAILBOX: MailboxId = MailboxId(0);

pub(crate) fn after(time: Timestamp, life: i64) -> Timestamp {
    Timestamp(time.0.saturating_add(life))
}

/// What came of the first record with this operation id.
pub(crate) fn first_outcome(
    work: &Work<'_>,
    operation: OperationId,
) -> Result<Option<Outcome>, StorageError> {
    let row: Option<OperationRow> = work.tx.get(&Key::Operation(operation))?;
    Ok(row.filter(|row| row.expires > work.time).map(|row| row.outcome))
}

/// Keeps a record's outcome.
pub(crate) fn remember(
    work: &mut Work<'_>,
    operation: OperationId,
    outcome: &Outcome,
) -> Result<(), StorageError> {
    let key = Key::Operation(operation);
    let old: Option<OperationRow> = work.tx.get(&key)?;
    let expires = after(work.time, RECORD_LIFE);
    work.tx.put(&key, &OperationRow { expires, outcome: outcome.clone() })?;
    renew(work, &key, old.map(|row| row.expires), expires)
}

/// Moves a row's end.
fn renew(
    work: &mut Work<'_>,
    key: &Key<'_>,
    old: Option<Timestamp>,
    expires: Timestamp,
) -> Result<(), StorageError> {
    if let Some(old) = old {
        work.tx.delete(&Key::Expiry(old, &key.bytes()));
    }
    work.tx.put(&Key::Expiry(expires, &key.bytes()), &())
}

/// A row of the table that was just written goes at this time.
pub(crate) fn expires(
    work: &mut Work<'_>,
    key: &Key<'_>,
    expires: Timestamp,
) -> Result<(), StorageError> {
    work.tx.put(&Key::Expiry(expires, &key.bytes()), &())
}

/// The first arrival of an item, while it is remembered.
pub(crate) fn first_arrival(
    work: &Work<'_>,
    operation: OperationId,
    account: AccountId,
    mailbox: MailboxId,
) -> Result<Option<Arrival>, StorageError> {
    let row: Option<ItemRow> = work.tx.get(&Key::Item(operation, account, mailbox))?;
    Ok(row.filter(|row| row.expires > work.time).map(|row| row.arrival))
}

/// Any arrival of an item, in whichever mailbox of the account.
pub(crate) fn any_arrival(
    work: &Work<'_>,
    operation: OperationId,
    account: AccountId,
) -> Result<Option<Arrival>, StorageError> {
    let range = items_of(operation, account).range();
    for (key, value) in work.tx.scan(Table::Operation, &range, MAX_CHANGES)? {
        let row: ItemRow = decode(Table::Operation, &key, &value)?;
        if row.expires > work.time {
            return Ok(Some(row.arrival));
        }
    }
    Ok(None)
}

/// Keeps an item's arrival.
pub(crate) fn remember_item(
    work: &mut Work<'_>,
    operation: OperationId,
    place: (AccountId, MailboxId),
    arrival: Arrival,
    life: i64,
) -> Result<(), StorageError> {
    let key = Key::Item(operation, place.0, place.1);
    let old: Option<ItemRow> = work.tx.get(&key)?;
    let expires = after(work.time, life);
    work.tx.put(&key, &ItemRow { expires, arrival })?;
    renew(work, &key, old.map(|row| row.expires), expires)
}

/// Forgets what is past its time. Goes on from where the last sweep ended, so
/// that it never reads over rows that are deleted already.
pub(crate) fn sweep(work: &mut Work<'_>) -> Result<(), StorageError> {
    let swept = work.tx.get_raw(&Key::Meta(Meta::Swept))?;
    let range = expired(swept.as_deref(), Timestamp(work.time.0.saturating_add(1)));
    let rows = work.tx.scan(Table::Operation, &range, SWEEP)?;
    let Some((last, _)) = rows.last().cloned() else { return Ok(()) };
    for (key, _) in rows {
        // Behind `x` and eight bytes of time stands the key of the row that goes.
        let row = key.get(9..).unwrap_or_default().to_vec();
        work.tx.delete_raw(Table::Operation, row);
        work.tx.delete_raw(Table::Operation, key);
    }
    work.tx.put_raw(&Key::Meta(Meta::Swept), last);
    Ok(())
}
