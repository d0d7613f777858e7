//! What is held: one reading of the rows, for `apply` and for views.
//!
//! A hold over a domain or over all has one row, however many accounts it reaches: an account is
//! asked for by its domain of now. Only one that leaves the domain gets a row of its own, so that
//! it stays held. A query holds what is marked, and all behind the email up to which an account
//! was judged.

use redoubt_log::id::{AccountId, EmailId, HoldId};
use redoubt_log::world::{self, Mutation};

use crate::keys::{DIRECTORY, Key, Object, Parts, holds_on, holds_over, kind, objects};
use crate::rows::{AccountRow, HoldAtRow, HoldRow};
use crate::storage::{KeyRange, Read, Row, StorageError, Table, decode};

/// The rows of a state, those of a record at work too.
pub(crate) trait Rows {
    fn raw(&self, key: &Key<'_>) -> Result<Option<Vec<u8>>, StorageError>;
    fn some(&self, table: Table, range: &KeyRange, n: usize) -> Result<Vec<Row>, StorageError>;

    fn row<T: serde::de::DeserializeOwned>(&self, key: &Key<'_>) -> Result<Option<T>, StorageError>
    where
        Self: Sized,
    {
        let Some(bytes) = self.raw(key)? else { return Ok(None) };
        decode(key.table(), &key.bytes(), &bytes).map(Some)
    }
}

impl Rows for &dyn Read {
    fn raw(&self, key: &Key<'_>) -> Result<Option<Vec<u8>>, StorageError> {
        self.get(key.table(), &key.bytes())
    }
    fn some(&self, table: Table, range: &KeyRange, n: usize) -> Result<Vec<Row>, StorageError> {
        self.scan(table, range, n)
    }
}

/// All holds, by id.
pub(crate) fn all<R: Rows>(rows: &R) -> Result<Vec<(HoldId, HoldRow)>, StorageError> {
    let found = rows.some(Table::Account, &holds_over(DIRECTORY).range(), usize::MAX)?;
    let read = |(key, value): (Vec<u8>, Vec<u8>)| {
        Ok((id_of(Table::Account, &key)?, decode(Table::Account, &key, &value)?))
    };
    found.into_iter().map(read).collect()
}

fn none_is_looked_at() -> bool {
    cfg!(feature = "sim") && world::breaks(Mutation::HoldsIgnored)
}

/// Any hold at all.
pub(crate) fn any<R: Rows>(rows: &R) -> Result<Option<HoldId>, StorageError> {
    if none_is_looked_at() {
        return Ok(None);
    }
    let found = rows.some(Table::Account, &holds_over(DIRECTORY).range(), 1)?;
    found.first().map(|(key, _)| id_of(Table::Account, key)).transpose()
}

/// The id with which a key ends.
fn id_of(table: Table, key: &[u8]) -> Result<HoldId, StorageError> {
    let id = key.len().checked_sub(8).and_then(|at| key.get(at..));
    let id = id.and_then(|id| Parts::new(id).u64());
    id.map(HoldId).ok_or_else(|| StorageError::corrupt(table, key, "no hold"))
}

/// Holds over a domain as such; those over all where it is empty.
pub(crate) fn on<R: Rows>(rows: &R, domain: &str) -> Result<Vec<HoldId>, StorageError> {
    let found = rows.some(Table::Directory, &holds_on(domain).range(), usize::MAX)?;
    found.iter().map(|(key, _)| id_of(Table::Directory, key)).collect()
}

/// Holds that reach an account, by id; a deleted one by the domain that it had.
pub(crate) fn over<R: Rows>(
    rows: &R,
    account: AccountId,
) -> Result<Vec<(HoldId, HoldRow)>, StorageError> {
    if none_is_looked_at() {
        return Ok(Vec::new());
    }
    let named = rows.some(Table::Account, &holds_over(account).range(), usize::MAX)?;
    let named = named.iter().map(|(key, _)| id_of(Table::Account, key));
    let mut ids: Vec<HoldId> = named.collect::<Result<_, _>>()?;
    ids.extend(on(rows, "")?);
    if let Some(row) = rows.row::<AccountRow>(&Key::Account(account))? {
        ids.extend(on(rows, &row.address.domain)?);
    }
    ids.sort_unstable();
    ids.dedup();
    let row = |id| Ok(rows.row(&Key::Hold(DIRECTORY, id))?.map(|row| (id, row)));
    ids.into_iter().filter_map(|id| row(id).transpose()).collect()
}

/// A hold because of which nothing of an account's history may go; of the directory's, any hold,
/// since the directory says who was who. A query that has judged all there is, and found nothing
/// to hold, is none.
pub(crate) fn of_account<R: Rows>(
    rows: &R,
    account: AccountId,
) -> Result<Option<HoldId>, StorageError> {
    if account == DIRECTORY {
        return any(rows);
    }
    for (hold, row) in over(rows, account)? {
        let at = at(rows, hold, account)?;
        if row.terms.scope.query().is_none()
            || at.held > 0
            || !behind(rows, account, at.upto, 1)?.is_empty()
        {
            return Ok(Some(hold));
        }
    }
    Ok(None)
}

/// Holds over one email; with `first` the first of them.
pub(crate) fn of_email<R: Rows>(
    rows: &R,
    account: AccountId,
    email: EmailId,
    first: bool,
) -> Result<Vec<HoldId>, StorageError> {
    let mut holds = Vec::new();
    for (hold, row) in over(rows, account)? {
        let held = row.terms.scope.query().is_none()
            || at(rows, hold, account)?.upto < Some(email)
            || rows.raw(&Key::HoldMark(hold, account, email))?.is_some();
        if held {
            holds.push(hold);
            if first {
                break;
            }
        }
    }
    Ok(holds)
}

/// How far a query has judged an account.
pub(crate) fn at<R: Rows>(
    rows: &R,
    hold: HoldId,
    account: AccountId,
) -> Result<HoldAtRow, StorageError> {
    Ok(rows.row(&Key::HoldAt(hold, account))?.unwrap_or_default())
}

/// Emails in an account's history behind one, live or not, at most `limit` of its rows.
pub(crate) fn behind<R: Rows>(
    rows: &R,
    account: AccountId,
    after: Option<EmailId>,
    limit: usize,
) -> Result<Vec<EmailId>, StorageError> {
    let mut range = objects(account, kind::EMAIL).range();
    if let Some(after) = after {
        range.from = Object::Email(account, after).versions().to.unwrap_or_default();
    }
    let found = rows.some(Table::History, &range, limit)?;
    let email = |(key, _): &Row| match crate::keys::parse_history(key) {
        Some((Object::Email(_, email), _)) => Ok(email),
        _ => Err(StorageError::corrupt(Table::History, key, "no version of an email")),
    };
    let mut emails: Vec<EmailId> = found.iter().map(email).collect::<Result<_, _>>()?;
    emails.dedup();
    Ok(emails)
}
