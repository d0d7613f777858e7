//! Stories of starts, ends and crashes.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::sync::Arc;

use redoubt_log::blob::IndexKind;
use redoubt_log::disk::sim::SimDisk;
use redoubt_log::record::{
    AccountSet, AccountSettings, AccountState, Actor, Change, DomainSettings, FlagChange, Flags,
};
use redoubt_store::mailbox::INBOX;
use redoubt_store::mailstore::{
    AuthError, FlagUpdate, Mailstore, OpenError, WriteError, look_at_survivor, rebuild,
    recover_alone,
};
use support::*;

#[tokio::test]
async fn a_second_process_is_refused() {
    let world = World::new();
    let store = world.open().await;
    let second = Mailstore::open(world.options.clone()).await;
    assert!(matches!(second, Err(OpenError::InUse { .. })));
    store.shutdown().await;
    drop(store);
    world.open().await.shutdown().await;
}

#[tokio::test]
async fn after_a_shutdown_writes_are_refused() {
    let world = World::new();
    let store = world.open().await;
    let account = alice(&store).await;
    store.shutdown().await;
    let to = vec![recipient(account, "alice@example.org", None)];
    let late = deliver_to(&store, &mail(1), to).await;
    assert!(matches!(late, Err(WriteError::Unavailable(_))), "{late:?}");
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_drop_without_shutdown() {
    let world = World::new();
    let store = world.open().await;
    let account = alice(&store).await;
    let arrival = deliver(&store, account, &mail(1)).await;
    drop(store);
    let store = world.open().await;
    assert!(read_back(&store, account, &arrival).await.ends_with(&mail(1)));
    assert_eq!(deliver(&store, account, &mail(1)).await, arrival);
    assert!(deliver(&store, account, &mail(2)).await.uid > arrival.uid);
}

#[tokio::test]
async fn missing_views_are_built_anew() {
    let world = World::new();
    let store = world.open().await;
    let account = alice(&store).await;
    let arrival = deliver(&store, account, &mail(1)).await;
    store.shutdown().await;
    drop(store);
    world.wait_until_free().await;
    std::fs::remove_dir_all(world.data().join("shards/0/views")).unwrap();
    let store = world.open().await;
    assert!(read_back(&store, account, &arrival).await.ends_with(&mail(1)));
}

#[tokio::test]
async fn damaged_views_are_built_anew() {
    let world = World::new();
    let store = world.open().await;
    let account = alice(&store).await;
    let arrival = deliver(&store, account, &mail(1)).await;
    store.shutdown().await;
    drop(store);
    world.wait_until_free().await;
    let views = world.data().join("shards/0/views");
    let manifest = std::fs::read_dir(&views).unwrap().map(|entry| entry.unwrap().path());
    let manifest = manifest.filter(|p| p.to_string_lossy().contains("MANIFEST")).max().unwrap();
    std::fs::write(manifest, b"not what it was").unwrap();
    let store = world.open().await;
    assert!(read_back(&store, account, &arrival).await.ends_with(&mail(1)));
}

#[tokio::test]
async fn a_rebuild_from_the_log_gives_the_same_state() {
    let world = World::new();
    let store = world.open().await;
    let account = alice(&store).await;
    let uids = fill(&store, inbox(account), 50).await;
    store.expunge(&Actor::account(account, None), inbox(account), uids, false).await.unwrap();
    let view = store.view().await.unwrap();
    let (index, hash) = (view.index(), view.state_hash().unwrap());
    drop(view);
    store.shutdown().await;
    drop(store);
    world.wait_until_free().await;
    let rebuilt = rebuild(&world.options, false).unwrap();
    assert_eq!((rebuilt.index, rebuilt.state_hash), (Some(index), hash));
    let store = world.open().await;
    assert_eq!(count(&store, account, INBOX).await, 0);
}

/// Power loss at any moment: what was acknowledged is there and whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_power_loss() {
    for seed in 0..4 {
        let disk = SimDisk::new(seed);
        let on = |disk: &SimDisk| Arc::new(disk.clone());
        let mut world = World::with(|options| {
            options.disk = on(&disk);
            options.blobs.index = IndexKind::Memory;
        });
        let store = world.open().await;
        let account = alice(&store).await;
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..20 {
            let store = store.clone();
            tasks.spawn(async move { (n, deliver(&store, account, &mail(n)).await) });
        }
        let mut acknowledged = Vec::new();
        while acknowledged.len() < 10 {
            acknowledged.push(tasks.join_next().await.unwrap().unwrap());
        }
        let after = disk.crash();
        drop((tasks, store));
        world.wait_until_free().await;
        world.options.disk = on(&after);
        // The views lie on the system's own disk: what they have must be no more than the log.
        std::fs::remove_dir_all(world.data().join("shards/0/views")).unwrap();
        let store = world.open().await;
        for (n, arrival) in acknowledged {
            assert!(read_back(&store, account, &arrival).await.ends_with(&mail(n)));
        }
    }
}

#[tokio::test]
async fn below_the_reserve_nothing_grows_and_what_shrinks_passes() {
    let disk = SmallDisk::roomy();
    let world = World::with(|options| options.disk = disk.clone());
    let store = world.open().await;
    let account = alice(&store).await;
    let actor = Actor::account(account, None);
    let uids = fill(&store, inbox(account), 3).await;
    let item = new_message(&store, &mail(9)).await;
    disk.set_free(1 << 20);
    let to = || vec![recipient(account, "alice@example.org", None)];
    let refused = deliver_to(&store, &mail(1), to()).await;
    assert!(matches!(refused, Err(WriteError::DiskFull { free: 0x10_0000, .. })), "{refused:?}");
    let refused = store.append(&actor, inbox(account), vec![item]).await;
    assert!(matches!(refused, Err(WriteError::DiskFull { .. })));
    let large = deliver_to(&store, &mail_with_attachment(4 << 20), to()).await;
    assert!(matches!(large, Err(WriteError::DiskFull { .. })));
    let unflag = FlagUpdate {
        how: FlagChange::Remove,
        flags: Flags::SEEN,
        keywords: Vec::new(),
        unchanged_since: None,
    };
    store.set_flags(&actor, inbox(account), account, uids.clone(), unflag).await.unwrap();
    assert_eq!(store.expunge(&actor, inbox(account), uids, false).await.unwrap().len(), 3);
    disk.set_free(100 << 30);
    deliver_to(&store, &mail(1), to()).await.unwrap()[0].as_ref().unwrap();
}

#[tokio::test]
async fn a_missing_blob_above_the_views_refuses_the_start() {
    let world = World::new();
    let store = world.open().await;
    let account = alice(&store).await;
    deliver(&store, account, &mail(1)).await;
    drop(store);
    world.wait_until_free().await;
    std::fs::remove_dir_all(world.data().join("shards/0/blobs")).unwrap();
    std::fs::remove_dir_all(world.data().join("shards/0/views")).unwrap();
    let refused = Mailstore::open(world.options.clone()).await;
    assert!(matches!(refused, Err(OpenError::Blobs(_))), "{refused:?}");
}

#[tokio::test]
async fn logins() {
    let world = World::new();
    let store = world.open().await;
    add_domain(&store, DomainSettings::default()).await;
    let phc = store.hash_password(b"secret").await.unwrap();
    let long = store.hash_password(&[b'x'; 1025]).await;
    assert!(matches!(long, Err(WriteError::Invalid(_))));
    let account = add_account_with(&store, "alice", AccountSettings::default(), Some(phc)).await;
    let login =
        async |name: &str, password: &[u8]| store.authenticate(name, password, DOMAIN, None).await;
    assert_eq!(login("alice", b"secret").await.unwrap().account.id, account);
    assert_eq!(login("ALICE@example.org", b"secret").await.unwrap().account.id, account);
    for (name, password) in [("alice", &b"Secret"[..]), ("bob", b"secret"), ("", b"")] {
        assert!(matches!(login(name, password).await, Err(AuthError::Denied)), "{name}");
    }
    let settings = AccountSettings { state: AccountState::Locked, ..AccountSettings::default() };
    submit(&store, Change::AccountSet(AccountSet { account, settings })).await.unwrap();
    assert!(matches!(login("alice", b"secret").await, Err(AuthError::State)));
    assert!(matches!(login("alice", b"wrong").await, Err(AuthError::Denied)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_of_one_never_bears_the_name_of_the_old_cluster() {
    let (mut failed, mut grouped) = (0, 0);
    for operations in 1..10 {
        let disk = SimDisk::new(operations);
        let mut world = World::with(|options| {
            options.disk = Arc::new(disk.clone());
            options.blobs.index = IndexKind::Memory;
        });
        let store = world.open().await;
        alice(&store).await;
        store.shutdown().await;
        drop(store);
        world.wait_until_free().await;
        let before = look_at_survivor(&world.options).unwrap();
        disk.power_off_after(operations);
        failed += u32::from(recover_alone(&world.options, "here:1").is_err());
        world.options.disk = Arc::new(disk.crash());
        let after = look_at_survivor(&world.options).unwrap();
        if after.survey.last != before.survey.last {
            grouped += 1;
            assert_ne!(after.lineage, before.lineage, "after {operations} operations");
        }
        recover_alone(&world.options, "here:1").unwrap();
    }
    assert!(failed > 2 && grouped > 0, "{failed} failed, {grouped} grouped");
}
