//! Where history begins, and what may go. All as of now.

use std::ops::ControlFlow;

use redoubt_log::id::{AccountId, BlobId, EmailId, LogIndex, ModSeq, Timestamp};
use redoubt_log::record::TrimRow;

use super::{Key, KeyRange, Object, Order, Parts, StorageError, StoreError, Table, View, decode};
use crate::keys::{Bytes, DIRECTORY, Meta, of_accounts, parse_history, referrers_of, unreferenced};
use crate::retention::{AccountFacts, Policy, account_facts};
use crate::rows::{
    AccountRow, ChangeKind, FloorRow, PlacementVersion, Standing, UnreferencedRow, Version,
};

/// Where a search for what may be dropped goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrimAt {
    stage: usize,
    after: Vec<u8>,
}

/// Tables in which something may be dropped, and how their rows are looked at.
const STAGES: [Table; 4] = [Table::History, Table::EmailPlacement, Table::Change, Table::Record];

impl View {
    /// Where the history of an account begins, and when that was; `None`: at its beginning.
    /// Account 0 is the directory: domains, addresses, and who did what.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn history_floor(&self, account: AccountId) -> Result<Option<FloorRow>, StoreError> {
        Ok(self.source.floor(account)?)
    }

    /// Whether the history of an account, or of the directory, goes back to an index.
    ///
    /// # Errors
    /// [`StoreError::BelowFloor`] when it does not; the state cannot be read.
    pub fn reaches(&self, account: AccountId, index: LogIndex) -> Result<(), StoreError> {
        Ok(self.source.reaches(account, index)?)
    }

    /// From which index on all references to blobs are counted; `None` while they are not.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn references_counted(&self) -> Result<Option<LogIndex>, StoreError> {
        Ok(self.source.get(&Key::Meta(Meta::Counted))?)
    }

    /// Blobs that nothing refers to any more and that are not dead yet, behind one, at most
    /// `limit`.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn unreferenced(
        &self,
        after: Option<BlobId>,
        limit: usize,
    ) -> Result<Vec<BlobId>, StoreError> {
        let mut blobs = Vec::new();
        self.visit_unreferenced(after, &mut |blob, row| {
            if row.dead.is_none() {
                blobs.push(blob);
            }
            blobs.len() < limit
        })?;
        Ok(blobs)
    }

    /// Dead blobs behind one, with the index since which they are, at most `limit`.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn dead_blobs(
        &self,
        after: Option<BlobId>,
        limit: usize,
    ) -> Result<Vec<(BlobId, LogIndex)>, StoreError> {
        let mut blobs = Vec::new();
        self.visit_unreferenced(after, &mut |blob, row| {
            blobs.extend(row.dead.map(|dead| (blob, dead)));
            blobs.len() < limit
        })?;
        Ok(blobs)
    }

    fn visit_unreferenced(
        &self,
        after: Option<BlobId>,
        look: &mut dyn FnMut(BlobId, UnreferencedRow) -> bool,
    ) -> Result<(), StorageError> {
        let mut range = unreferenced().range();
        if let Some(after) = after {
            range.from = Key::Unreferenced(after).bytes();
            range.from.push(0);
        }
        self.reader().visit(Table::EmailPlacement, &range, Order::Rising, &mut |key, value| {
            let blob = Parts::new(key.get(9..).unwrap_or_default()).blob();
            let blob =
                blob.ok_or_else(|| StorageError::corrupt(Table::EmailPlacement, key, "no blob"))?;
            let more = look(blob, decode(Table::EmailPlacement, key, value)?);
            Ok(if more { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })
    }

    /// Since which index a blob is dead; `None` for one that is not.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn dead_since(&self, blob: &BlobId) -> Result<Option<LogIndex>, StoreError> {
        let row: Option<UnreferencedRow> = self.source.get(&Key::Unreferenced(*blob))?;
        Ok(row.and_then(|row| row.dead))
    }

    /// Emails in the history that have a blob, of whichever account, at most `limit`. Complete
    /// once [`references_counted`](Self::references_counted).
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn referrers(
        &self,
        blob: &BlobId,
        limit: usize,
    ) -> Result<Vec<(AccountId, EmailId)>, StoreError> {
        let rows = self.reader().scan(Table::EmailPlacement, &referrers_of(blob).range(), limit)?;
        let parse = |(key, _): &(Vec<u8>, Vec<u8>)| {
            let mut parts = Parts::new(key.get(41..).unwrap_or_default());
            Some((parts.account()?, parts.email()?))
        };
        Ok(rows.iter().filter_map(parse).collect())
    }

    /// Whether a blob is that of an email, or was and has not died up to an index.
    ///
    /// # Errors
    /// The state cannot be read.
    pub(crate) fn is_known(&self, blob: &BlobId, upto: LogIndex) -> Result<bool, StoreError> {
        let row: Option<UnreferencedRow> = self.source.get(&Key::Unreferenced(*blob))?;
        let waits = row.is_some_and(|row| row.dead.is_none_or(|dead| dead > upto));
        Ok(waits || !self.referrers(blob, 1)?.is_empty())
    }

    /// All accounts, deleted ones too.
    ///
    /// # Errors
    /// The state cannot be read.
    pub(crate) fn account_ids(&self) -> Result<Vec<AccountId>, StoreError> {
        let mut ids = Vec::new();
        self.reader().visit(Table::Account, &of_accounts(), Order::Rising, &mut |key, _| {
            let mut parts = Parts::new(key);
            if let (Some(account), Some(b'a'), Some(())) =
                (parts.account(), parts.u8(), parts.end())
            {
                ids.push(account);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(ids)
    }

    /// Looks at about `rows` rows of an account's history, from where `at` says, and names what
    /// lies below the floor: for the next record of its trimming. `None` at the end.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn trimmable(
        &self,
        account: AccountId,
        at: TrimAt,
        rows: usize,
    ) -> Result<(Vec<TrimRow>, Option<TrimAt>), StoreError> {
        let Some(row) = self.source.floor(account)? else { return Ok((Vec::new(), None)) };
        let policies = self.policies()?;
        let facts = match policies.is_empty() {
            true => None,
            false => account_facts(self, account)?,
        };
        let mut look = Look {
            account,
            floor: row.floor,
            known: ModSeq(0),
            found: Vec::new(),
            policies,
            facts,
            now: self.applied().map_or(Timestamp(0), |applied| applied.time),
        };
        let owner: Option<AccountRow> = self.source.get(&Key::Account(account))?;
        look.known = owner.map_or(ModSeq(0), |owner| owner.sequence(row.floor).into());
        let stage = at.stage;
        let Some(table) = STAGES.get(stage).copied() else { return Ok((Vec::new(), None)) };
        let last = match table {
            Table::History => look.history(self, &at.after, rows)?,
            _ => look.others(self, table, &at.after, rows)?,
        };
        let next = match last {
            Some(after) => Some(TrimAt { stage, after }),
            None if stage + 1 < STAGES.len() => Some(TrimAt { stage: stage + 1, after: vec![] }),
            None => None,
        };
        Ok((look.found, next))
    }
}

/// The email that a version in the history is of, or of whose placement.
fn email_of(key: &[u8], version: Option<&[u8]>) -> Result<Option<EmailId>, StorageError> {
    match (parse_history(key), version) {
        (Some((Object::Email(_, email), _)), _) => Ok(Some(email)),
        (Some((Object::Placement(..), _)), Some(value)) => {
            let placed: PlacementVersion = decode(Table::History, key, value)?;
            Ok(Some(placed.email))
        }
        _ => Ok(None),
    }
}

/// A look for what may be dropped.
struct Look {
    account: AccountId,
    floor: LogIndex,
    known: ModSeq,
    found: Vec<TrimRow>,
    policies: Vec<Policy>,
    facts: Option<AccountFacts>,
    now: Timestamp,
}

/// Versions of one object at or below the floor.
#[derive(Default)]
struct Old {
    object: Vec<u8>,
    count: usize,
    gone: bool,
    /// The email that it is, or was one's placement; only looked for where there are policies.
    email: Option<EmailId>,
}

impl Old {
    fn is_more_than_needed(&self) -> bool {
        self.count > 1 || (self.count == 1 && self.gone)
    }
}

impl Look {
    fn range(&self, table: Table, after: &[u8]) -> KeyRange {
        let mut range = match table {
            Table::Record => KeyRange {
                from: Key::Record(LogIndex(0)).bytes(),
                to: Some(Key::Record(self.floor).bytes()),
            },
            _ => Bytes::account(self.account).range(),
        };
        if !after.is_empty() {
            range.from = after.to_vec();
            range.from.push(0);
        }
        range
    }

    /// Goes from object to object; the last one that was begun is looked at anew by the next.
    fn history(
        &mut self,
        view: &View,
        after: &[u8],
        rows: usize,
    ) -> Result<Option<Vec<u8>>, StorageError> {
        let (mut old, mut seen, mut last) = (Old::default(), 0, None);
        let range = self.range(Table::History, after);
        let (floor, watched) = (self.floor, self.facts.is_some());
        let mut more: Vec<Old> = Vec::new();
        view.reader().visit(Table::History, &range, Order::Rising, &mut |key, value| {
            let parsed = key.len().checked_sub(8).map(|at| key.split_at(at));
            let Some(((object, _), (_, index))) = parsed.zip(parse_history(key)) else {
                return Err(StorageError::corrupt(Table::History, key, "no object"));
            };
            if old.object != object {
                let before =
                    std::mem::replace(&mut old, Old { object: object.to_vec(), ..Old::default() });
                if before.is_more_than_needed() {
                    more.push(before);
                }
                if seen >= rows {
                    old = Old::default();
                    return Ok(ControlFlow::Break(()));
                }
            }
            (seen, last) = (seen + 1, Some(key.to_vec()));
            if index <= floor {
                old.count += 1;
                let version = Version::decode(value);
                old.gone = version == Some(None);
                if watched {
                    old.email = email_of(key, version.flatten())?.or(old.email);
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let end = old.is_more_than_needed();
        if end {
            more.push(old);
        }
        for old in more {
            if !(old.gone && self.keeps(view, old.email)?) {
                self.found.push(TrimRow::Versions(old.object));
            }
        }
        Ok(last.filter(|_| !end && seen >= rows))
    }

    fn others(
        &mut self,
        view: &View,
        table: Table,
        after: &[u8],
        rows: usize,
    ) -> Result<Option<Vec<u8>>, StorageError> {
        if (table == Table::Record) != (self.account == DIRECTORY) {
            return Ok(None);
        }
        let (mut seen, mut last) = (0, None);
        let range = self.range(table, after);
        view.reader().visit(table, &range, Order::Rising, &mut |key, value| {
            if seen >= rows {
                return Ok(ControlFlow::Break(()));
            }
            (seen, last) = (seen + 1, Some(key.to_vec()));
            let row = match table {
                Table::EmailPlacement => self.standing(view, key, value)?,
                Table::Change => self.vanished(key, value)?,
                _ => Parts::new(key).u64().map(|index| TrimRow::Record(LogIndex(index))),
            };
            self.found.extend(row);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(last.filter(|_| seen >= rows))
    }

    /// Whether a policy keeps an email that is expunged, with what says where it stood.
    fn keeps(&self, view: &View, email: Option<EmailId>) -> Result<bool, StorageError> {
        let Some(email) = email else { return Ok(false) };
        if view.reader().get(Table::Email, &Key::Email(self.account, email).bytes())?.is_some() {
            return Ok(false);
        }
        view.is_kept(self.facts.as_ref(), &self.policies, email, self.now)
    }

    fn standing(
        &self,
        view: &View,
        key: &[u8],
        value: &[u8],
    ) -> Result<Option<TrimRow>, StorageError> {
        let row: Standing = decode(Table::EmailPlacement, key, value)?;
        let mut parts = Parts::new(key.get(8..).unwrap_or_default());
        let Some(((email, mailbox), uid)) = parts.email().zip(parts.mailbox()).zip(parts.uid())
        else {
            return Err(StorageError::corrupt(Table::EmailPlacement, key, "no placement"));
        };
        let below = row.until.is_some_and(|until| until <= self.floor);
        let below = below && !self.keeps(view, Some(email))?;
        Ok(below.then_some(TrimRow::Standing(email, mailbox, uid)))
    }

    fn vanished(&self, key: &[u8], value: &[u8]) -> Result<Option<TrimRow>, StorageError> {
        let kind: ChangeKind = decode(Table::Change, key, value)?;
        let mut parts = Parts::new(key.get(8..).unwrap_or_default());
        let Some(((mailbox, modseq), uid)) = parts.mailbox().zip(parts.u64()).zip(parts.uid())
        else {
            return Err(StorageError::corrupt(Table::Change, key, "no change"));
        };
        let below = kind == ChangeKind::Vanished && ModSeq(modseq) <= self.known;
        Ok(below.then_some(TrimRow::Vanished(mailbox, ModSeq(modseq), uid)))
    }
}
