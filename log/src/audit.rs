//! The log as an audit trail: which entries somebody asks for, and what of an entry tells whom
//! it touched. Pure but for the log that is read; docs/audit.md.

use std::collections::BTreeSet;
use std::ops::Range;

use serde_json::Value;

use crate::dump;
use crate::id::{AccountId, LogIndex, Timestamp};
use crate::raft::record_of;
use crate::record::{Address, Change, Record};
use crate::segment::{EntryKind, LogEntry};

/// Every kind of record by its name, as `redoubt dump` writes it; membership changes have none
/// of their own number and stand with the system's.
pub const KINDS: &[(u16, &str)] = &[
    (0x0101, "domain-add"),
    (0x0102, "domain-set"),
    (0x0103, "domain-remove"),
    (0x0110, "account-add"),
    (0x0111, "account-set"),
    (0x0112, "account-rename"),
    (0x0113, "account-delete"),
    (0x0114, "account-sweep"),
    (0x0120, "alias-add"),
    (0x0121, "alias-remove"),
    (0x0130, "credential-set"),
    (0x0131, "credential-remove"),
    (0x0140, "class-add"),
    (0x0141, "class-set"),
    (0x0142, "class-remove"),
    (0x0143, "account-class"),
    (0x0144, "domain-class"),
    (0x0150, "role-grant"),
    (0x0151, "role-revoke"),
    (0x0152, "personal-token-add"),
    (0x0153, "personal-token-revoke"),
    (0x0160, "capture-set"),
    (0x0161, "capture-remove"),
    (0x0201, "mailbox-create"),
    (0x0202, "mailbox-rename"),
    (0x0203, "mailbox-delete"),
    (0x0204, "subscribe"),
    (0x0205, "mailbox-named"),
    (0x0301, "deliver"),
    (0x0302, "append"),
    (0x0303, "copy"),
    (0x0304, "move"),
    (0x0305, "set-flags"),
    (0x0306, "expunge"),
    (0x0310, "capture"),
    (0x0311, "deliver-captured"),
    (0x0401, "history-floor"),
    (0x0402, "history-trim"),
    (0x0403, "hold-set"),
    (0x0404, "hold-release"),
    (0x0405, "count-references"),
    (0x0406, "blobs-dead"),
    (0x0407, "holds-kept"),
    (0x0410, "policy-set"),
    (0x0411, "policy-lock"),
    (0x0412, "policy-remove"),
    (0x0414, "label"),
    (0x0415, "unlabel"),
    (0x0416, "retention-event"),
    (0x0417, "purge-policy"),
    (0x0418, "policy-matched"),
    (0x0419, "policies-kept"),
    (0x0420, "erase-begin"),
    (0x0422, "erase-piece"),
    (0x0423, "erase-report"),
    (0x0424, "erasures-kept"),
    (0x0408, "hold-marks"),
    (0x0409, "hold-stays"),
    (0x040a, "hold-end"),
    (0x040b, "hold-move"),
    (0x0501, "restore-begin"),
    (0x0502, "restore-piece"),
    (0x0503, "restore-now"),
    (0x0601, "restore-audit"),
    (0x0602, "discovery-begin"),
    (0x0603, "discovery-end"),
    (0x0604, "head-key"),
    (0x0605, "discovery-remove"),
    (0x0606, "mail-read"),
    (0x0607, "logins"),
    (0x0608, "discovery-look"),
    (0x0609, "refused"),
    (0x0610, "matter-add"),
    (0x0611, "matter-set"),
    (0x0612, "matter-member"),
    (0x0613, "matter-custodian"),
    (0x0614, "matter-note"),
    (0x0620, "approval"),
    (0x0700, "membership"),
    (0x0701, "version"),
    (0x0702, "checkpoint-mark"),
    (0x0703, "token-add"),
    (0x0704, "node-add"),
    (0x0705, "node-remove"),
    (0x0706, "archived"),
    (0x0707, "new-lineage"),
    (0x0708, "renumber"),
    (0x0709, "rights-kept"),
];

/// The groups of kinds, by the upper octet of their numbers.
pub const GROUPS: &[(u16, &str)] = &[
    (1, "directory"),
    (2, "mailbox"),
    (3, "email"),
    (4, "retention"),
    (5, "restore"),
    (6, "audit"),
    (7, "system"),
];

/// The number that membership changes are listed under.
const MEMBERSHIP: u16 = 0x0700;

/// The name of a kind's group.
pub fn group(kind: u16) -> &'static str {
    let found = GROUPS.iter().find(|(group, _)| *group == kind >> 8);
    found.map_or("unknown", |(_, name)| name)
}

/// The numbers of kinds that a name, a group's name or a number in hexadecimal (`0x0602`) stands
/// for: from the first to the last.
pub fn kinds_named(name: &str) -> Option<(u16, u16)> {
    if let Some(digits) = name.strip_prefix("0x") {
        return u16::from_str_radix(digits, 16).ok().map(|kind| (kind, kind));
    }
    let whole = |(group, _): &(u16, &str)| (group << 8, group << 8 | 0xff);
    let group = GROUPS.iter().find(|(_, known)| *known == name).map(whole);
    group.or_else(|| KINDS.iter().find(|(_, known)| *known == name).map(|(n, _)| (*n, *n)))
}

/// An entry that tells of something: a record, or a change of the membership.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its position.
    pub index: LogIndex,
    /// Its effective time.
    pub time: Timestamp,
    /// The number of its kind; 0 where it does not decode.
    pub number: u16,
    /// The name of its kind.
    pub kind: &'static str,
    /// What it is about, in a few words.
    pub what: String,
    /// The record; `None` for a change of the membership and for what does not decode.
    pub record: Option<Record>,
}

impl Event {
    /// What an entry tells; `None` for one that only begins a term.
    pub fn of(entry: &LogEntry) -> Option<Self> {
        let record = match entry.kind {
            EntryKind::Blank => return None,
            EntryKind::Membership => None,
            EntryKind::Record => record_of(&entry.payload).ok(),
        };
        let number = match (&record, entry.kind) {
            (Some(record), _) => record.change.kind(),
            (None, EntryKind::Membership) => MEMBERSHIP,
            (None, _) => 0,
        };
        let (kind, what) = dump::told(entry, record.as_ref());
        Some(Self { index: entry.id.index, time: entry.time, number, kind, what, record })
    }

    /// Who did it, as `redoubt dump` writes it.
    pub fn principal(&self) -> String {
        match &self.record {
            Some(record) => dump::principal(&record.actor.principal),
            None => "system".to_owned(),
        }
    }

    /// Whose it is.
    pub fn touched(&self) -> Touched {
        self.record.as_ref().map(Touched::of).unwrap_or_default()
    }
}

/// The accounts and addresses that a record names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touched {
    /// By id.
    pub accounts: BTreeSet<AccountId>,
    /// By address.
    pub addresses: BTreeSet<Address>,
}

/// Fields of records that hold accounts.
const ACCOUNTS: [&str; 9] = [
    "account",
    "Account",
    "accounts",
    "archive",
    "archives",
    "source",
    "reader",
    "catch_all",
    "on_behalf_of",
];

impl Touched {
    /// Whom a record touches.
    pub fn of(record: &Record) -> Self {
        let mut touched = Self::default();
        touched.accounts.extend(record.actor.on_behalf_of);
        match &record.change {
            Change::Deliver(r) => touched.accounts.extend(r.recipients.iter().map(|to| to.account)),
            Change::DeliverCaptured(r) => {
                touched.accounts.extend(r.deliver.recipients.iter().map(|to| to.account));
                touched.accounts.extend(&r.archives);
            }
            Change::Append(r) => touched.one(r.account),
            Change::Copy(r) => touched.one(r.account),
            Change::Move(r) => touched.one(r.account),
            Change::SetFlags(r) => touched.one(r.account),
            Change::Expunge(r) => touched.one(r.account),
            Change::HistoryTrim(r) => touched.one(r.account),
            Change::PurgePolicy(r) => touched.one(r.account),
            Change::PolicyMatched(r) => touched.one(r.account),
            Change::ErasePiece(r) => touched.one(r.account),
            Change::ErasuresKept(r) => touched.one(r.account),
            Change::HoldMarks(r) => touched.accounts.extend(r.judged.iter().map(|one| one.account)),
            Change::BlobsDead(_) | Change::CheckpointMark(_) => {}
            // All others are few: whatever fields they have, also those that are yet to come.
            change => touched.named(&serde_json::to_value(change).unwrap_or_default()),
        }
        touched
    }

    fn one(&mut self, account: AccountId) {
        self.accounts.insert(account);
    }

    /// What a value names, at any depth.
    pub fn named(&mut self, value: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.named(item)),
            Value::Object(fields) => {
                if let Ok(address) = serde_json::from_value::<Address>(value.clone()) {
                    self.addresses.insert(address);
                }
                for (name, value) in fields {
                    if ACCOUNTS.contains(&name.as_str()) {
                        self.numbers(value);
                    }
                    self.named(value);
                }
            }
            _ => {}
        }
    }

    fn numbers(&mut self, value: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.numbers(item)),
            other => self.accounts.extend(other.as_u64().map(AccountId)),
        }
    }
}

/// Where a listing begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// With this entry.
    Index(LogIndex),
    /// With the entries of this time.
    Time(Timestamp),
}

/// Which events are asked for; an empty list asks for all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Kinds, from the first to the last of each range.
    pub kinds: Vec<(u16, u16)>,
    /// Who, as [`Event::principal`] writes it.
    pub actors: Vec<String>,
    /// Whose.
    pub accounts: Vec<AccountId>,
    /// Whose, by address.
    pub addresses: Vec<Address>,
}

impl Filter {
    /// Whether an event is asked for, as far as its record says.
    pub fn takes(&self, event: &Event) -> bool {
        let of_kind = |(first, last): &(u16, u16)| (*first..=*last).contains(&event.number);
        (self.kinds.is_empty() || self.kinds.iter().any(of_kind))
            && (self.actors.is_empty() || self.actors.contains(&event.principal()))
    }

    /// Whether it is of somebody that is asked for.
    pub fn takes_of(&self, touched: &Touched) -> bool {
        (self.accounts.is_empty() && self.addresses.is_empty())
            || self.accounts.iter().any(|account| touched.accounts.contains(account))
            || self.addresses.iter().any(|address| touched.addresses.contains(address))
    }
}

/// A log that can be read through.
pub trait Entries {
    /// Why it cannot be read.
    type Error;

    /// The first entry that is there; those before were purged.
    fn first(&self) -> LogIndex;

    /// Behind the last entry.
    fn end(&self) -> LogIndex;

    /// Entries of a range, as many as fit, at least one.
    ///
    /// # Errors
    /// The log cannot be read.
    fn read(&self, range: Range<LogIndex>, max: usize) -> Result<Vec<LogEntry>, Self::Error>;
}

/// The first entry of a bound. Times never go back in a log, so that a few looks find it.
///
/// # Errors
/// The log cannot be read.
pub fn first_at<E: Entries>(log: &E, bound: Option<Bound>) -> Result<LogIndex, E::Error> {
    let (mut low, mut high) = (log.first().0, log.end().0);
    let time = match bound {
        None => return Ok(log.first()),
        Some(Bound::Index(index)) => return Ok(index.max(log.first())),
        Some(Bound::Time(time)) => time,
    };
    while low < high {
        let middle = low + (high - low) / 2;
        let read = log.read(LogIndex(middle)..LogIndex(middle.saturating_add(1)), 0)?;
        match read.first().is_some_and(|entry| entry.time < time) {
            true => low = middle.saturating_add(1),
            false => high = middle,
        }
    }
    Ok(LogIndex(low))
}

/// Whether an entry is behind the end of what is asked for.
pub fn is_past(entry: &LogEntry, until: Option<Bound>) -> bool {
    match until {
        None => false,
        Some(Bound::Index(index)) => entry.id.index > index,
        Some(Bound::Time(time)) => entry.time > time,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::id::OperationId;
    use crate::record::{AccountRename, Actor, AliasRemove, HoldScope, HoldSet, Why};

    fn of(change: Change) -> Touched {
        let operation = OperationId([1; 16]);
        let (stamp, why) = (Timestamp(0), Why::default());
        Touched::of(&Record { stamp, operation, actor: Actor::SYSTEM, why, change })
    }

    #[test]
    fn kinds_go_by_name_group_and_number() {
        assert_eq!(kinds_named("discovery-begin"), Some((0x0602, 0x0602)));
        assert_eq!(kinds_named("email"), Some((0x0300, 0x03ff)));
        assert_eq!(kinds_named("0x0602"), Some((0x0602, 0x0602)));
        assert_eq!(kinds_named("discovery"), None);
        assert_eq!((group(0x0602), group(0x0900)), ("audit", "unknown"));
    }

    #[test]
    fn records_name_whom_they_touch() {
        let address = Address { local: "a".into(), domain: "example.org".into() };
        let renamed = of(Change::AccountRename(AccountRename {
            account: AccountId(7),
            address: address.clone(),
        }));
        assert_eq!(renamed.accounts, BTreeSet::from([AccountId(7)]));
        assert_eq!(renamed.addresses, BTreeSet::from([address.clone()]));
        let held = of(Change::HoldSet(HoldSet::over(HoldScope::Account(AccountId(9)))));
        assert_eq!(held.accounts, BTreeSet::from([AccountId(9)]));
        let gone = of(Change::AliasRemove(AliasRemove { alias: address.clone() }));
        let filter = Filter { addresses: vec![address], ..Filter::default() };
        assert!(filter.takes_of(&gone) && !filter.takes_of(&held));
    }

    struct Times(Vec<i64>);

    impl Entries for Times {
        type Error = ();

        fn first(&self) -> LogIndex {
            LogIndex(0)
        }

        fn end(&self) -> LogIndex {
            LogIndex(self.0.len() as u64)
        }

        fn read(&self, range: Range<LogIndex>, _: usize) -> Result<Vec<LogEntry>, ()> {
            let index = usize::try_from(range.start.0).unwrap();
            let id =
                crate::segment::LogId { term: crate::id::Term(1), index: LogIndex(index as u64) };
            let time = Timestamp(*self.0.get(index).ok_or(())?);
            Ok(vec![LogEntry {
                id,
                kind: EntryKind::Blank,
                time,
                stamp: time,
                payload: bytes::Bytes::new(),
                chain: crate::id::Hash::default(),
                position: 0,
            }])
        }
    }

    #[test]
    fn the_first_entry_of_a_time_is_found() {
        let log = Times(vec![10, 20, 20, 20, 30]);
        for (time, index) in [(0, 0), (10, 0), (11, 1), (20, 1), (21, 4), (30, 4), (31, 5)] {
            let found = first_at(&log, Some(Bound::Time(Timestamp(time))));
            assert_eq!(found, Ok(LogIndex(index)), "{time}");
        }
    }
}
