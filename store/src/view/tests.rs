//! Addresses and times, as readers ask for them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use redoubt_log::id::{OperationId, Term};
use redoubt_log::record::*;

use super::*;
use crate::apply::{Position, apply};
use crate::storage::MemStorage;

fn address(text: &str) -> Address {
    let (local, domain) = text.split_once('@').unwrap();
    Address { local: local.into(), domain: domain.into() }
}

/// One record an hour, from index 10 in steps of 10.
fn site(changes: Vec<Change>) -> View {
    let mut storage = MemStorage::new();
    for (n, change) in (1u8..).zip(changes) {
        let operation = OperationId([n; 16]);
        let (actor, why) = (Actor::SYSTEM, Why::default());
        let record = Record { stamp: Timestamp(0), operation, actor, why, change };
        let (index, term) = (LogIndex(u64::from(n) * 10), Term(1));
        let time = Timestamp(i64::from(n) * 3_600_000);
        let position = Position { index, term, time, mark: Vec::new() };
        assert!(apply(&mut storage, &position, &record).unwrap().result.is_ok());
    }
    View::new(Arc::new(storage)).unwrap()
}

fn account(text: &str) -> Change {
    let (address, settings) = (address(text), AccountSettings::default());
    Change::AccountAdd(AccountAdd { address, settings, password: Some("$argon2id$x".into()) })
}

fn example() -> View {
    let domain = "xn--bcher-kva.example".to_owned();
    let settings = DomainSettings::default();
    let catch_all = DomainSettings { catch_all: Some(AccountId(2)), ..settings.clone() };
    site(vec![
        Change::DomainAdd(DomainAdd { domain: "example.org".into(), settings: settings.clone() }),
        Change::DomainAdd(DomainAdd { domain: domain.clone(), settings }),
        account("alice@example.org"),
        account("bob@xn--bcher-kva.example"),
        account("alice+exact@example.org"),
        Change::AliasAdd(AliasAdd { alias: address("al@example.org"), account: AccountId(1) }),
        Change::DomainSet(DomainSet { domain, settings: catch_all }),
    ])
}

fn found(view: &View, text: &str) -> (u64, Option<String>) {
    match view.resolve(text, "example.org").unwrap() {
        Resolved::Account { account, detail } => (account.id.0, detail),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn addresses_resolve_in_order() {
    let view = example();
    assert_eq!(found(&view, "ALICE@Example.ORG."), (1, None));
    assert_eq!(found(&view, "alice"), (1, None));
    assert_eq!(found(&view, "al@example.org"), (1, None));
    assert_eq!(found(&view, "alice+exact@example.org"), (3, None));
    assert_eq!(found(&view, "alice+Lists+X@example.org"), (1, Some("Lists+X".into())));
    assert_eq!(found(&view, "al+x@example.org"), (1, Some("x".into())));
    let long = "d".repeat(200);
    assert_eq!(found(&view, &format!("al+{long}")), (1, Some(long)));
    assert_eq!(found(&view, "any+thing@b\u{fc}cher.example"), (2, None));
    let answer = |text| view.resolve(text, "example.org").unwrap();
    assert_eq!(answer("carol@example.org"), Resolved::NoSuchUser);
    assert_eq!(answer("+x@example.org"), Resolved::NoSuchUser);
    assert_eq!(answer("alice@example.com"), Resolved::NoSuchDomain);
    assert_eq!(answer("a b@example.org"), Resolved::Invalid);
}

#[test]
fn logins_know_no_subaddress_and_no_catch_all() {
    let view = example();
    let login = |name| view.login(name, "example.org").unwrap().map(|account| account.id.0);
    assert_eq!(login("Alice"), Some(1));
    assert_eq!(login("al@example.org"), Some(1));
    assert_eq!(login("alice+x"), None);
    assert_eq!(login("any@xn--bcher-kva.example"), None);
    assert_eq!(login(""), None);
    let credentials = view.credentials(AccountId(1)).unwrap();
    assert_eq!(credentials[0].name, "password");
}

#[test]
fn what_an_address_meant_then() {
    let view = example();
    assert_eq!(view.at(LogIndex(59)).login("al", "example.org").unwrap(), None);
    assert!(view.at(LogIndex(60)).login("al", "example.org").unwrap().is_some());
    let then = view.at(LogIndex(60)).resolve("any@xn--bcher-kva.example", "x").unwrap();
    assert_eq!(then, Resolved::NoSuchUser);
}

#[test]
fn times_name_indexes() {
    let view = example();
    let at = |ms| view.index_at(Timestamp(ms)).unwrap().map(|index| index.0);
    assert_eq!(at(3_599_999), None);
    for n in 1..=7 {
        assert_eq!(at(n * 3_600_000), Some(u64::try_from(n).unwrap() * 10));
        assert_eq!(at(n * 3_600_000 + 3_599_999), Some(u64::try_from(n).unwrap() * 10));
    }
    assert_eq!(view.at(LogIndex(35)).index_at(Timestamp(i64::MAX)).unwrap(), Some(LogIndex(30)));
    let record = view.record(LogIndex(30)).unwrap().unwrap();
    assert_eq!((record.kind, record.actor), (0x0110, Actor::SYSTEM));
}
