//! Floors, and which emails a blob is of.

use redoubt_log::id::{AccountId, BlobId, EmailId, LogIndex, Timestamp};

use super::{Checked, Checker};
use crate::keys::{
    DIRECTORY, Key, Meta, Object, Parts, floors, referrers, referrers_of, retained, unreferenced,
};
use crate::retention::Policy;
use crate::rows::{
    AskedRow, EmailData, ErasedRow, FloorRow, PolicyDayRow, RetainedRow, UnreferencedRow, Version,
};
use crate::storage::{StorageError, Table, decode};

impl Checker<'_> {
    pub(super) fn retention(&mut self) -> Checked {
        self.floors()?;
        self.holds()?;
        self.referrers()?;
        self.retained()?;
        self.unreferenced()
    }

    fn floors(&mut self) -> Checked {
        let (mut count, mut lowest) = (0_u64, None);
        let parse = |mut parts: Parts<'_>| {
            let floor = parts.account().and(parts.u8()).and(parts.u64())?;
            Some((LogIndex(floor), parts.account()?))
        };
        let range = floors().range();
        self.rows(Table::Account, &range, parse, |c, (floor, account), (): ()| {
            count += 1;
            lowest = lowest.or(Some(floor));
            let row: Option<FloorRow> = c.get(&Key::Floor(account))?;
            let right = row.is_some_and(|row| row.floor == floor);
            c.expect(right, "floor", account, format!("{floor} is kept, {row:?} is there"));
            Ok(())
        })?;
        let kept: u64 = self.get(&Key::Meta(Meta::Floors))?.unwrap_or(0);
        self.expect(kept == count, "floor", "all", format!("{kept} are kept, {count} are there"));
        let directory = self.floor(DIRECTORY)?;
        let right = directory <= lowest.unwrap_or(directory);
        let what = format!("its history begins at {directory}, an account's at {lowest:?}");
        self.expect(right, "floor", "the directory", what);
        Ok(())
    }

    /// What belongs to policies and to no account.
    pub(super) fn policy_row(&mut self, kind: u8, key: &[u8], value: &[u8]) -> Checked {
        match kind {
            b'y' => {
                self.row_reads::<Policy>(key, value)?;
                let next: u64 = self.get(&Key::Meta(Meta::NextPolicy))?.unwrap_or(1);
                let id = Parts::new(key.get(9..).unwrap_or_default()).u64();
                let read = decode::<Policy>(Table::Account, key, value).ok();
                let right = read.is_some_and(|policy| {
                    let said = !policy.versions.is_empty();
                    said && Some(policy.id.0) == id && policy.id.0 < next
                });
                let what = format!("the next policy is {next}");
                self.expect(right, "policy", id.unwrap_or_default(), what);
                Ok(())
            }
            b'd' => self.row_reads::<PolicyDayRow>(key, value),
            b'q' => self.row_reads::<AskedRow>(key, value),
            b'v' => self.row_reads::<Timestamp>(key, value),
            _ => Ok(()),
        }
    }

    /// What policies know of an email goes with it.
    fn retained(&mut self) -> Checked {
        let parse = |mut parts: Parts<'_>| {
            parts.account().and(parts.u8())?;
            Some((parts.account()?, parts.email()?))
        };
        let range = retained().range();
        self.rows(Table::EmailPlacement, &range, parse, |c, (a, email), _: RetainedRow| {
            let versions = Object::Email(a, email).versions();
            let known = !c.reader.scan(Table::History, &versions, 1)?.is_empty();
            let what = format!("account {a} does not know it");
            c.expect(known, "retained", email, what);
            Ok(())
        })
    }

    /// What was erased is in no history, and its erasure is known.
    pub(super) fn erased(
        &mut self,
        a: AccountId,
        key: &[u8],
        value: &[u8],
        mut parts: Parts<'_>,
    ) -> Checked {
        let row = decode::<ErasedRow>(Table::Account, key, value);
        let (Some(email), Ok(row)) = (parts.email(), row) else {
            self.unreadable(Table::Account, key, "no email that was erased");
            return Ok(());
        };
        let known = self.has(&Key::Erasure(row.erasure))?;
        self.expect(known, "erasure", email, format!("erasure {} is not known", row.erasure));
        let ever = self.reader.last(Table::History, &Object::Email(a, email).versions())?;
        let what = format!("account {a} has it still, and it was erased");
        self.expect(ever.is_none(), "erasure", email, what);
        Ok(())
    }

    /// An email that some view can see is known to its blobs.
    pub(super) fn referred(&mut self, a: AccountId, email: EmailId, blob: BlobId) -> Checked {
        let counted = self.has(&Key::Meta(Meta::Counted))?;
        let known = !counted || self.has(&Key::Referrer(blob, a, email))?;
        let what = format!("email {email} of account {a} is not known to refer to it");
        self.expect(known, "reference", blob, what);
        Ok(())
    }

    /// What refers to a blob is in the history.
    fn referrers(&mut self) -> Checked {
        let parse = |mut parts: Parts<'_>| {
            parts.account().and(parts.u8())?;
            Some((parts.blob()?, parts.account()?, parts.email()?))
        };
        let range = referrers().range();
        self.rows(Table::EmailPlacement, &range, parse, |c, (blob, a, email), (): ()| {
            let right = c.names(a, email, blob)?;
            let what = format!("email {email} of account {a} does not name it");
            c.expect(right, "reference", blob, what);
            Ok(())
        })
    }

    fn names(&self, a: AccountId, email: EmailId, blob: BlobId) -> Result<bool, StorageError> {
        let range = Object::Email(a, email).versions();
        let Some((_, value)) = self.reader.scan(Table::History, &range, 1)?.pop() else {
            return Ok(false);
        };
        let data = Version::decode(&value).flatten();
        let data: Option<EmailData> = data.and_then(|data| decode(Table::History, &[], data).ok());
        Ok(data.is_some_and(|data| data.blob == blob || data.envelope == Some(blob)))
    }

    /// Nothing that is referred to is dead, or about to be.
    fn unreferenced(&mut self) -> Checked {
        let blob = |mut parts: Parts<'_>| parts.account().and(parts.u8()).and(parts.blob());
        let range = unreferenced().range();
        self.rows(Table::EmailPlacement, &range, blob, |c, blob, row: UnreferencedRow| {
            let range = referrers_of(&blob).range();
            let none = c.reader.scan(Table::EmailPlacement, &range, 1)?.is_empty();
            c.expect(none, "reference", blob, "an email refers to it, and it counts as nobody's");
            let later = row.dead.is_none_or(|dead| dead > row.since);
            c.expect(later, "reference", blob, format!("it died before it was left: {row:?}"));
            Ok(())
        })
    }
}
