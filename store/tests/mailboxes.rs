//! Stories of mailboxes and of work on many emails.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use redoubt_log::id::AccountId;
use redoubt_log::record::{Actor, FlagChange, Flags, MAX_CHANGES, Rejection};
use redoubt_store::mailbox::INBOX;
use redoubt_store::mailstore::{FlagUpdate, MailboxRef, Mailstore, WriteError};
use support::*;

fn add(flags: Flags) -> FlagUpdate {
    FlagUpdate { how: FlagChange::Add, flags, keywords: Vec::new(), unchanged_since: None }
}

/// An open store, alice's account in it, and alice.
async fn with_alice() -> (World, Mailstore, AccountId, Actor) {
    let world = World::new();
    let store = world.open().await;
    let account = alice(&store).await;
    (world, store, account, Actor::account(account, None))
}

#[tokio::test]
async fn create_makes_those_above_and_rename_takes_children_along() {
    let (_world, store, account, actor) = with_alice().await;
    let made = store.create_mailbox(&actor, account, "A/B/C/", None).await.unwrap();
    assert_eq!(made.name, "A/B/C");
    let again = store.create_mailbox(&actor, account, "A/B/C", None).await;
    assert!(matches!(again, Err(WriteError::Rejected(Rejection::Exists(_)))), "{again:?}");
    store.rename_mailbox(&actor, account, "A/B", "X/Y").await.unwrap();
    let view = store.view().await.unwrap();
    assert_eq!(view.mailbox(account, made.id).unwrap().unwrap().name, "X/Y/C");
    let below = store.rename_mailbox(&actor, account, "X", "X/Y/Z").await;
    assert!(matches!(below, Err(WriteError::Rejected(Rejection::Cycle))));
    let nothing = store.rename_mailbox(&actor, account, "A/B", "Q").await;
    assert!(matches!(nothing, Err(WriteError::Rejected(Rejection::NoSuchMailbox))));
    let id = store.make_mailbox(&actor, account, "A/D", None).await.unwrap();
    assert_eq!(store.view().await.unwrap().mailbox_named(account, "A/D").unwrap().unwrap().id, id);
    let bad = store.create_mailbox(&actor, account, "a//b", None).await;
    assert!(matches!(bad, Err(WriteError::Invalid(_))));
}

#[tokio::test]
async fn rename_of_inbox_moves_its_mail() {
    let (_world, store, account, actor) = with_alice().await;
    fill(&store, inbox(account), 30).await;
    store.create_mailbox(&actor, account, "INBOX/child", None).await.unwrap();
    store.rename_mailbox(&actor, account, "inbox", "Old/2024").await.unwrap();
    let view = store.view().await.unwrap();
    let old = view.mailbox_named(account, "Old/2024").unwrap().unwrap();
    assert_eq!((old.messages, count(&store, account, INBOX).await), (30, 0));
    assert!(view.mailbox_named(account, "INBOX/child").unwrap().is_some());
}

#[tokio::test]
async fn a_deleted_mailbox_is_gone_at_once_and_swept_behind_the_scene() {
    let (_world, store, account, actor) = with_alice().await;
    let mailbox = store.create_mailbox(&actor, account, "Big", None).await.unwrap().id;
    fill(&store, MailboxRef { account, mailbox }, 1200).await;
    let mut watch = store.watch(account);
    store.delete_mailbox(&actor, account, "Big").await.unwrap();
    assert!(store.view().await.unwrap().mailbox_named(account, "Big").unwrap().is_none());
    loop {
        let view = store.view().await.unwrap();
        if view.account(account).unwrap().unwrap().emails == 0 {
            assert!(view.sweeps(10).unwrap().is_empty());
            break;
        }
        watch.changed().await;
    }
}

#[tokio::test]
async fn a_sweep_goes_on_after_a_restart() {
    let (world, store, account, actor) = with_alice().await;
    let mailbox = store.create_mailbox(&actor, account, "Big", None).await.unwrap().id;
    fill(&store, MailboxRef { account, mailbox }, 1500).await;
    store.delete_mailbox(&actor, account, "Big").await.unwrap();
    store.shutdown().await;
    drop(store);
    let store = world.open().await;
    let mut watch = store.watch(account);
    while !store.view().await.unwrap().sweeps(1).unwrap().is_empty() {
        watch.changed().await;
    }
    assert_eq!(store.view().await.unwrap().account(account).unwrap().unwrap().emails, 0);
}

#[tokio::test]
async fn work_on_more_than_one_record_takes_is_done_in_pieces() {
    let (_world, store, account, actor) = with_alice().await;
    let uids = fill(&store, inbox(account), MAX_CHANGES + 10).await;
    let before = store.applied();
    let answers = store.set_flags(&actor, inbox(account), account, uids.clone(), add(Flags::SEEN));
    let answers = answers.await.unwrap();
    assert_eq!(answers.iter().map(|(uid, _)| *uid).collect::<Vec<_>>(), uids);
    assert!(answers.iter().all(|(_, answer)| answer.is_ok()));
    assert_eq!(store.applied().0, before.0 + 2);
    let to = store.create_mailbox(&actor, account, "To", None).await.unwrap().id;
    let copied = store.copy(&actor, inbox(account), to, uids.clone()).await.unwrap();
    assert_eq!(copied.len(), uids.len());
    let moved = store.move_to(&actor, inbox(account), to, uids.clone()).await.unwrap();
    assert_eq!(moved.len(), uids.len());
    assert_eq!(count(&store, account, INBOX).await, 0);
    let gone = store.expunge(&actor, inbox(account), uids, false).await.unwrap();
    assert!(gone.is_empty());
}

#[tokio::test]
async fn expunge_takes_only_what_is_deleted_when_asked_so() {
    let (_world, store, account, actor) = with_alice().await;
    let uids = fill(&store, inbox(account), 4).await;
    let marked = uids[1..3].to_vec();
    store
        .set_flags(&actor, inbox(account), account, marked.clone(), add(Flags::DELETED))
        .await
        .unwrap();
    let gone = store.expunge(&actor, inbox(account), uids.clone(), true).await.unwrap();
    assert_eq!(gone.iter().map(|(uid, _)| *uid).collect::<Vec<_>>(), marked);
    assert_eq!(count(&store, account, INBOX).await, 2);
}

#[tokio::test]
async fn a_watch_wakes_for_its_account_when_the_views_show_the_change() {
    let (_world, store, account, _) = with_alice().await;
    let mut watch = store.watch(account);
    let sender = store.clone();
    let delivered = tokio::spawn(async move { deliver(&sender, account, &mail(1)).await });
    watch.changed().await;
    assert_eq!(count(&store, account, INBOX).await, 1);
    delivered.await.unwrap();
}

/// Both find the mailbox by its name before either changes it.
#[tokio::test]
async fn a_name_is_renamed_or_deleted_but_not_both() {
    let (_world, store, account, actor) = with_alice().await;
    for n in 0..12 {
        let (from, to) = (format!("a{n}/x"), format!("b{n}"));
        store.create_mailbox(&actor, account, &from, None).await.unwrap();
        let (rename, delete) = tokio::join!(
            store.rename_mailbox(&actor, account, &from, &to),
            store.delete_mailbox(&actor, account, &from)
        );
        assert!(rename.is_ok() != delete.is_ok(), "{rename:?} {delete:?}");
        let there = store.view().await.unwrap().mailbox_named(account, &to).unwrap().is_some();
        assert_eq!(there, rename.is_ok());
        let (from, to) = (format!("a{n}"), format!("c{n}"));
        let (above, gone) = tokio::join!(
            store.rename_mailbox(&actor, account, &from, &to),
            store.delete_mailbox(&actor, account, &from)
        );
        assert!(above.is_ok() != gone.is_ok(), "{above:?} {gone:?}");
    }
}
