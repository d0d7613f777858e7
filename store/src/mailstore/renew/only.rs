//! One account's part of a state: rows of its own, what the directory says of its addresses,
//! and who did what to it. All else is left out. The one place beside `apply` that makes rows;
//! what it makes is a state image like one that was received, of a history that begins there.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use redoubt_log::id::{AccountId, LogIndex};
use redoubt_log::record::{Approves, PolicyWhose, Reach};

use crate::hash::{StateHash, is_hashed};
use crate::holds;
use crate::keys::{Bytes, DIRECTORY, Key, Meta, Object, Parts, floors, parse_history, referrers};
use crate::keys::{asked_of, events_of, left_account, left_domain, left_mailboxes, marks_of};
use crate::keys::{objects, policies, retained_of};
use crate::retention::Policy;
use crate::rows::{AddressRow, DomainRow, FloorRow, Version};
use crate::storage::{
    APPLIED_KEY, Batch, KeyRange, Order, Read, Storage, StorageError, Table, Write, decode, encode,
};

/// Rows that are written together.
const TOGETHER: usize = 2000;

type Copied = Result<(), StorageError>;

/// Copies one account's part of a state into empty tables.
///
/// # Errors
/// The disk, or corruption.
pub fn only_account<S: Storage>(from: &dyn Read, to: &mut S, account: AccountId) -> Copied {
    let (batch, hash, records) = (Batch::new(), StateHash::default(), BTreeSet::new());
    let mut copy = Copy { from, to, account, batch, hash, records, domains: BTreeSet::new() };
    copy.own()?;
    copy.directory()?;
    copy.retention()?;
    copy.policies()?;
    copy.records()?;
    copy.tables()
}

/// A copy under way.
struct Copy<'a, S> {
    from: &'a dyn Read,
    to: &'a mut S,
    account: AccountId,
    batch: Batch,
    hash: StateHash,
    /// Records that the account's history names.
    records: BTreeSet<LogIndex>,
    /// Domains that its addresses are in, or were.
    domains: BTreeSet<String>,
}

impl<S: Storage> Copy<'_, S> {
    fn put(&mut self, table: Table, key: &[u8], value: Vec<u8>) -> Copied {
        if is_hashed(table, key) {
            self.hash.add(table, key, &value);
        }
        self.batch.push(Write { table, key: key.to_vec(), value: Some(value) });
        match self.batch.len() < TOGETHER {
            true => Ok(()),
            false => self.to.write(std::mem::take(&mut self.batch)),
        }
    }

    /// Shows rows; what the visitor gives is put in their place.
    fn rows(
        &mut self,
        table: Table,
        range: &KeyRange,
        mut pick: impl FnMut(&mut Self, &[u8], &[u8]) -> Result<Option<Vec<u8>>, StorageError>,
    ) -> Copied {
        let from = self.from;
        from.visit(table, range, Order::Rising, &mut |key, value| {
            if let Some(value) = pick(self, key, value)? {
                self.put(table, key, value)?;
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    fn all_of(&mut self, table: Table, range: &KeyRange) -> Copied {
        self.rows(table, range, |_, _, value| Ok(Some(value.to_vec())))
    }

    /// What begins with the account. What other readers have seen of it is theirs.
    fn own(&mut self) -> Copied {
        let (account, range) = (self.account, Bytes::account(self.account).range());
        for table in [
            Table::Account,
            Table::Mailbox,
            Table::Placement,
            Table::Email,
            Table::EmailPlacement,
            Table::UidMap,
            Table::Change,
            Table::Thread,
            Table::Deleting,
        ] {
            self.all_of(table, &range)?;
        }
        self.all_of(Table::EmailPlacement, &retained_of(account).range())?;
        for bound in
            [events_of(account), left_account(account), left_mailboxes(account), asked_of(account)]
        {
            self.all_of(Table::Account, &bound.range())?;
        }
        self.rows(Table::Seen, &range, |_, key, value| {
            let reader = Parts::new(key.get(16..).unwrap_or_default()).account();
            Ok((reader == Some(account)).then(|| value.to_vec()))
        })?;
        self.rows(Table::History, &range, |copy, key, value| {
            let Some((object, index)) = parse_history(key) else {
                return Err(StorageError::corrupt(Table::History, key, "no object"));
            };
            if matches!(object, Object::Seen(_, _, _, reader) if reader != account) {
                return Ok(None);
            }
            copy.records.insert(index);
            Ok(Some(value.to_vec()))
        })
    }

    fn directory(&mut self) -> Copied {
        self.addresses()?;
        let account = self.account;
        let range = KeyRange::prefix(b"n");
        self.rows(Table::Directory, &range, |_, key, value| {
            let row: AddressRow = decode(Table::Directory, key, value)?;
            Ok((row.account == account).then(|| value.to_vec()))
        })?;
        for domain in self.domains.clone() {
            let key = Key::Domain(&domain).bytes();
            if let Some(value) = self.from.get(Table::Directory, &key)? {
                let value = self.domain(&value)?;
                self.put(Table::Directory, &key, value)?;
            }
            let range = Object::Domain(domain).versions();
            self.rows(Table::History, &range, |copy, key, value| {
                copy.records.extend(parse_history(key).map(|(_, index)| index));
                let version = version(key, value)?.map(|value| copy.domain(value)).transpose()?;
                Ok(Some(Version::encode(version.as_deref())))
            })?;
        }
        self.classes()?;
        self.all_of(Table::Directory, &crate::keys::nodes())
    }

    /// All classes, so that the account's means what it meant, and those of its domains.
    fn classes(&mut self) -> Copied {
        let key = Key::Meta(Meta::NextClass).bytes();
        // The number itself comes with all others: a row counts in the hash as often as it is put.
        if self.from.get(Table::Meta, &key)?.is_none() {
            return Ok(());
        }
        self.all_of(Table::Directory, &crate::keys::classes().range())?;
        let mut ranges = vec![objects(DIRECTORY, crate::keys::kind::CLASS).range()];
        for domain in self.domains.clone() {
            let key = Key::DomainClass(&domain).bytes();
            if let Some(value) = self.from.get(Table::Directory, &key)? {
                self.put(Table::Directory, &key, value)?;
            }
            ranges.push(Object::DomainClass(domain).versions());
        }
        for range in ranges {
            self.rows(Table::History, &range, |copy, key, value| {
                copy.records.extend(parse_history(key).map(|(_, index)| index));
                Ok(Some(value.to_vec()))
            })?;
        }
        Ok(())
    }

    /// Another account that takes what no address does is not there.
    fn domain(&self, value: &[u8]) -> Result<Vec<u8>, StorageError> {
        let mut row: DomainRow = decode(Table::Directory, &[], value)?;
        row.settings.catch_all = row.settings.catch_all.filter(|id| *id == self.account);
        encode(&row)
    }

    /// While an address was another account's it was nobody's here.
    fn addresses(&mut self) -> Copied {
        let (account, mut last) = (self.account, (Vec::new(), false));
        let range = objects(DIRECTORY, crate::keys::kind::ADDRESS).range();
        self.rows(Table::History, &range, |copy, key, value| {
            let corrupt = || StorageError::corrupt(Table::History, key, "no address");
            let (object, index) = parse_history(key).ok_or_else(corrupt)?;
            let Object::Address(address) = &object else { return Err(corrupt()) };
            let row = version(key, value)?;
            let row = row.map(|row| decode::<AddressRow>(Table::History, key, row)).transpose()?;
            let own = row.is_some_and(|row| row.account == account);
            let was_own = last.1 && last.0 == object.bytes();
            last = (object.bytes(), own);
            if !own && !was_own {
                return Ok(None);
            }
            copy.domains.insert(address.domain.clone());
            copy.records.insert(index);
            Ok(Some(if own { value.to_vec() } else { Version::encode(None) }))
        })
    }

    /// Its floor and the directory's, its holds, and the blobs that are of its emails.
    fn retention(&mut self) -> Copied {
        let account = self.account;
        let mut count = 0_u64;
        self.rows(Table::Account, &floors().range(), |_, key, value| {
            let own = Parts::new(key.get(17..).unwrap_or_default()).account() == Some(account);
            count += u64::from(own);
            Ok(own.then(|| value.to_vec()))
        })?;
        if count > 0 {
            let value = encode(&count)?;
            self.put(Table::Meta, &Key::Meta(Meta::Floors).bytes(), value)?;
        }
        let key = Key::Floor(DIRECTORY).bytes();
        if let Some(value) = self.from.get(Table::Account, &key)? {
            let _: FloorRow = decode(Table::Account, &key, &value)?;
            self.put(Table::Account, &key, value)?;
        }
        self.holds()?;
        self.rows(Table::EmailPlacement, &referrers().range(), |_, key, value| {
            let of = Parts::new(key.get(41..).unwrap_or_default()).account();
            Ok((of == Some(account)).then(|| value.to_vec()))
        })
    }

    /// What reaches the account, and what is known of its emails.
    fn holds(&mut self) -> Copied {
        let account = self.account;
        let over = holds::over(&self.from, account)?;
        for (hold, row) in over {
            self.approval(Approves::HoldRelease(hold))?;
            self.put(Table::Account, &Key::Hold(DIRECTORY, hold).bytes(), encode(&row)?)?;
            let on = match row.terms.scope.reach() {
                Reach::Domain(domain) => Some(domain),
                Reach::All => Some(""),
                Reach::Accounts(_) => None,
            };
            if let Some(domain) = on {
                let key = Key::HoldOn(domain, hold).bytes();
                self.put(Table::Directory, &key, encode(&())?)?;
            }
            let key = Key::HoldAt(hold, account).bytes();
            if let Some(value) = self.from.get(Table::Account, &key)? {
                self.put(Table::Account, &key, value)?;
            }
            let range = marks_of(hold).u64(account.0).range();
            self.all_of(Table::EmailPlacement, &range)?;
        }
        Ok(())
    }

    /// What a second person has to decide of what is copied, or has decided.
    fn approval(&mut self, of: Approves) -> Copied {
        let key = Key::Approval(of).bytes();
        match self.from.get(Table::Directory, &key)? {
            Some(value) => self.put(Table::Directory, &key, value),
            None => Ok(()),
        }
    }

    /// Policies that are over its mail or may come to be, with what they have left, locked or not.
    fn policies(&mut self) -> Copied {
        let account = self.account;
        self.rows(Table::Account, &policies().range(), |copy, key, value| {
            let policy: Policy = decode(Table::Account, key, value)?;
            let said = policy.versions.iter().filter_map(|version| version.settings.as_ref());
            let over = said.map(|said| &said.scope.whose).any(|whose| match whose {
                PolicyWhose::All | PolicyWhose::Class(_) => true,
                PolicyWhose::Domain(domain) => copy.domains.contains(domain),
                PolicyWhose::Account(wished) => *wished == account,
            });
            // What its rows name of one that was over it only before.
            let left =
                copy.from.get(Table::Account, &Key::LeftAccount(account, policy.id).bytes())?;
            let taken = over || left.is_some();
            for version in policy.versions.iter().filter(|_| taken) {
                copy.approval(Approves::Policy { policy: policy.id, version: version.number })?;
            }
            Ok(taken.then(|| value.to_vec()))
        })?;
        for domain in self.domains.clone() {
            self.all_of(Table::Account, &left_domain(&domain).range())?;
        }
        for key in [Key::Labelled(account), Key::Purged(account)].map(|key| key.bytes()) {
            if let Some(value) = self.from.get(Table::Account, &key)? {
                self.put(Table::Account, &key, value)?;
            }
        }
        Ok(())
    }

    fn records(&mut self) -> Copied {
        for index in std::mem::take(&mut self.records) {
            let key = Key::Record(index).bytes();
            if let Some(value) = self.from.get(Table::Record, &key)? {
                self.put(Table::Record, &key, value)?;
            }
        }
        Ok(())
    }

    /// How far all tables have come, and their hash.
    fn tables(mut self) -> Copied {
        let others = [Meta::StateHash, Meta::Floors].map(|meta| Key::Meta(meta).bytes());
        self.rows(Table::Meta, &KeyRange::all(), |_, key, value| {
            Ok((!others.iter().any(|other| other == key)).then(|| value.to_vec()))
        })?;
        for table in Table::ALL {
            if let Some(applied) = self.from.get(table, APPLIED_KEY)? {
                self.put(table, APPLIED_KEY, applied)?;
            }
        }
        let hash = self.hash.to_bytes();
        self.put(Table::Meta, &Key::Meta(Meta::StateHash).bytes(), hash)?;
        self.to.write(std::mem::take(&mut self.batch))
    }
}

fn version<'v>(key: &[u8], value: &'v [u8]) -> Result<Option<&'v [u8]>, StorageError> {
    let corrupt = || StorageError::corrupt(Table::History, key, "no version of an object");
    Version::decode(value).ok_or_else(corrupt)
}
