//! A checkpoint from a peer in place of views: what a crash may leave of it at
//! each step, and that the next start goes on from there.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

#[path = "../../store/tests/support/mod.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redoubt_log::disk::RealDisk;
use redoubt_log::id::{AccountId, Hash, LogIndex};
use redoubt_snapshot::BaseDir;
use redoubt_store::Pauses;
use redoubt_store::checkpoint::{Base, Bases, RECEIVED};
use redoubt_store::mailbox::INBOX;
use redoubt_store::mailstore::{Mailstore, OpenError, rebuild};
use support::*;

fn world() -> (World, Arc<BaseDir>) {
    let mut bases = None;
    let world = World::with(|options| {
        let dir = BaseDir::new(Arc::new(RealDisk), options.data.join("shards/0/base"));
        options.bases = Some(bases.insert(Arc::new(dir)).clone());
        options.checkpoint_every = 0;
    });
    (world, bases.unwrap())
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        match path.is_dir() {
            true => copy(&path, &to),
            false => drop(fs::copy(path, to).unwrap()),
        }
    }
}

fn replace(from: &Path, to: &Path) {
    drop(fs::remove_dir_all(to));
    copy(from, to);
}

/// A replica that fell behind, and the checkpoint that it is to go on from.
struct Behind {
    world: World,
    bases: Arc<BaseDir>,
    account: AccountId,
    /// The checkpoint, in its sender's folder.
    base: Base,
    state_hash: Hash,
    _sender: World,
}

impl Behind {
    async fn new() -> Self {
        let (sender, _) = world();
        let (world, bases) = world_of_copy();
        let store = sender.open().await;
        let account = alice(&store).await;
        fill(&store, inbox(account), 10).await;
        close(store, &sender).await;
        copy(sender.data(), world.data());
        let store = sender.open().await;
        fill(&store, inbox(account), 30).await;
        let base = store.checkpoint().await.unwrap();
        let state_hash = base.state_hash;
        close(store, &sender).await;
        replace(&sender.data().join("shards/0/blobs"), &world.data().join("shards/0/blobs"));
        Self { world, bases, account, base, state_hash, _sender: sender }
    }

    fn shard(&self, name: &str) -> PathBuf {
        self.world.data().join("shards/0").join(name)
    }

    /// Its files have come and were found sound.
    fn incoming(&self) -> PathBuf {
        let incoming = self.shard("incoming");
        copy(&self.base.dir, &incoming);
        assert_eq!(
            self.bases.examine(&incoming, &Pauses::none()).unwrap().state_hash,
            self.state_hash
        );
        incoming
    }

    fn adopted(&self) -> Base {
        self.bases.adopt(&self.incoming()).unwrap()
    }

    /// As the views that were made of it.
    fn views_beside(&self, base: &Base) {
        let views = self.shard(&format!("views.{}", base.index()));
        copy(&base.dir, &views);
        fs::remove_file(views.join("base.manifest")).unwrap();
        fs::remove_file(views.join(RECEIVED)).unwrap();
    }

    async fn open(&self) -> Mailstore {
        self.world.open().await
    }

    /// It has the checkpoint's state, serves, and does so after another start.
    async fn goes_on(&self) {
        let store = self.open().await;
        self.has_state(&store).await;
        let begins = store.node().status().purged.map(|id| id.index);
        assert_eq!(begins, Some(self.base.index()), "the log begins behind the checkpoint");
        assert!(store.node().read(LogIndex(0)..LogIndex(5), 1000).is_err());
        fill(&store, inbox(self.account), 5).await;
        let hash = store.view().await.unwrap().state_hash().unwrap();
        assert_eq!(self.bases.received().unwrap(), None, "the log goes on behind it");
        close(store, &self.world).await;
        let rebuilt = rebuild(&self.world.options, true).unwrap();
        assert_eq!(rebuilt.state_hash, hash);
        let store = self.open().await;
        assert_eq!(count(&store, self.account, INBOX).await, 45);
        assert_eq!(store.check(10).await.unwrap(), []);
        close(store, &self.world).await;
    }

    async fn has_state(&self, store: &Mailstore) {
        assert_eq!(count(store, self.account, INBOX).await, 40);
        assert_eq!(store.check(10).await.unwrap(), []);
    }
}

fn world_of_copy() -> (World, Arc<BaseDir>) {
    world()
}

async fn close(store: Mailstore, world: &World) {
    store.shutdown().await;
    drop(store);
    world.wait_until_free().await;
}

#[tokio::test]
async fn before_it_is_taken_over_nothing_has_changed() {
    let behind = Behind::new().await;
    behind.incoming();
    let store = behind.open().await;
    assert_eq!(count(&store, behind.account, INBOX).await, 10);
    assert_eq!(store.node().status().purged, None);
}

#[tokio::test]
async fn taken_over_and_no_views_made_of_it() {
    let behind = Behind::new().await;
    behind.adopted();
    behind.goes_on().await;
}

#[tokio::test]
async fn taken_over_and_views_half_made() {
    let behind = Behind::new().await;
    let base = behind.adopted();
    let new = behind.shard("views.new");
    fs::create_dir(&new).unwrap();
    fs::copy(base.dir.join("CURRENT"), new.join("CURRENT")).unwrap();
    behind.goes_on().await;
    assert!(!new.exists());
}

#[tokio::test]
async fn views_beside_the_old_ones_and_the_log_as_it_was() {
    let behind = Behind::new().await;
    let base = behind.adopted();
    behind.views_beside(&base);
    behind.goes_on().await;
    let beside = behind.shard(&format!("views.{}", base.index()));
    assert!(!beside.exists() && behind.shard("views").exists());
}

#[tokio::test]
async fn the_old_views_removed_and_the_log_as_it_was() {
    let behind = Behind::new().await;
    let base = behind.adopted();
    behind.views_beside(&base);
    fs::remove_dir_all(behind.shard("views")).unwrap();
    behind.goes_on().await;
}

#[tokio::test]
async fn the_log_begun_anew_and_all_views_lost() {
    let behind = Behind::new().await;
    behind.adopted();
    let store = behind.open().await;
    behind.has_state(&store).await;
    close(store, &behind.world).await;
    fs::remove_dir_all(behind.shard("views")).unwrap();
    behind.goes_on().await;
}

#[tokio::test]
async fn rebuilt_offline_before_the_log_begins_anew() {
    let behind = Behind::new().await;
    let base = behind.adopted();
    let rebuilt = rebuild(&behind.world.options, true).unwrap();
    assert_eq!((rebuilt.index, rebuilt.entries), (Some(base.index()), 0));
    assert_eq!(rebuilt.state_hash, behind.state_hash);
    behind.goes_on().await;
}

#[tokio::test]
async fn one_that_was_damaged_meanwhile_is_passed_over() {
    let behind = Behind::new().await;
    let base = behind.adopted();
    let path = base.dir.join("CURRENT");
    let mut bytes = fs::read(&path).unwrap();
    bytes[0] ^= 1;
    fs::write(&path, bytes).unwrap();
    let store = behind.open().await;
    assert_eq!(count(&store, behind.account, INBOX).await, 10);
    assert_eq!(behind.bases.received().unwrap(), None);
}

#[tokio::test]
async fn views_ahead_of_the_log_without_one_from_a_peer_are_refused() {
    let behind = Behind::new().await;
    let base = behind.adopted();
    behind.views_beside(&base);
    behind.bases.settle().unwrap();
    let refused = Mailstore::open(behind.world.options.clone()).await;
    assert!(matches!(refused, Err(OpenError::Node(_))), "{refused:?}");
}

#[tokio::test]
async fn what_is_pinned_is_not_removed_until_it_is_let_go() {
    let (world, bases) = world();
    let store = world.open().await;
    let account = alice(&store).await;
    let first = store.checkpoint().await.unwrap();
    let (pin, files) = bases.pin(first.index()).unwrap();
    assert!(files.iter().any(|file| file.name == "base.manifest"));
    for _ in 0..3 {
        fill(&store, inbox(account), 1).await;
        store.checkpoint().await.unwrap();
    }
    assert_eq!(bases.list().unwrap().len(), 3);
    assert_eq!(bases.verify(first.index(), &Pauses::none()).unwrap(), first);
    drop(pin);
    fill(&store, inbox(account), 1).await;
    store.checkpoint().await.unwrap();
    assert_eq!(bases.list().unwrap().len(), 2);
    assert!(bases.pin(first.index()).is_err());
}
