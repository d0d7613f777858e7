//! Which emails a blob is of: a row for each email in the history that has it as content or
//! envelope, and one for a blob that had such rows and has none any more. A set, not a count:
//! writing a row twice does no harm, so that a state that began without them can be counted
//! piece by piece while mail goes on.

use std::collections::BTreeSet;

use redoubt_log::id::{AccountId, BlobId, EmailId, LogIndex};
use redoubt_log::record::{BlobsDead, Done, Outcome, Record, Rejection};

use super::work::Work;
use super::{Ruled, Stop, settle, system};
use crate::keys::{Key, Meta, Object, kind, objects, parse_history, referrers_of};
use crate::mailstore::brings_mail;
use crate::rows::{EmailData, UnreferencedRow, Version};
use crate::storage::{StorageError, Table, decode};

/// The level from which on references are kept.
pub(crate) const COUNTED_FROM: u32 = 3;
/// Emails that one record counts.
const PIECE: usize = 500;
/// Accounts that one record looks at.
const ACCOUNTS: u64 = 200;

/// The blobs of an email.
pub(crate) fn blobs_of(data: &EmailData) -> BTreeSet<BlobId> {
    std::iter::once(data.blob).chain(data.envelope).collect()
}

/// An email comes into the history. A blob that was dead is not any more.
pub(crate) fn refer(work: &mut Work<'_>, a: AccountId, e: EmailId, data: &EmailData) -> Ruled<()> {
    if system::level(work)? < COUNTED_FROM {
        return Ok(());
    }
    for blob in blobs_of(data) {
        work.tx.put(&Key::Referrer(blob, a, e), &())?;
        work.tx.delete(&Key::Unreferenced(blob));
    }
    Ok(())
}

/// A record that names a blob which was dead has it again, also where it is rejected or is a
/// retry: whoever has the entry must have the blob, or know of a death behind it. What comes
/// and is nobody's may go.
pub(crate) fn named(
    work: &mut Work<'_>,
    record: &Record,
    outcome: &Outcome,
) -> Result<(), StorageError> {
    let brings = brings_mail(&record.change);
    let refused = brings && !is_taken(outcome);
    for blob in record.blobs() {
        let key = Key::Unreferenced(blob);
        let row: Option<UnreferencedRow> = work.tx.get(&key)?;
        let again = match row {
            Some(row) => row.dead.is_some(),
            None => refused && !is_referenced(work, &blob)? && are_counted(work)?,
        };
        if again {
            work.tx.put(&key, &UnreferencedRow { since: work.index, dead: None })?;
        }
    }
    Ok(())
}

/// Whether all that the record brings was taken.
fn is_taken(outcome: &Outcome) -> bool {
    match &outcome.result {
        Ok(Done::Delivered(answers) | Done::Arrived(answers)) => {
            !answers.is_empty() && answers.iter().all(Result::is_ok)
        }
        result => result.is_ok(),
    }
}

/// Blobs of an email leave the history with it.
pub(crate) fn leave(
    work: &mut Work<'_>,
    a: AccountId,
    e: EmailId,
    blobs: impl IntoIterator<Item = BlobId>,
) -> Ruled<()> {
    for blob in blobs {
        work.tx.delete(&Key::Referrer(blob, a, e));
        if !is_referenced(work, &blob)? {
            let row = UnreferencedRow { since: work.index, dead: None };
            work.tx.put(&Key::Unreferenced(blob), &row)?;
        }
    }
    Ok(())
}

fn is_referenced(work: &Work<'_>, blob: &BlobId) -> Result<bool, StorageError> {
    let range = referrers_of(blob).range();
    Ok(!work.tx.scan(Table::EmailPlacement, &range, 1)?.is_empty())
}

/// The level was raised: without accounts there is nothing to count.
pub(crate) fn begin(work: &mut Work<'_>) -> Ruled<()> {
    if work.tx.get_raw(&Key::Meta(Meta::NextAccount))?.is_none() {
        work.tx.put(&Key::Meta(Meta::Counted), &work.index)?;
    }
    Ok(())
}

/// Rejects what needs every reference.
pub(crate) fn counted(work: &Work<'_>) -> Ruled<()> {
    match are_counted(work)? {
        true => Ok(()),
        false => Err(Rejection::NotCounted.into()),
    }
}

fn are_counted(work: &Work<'_>) -> Result<bool, StorageError> {
    Ok(work.tx.get::<LogIndex>(&Key::Meta(Meta::Counted))?.is_some())
}

/// One more piece of the emails that came before references were kept.
pub(crate) fn count(work: &mut Work<'_>) -> Ruled<Done> {
    if settle(counted(work))?.is_ok() {
        return Ok(Done::More(false));
    }
    let from: Option<(AccountId, Option<EmailId>)> = work.tx.get(&Key::Meta(Meta::Counting))?;
    let (mut account, mut after) = from.unwrap_or((AccountId(1), None));
    let next: u64 = work.tx.get(&Key::Meta(Meta::NextAccount))?.unwrap_or(1);
    let end = account.0.saturating_add(ACCOUNTS).min(next);
    let mut left = PIECE;
    while account.0 < end && left > 0 {
        let counted = count_in(work, account, after, left)?;
        left = left.saturating_sub(counted.len());
        after = counted.last().copied();
        if left > 0 {
            (account, after) = (AccountId(account.0.saturating_add(1)), None);
        }
    }
    if account.0 < next {
        work.tx.put(&Key::Meta(Meta::Counting), &(account, after))?;
        return Ok(Done::More(true));
    }
    work.tx.delete(&Key::Meta(Meta::Counting));
    work.tx.put(&Key::Meta(Meta::Counted), &work.index)?;
    Ok(Done::More(false))
}

/// Versions of emails behind one; which emails they are of.
fn count_in(
    work: &mut Work<'_>,
    account: AccountId,
    after: Option<EmailId>,
    limit: usize,
) -> Ruled<Vec<EmailId>> {
    let mut range = objects(account, kind::EMAIL).range();
    if let Some(after) = after {
        // What an email is never changes: one version of it says all.
        range.from = Object::Email(account, after).versions().to.unwrap_or_default();
    }
    let mut emails = Vec::new();
    for (key, value) in work.tx.scan(Table::History, &range, limit)? {
        let corrupt = || StorageError::corrupt(Table::History, &key, "no version of an email");
        let Some((Object::Email(a, email), _)) = parse_history(&key) else {
            return Err(Stop::Broken(corrupt()));
        };
        if let Some(value) = Version::decode(&value).ok_or_else(corrupt)? {
            let data: EmailData = decode(Table::History, &key, value)?;
            refer(work, a, email, &data)?;
        }
        emails.push(email);
    }
    Ok(emails)
}

/// Blobs die of which nothing is left, one by one.
pub(crate) fn dead(work: &mut Work<'_>, record: &BlobsDead) -> Ruled<Done> {
    counted(work)?;
    let held: Option<LogIndex> = work.tx.get(&Key::Meta(Meta::LastHold))?;
    if held.is_some_and(|held| held > record.decided) {
        return Err(Rejection::HeldSince.into());
    }
    let mut answers = Vec::with_capacity(record.blobs.len());
    for blob in &record.blobs {
        answers.push(settle(die(work, blob, record.decided))?);
    }
    Ok(Done::Dead(answers))
}

fn die(work: &mut Work<'_>, blob: &BlobId, decided: LogIndex) -> Ruled<()> {
    let key = Key::Unreferenced(*blob);
    let row: UnreferencedRow = work.tx.get(&key)?.ok_or(Rejection::Referenced)?;
    // One that was named and left again after the decision was not what was decided on.
    if row.since > decided || is_referenced(work, blob)? {
        return Err(Rejection::Referenced.into());
    }
    let dead = row.dead.or(Some(work.index));
    work.tx.put(&key, &UnreferencedRow { dead, ..row })?;
    Ok(())
}
