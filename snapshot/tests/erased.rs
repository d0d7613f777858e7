//! What was erased goes from the repository too: keys of its content, content without keys, and
//! bases with rows of it; what is left verifies, and a recovery does not bring it back.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod carry;
mod faults;
#[path = "../../store/tests/support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use faults::Faulty;
use redoubt_log::id::{AccountId, BlobId, EmailId, LogIndex, OperationId, Timestamp};
use redoubt_log::record::{Actor, Arrival, Change, ErasePlace, Expunge, HistoryFloor, HistoryTrim};
use redoubt_snapshot::archive::{
    ArchiveState, BaseState, Checks, Erasing, Expiring, Feeder, Settings, Watcher, run,
};
use redoubt_snapshot::plan::{Target, lineage, plan};
use redoubt_snapshot::recover::{Done as Recovered, Wishes, recover};
use redoubt_snapshot::repo::{KeyWish, Place, Repository};
use redoubt_snapshot::verify::{Level, verify, verify_restored};
use redoubt_store::mailbox::INBOX;
use redoubt_store::mailstore::{EraseAsked, Mailstore, Options};
use redoubt_store::view::{TrimAt, View};
use support::*;

/// A store that is archived as a server does it.
struct Scene {
    world: World,
    there: Faulty,
    key: KeyWish,
    store: Mailstore,
    account: AccountId,
    watcher: Watcher,
    work: tokio::task::JoinHandle<()>,
}

impl Scene {
    async fn new(key: KeyWish) -> Self {
        let (world, there) = (carry::world(), Faulty::new());
        let store = world.open().await;
        let account = alice(&store).await;
        let settings = Settings {
            place: Place::path("/nowhere"),
            key: key.clone(),
            interval: Duration::from_millis(10),
            feeder: Feeder::Follower,
            alarm_lag: Duration::from_secs(60),
            mark_every: Duration::from_secs(1),
            base_every: Duration::ZERO,
            checks: Checks::default(),
            expiring: Expiring::default(),
        };
        let watcher = Watcher::default();
        store.reaches(Arc::new(Erasing::new(store.clone(), watcher.clone())));
        let objects = Some(there.objects());
        let work = tokio::spawn(run(store.clone(), settings, watcher.clone(), None, objects));
        let scene = Self { world, there, key, store, account, watcher, work };
        until("the archive is so far", || scene.watcher.status().state == ArchiveState::Feeding)
            .await;
        scene
    }

    async fn repository(&self) -> Repository {
        Repository::open(self.there.objects(), &self.key).await.unwrap()
    }

    async fn archived(&self) {
        until("the archive is so far", || {
            self.watcher.status().index >= Some(self.store.applied())
        })
        .await;
    }

    fn view(&self) -> View {
        self.store.local_view().unwrap()
    }

    async fn base(&self) {
        self.archived().await;
        let before = self.repository().await.pieces().await.unwrap().len();
        self.watcher.bases().request();
        let lineage = self.store.identity().lineage.clone();
        let repository = self.repository().await;
        let state = || self.watcher.status().base.state;
        until("a base", || state() == BaseState::Done).await;
        assert!(!repository.bases(&lineage).await.unwrap().is_empty());
        assert!(repository.pieces().await.unwrap().len() > before);
    }

    async fn begin(&self, emails: &[EmailId]) -> OperationId {
        let (account, emails, asked) = (self.account, emails.to_vec(), b"{}".to_vec());
        let wish = EraseAsked { account, emails, asked, review: false };
        self.store.begin_erasure(&Actor::SYSTEM, wish).await.unwrap()
    }

    /// What this node says of the repository.
    fn said(&self, erasure: OperationId) -> Option<(u64, Option<String>)> {
        let reports = self.view().erase_reports(erasure).unwrap();
        let places = reports.into_values().flat_map(|report| report.places);
        let of = |place: &redoubt_log::record::EraseReached| place.place == ErasePlace::Repository;
        places.into_iter().find(of).map(|place| (place.stays, place.pending))
    }

    async fn complete(&self, erasure: OperationId) -> u64 {
        let done = || self.said(erasure).filter(|(_, pending)| pending.is_none());
        until("the repository is through", || done().is_some()).await;
        done().unwrap().0
    }

    async fn recover(&self, at: LogIndex, name: &str) -> (Mailstore, Recovered) {
        self.archived().await;
        let repository = self.repository().await;
        let lineage = lineage(&repository, None).await.unwrap();
        let plan = plan(&repository, &lineage, Target::Index(at), &mut |_| {}).await.unwrap();
        let into = self.world.dir.path().join(name);
        let done = recover(&repository, &plan, &into, Wishes::default(), &mut |_| {}).await;
        let mut options = Options::new(&into);
        let bases = into.join("shards/0/base");
        let disk = Arc::new(redoubt_log::disk::RealDisk);
        options.bases = Some(Arc::new(redoubt_snapshot::BaseDir::new(disk, bases)));
        (Mailstore::open(options).await.unwrap(), done.unwrap())
    }

    async fn sound(&self) {
        self.archived().await;
        let repository = self.repository().await;
        let report = verify(&repository, Level::Data, None).await.unwrap();
        assert_eq!(report.findings, []);
        let scratch = self.world.dir.path().join("scratch");
        let report = verify_restored(&repository, None, &scratch).await.unwrap();
        assert_eq!(report.findings, []);
        assert!(report.restored.is_some());
    }

    /// Objects that have some octets.
    async fn having(&self, octets: &[u8]) -> usize {
        let (objects, mut having) = (self.there.objects(), 0);
        for object in objects.list("", None).await.unwrap() {
            let bytes = objects.get(&object.name).await.unwrap();
            having += usize::from(bytes.windows(octets.len()).any(|window| window == octets));
        }
        having
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.work.abort();
    }
}

/// A message comes, also one that came before: a delivery of the same again would be a retry.
async fn bring(scene: &Scene, mail: &[u8]) -> Arrival {
    let items = vec![new_message(&scene.store, mail).await];
    let actor = Actor::account(scene.account, None);
    let arrived = scene.store.append(&actor, inbox(scene.account), items).await;
    arrived.unwrap().remove(0).unwrap()
}

fn blob_of(scene: &Scene, arrival: &Arrival) -> BlobId {
    scene.view().email_ever(scene.account, arrival.email).unwrap().unwrap().blob
}

/// What a blob is made of, as it is stored: the longest piece of it.
async fn stored(repository: &Repository, id: &BlobId) -> (BTreeSet<BlobId>, Vec<u8>) {
    let catalogue = repository.catalogue().await.unwrap();
    let mut all = BTreeSet::from([*id]);
    all.extend(catalogue.head(id).unwrap().parts.iter().copied());
    let mut longest = Vec::new();
    for id in &all {
        let body = repository.blob(&catalogue, id).await.unwrap().body;
        if body.len() > longest.len() {
            longest = body.to_vec();
        }
    }
    (all, longest)
}

async fn goes(key: KeyWish) {
    let plain = key == KeyWish::Plain;
    let scene = Scene::new(key).await;
    let (store, account) = (&scene.store, scene.account);
    deliver(store, account, &mail(1)).await;
    let victim = deliver(store, account, &mail_with_attachment(60_000)).await;
    let kept = deliver(store, account, &mail(2)).await;
    let before = store.applied();
    scene.base().await;
    let repository = scene.repository().await;
    let (blobs, octets) = stored(&repository, &blob_of(&scene, &victim)).await;
    assert!(blobs.len() > 1, "it is put together from parts");
    assert_eq!(scene.having(&octets).await > 0, plain);
    let old = repository.bases(&store.identity().lineage).await.unwrap();
    let erasure = scene.begin(&[victim.email]).await;
    assert_eq!(scene.complete(erasure).await, 0);

    let catalogue = repository.catalogue().await.unwrap();
    assert!(blobs.iter().all(|blob| catalogue.head(blob).is_none()));
    assert!(catalogue.head(&blob_of(&scene, &kept)).is_some());
    assert_eq!(scene.having(&octets).await, 0);
    let listed = scene.there.objects().list("index", None).await.unwrap();
    assert_eq!(listed.len(), repository.indexes().await.unwrap().len(), "no old key is left");
    let bases = repository.bases(&store.identity().lineage).await.unwrap();
    assert!(!bases.is_empty() && old.iter().all(|old| !bases.contains(old)));
    let pieces = repository.pieces().await.unwrap().len();
    let mut named = BTreeSet::new();
    for base in &bases {
        let base = repository.base(&store.identity().lineage, base).await.unwrap();
        named.extend(base.pieces().map(|piece| piece.name));
    }
    assert_eq!(pieces, named.len(), "no piece of an older base is left");
    scene.sound().await;

    let (back, done) = scene.recover(before, "back").await;
    assert_eq!((done.missing, count(&back, account, INBOX).await), (0, 2));
    assert!(blobs.iter().all(|blob| !back.blobs().contains(blob).unwrap()));
    let view = back.local_view().unwrap();
    assert_eq!(view.email_ever(account, victim.email).unwrap(), None);
    assert_eq!(view.erased_by(account, victim.email).unwrap(), Some(erasure));
    assert_eq!(back.check(20).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_forgotten_and_bases_go() {
    let (_dir, key) = carry::key();
    goes(key).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_encryption_packs_are_written_anew() {
    goes(KeyWish::Plain).await;
}

/// A part that another message has stays and is told; the same message that comes again is
/// archived again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_have_stays_and_what_comes_again_is_sent_again() {
    let (_dir, key) = carry::key();
    let scene = Scene::new(key).await;
    let (store, account) = (&scene.store, scene.account);
    let message = mail_with_attachment(60_000);
    let other = String::from_utf8(message.clone()).unwrap().replace("see there", "look here");
    let victim = bring(&scene, &message).await;
    let keeper = bring(&scene, other.as_bytes()).await;
    scene.archived().await;
    let repository = scene.repository().await;
    let (of_victim, _) = stored(&repository, &blob_of(&scene, &victim)).await;
    let (of_keeper, _) = stored(&repository, &blob_of(&scene, &keeper)).await;
    let shared = of_victim.intersection(&of_keeper).count() as u64;
    assert!(shared > 0);
    let erasure = scene.begin(&[victim.email]).await;
    assert_eq!(scene.complete(erasure).await, shared);
    let reports = scene.view().erase_reports(erasure).unwrap().into_values();
    let places = reports.flat_map(|report| report.places);
    let packs = places.into_iter().find(|place| place.place == ErasePlace::Packs).unwrap();
    assert_eq!((packs.stays, packs.pending), (shared, None));
    let catalogue = repository.catalogue().await.unwrap();
    let alone: Vec<_> = of_victim.difference(&of_keeper).collect();
    assert!(alone.iter().all(|blob| catalogue.head(blob).is_none()));
    assert!(of_keeper.iter().all(|blob| catalogue.head(blob).is_some()));
    assert!(read_back(store, account, &keeper).await.len() > 60_000);

    bring(&scene, &message).await;
    scene.archived().await;
    let catalogue = repository.catalogue().await.unwrap();
    assert!(of_victim.iter().all(|blob| catalogue.head(blob).is_some()), "it was sent again");
    scene.sound().await;
    let (back, done) = scene.recover(store.applied(), "again").await;
    assert_eq!((done.missing, count(&back, account, INBOX).await), (0, 2));
    assert_eq!(back.check(20).await.unwrap(), []);
}

/// Where the storage does not let the old keys go it is pending, and says why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storage_that_cannot_delete_is_pending() {
    let (_dir, key) = carry::key();
    let scene = Scene::new(key).await;
    let victim = deliver(&scene.store, scene.account, &mail(1)).await;
    deliver(&scene.store, scene.account, &mail(2)).await;
    scene.archived().await;
    scene.there.faults.locked.store(true, Ordering::SeqCst);
    let erasure = scene.begin(&[victim.email]).await;
    let said = || scene.said(erasure).and_then(|(_, pending)| pending).unwrap_or_default();
    until("the archive is so far", || said().contains("it is locked")).await;
    scene.there.faults.locked.store(false, Ordering::SeqCst);
    scene.complete(erasure).await;
    scene.sound().await;
}

/// Somebody else had the same message, and it was gone from everywhere but older moments when
/// it was erased: going back there finds it gone as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_finds_gone_what_was_forgotten() {
    let (_dir, key) = carry::key();
    let scene = Scene::new(key).await;
    let (store, account) = (&scene.store, scene.account);
    let victim = bring(&scene, &mail(1)).await;
    let twin = bring(&scene, &mail(1)).await;
    assert_eq!(blob_of(&scene, &victim), blob_of(&scene, &twin));
    let before = store.applied();
    let (mailbox, uids) = (twin.mailbox, vec![twin.uid]);
    let gone = Expunge { account, mailbox, uids, only_deleted: false };
    submit(store, Change::Expunge(gone)).await.unwrap();
    let (floor, time) = (store.applied(), Timestamp(0));
    submit(store, Change::HistoryFloor(HistoryFloor { account, floor, time })).await.unwrap();
    let mut at = Some(TrimAt::default());
    while let Some(from) = at {
        let (rows, next) = scene.view().trimmable(account, from, 1000).unwrap();
        at = next;
        if !rows.is_empty() {
            submit(store, Change::HistoryTrim(HistoryTrim { account, rows })).await.unwrap();
        }
    }
    assert_eq!(scene.view().email_ever(account, twin.email).unwrap(), None);
    let erasure = scene.begin(&[victim.email]).await;
    scene.complete(erasure).await;
    scene.sound().await;
    let (back, done) = scene.recover(before, "back").await;
    assert_eq!((done.missing, count(&back, account, INBOX).await), (0, 0));
    assert_eq!(back.check(20).await.unwrap(), []);
}
