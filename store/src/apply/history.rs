//! The history floor, and what it lets go. Raising it is a switch: from then on there is no
//! view below. The rows go by records that follow, which name where there is something to drop;
//! what is dropped is found here, so that a wrong name drops nothing that a view can see.

use std::collections::{BTreeMap, BTreeSet};

use redoubt_log::id::{AccountId, BlobId, EmailId, LogIndex, MailboxId, ModSeq, Uid};
use redoubt_log::record::{Done, HistoryFloor, HistoryTrim, Rejection, TrimRow};

use super::work::Work;
use super::{Ruled, blobs, hold, policy, restore};
use crate::keys::{DIRECTORY, Key, Meta, Object, Parts, floors, parse_object};
use crate::rows::{
    AccountRow, ChangeKind, EmailData, FloorRow, PlacementVersion, Standing, Version,
};
use crate::storage::{KeyRange, Row, StorageError, Table, decode};

/// Rows that one record drops at most, about.
pub(crate) const MOST: usize = 4000;

pub(crate) fn floor(work: &mut Work<'_>, record: &HistoryFloor) -> Ruled<Done> {
    let HistoryFloor { account, floor, time } = *record;
    hold::check(work, account)?;
    restore::check(work, account)?;
    if floor >= work.index {
        return Err(Rejection::Floor(format!("entry {floor} is not applied yet")).into());
    }
    let old: Option<FloorRow> = work.tx.get(&Key::Floor(account))?;
    match old.map(|row| row.floor) {
        Some(old) if floor < old => return Err(Rejection::FloorBack(old).into()),
        Some(old) if floor == old => return Ok(Done::Unit),
        _ => {}
    }
    match account {
        DIRECTORY => below_all(work, floor)?,
        account => order(work, account, old, floor)?,
    }
    work.tx.put(&Key::Floor(account), &FloorRow { floor, time })?;
    Ok(Done::Unit)
}

/// Keeps floors by floor, and how many there are.
fn order(work: &mut Work<'_>, a: AccountId, old: Option<FloorRow>, floor: LogIndex) -> Ruled<()> {
    row(work, a)?;
    if let Some(old) = old {
        work.tx.delete(&Key::FloorOrder(old.floor, a));
    } else {
        let key = Key::Meta(Meta::Floors);
        let count: u64 = work.tx.get(&key)?.unwrap_or(0);
        work.tx.put(&key, &count.saturating_add(1))?;
    }
    Ok(work.tx.put(&Key::FloorOrder(floor, a), &())?)
}

/// An account, a deleted one too.
fn row(work: &Work<'_>, a: AccountId) -> Ruled<AccountRow> {
    Ok(work.tx.get(&Key::Account(a))?.ok_or(Rejection::NoSuchAccount)?)
}

/// Accounts name domains and addresses, and all name records: the directory's history goes
/// back as far as the oldest of theirs.
fn below_all(work: &Work<'_>, floor: LogIndex) -> Ruled<()> {
    let next: u64 = work.tx.get(&Key::Meta(Meta::NextAccount))?.unwrap_or(1);
    let with: u64 = work.tx.get(&Key::Meta(Meta::Floors))?.unwrap_or(0);
    if with + 1 < next {
        return Err(Rejection::Floor("an account keeps all of its history".into()).into());
    }
    let first = work.tx.scan(Table::Account, &floors().range(), 1)?.pop();
    let lowest = first.map(|(key, _)| {
        let index = Parts::new(key.get(9..).unwrap_or_default()).u64();
        index.ok_or_else(|| StorageError::corrupt(Table::Account, &key, "no floor"))
    });
    match lowest.transpose()? {
        Some(lowest) if lowest < floor.0 => {
            Err(Rejection::Floor(format!("an account's history begins at {lowest}")).into())
        }
        _ => Ok(()),
    }
}

pub(crate) fn trim(work: &mut Work<'_>, record: &HistoryTrim) -> Ruled<Done> {
    let account = record.account;
    hold::check(work, account)?;
    restore::check(work, account)?;
    blobs::counted(work)?;
    let Some(FloorRow { floor, .. }) = work.tx.get(&Key::Floor(account))? else {
        return Err(Rejection::Floor("it keeps all of its history".into()).into());
    };
    let mut trim = Trim { account, floor, dropped: 0, kept: BTreeMap::new() };
    for row in &record.rows {
        if trim.dropped >= MOST {
            break;
        }
        trim.row(work, row)?;
    }
    Ok(Done::Trimmed(u32::try_from(trim.dropped).unwrap_or(u32::MAX)))
}

/// One record's trimming.
struct Trim {
    account: AccountId,
    floor: LogIndex,
    dropped: usize,
    /// Emails that were asked about, and whether a policy keeps them.
    kept: BTreeMap<EmailId, bool>,
}

impl Trim {
    fn row(&mut self, work: &mut Work<'_>, row: &TrimRow) -> Ruled<()> {
        match row {
            TrimRow::Versions(object) => match parse_object(object) {
                Some(object) if object.account() == self.account => self.versions(work, &object),
                _ => Ok(()),
            },
            TrimRow::Standing(email, mailbox, uid) => self.standing(work, *email, *mailbox, *uid),
            TrimRow::Vanished(mailbox, modseq, uid) => self.vanished(work, *mailbox, *modseq, *uid),
            TrimRow::Record(index) => self.record(work, *index),
        }
    }

    /// Whether a policy keeps an email that is expunged: with what says where it stood last.
    fn is_kept(&mut self, work: &mut Work<'_>, email: EmailId) -> Ruled<bool> {
        if let Some(kept) = self.kept.get(&email) {
            return Ok(*kept);
        }
        let live = work.tx.get_raw(&Key::Email(self.account, email))?.is_some();
        let kept = !live && policy::floor(work, self.account, email)?.is_some();
        self.kept.insert(email, kept);
        Ok(kept)
    }

    fn drop(&mut self, work: &mut Work<'_>, table: Table, key: Vec<u8>) {
        work.tx.delete_raw(table, key);
        self.dropped += 1;
    }

    /// Of each object the newest version at or before the floor stays, if it is one of
    /// something that is there.
    fn versions(&mut self, work: &mut Work<'_>, object: &Object) -> Ruled<()> {
        let range = object.versions_to(self.floor);
        let mut rows = work.tx.scan(Table::History, &range, MOST + 1)?;
        let gone = match rows.last() {
            Some((key, value)) if rows.len() <= MOST => read(key, value)?.is_none(),
            _ => false,
        };
        match object {
            Object::Email(_, email) if gone && self.is_kept(work, *email)? => return Ok(()),
            Object::Placement(..) if gone && self.placed_kept(work, &rows)? => return Ok(()),
            Object::Email(account, email) if gone => {
                let later = self.later(work, object)?;
                self.email(work, (*account, *email), &rows, later)?;
            }
            _ if gone => {}
            _ => drop(rows.pop()),
        }
        rows.into_iter().for_each(|(key, _)| self.drop(work, Table::History, key));
        Ok(())
    }

    fn placed_kept(&mut self, work: &mut Work<'_>, rows: &[Row]) -> Ruled<bool> {
        for (key, value) in rows.iter().rev() {
            if let Some(value) = read(key, value)? {
                let placed: PlacementVersion = decode(Table::History, key, value)?;
                return self.is_kept(work, placed.email);
            }
        }
        Ok(false)
    }

    /// The blobs of an email that was brought back behind the floor, whether or not it is there
    /// still; `None` for one that was not.
    fn later(&self, work: &Work<'_>, object: &Object) -> Ruled<Option<BTreeSet<BlobId>>> {
        let mut range = object.versions();
        range.from = Key::History(object, LogIndex(self.floor.0.saturating_add(1))).bytes();
        let (mut came, mut blobs) = (false, BTreeSet::new());
        for (key, value) in work.tx.scan(Table::History, &range, usize::MAX)? {
            if let Some(value) = read(&key, &value)? {
                let data: EmailData = decode(Table::History, &key, value)?;
                came = true;
                blobs.extend(blobs::blobs_of(&data));
            }
        }
        Ok(came.then_some(blobs))
    }

    /// An email leaves the history: where it stood is forgotten, and its blobs are another's
    /// or nobody's. Of one that was brought back since all stays that a view behind the floor
    /// shows; where it stood before goes by rows of its own.
    fn email(
        &mut self,
        work: &mut Work<'_>,
        (a, e): (AccountId, EmailId),
        rows: &[Row],
        later: Option<BTreeSet<BlobId>>,
    ) -> Ruled<()> {
        // No way out of the history but through here: asked again, whatever was asked before.
        hold::check_email(work, a, e)?;
        let range = KeyRange::prefix(&Key::Email(a, e).bytes());
        if later.is_none() {
            for (key, _) in work.tx.scan(Table::EmailPlacement, &range, usize::MAX)? {
                self.drop(work, Table::EmailPlacement, key);
            }
            work.tx.delete(&Key::Retained(a, e));
        }
        let stay = later.unwrap_or_default();
        for (key, value) in rows {
            if let Some(value) = read(key, value)? {
                let data: EmailData = decode(Table::History, key, value)?;
                let gone = blobs::blobs_of(&data).into_iter().filter(|blob| !stay.contains(blob));
                blobs::leave(work, a, e, gone)?;
            }
        }
        Ok(())
    }

    fn standing(
        &mut self,
        work: &mut Work<'_>,
        email: EmailId,
        mailbox: MailboxId,
        uid: Uid,
    ) -> Ruled<()> {
        let key = Key::EmailPlacement(self.account, email, mailbox, uid);
        let standing: Option<Standing> = work.tx.get(&key)?;
        let below = standing.and_then(|row| row.until).is_some_and(|until| until <= self.floor);
        if below && !self.is_kept(work, email)? {
            self.drop(work, Table::EmailPlacement, key.bytes());
        }
        Ok(())
    }

    /// Who knows less than the floor's MODSEQ is told that too little is known.
    fn vanished(
        &mut self,
        work: &mut Work<'_>,
        mailbox: MailboxId,
        modseq: ModSeq,
        uid: Uid,
    ) -> Ruled<()> {
        if self.account == DIRECTORY {
            return Ok(());
        }
        let known = ModSeq::from(row(work, self.account)?.sequence(self.floor));
        let key = Key::Change(self.account, mailbox, modseq, uid);
        let kind: Option<ChangeKind> = work.tx.get(&key)?;
        if modseq <= known && kind == Some(ChangeKind::Vanished) {
            self.drop(work, Table::Change, key.bytes());
        }
        Ok(())
    }

    /// The newest at or before the floor stays: it says what the time was.
    fn record(&mut self, work: &mut Work<'_>, index: LogIndex) -> Ruled<()> {
        let key = Key::Record(index);
        if self.account != DIRECTORY || work.tx.get_raw(&key)?.is_none() {
            return Ok(());
        }
        let range = KeyRange {
            from: Key::Record(LogIndex(index.0.saturating_add(1))).bytes(),
            to: Some(Key::Record(LogIndex(self.floor.0.saturating_add(1))).bytes()),
        };
        if !range.is_empty() && work.tx.last_before(Table::Record, &range)?.is_some() {
            self.drop(work, Table::Record, key.bytes());
        }
        Ok(())
    }
}

fn read<'v>(key: &[u8], value: &'v [u8]) -> Result<Option<&'v [u8]>, StorageError> {
    Version::decode(value).ok_or_else(|| StorageError::corrupt(Table::History, key, "no version"))
}
