//! Bases in the repository: taken of a running store, broken off, damaged, fetched again.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod carry;
mod faults;
#[path = "../../store/tests/support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use carry::*;
use faults::{Faulty, each_damaged};
use redoubt_log::disk::RealDisk;
use redoubt_log::id::AccountId;
use redoubt_snapshot::BaseDir;
use redoubt_snapshot::archive::{
    BaseState, BaseWatcher, Checks, Expiring, Feeder, Settings, Watcher, run,
};
use redoubt_snapshot::plan::{Target, plan};
use redoubt_snapshot::recover::{Done, RecoverError, Wishes, recover};
use redoubt_snapshot::repo::base::Description;
use redoubt_snapshot::repo::sweep::Sweep;
use redoubt_snapshot::repo::{KeyWish, Place, Repository};
use redoubt_snapshot::verify::{Level, Status};
use redoubt_store::Pauses;
use redoubt_store::checkpoint::{Base, BaseError, Bases};
use redoubt_store::mailstore::{Options, Recovery};
use support::*;

async fn fetched(
    there: &Faulty,
    key: &KeyWish,
    base: &Description,
    dir: &Path,
) -> Result<Base, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let repository = Repository::open(there.objects(), key).await.map_err(|e| text(&e))?;
    repository.fetch_base(base, dir, &mut |_, _| {}).await.map_err(|e| text(&e))?;
    let bases = BaseDir::new(Arc::new(RealDisk), dir.parent().unwrap());
    let examined: Result<Base, BaseError> = bases.examine(dir, &Pauses::none());
    examined.map_err(|e| text(&e))
}

#[tokio::test]
async fn a_purged_log_and_a_base_give_the_state_and_every_blob() {
    let (world, there, (_dir, key)) = (world(), Faulty::new(), key());
    let (store, account) = purged(&world).await;
    let mut archiver = archiver(&store, &there, &key).await.unwrap();
    all(&mut archiver).await;
    let before = verified(&there, &key, Level::Data).await;
    assert_eq!(before.histories[0].status, Status::Error, "{before:?}");
    let base = base(&archiver).await.unwrap();
    assert_eq!(base.counts.emails, 61);
    assert!(base.blobs.count >= 61 && base.sizes.blobs > 0, "{:?}", base.sizes);
    some_mail(&store, account, 5).await;
    all(&mut archiver).await;
    let report = verified(&there, &key, Level::Data).await;
    assert_eq!(report.findings, []);
    let history = &report.histories[0];
    let span = &history.spans[..1][0];
    assert_eq!(
        (history.status, span.first, span.last),
        (Status::Ok, base.index(), store.applied())
    );
    assert!(span.first_time <= span.last_time && span.first_time == Some(base.time().0));
    // The state as the store had it, from the repository alone.
    let place = world.dir.path().join("new/shards/0/base/x");
    let fetched = fetched(&there, &key, &base, &place).await.unwrap();
    assert_eq!(fetched.state_hash, base.manifest.state_hash);
    let repository = Repository::open(there.objects(), &key).await.unwrap();
    let mut recovery =
        Recovery::begin(&Options::new(world.dir.path().join("new")), Some(&fetched)).unwrap();
    for name in repository.ranges(&base.lineage, None).await.unwrap() {
        let entries = repository.range(&base.lineage, &name).await.unwrap().entries;
        let new = entries
            .into_iter()
            .filter(|entry| entry.id.index > recovery.reached().unwrap().id.index);
        for entry in new.collect::<Vec<_>>() {
            recovery.apply(entry).unwrap();
        }
    }
    let hash = store.view().await.unwrap().state_hash().unwrap();
    assert_eq!(recovery.view().unwrap().state_hash().unwrap(), hash);
    // All that the emails have is in packs.
    let catalogue = repository.catalogue().await.unwrap();
    for blob in repository.base_blobs(&base).await.unwrap() {
        let there = repository.blob(&catalogue, &blob).await.unwrap();
        assert_eq!(there.head.id, blob);
    }
}

#[tokio::test]
async fn a_base_behind_another_sends_little() {
    let (world, there, (_dir, key)) = (world(), Faulty::new(), key());
    let store = world.open().await;
    let account = alice(&store).await;
    fill(&store, inbox(account), 800).await;
    let mut archiver = archiver(&store, &there, &key).await.unwrap();
    all(&mut archiver).await;
    let mut bases = vec![base(&archiver).await.unwrap()];
    assert_eq!((bases[0].sizes.reused, bases[0].sizes.blobs), (0, 0));
    let whole = bases[0].sizes.sent;
    // RocksDB writes what nobody looks at any more once more, when it comes to it; then tables
    // stay as they are.
    while bases.len() < 3 || bases.last().unwrap().sizes.sent * 3 >= whole {
        assert!(bases.len() < 8, "{:?} of {whole} again", bases.last().unwrap().sizes);
        some_mail(&store, account, 2 + bases.len()).await;
        all(&mut archiver).await;
        bases.push(base(&archiver).await.unwrap());
    }
    let [.., first, second] = bases.as_slice() else { unreachable!() };
    assert!(second.index() > first.index());
    assert_eq!(
        second.sizes.sent + second.sizes.reused,
        second.pieces().map(|piece| u64::from(piece.size)).sum::<u64>()
    );
    assert!(second.blobs.lists.contains(&first.blobs.lists[0]), "the list of blobs is used again");
    assert_eq!(verified(&there, &key, Level::Data).await.findings, []);
}

#[tokio::test]
async fn killed_after_each_object_a_base_is_whole_or_not_there() {
    let (world, there, (_dir, key)) = (world(), Faulty::new(), key());
    let (store, _) = purged(&world).await;
    for (round, answer_lost) in [false, true].into_iter().enumerate() {
        some_mail(&store, AccountId(1), 1).await;
        let mut puts = 1;
        loop {
            let dying = there.dying_after(puts, answer_lost);
            let died = match archiver(&store, &dying, &key).await {
                Err(_) => true,
                Ok(archiver) => {
                    tokio::select! {
                        came = base(&archiver) => came.is_err(),
                        () = until("the archive is so far", || dying.faults.puts_left.load(Ordering::SeqCst) == 0) => true,
                    }
                }
            };
            let repository = Repository::open(there.objects(), &key).await;
            if let Ok(repository) = repository {
                let names = repository.bases(&store.identity().lineage).await.unwrap();
                for name in &names[round.min(names.len())..] {
                    let base = repository.base(&store.identity().lineage, name).await.unwrap();
                    assert_eq!(repository.lacks(&base, &repository.pieces().await.unwrap()), []);
                    repository.base_blobs(&base).await.unwrap();
                }
            }
            if !died {
                break;
            }
            puts += 6;
        }
        assert!(puts > 6, "there was something to kill: {puts}");
        let mut archiver = archiver(&store, &there, &key).await.unwrap();
        all(&mut archiver).await;
        assert_eq!(verified(&there, &key, Level::Data).await.findings, []);
    }
}

#[tokio::test]
async fn a_base_waits_for_a_repository_that_fails_and_is_there_in_the_end() {
    let (world, there, (_dir, key)) = (world(), Faulty::new(), key());
    let (store, _) = purged(&world).await;
    let archiver = archiver(&store, &there, &key).await.unwrap();
    let (job, watcher) = (archiver.job(), BaseWatcher::default());
    there.faults.errors.store(u64::MAX, Ordering::SeqCst);
    let told = watcher.clone();
    let taking = tokio::spawn(async move { job.take(&told).await });
    until("the archive is so far", || watcher.status().error.is_some()).await;
    assert_eq!(watcher.status().state, BaseState::Running);
    there.faults.errors.store(0, Ordering::SeqCst);
    let base = taking.await.unwrap().unwrap();
    assert_eq!((watcher.status().state, watcher.status().error), (BaseState::Done, None));
    assert_eq!(verified(&there, &key, Level::Data).await.histories[0].bases[0].index, base.index());
}

#[tokio::test]
async fn nothing_that_is_to_be_removed_is_counted_on() {
    for key in [key().1, KeyWish::Plain] {
        let (world, there) = (world(), Faulty::new());
        let (store, _) = purged(&world).await;
        let first = base(&archiver(&store, &there, &key).await.unwrap()).await.unwrap();
        let repository = Repository::open(there.objects(), &key).await.unwrap();
        let listed = repository.objects().list("", None).await.unwrap();
        let go = |name: &String| name.starts_with("pieces/") || name.starts_with("packs/");
        let later: BTreeSet<String> = listed.into_iter().map(|it| it.name).filter(go).collect();
        let sweep = Sweep { later: later.clone(), ..Sweep::default() };
        repository.begin_sweep(1, &sweep).await.unwrap();
        assert!(repository.begin_sweep(1, &sweep).await.is_err(), "one number is one sweep's");
        deliver(&store, AccountId(1), &mail(1)).await;
        let archiver = archiver(&store, &there, &key).await.unwrap();
        let second = base(&archiver).await.unwrap();
        assert!(second.sizes.reused == 0 && second.sizes.blobs >= first.sizes.blobs);
        // An hour later somebody removes all of it.
        for name in &later {
            repository.objects().delete(name).await.unwrap();
        }
        for index in repository.indexes().await.unwrap() {
            if later.contains(&redoubt_snapshot::repo::names::pack(&index.pack)) {
                repository.objects().delete(&index.name()).await.unwrap();
            }
        }
        repository.objects().delete(&first.name().name(&first.lineage)).await.unwrap();
        let report = verified(&there, &key, Level::Data).await;
        let about: Vec<_> = report.findings.iter().map(|finding| finding.object.as_str()).collect();
        assert_eq!(about, [first.name().name(&first.lineage)]);
        assert_eq!(report.histories[0].bases[0].index, second.index());
    }
}

#[tokio::test]
async fn each_object_of_a_base_that_is_not_as_it_was_is_named() {
    let (world, there, (_dir, key)) = (world(), Faulty::new(), key());
    let (store, account) = purged(&world).await;
    let mut archiver = archiver(&store, &there, &key).await.unwrap();
    let base = base(&archiver).await.unwrap();
    // New ones: what comes twice is in the log, and no email's.
    for n in 500..502 {
        deliver(&store, account, &mail(n)).await;
    }
    all(&mut archiver).await;
    let objects = there.objects();
    each_damaged(&objects, async |damaged, there_is| {
        let what = format!("{damaged} {there_is}");
        if Repository::open(objects.clone(), &key).await.is_err() {
            return;
        }
        let report = verified(&there, &key, Level::Data).await;
        let about = |name: &str| damaged.starts_with(name);
        let named = report.findings.iter().find(|finding| about(&finding.object));
        let named = named.unwrap_or_else(|| panic!("{what}: {:?}", report.findings));
        let marks = ["taken/", "floors/"].iter().any(|mark| damaged.starts_with(mark));
        assert!(marks || named.affects.is_some(), "{named:?}");
        let into = world.dir.path().join("new");
        let came = recovered(&there, &key, &base.lineage, &into).await;
        // Which blobs there are, recovery takes from the state itself.
        let list = base.blobs.lists.iter().any(|piece| piece.name.name() == damaged);
        assert!(marks || list || came.is_err(), "{what}");
        if came.is_err() {
            let left = std::fs::read_dir(world.dir.path()).unwrap().count();
            assert_eq!(left, 1, "{what}: nothing is left");
        }
        drop(std::fs::remove_dir_all(&into));
    })
    .await;
    assert_eq!(verified(&there, &key, Level::Data).await.findings, []);
    recovered(&there, &key, &base.lineage, &world.dir.path().join("new")).await.unwrap();
}

async fn recovered(
    there: &Faulty,
    key: &KeyWish,
    lineage: &str,
    into: &Path,
) -> Result<Done, RecoverError> {
    let repository = Repository::open(there.objects(), key).await?;
    let plan = plan(&repository, lineage, Target::Latest, &mut |_| {}).await?;
    recover(&repository, &plan, into, Wishes::default(), &mut |_| {}).await
}

#[tokio::test]
async fn no_readable_text_is_in_an_encrypted_repository_with_a_base() {
    let (world, there, (_dir, key)) = (world(), Faulty::new(), key());
    let (store, _) = purged(&world).await;
    base(&archiver(&store, &there, &key).await.unwrap()).await.unwrap();
    for object in there.objects().list("", None).await.unwrap() {
        let bytes = there.objects().get(&object.name).await.unwrap();
        for text in [&b"alice"[..], b"example.org", b"Subject", b"000012.sst", b"state_hash"] {
            assert!(!bytes.windows(text.len()).any(|window| window == text), "{}", object.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_log_begins_late_takes_a_base_by_itself_and_others_when_asked() {
    let (world, there, (_dir, key)) = (world(), Faulty::new(), key());
    let (store, account) = purged(&world).await;
    let watcher = Watcher::default();
    let settings = Settings {
        place: Place::path("/nowhere"),
        key: key.clone(),
        interval: Duration::from_millis(1),
        feeder: Feeder::Follower,
        alarm_lag: Duration::from_secs(60),
        mark_every: Duration::from_secs(60),
        base_every: Duration::ZERO,
        checks: Checks::default(),
        expiring: Expiring::default(),
    };
    let work = run(store.clone(), settings, watcher.clone(), None, Some(there.objects()));
    let work = tokio::spawn(work);
    until("the archive is so far", || watcher.status().base.state == BaseState::Done).await;
    until("the archive is so far", || store.alarms().active().is_empty()).await;
    deliver(&store, account, &mail(7)).await;
    watcher.bases().request();
    let first = watcher.status().base.index;
    until("the archive is so far", || watcher.status().base.index > first).await;
    until("the archive is so far", || watcher.status().base.state == BaseState::Done).await;
    work.abort();
    drop(work.await);
    let report = verified(&there, &key, Level::Data).await;
    assert_eq!((report.histories[0].bases.len(), report.findings), (2, vec![]));
}
