//! Stories of messages that come in.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::collections::BTreeSet;

use redoubt_log::id::{OperationId, Uid};
use redoubt_log::record::{
    AccountSettings, Actor, Change, DomainSet, DomainSettings, JunkHeader, MAX_CHANGES, Rejection,
    SpecialUse,
};
use redoubt_store::mailbox::INBOX;
use redoubt_store::mailstore::WriteError;
use support::*;

#[tokio::test]
async fn what_is_delivered_reads_back_byte_for_byte() {
    let world = World::new();
    let store = world.open().await;
    let account = alice(&store).await;
    let odd = b"no header at all\0\xff\r\nlone \n and \r here".to_vec();
    for content in [mail(1), mail_with_attachment(3 << 20), odd, Vec::new()] {
        let arrival = deliver(&store, account, &content).await;
        let whole = [b"Return-Path: <a@example.net>\r\n", &content[..]].concat();
        assert_eq!(read_back(&store, account, &arrival).await, whole);
        let view = store.view().await.unwrap();
        let placed = view.placement(account, INBOX, account, arrival.uid).unwrap().unwrap();
        assert_eq!(placed.size, whole.len() as u64);
        let parsed = store.parsed(&placed.blob).unwrap();
        assert_eq!(parsed.size, whole.len() as u64);
        let reader = store.open_blob(&placed.blob).unwrap();
        let mut pieces = Vec::new();
        while (pieces.len() as u64) < reader.len() {
            pieces.extend_from_slice(&reader.read(pieces.len() as u64, 100_000).unwrap());
        }
        assert_eq!(pieces, whole);
    }
    store.shutdown().await;
}

#[tokio::test]
async fn one_copy_for_all_recipients_and_an_answer_for_each() {
    let world = World::new();
    let store = world.open().await;
    let alice = alice(&store).await;
    let small = AccountSettings { quota: Some(10), ..AccountSettings::default() };
    let bob = add_account(&store, "bob", small).await;
    let to =
        vec![recipient(alice, "alice@example.org", None), recipient(bob, "bob@example.org", None)];
    let answers = deliver_to(&store, &mail(1), to).await.unwrap();
    assert!(answers[0].is_ok());
    assert!(matches!(answers[1], Err(Rejection::OverQuota { used: 0, limit: 10 })));
    assert_eq!((count(&store, alice, INBOX).await, count(&store, bob, INBOX).await), (1, 0));
}

#[tokio::test]
async fn the_mtas_retry_gets_the_first_outcome_unless_the_domain_says_no() {
    let world = World::new();
    let store = world.open().await;
    let account = alice(&store).await;
    let first = deliver(&store, account, &mail(1)).await;
    assert_eq!(deliver(&store, account, &mail(1)).await, first);
    assert_eq!(count(&store, account, INBOX).await, 1);
    assert_ne!(deliver(&store, account, &mail(2)).await, first);

    let settings = DomainSettings { retry_recognised: false, ..DomainSettings::default() };
    let set = DomainSet { domain: DOMAIN.to_owned(), settings };
    submit(&store, Change::DomainSet(set)).await.unwrap();
    assert_ne!(deliver(&store, account, &mail(1)).await, first);
    assert_eq!(count(&store, account, INBOX).await, 3);
}

#[tokio::test]
async fn details_name_mailboxes_and_marked_spam_is_filed() {
    let world = World::new();
    let store = world.open().await;
    let rule = JunkHeader { name: "X-Spam".to_owned(), value_prefix: "yes".to_owned() };
    add_domain(&store, DomainSettings { junk_header: Some(rule), ..Default::default() }).await;
    let account = add_account(&store, "alice", AccountSettings::default()).await;
    let actor = Actor::account(account, None);
    let lists = store.create_mailbox(&actor, account, "Lists/Rust", None).await.unwrap();
    let to = |detail| vec![recipient(account, "alice+x@example.org", Some(detail))];
    let filed = deliver_to(&store, &mail(1), to("Lists/Rust")).await.unwrap();
    assert_eq!(filed[0].as_ref().unwrap().mailbox, lists.id);
    let nowhere = deliver_to(&store, &mail(2), to("lists/rust")).await.unwrap();
    assert_eq!(nowhere[0].as_ref().unwrap().mailbox, INBOX);
    let spam = [b"X-Spam: YES, 12 points\r\n", &mail(3)[..]].concat();
    let junk = deliver(&store, account, &spam).await.mailbox;
    let view = store.view().await.unwrap();
    let junk = view.mailbox(account, junk).unwrap().unwrap();
    assert_eq!(junk.special_use, Some(SpecialUse::Junk));
}

#[tokio::test]
async fn too_large_a_message_is_refused_before_anything_is_stored() {
    let world = World::with(|options| options.max_message = 10_000);
    let store = world.open().await;
    let account = alice(&store).await;
    let to = vec![recipient(account, "alice@example.org", None)];
    let refused = deliver_to(&store, &mail_with_attachment(20_000), to).await;
    assert!(matches!(refused, Err(WriteError::TooLarge { limit: 10_000, .. })));
    assert_eq!(count(&store, account, INBOX).await, 0);
}

#[tokio::test]
async fn more_recipients_than_one_record_takes() {
    let world = World::new();
    let store = world.open().await;
    let account = alice(&store).await;
    let to = (0..MAX_CHANGES + 3).map(|n| recipient(account, &format!("r{n}@example.org"), None));
    let answers = deliver_to(&store, &mail(1), to.collect()).await.unwrap();
    assert_eq!(answers.len(), MAX_CHANGES + 3);
    assert!(answers.iter().all(Result::is_ok));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_to_one_account_get_a_uid_each() {
    let world = World::new();
    let store = world.open().await;
    let account = alice(&store).await;
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let store = store.clone();
        tasks.spawn(async move {
            let mut uids = Vec::new();
            for n in 0..20 {
                uids.push(deliver(&store, account, &mail(writer * 1000 + n)).await.uid);
            }
            uids
        });
    }
    let uids: BTreeSet<Uid> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(uids, (1..=160).filter_map(Uid::new).collect());
}

#[tokio::test]
async fn all_messages_of_one_append_or_none() {
    let world = World::new();
    let store = world.open().await;
    let settings = AccountSettings { quota: Some(400), ..AccountSettings::default() };
    add_domain(&store, DomainSettings::default()).await;
    let account = add_account(&store, "alice", settings).await;
    let actor = Actor::account(account, None);
    let mut items = Vec::new();
    for n in 0..20 {
        items.push(new_message(&store, &mail(n)).await);
    }
    let refused = store.append(&actor, inbox(account), items).await;
    let over = |answers: &[Result<_, Rejection>]| {
        answers.iter().all(|a| matches!(a, Err(Rejection::OverQuota { .. })))
    };
    match refused {
        Err(WriteError::Rejected(Rejection::OverQuota { .. })) => {}
        Ok(answers) => assert!(over(&answers)),
        Err(other) => panic!("{other}"),
    }
    assert_eq!(count(&store, account, INBOX).await, 0);
    let mut items = Vec::new();
    for _ in 0..=MAX_CHANGES {
        items.push(new_message(&store, b"x").await);
    }
    let refused = store.append(&actor, inbox(account), items).await;
    assert!(matches!(refused, Err(WriteError::Invalid(_))));
}

#[tokio::test]
async fn an_import_keeps_uids_and_its_retry_adds_nothing() {
    let world = World::new();
    let store = world.open().await;
    let account = alice(&store).await;
    let actor = Actor::admin(0);
    let operation = Some(OperationId([7; 16]));
    let mut arrivals = Vec::new();
    for _ in 0..2 {
        let mut item = new_message(&store, &mail(1)).await;
        item.uid = Uid::new(77);
        item.operation = operation;
        let answers = store.append(&actor, inbox(account), vec![item]).await.unwrap();
        arrivals.push(answers[0].clone().unwrap());
    }
    assert_eq!(arrivals[0].uid, Uid::new(77).unwrap());
    assert_eq!(arrivals[0], arrivals[1]);
    let mut item = new_message(&store, &mail(2)).await;
    item.uid = Uid::new(5);
    let answers = store.append(&actor, inbox(account), vec![item]).await;
    match answers {
        Ok(answers) => assert!(matches!(answers[0], Err(Rejection::UidTaken(_)))),
        Err(error) => assert!(matches!(error, WriteError::Rejected(Rejection::UidTaken(_)))),
    }
}
