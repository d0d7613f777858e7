//! Checkpoints of a running store, and views built from them.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

#[path = "../../store/tests/support/mod.rs"]
mod support;

use std::sync::Arc;

use redoubt_log::disk::RealDisk;
use redoubt_snapshot::BaseDir;
use redoubt_store::Pauses;
use redoubt_store::checkpoint::{BaseError, Bases};
use redoubt_store::mailbox::INBOX;
use redoubt_store::mailstore::{Mailstore, OpenError, rebuild};
use support::*;

fn world(every: u64) -> (World, Arc<BaseDir>) {
    let mut bases = None;
    let world = World::with(|options| {
        let dir = BaseDir::new(Arc::new(RealDisk), options.data.join("shards/0/base"));
        let dir = bases.insert(Arc::new(dir)).clone();
        options.bases = Some(dir);
        options.checkpoint_every = every;
    });
    (world, bases.unwrap())
}

#[tokio::test]
async fn base_and_log_give_the_same_state_as_the_log_alone() {
    let (world, bases) = world(0);
    let store = world.open().await;
    let account = alice(&store).await;
    fill(&store, inbox(account), 20).await;
    let base = store.checkpoint().await.unwrap();
    fill(&store, inbox(account), 20).await;
    let hash = store.view().await.unwrap().state_hash().unwrap();
    store.shutdown().await;
    drop(store);
    world.wait_until_free().await;
    assert_eq!(bases.newest().unwrap().unwrap(), base);
    let from_log = rebuild(&world.options, false).unwrap();
    let from_base = rebuild(&world.options, true).unwrap();
    assert_eq!((from_log.index, from_log.state_hash), (from_base.index, from_base.state_hash));
    assert_eq!(from_base.state_hash, hash);
    assert_eq!(from_log.entries - from_base.entries, base.index().0 + 1);
    let store = world.open().await;
    assert_eq!(count(&store, account, INBOX).await, 40);
}

#[tokio::test]
async fn views_begin_with_the_newest_sound_checkpoint() {
    let (world, bases) = world(0);
    let store = world.open().await;
    let account = alice(&store).await;
    fill(&store, inbox(account), 5).await;
    let first = store.checkpoint().await.unwrap();
    fill(&store, inbox(account), 5).await;
    let second = store.checkpoint().await.unwrap();
    fill(&store, inbox(account), 5).await;
    let third = store.checkpoint().await.unwrap();
    store.shutdown().await;
    drop(store);
    world.wait_until_free().await;
    let kept: Vec<_> = bases.list().unwrap().iter().map(|base| base.index()).collect();
    assert_eq!(kept, [third.index(), second.index()]);
    assert!(matches!(bases.verify(first.index(), &Pauses::none()), Err(BaseError::NoSuch(_))));
    let table = std::fs::read_dir(&third.dir).unwrap().map(|entry| entry.unwrap().path());
    let table = table.filter(|path| path.extension().is_some_and(|e| e == "sst")).min().unwrap();
    let mut bytes = std::fs::read(&table).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::remove_file(&table).unwrap();
    std::fs::write(&table, bytes).unwrap();
    assert!(matches!(bases.verify(third.index(), &Pauses::none()), Err(BaseError::Damaged { .. })));
    let rebuilt = rebuild(&world.options, true).unwrap();
    assert_eq!(rebuilt.entries, rebuilt.index.unwrap().0 - second.index().0);
    let store = world.open().await;
    assert_eq!(count(&store, account, INBOX).await, 15);
}

#[tokio::test]
async fn checkpoints_are_taken_while_mail_comes_in_and_leave_a_mark() {
    let (world, bases) = world(20);
    let store = world.open().await;
    let account = alice(&store).await;
    let mut watch = store.watch(account);
    let mut n = 0;
    while store.status().checkpoint.is_none() {
        deliver(&store, account, &mail(n)).await;
        watch.changed().await;
        n += 1;
        assert!(n < 5000, "no checkpoint was taken");
    }
    let base = bases.newest().unwrap().unwrap();
    assert_eq!(bases.verify(base.index(), &Pauses::none()).unwrap(), base);
    assert_eq!(store.check(10).await.unwrap(), []);
}

#[tokio::test]
async fn what_a_crash_left_of_a_checkpoint_is_no_base_and_goes() {
    let (world, bases) = world(0);
    let store = world.open().await;
    let account = alice(&store).await;
    let base = store.checkpoint().await.unwrap();
    fill(&store, inbox(account), 1).await;
    let manifest = base.dir.join("base.manifest");
    std::fs::rename(&manifest, base.dir.join("base.manifest.new")).unwrap();
    std::fs::create_dir(world.data().join("shards/0/base/taking")).unwrap();
    assert_eq!(bases.newest().unwrap(), None);
    let next = store.checkpoint().await.unwrap();
    assert!(!base.dir.exists());
    assert_eq!(bases.list().unwrap(), [next]);
}

#[tokio::test]
async fn a_lost_log_beside_a_checkpoint_is_refused_and_nothing_begins_anew() {
    let (world, _) = world(0);
    let store = world.open().await;
    alice(&store).await;
    store.checkpoint().await.unwrap();
    store.shutdown().await;
    drop(store);
    world.wait_until_free().await;
    std::fs::remove_dir_all(world.data().join("shards/0/log")).unwrap();
    std::fs::remove_dir_all(world.data().join("shards/0/views")).unwrap();
    let refused = Mailstore::open(world.options.clone()).await;
    assert!(matches!(refused, Err(OpenError::DoesNotJoin(_))), "{refused:?}");
}
