//! What policies judge, read from the state: from a record's transaction or from a view.

use std::cell::RefCell;
use std::collections::BTreeMap;

use redoubt_log::id::{AccountId, ClassId, EmailId, LogIndex, MailboxId, PolicyId, Sequence};
use redoubt_log::id::{Timestamp, Uid};
use redoubt_log::record::{Held, SpecialUse};
use serde::de::DeserializeOwned;

use super::judge::{self, Until};
use super::{Captured, Facts, Left, Policy, Stands, hangs_on_place};
use crate::keys::{Bytes, Key, Object, Parts, asked_of, events_of, left_account, left_domain};
use crate::keys::{left_mailbox, policies as all_policies};
use crate::mailbox::MAX_LEVELS;
use crate::rows::{
    AccountClassRow, AccountRow, AskedRow, EmailData, EmailRow, LeftMailboxRow, MailboxRow,
    PlacementRow, PlacementVersion, RecordRow, RetainedRow, Standing, Version,
};
use crate::storage::{KeyRange, Row, StorageError, Table, decode};
use crate::view::View;

/// Rows that can be read: those of a record at work, or those of a view.
pub(crate) trait Rows {
    /// A row's value.
    fn value(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError>;

    /// All rows of a range.
    fn all(&self, table: Table, range: &KeyRange) -> Result<Vec<Row>, StorageError>;
}

impl Rows for View {
    fn value(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.reader().get(table, key)
    }

    fn all(&self, table: Table, range: &KeyRange) -> Result<Vec<Row>, StorageError> {
        self.reader().scan(table, range, usize::MAX)
    }
}

fn get<T: DeserializeOwned>(rows: &dyn Rows, key: &Key<'_>) -> Result<Option<T>, StorageError> {
    let bytes = key.bytes();
    let value = rows.value(key.table(), &bytes)?;
    value.map(|value| decode(key.table(), &bytes, &value)).transpose()
}

/// All policies, by id.
pub(crate) fn policies(rows: &dyn Rows) -> Result<Vec<Policy>, StorageError> {
    let read = |(key, value): Row| decode(Table::Account, &key, &value);
    rows.all(Table::Account, &all_policies().range())?.into_iter().map(read).collect()
}

/// What is alike for all emails of an account; mailboxes are read when they are met.
#[derive(Debug)]
pub(crate) struct AccountFacts {
    account: AccountId,
    domain: String,
    class: Option<ClassId>,
    base: u64,
    left: Vec<(PolicyId, LogIndex)>,
    events: Vec<(String, Timestamp)>,
    asked: Vec<(PolicyId, AskedRow)>,
    mailboxes: RefCell<BTreeMap<MailboxId, Named>>,
}

/// A mailbox as policies see it.
#[derive(Debug, Clone, Default)]
struct Named {
    name: String,
    special_use: Option<SpecialUse>,
    left: Vec<(PolicyId, LeftMailboxRow)>,
}

fn number(table: Table, key: &[u8], at: usize) -> Result<PolicyId, StorageError> {
    let id = Parts::new(key.get(at..).unwrap_or_default()).u64();
    id.map(PolicyId).ok_or_else(|| StorageError::corrupt(table, key, "no policy"))
}

/// What is known of an account, a deleted one too; `None` for one that never was.
pub(crate) fn account_facts(
    rows: &dyn Rows,
    account: AccountId,
) -> Result<Option<AccountFacts>, StorageError> {
    let Some(row) = get::<AccountRow>(rows, &Key::Account(account))? else { return Ok(None) };
    let domain = row.address.domain;
    let own: AccountClassRow = get(rows, &Key::AccountClass(account))?.unwrap_or_default();
    let class = match own.class {
        Some(class) => Some(class),
        None => get(rows, &Key::DomainClass(&domain))?,
    };
    let mut left = left_under(rows, left_account(account))?;
    // What a domain has left an account with a class of its own never had of it.
    if own.class.is_none() {
        left.extend(left_under(rows, left_domain(&domain))?);
    }
    let (events, asked) = (events(rows, account)?, asked(rows, account)?);
    let mailboxes = RefCell::default();
    let base = row.base;
    Ok(Some(AccountFacts { account, domain, class, base, left, events, asked, mailboxes }))
}

/// Policies that are not over something any more, and up to which entry they are.
pub(crate) fn left_under(
    rows: &dyn Rows,
    prefix: Bytes,
) -> Result<Vec<(PolicyId, LogIndex)>, StorageError> {
    let at = prefix.len();
    let read = |(key, value): Row| {
        Ok((number(Table::Account, &key, at)?, decode(Table::Account, &key, &value)?))
    };
    rows.all(Table::Account, &prefix.range())?.into_iter().map(read).collect()
}

fn events(rows: &dyn Rows, a: AccountId) -> Result<Vec<(String, Timestamp)>, StorageError> {
    let prefix = events_of(a);
    let at = prefix.len();
    let read = |(key, value): Row| {
        let name = Parts::new(key.get(at..).unwrap_or_default()).text();
        let name = name.ok_or_else(|| StorageError::corrupt(Table::Account, &key, "no event"))?;
        Ok((name.to_owned(), decode(Table::Account, &key, &value)?))
    };
    rows.all(Table::Account, &prefix.range())?.into_iter().map(read).collect()
}

fn asked(rows: &dyn Rows, a: AccountId) -> Result<Vec<(PolicyId, AskedRow)>, StorageError> {
    let prefix = asked_of(a);
    let at = prefix.len();
    let read = |(key, value): Row| {
        Ok((number(Table::Account, &key, at)?, decode(Table::Account, &key, &value)?))
    };
    rows.all(Table::Account, &prefix.range())?.into_iter().map(read).collect()
}

impl AccountFacts {
    /// The account's class, its own or its domain's.
    pub(crate) fn class(&self) -> Option<ClassId> {
        self.class
    }

    /// The account's domain.
    pub(crate) fn domain(&self) -> &str {
        &self.domain
    }

    fn mailbox(&self, rows: &dyn Rows, m: MailboxId) -> Result<Named, StorageError> {
        if let Some(known) = self.mailboxes.borrow().get(&m) {
            return Ok(known.clone());
        }
        let named = named(rows, self.account, m)?;
        self.mailboxes.borrow_mut().insert(m, named.clone());
        Ok(named)
    }
}

/// A mailbox as it is, or as it was before it went.
fn mailbox_row(
    rows: &dyn Rows,
    a: AccountId,
    m: MailboxId,
) -> Result<Option<MailboxRow>, StorageError> {
    if let Some(row) = get(rows, &Key::Mailbox(a, m))? {
        return Ok(Some(row));
    }
    last_version(rows, &Object::Mailbox(a, m))
}

/// The newest value that an object had.
fn last_version<T: DeserializeOwned>(
    rows: &dyn Rows,
    object: &Object,
) -> Result<Option<T>, StorageError> {
    for (key, value) in rows.all(Table::History, &object.versions())?.into_iter().rev() {
        let version = Version::decode(&value)
            .ok_or_else(|| StorageError::corrupt(Table::History, &key, "no version"))?;
        if let Some(value) = version {
            return decode(Table::History, &key, value).map(Some);
        }
    }
    Ok(None)
}

fn named(rows: &dyn Rows, a: AccountId, m: MailboxId) -> Result<Named, StorageError> {
    let Some(row) = mailbox_row(rows, a, m)? else { return Ok(Named::default()) };
    let (mut name, mut next) = (row.name, row.parent);
    for _ in 0..MAX_LEVELS {
        let Some(parent) = next.map(|m| mailbox_row(rows, a, m)).transpose()?.flatten() else {
            break;
        };
        name = format!("{}/{name}", parent.name);
        next = parent.parent;
    }
    let prefix = left_mailbox(a, m);
    let at = prefix.len();
    let gone = rows.all(Table::Account, &prefix.range())?;
    let left = gone.iter().map(|(key, value)| {
        Ok((number(Table::Account, key, at)?, decode(Table::Account, key, value)?))
    });
    Ok(Named {
        name,
        special_use: row.special_use,
        left: left.collect::<Result<_, StorageError>>()?,
    })
}

/// The whole name of a mailbox and its use, as it is or was.
pub(crate) fn mailbox_named(
    rows: &dyn Rows,
    a: AccountId,
    m: MailboxId,
) -> Result<(String, Option<SpecialUse>), StorageError> {
    let named = named(rows, a, m)?;
    Ok((named.name, named.special_use))
}

/// What is known of an email that is in the history; `None` for one that is not.
pub(crate) fn email_facts(
    rows: &dyn Rows,
    of: &AccountFacts,
    email: EmailId,
) -> Result<Option<Facts>, StorageError> {
    let a = of.account;
    let row: Option<EmailRow> = get(rows, &Key::Email(a, email))?;
    let data: Option<EmailData> = match row {
        Some(row) => Some(row.data),
        None => last_version(rows, &Object::Email(a, email))?,
    };
    let Some(data) = data else { return Ok(None) };
    let kept: RetainedRow = get(rows, &Key::Retained(a, email))?.unwrap_or_default();
    let (places, gone) = places(rows, of, email)?;
    let expunged = match gone {
        Some(index) => get::<RecordRow>(rows, &Key::Record(index))?.map(|row| row.time),
        None => None,
    };
    let asked = of.asked.iter().filter(|(_, row)| email.sequence <= row.upto);
    let asked = asked.map(|(policy, row)| {
        let is =
            |(id, version, _): &&(PolicyId, u32, Held)| (id, version) == (policy, &row.version);
        (*policy, row.version, kept.found.iter().find(is).map(|(_, _, how)| *how))
    });
    Ok(Some(Facts {
        account: a,
        domain: of.domain.clone(),
        class: of.class,
        email,
        came: LogIndex(email.sequence.0.saturating_sub(of.base)),
        entered: kept.entered.unwrap_or(data.received),
        dated: data.received,
        delivered: data.envelope.is_some(),
        draft: kept.draft,
        places,
        expunged,
        captured: kept.captured,
        labels: kept.labels,
        left: of.left.clone(),
        events: of.events.clone(),
        asked: asked.collect(),
    }))
}

/// Where it stands; where none is left, where it stood last, and until when.
fn places(
    rows: &dyn Rows,
    of: &AccountFacts,
    email: EmailId,
) -> Result<(Vec<Stands>, Option<LogIndex>), StorageError> {
    let range = KeyRange::prefix(&Key::Email(of.account, email).bytes());
    let mut stood: Vec<(MailboxId, Uid, Standing)> = Vec::new();
    for (key, value) in rows.all(Table::EmailPlacement, &range)? {
        let row: Standing = decode(Table::EmailPlacement, &key, &value)?;
        let mut parts = Parts::new(key.get(20..).unwrap_or_default());
        let (Some(m), Some(uid)) = (parts.mailbox(), parts.uid()) else {
            return Err(StorageError::corrupt(Table::EmailPlacement, &key, "no placement"));
        };
        stood.push((m, uid, row));
    }
    let live = stood.iter().any(|(_, _, row)| row.until.is_none());
    let last = stood.iter().filter_map(|(_, _, row)| row.until).max().filter(|_| !live);
    let mut places = Vec::new();
    for (m, uid, row) in stood {
        if row.until == last
            && let Some(version) = version_there(rows, of.account, m, uid)?
        {
            let Named { name, special_use, left } = of.mailbox(rows, m)?;
            let PlacementVersion { saved, flags, keywords, .. } = version;
            // What came behind that came into another mailbox.
            let left = left.into_iter().filter(|(_, left)| row.from <= left.upto);
            let left = left.map(|(policy, LeftMailboxRow { place, sent, .. })| Left {
                policy,
                place,
                sent,
            });
            let left = left.collect();
            places.push(Stands {
                mailbox: m,
                uid,
                name,
                special_use,
                saved,
                flags,
                keywords,
                left,
            });
        }
    }
    Ok((places, last))
}

/// What stands at a place, or stood there last.
pub(crate) fn version_there(
    rows: &dyn Rows,
    a: AccountId,
    m: MailboxId,
    uid: Uid,
) -> Result<Option<PlacementVersion>, StorageError> {
    if let Some(row) = get::<PlacementRow>(rows, &Key::Placement(a, m, uid))? {
        return Ok(Some(row.version));
    }
    last_version(rows, &Object::Placement(a, m, uid))
}

/// The floors that an email has for good, where it stands now and before.
pub(crate) fn captured(policies: &[Policy], facts: &Facts, now: Timestamp) -> Vec<Captured> {
    let mut all: BTreeMap<PolicyId, Timestamp> =
        facts.captured.iter().map(|old| (old.policy, old.anchor)).collect();
    for policy in policies {
        let versions = policy.binding(now).iter();
        let places =
            versions.filter(|version| version.settings.as_ref().is_some_and(hangs_on_place));
        for version in places {
            let anchor = match judge::floor_anchor(policy, version, facts) {
                Some(Until::Time(anchor)) => anchor,
                Some(Until::Unknown) => facts.entered,
                None => continue,
            };
            let known = all.entry(policy.id).or_insert(anchor);
            *known = (*known).max(anchor);
        }
    }
    all.into_iter().map(|(policy, anchor)| Captured { policy, anchor }).collect()
}

/// Up to which of an account's emails a policy's query was asked, and by which version.
pub(crate) fn asked_upto(
    rows: &dyn Rows,
    a: AccountId,
    policy: PolicyId,
) -> Result<Option<(u32, Sequence)>, StorageError> {
    let row: Option<AskedRow> = get(rows, &Key::Asked(a, policy))?;
    Ok(row.map(|row| (row.version, row.upto)))
}
