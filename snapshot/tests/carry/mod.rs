//! A store, its archive and its bases.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub, missing_docs)]

use std::sync::Arc;

use redoubt_log::disk::RealDisk;
use redoubt_log::id::{AccountId, LogIndex};
use redoubt_snapshot::BaseDir;
use redoubt_snapshot::archive::{Archiver, BaseWatcher};
use redoubt_snapshot::repo::base::Description;
use redoubt_snapshot::repo::{KeyWish, MasterKey, RepoError, Repository};
use redoubt_snapshot::verify::{Level, Report, verify};
use redoubt_store::mailstore::Mailstore;

use crate::faults::Faulty;
use crate::support::*;

pub fn world() -> World {
    World::with(|options| {
        let dir = BaseDir::new(Arc::new(RealDisk), options.data.join("shards/0/base"));
        options.bases = Some(Arc::new(dir));
        options.checkpoint_every = 0;
        options.log.segment_bytes = 4096;
    })
}

pub fn key() -> (tempfile::TempDir, KeyWish) {
    let dir = tempfile::tempdir().unwrap();
    let master = MasterKey::make(&dir.path().join("key")).unwrap();
    (dir, KeyWish::With(master))
}

pub async fn archiver(
    store: &Mailstore,
    there: &Faulty,
    key: &KeyWish,
) -> Result<Archiver, RepoError> {
    let repository = Repository::open_or_make(there.objects(), key).await?;
    Archiver::open(store.clone(), repository).await
}

pub async fn all(archiver: &mut Archiver) {
    while archiver.step().await.unwrap().entries > 0 {}
}

pub async fn base(archiver: &Archiver) -> Result<Description, RepoError> {
    archiver.job().take(&BaseWatcher::default()).await
}

pub async fn verified(there: &Faulty, key: &KeyWish, level: Level) -> Report {
    let repository = Repository::open(there.objects(), key).await.unwrap();
    verify(&repository, level, None).await.unwrap()
}

pub async fn some_mail(store: &Mailstore, account: AccountId, count: usize) {
    for n in 0..count {
        deliver(store, account, &mail(n)).await;
    }
}

/// A store whose log begins with none of its mail.
pub async fn purged(world: &World) -> (Mailstore, AccountId) {
    let store = world.open().await;
    let account = alice(&store).await;
    some_mail(&store, account, 60).await;
    deliver(&store, account, &mail_with_attachment(60_000)).await;
    let base = store.checkpoint().await.unwrap();
    store.node().purge(base.index()).await.unwrap();
    assert!(store.node().status().purged.is_some_and(|purged| purged.index > LogIndex(30)));
    (store, account)
}
