//! Damages every row of every table in turn, and sees that a check says so.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeSet;
use std::sync::Arc;

use redoubt_log::id::*;
use redoubt_log::record::*;

use super::*;
use crate::apply::{Position, apply};
use crate::keys::{Meta, parse_history};
use crate::rows::{NodeRow, TokenRow};
use crate::storage::{APPLIED_KEY, MemStorage, Storage, Write, encode};

const A: AccountId = AccountId(1);
const B: AccountId = AccountId(2);

#[derive(Default)]
struct Sample {
    storage: MemStorage,
    index: u64,
}

impl Sample {
    fn run(&mut self, change: Change) -> Done {
        self.index += 1;
        let record = Record {
            stamp: Timestamp(0),
            operation: OperationId([u8::try_from(self.index).unwrap(); 16]),
            actor: Actor::SYSTEM,
            why: Why::default(),
            change,
        };
        let position = Position {
            index: LogIndex(self.index),
            term: Term(1),
            time: Timestamp(1_000_000 + i64::try_from(self.index).unwrap()),
            mark: vec![7],
        };
        apply(&mut self.storage, &position, &record).unwrap().result.unwrap()
    }

    fn account(&mut self, local: &str) {
        let address = Address { local: local.into(), domain: "example.org".into() };
        let settings = AccountSettings::default();
        let password = Some("$argon2id".to_owned());
        self.run(Change::AccountAdd(AccountAdd { address, settings, password }));
    }

    fn create(&mut self, parent: Option<MailboxId>, name: &str) -> MailboxId {
        let name = name.to_owned();
        let create = MailboxCreate { account: A, parent, name, special_use: None };
        match self.run(Change::MailboxCreate(create)) {
            Done::Mailbox(id, _) => id,
            other => panic!("{other:?}"),
        }
    }

    fn deliver(&mut self, mailbox: MailboxId, n: u8) -> Arrival {
        let thread = ThreadKeys { message_ids: vec![ThreadKey([n; 16])], ..Default::default() };
        let blob = BlobId::of(&[n]);
        let deliver = Deliver {
            message: Message { blob, original: blob, size: 10, thread },
            received: Timestamp(5),
            envelope: BlobId::of(b"envelope"),
            recipients: vec![Recipient {
                account: A,
                mailbox,
                operation: Some(OperationId([100 + n; 16])),
                flags: Flags::SEEN,
                keywords: vec!["work".into()],
            }],
        };
        match self.run(Change::Deliver(deliver)) {
            Done::Delivered(answers) => answers.into_iter().next().unwrap().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn flag(&mut self, reader: AccountId, mailbox: MailboxId, uid: Uid) {
        self.run(Change::SetFlags(SetFlags {
            account: A,
            mailbox,
            reader,
            uids: vec![uid],
            how: FlagChange::Add,
            flags: Flags::SEEN.with(Flags::DELETED),
            keywords: Vec::new(),
            unchanged_since: None,
        }));
    }
}

/// Something in every table.
fn sample() -> MemStorage {
    let mut s = Sample::default();
    let settings = DomainSettings::default();
    s.run(Change::DomainAdd(DomainAdd { domain: "example.org".into(), settings }));
    s.account("alice");
    s.account("bob");
    let alias = Address { local: "al".into(), domain: "example.org".into() };
    s.run(Change::AliasAdd(AliasAdd { alias, account: A }));
    let (outer, inbox) = (s.create(None, "outer"), MailboxId(1));
    let inner = s.create(Some(outer), "inner");
    s.deliver(outer, 1);
    s.deliver(inner, 2);
    let kept = s.deliver(inbox, 3);
    let gone = s.deliver(inbox, 4);
    s.flag(A, inbox, kept.uid);
    s.flag(B, inbox, kept.uid);
    let items = vec![Placed { uid: kept.uid, email: kept.email }];
    s.run(Change::Copy(Copy { account: A, from: inbox, to: inner, items }));
    let uids = vec![gone.uid];
    s.run(Change::Expunge(Expunge { account: A, mailbox: inbox, uids, only_deleted: false }));
    s.run(Change::MailboxDelete(MailboxDelete { account: A, mailbox: outer }));
    s.storage
}

fn run(storage: &MemStorage) -> Vec<Violation> {
    let view = View::new(Arc::new(storage.clone()));
    view.map_or_else(
        |error| vec![Violation { check: "open", object: String::new(), what: error.to_string() }],
        |view| check(&view, &|_| Ok(()), 1000).unwrap(),
    )
}

/// What nothing but the hash can tell: counters of ours that only rise, and
/// versions that a later one of the same object hides.
fn hash_only(storage: &MemStorage, table: Table, key: &[u8]) -> bool {
    match table {
        Table::Meta => {
            let keys = [Meta::Mark, Meta::Swept, Meta::StateHash].map(|m| Key::Meta(m).bytes());
            keys.contains(&key.to_vec())
        }
        Table::History => {
            let (object, _) = parse_history(key).unwrap();
            let newest = storage.last(table, &object.versions()).unwrap().unwrap().0;
            newest != key
        }
        _ => false,
    }
}

fn checks(
    storage: &MemStorage,
    table: Table,
    key: &[u8],
    value: Option<Vec<u8>>,
) -> BTreeSet<&'static str> {
    let mut damaged = storage.clone();
    damaged.write(vec![Write { table, key: key.to_vec(), value }]).unwrap();
    run(&damaged).into_iter().map(|violation| violation.check).collect()
}

/// The check that must name the damage of a table.
fn expected(table: Table) -> &'static str {
    match table {
        Table::Meta => "clock",
        Table::Directory => "address",
        Table::Account => "usage",
        Table::Mailbox => "mailbox-name",
        Table::Placement => "counters",
        Table::Email => "usage",
        Table::EmailPlacement => "email-placement",
        Table::UidMap => "uid-map",
        Table::Seen => "history",
        Table::Change => "change",
        Table::Thread => "thread",
        Table::Operation => "operation",
        Table::Record => "record",
        Table::History => "history",
        Table::Deleting => "deleting",
    }
}

#[test]
fn what_is_whole_is_clean() {
    assert_eq!(run(&sample()), []);
    assert_eq!(run(&MemStorage::new()), []);
}

#[test]
fn a_token_and_its_node_have_no_history() {
    let mut storage = sample();
    let token = TokenRow { expires: Timestamp(0), light: false, node: Some(NodeId(2)) };
    let rows = [
        (Key::Node(NodeId(2)), encode(&NodeRow::default()).unwrap()),
        (Key::Token(Hash([7; 32])), encode(&token).unwrap()),
        (Key::Meta(Meta::NextNode), encode(&3u64).unwrap()),
    ];
    for (key, value) in rows {
        let write = Write { table: key.table(), key: key.bytes(), value: Some(value) };
        storage.write(vec![write]).unwrap();
    }
    let found: BTreeSet<_> = run(&storage).into_iter().map(|violation| violation.check).collect();
    assert!(!found.contains("history") && !found.contains("node"), "{found:?}");
}

#[test]
fn every_row_is_guarded() {
    let storage = sample();
    for table in Table::ALL {
        let mut named = BTreeSet::new();
        for (key, _) in storage.scan(table, &KeyRange::all(), usize::MAX).unwrap() {
            for value in [None, Some(vec![0xff; 3])] {
                let mut found = checks(&storage, table, &key, value.clone());
                let hashed = crate::hash::is_hashed(table, &key);
                assert!(found.remove("state-hash") || !hashed, "{table} {}", hex(&key));
                let told = !found.is_empty() || hash_only(&storage, table, &key);
                assert!(told, "{table} {} {value:?}", hex(&key));
                named.extend(found);
            }
        }
        assert!(named.contains(expected(table)), "{table}: {named:?}");
    }
}

#[test]
fn values_that_read_and_lie() {
    let storage = sample();
    let inbox = MailboxId(1);
    let uid = Uid::new(1).unwrap();
    let key = Key::Placement(A, inbox, uid);
    let bytes = storage.get(key.table(), &key.bytes()).unwrap().unwrap();
    let mut row: crate::rows::PlacementRow = decode(key.table(), &[], &bytes).unwrap();
    row.version.flags = Flags::NONE;
    row.size += 1;
    let value = crate::storage::encode(&row).unwrap();
    let found = checks(&storage, key.table(), &key.bytes(), Some(value));
    for name in ["placement", "uid-map", "counters", "history", "state-hash"] {
        assert!(found.contains(name), "{name} is not in {found:?}");
    }
}

#[test]
fn an_index_that_is_not_everywhere() {
    let storage = sample();
    for table in Table::ALL {
        let found = checks(&storage, table, APPLIED_KEY, None);
        assert!(found.contains("applied"), "{table}: {found:?}");
    }
}

#[test]
fn blobs_that_are_missing() {
    let view = View::new(Arc::new(sample())).unwrap();
    let lost = BlobId::of(&[4]);
    let missing = |blob: &BlobId| if *blob == lost { Err("gone".to_owned()) } else { Ok(()) };
    let found = check(&view, &missing, 10).unwrap();
    // Of an expunged email: the history still needs it.
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].check, "blob");
    assert!(found[0].what.contains(&lost.to_string()));
}
