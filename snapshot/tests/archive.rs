//! The archive of a running store, over objects that fail, and what is made of it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod faults;
#[path = "../../store/tests/support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use faults::{Faulty, each_damaged};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use redoubt_log::disk::RealDisk;
use redoubt_log::id::{AccountId, LogIndex};
use redoubt_snapshot::BaseDir;
use redoubt_snapshot::archive::{
    ArchiveState, Archiver, Checks, Expiring, Feeder, Rolled, Settings, Watcher, reached, roll_up,
    run,
};
use redoubt_snapshot::plan::{PlanError, Target, lineage, plan};
use redoubt_snapshot::recover::{RecoverError, Wishes, recover};
use redoubt_snapshot::repo::{KeyWish, MasterKey, Place, RepoError, Repository};
use redoubt_snapshot::verify::{Level, verify};
use redoubt_store::alarms::AlarmKind;
use redoubt_store::mailbox::INBOX;
use redoubt_store::mailstore::{Mailstore, OpenError, Options};
use support::*;

fn key() -> (tempfile::TempDir, KeyWish) {
    let dir = tempfile::tempdir().unwrap();
    let master = MasterKey::make(&dir.path().join("key")).unwrap();
    (dir, KeyWish::With(master))
}

async fn all(archiver: &mut Archiver) -> Result<u64, RepoError> {
    let mut entries = 0;
    loop {
        match archiver.step().await?.entries {
            0 => return Ok(entries),
            more => entries += more,
        }
    }
}

async fn archiver(store: &Mailstore, there: &Faulty, key: &KeyWish) -> Result<Archiver, RepoError> {
    let repository = Repository::open_or_make(there.objects(), key).await?;
    Archiver::open(store.clone(), repository).await
}

/// Sound to the last octet, and all that was applied is there.
async fn check(store: &Mailstore, there: &Faulty, key: &KeyWish) {
    let repository = Repository::open(there.objects(), key).await.unwrap();
    let report = verify(&repository, Level::Data, None).await.unwrap();
    assert_eq!(report.findings, []);
    let head = reached(&repository, &store.identity().lineage).await.unwrap().unwrap();
    assert_eq!(head.index, store.applied());
    assert_eq!(head.chain, store.node().head_at(head.index).unwrap().chain);
}

async fn three_mails(store: &Mailstore, account: AccountId) {
    for n in 0..3 {
        deliver(store, account, &mail(n)).await;
    }
    deliver(store, account, &mail_with_attachment(60_000)).await;
}

#[tokio::test]
async fn what_is_applied_is_archived_once_and_goes_on_after_a_restart() {
    let (world, there, (_dir, key)) = (World::new(), Faulty::new(), key());
    let store = world.open().await;
    let account = alice(&store).await;
    three_mails(&store, account).await;
    let mut first = archiver(&store, &there, &key).await.unwrap();
    assert_eq!(all(&mut first).await.unwrap(), store.applied().0 + 1);
    check(&store, &there, &key).await;
    let objects = there.objects().list("", None).await.unwrap();
    let mut again = archiver(&store, &there, &key).await.unwrap();
    assert_eq!(all(&mut again).await.unwrap(), 0);
    assert_eq!(there.objects().list("", None).await.unwrap(), objects);
    // The same attachment comes again: its parts are not sent again.
    deliver(&store, account, &mail_with_attachment(60_000)).await;
    let step = again.step().await.unwrap();
    assert!((1, 1) <= (step.entries, step.blobs) && step.bytes < 10_000, "{step:?}");
    check(&store, &there, &key).await;
}

#[tokio::test]
async fn killed_after_each_object_the_archive_goes_on_and_is_whole() {
    let (world, (_dir, key)) = (World::new(), key());
    let store = world.open().await;
    let account = alice(&store).await;
    three_mails(&store, account).await;
    for answer_lost in [false, true] {
        for puts in 1.. {
            let there = Faulty::new();
            let dying = there.dying_after(puts, answer_lost);
            let died = async {
                let mut archiver = archiver(&store, &dying, &key).await?;
                all(&mut archiver).await
            };
            let died = died.await.is_err();
            let mut after = archiver(&store, &there, &key).await.unwrap();
            all(&mut after).await.unwrap();
            check(&store, &there, &key).await;
            if !died {
                assert!(puts > 5, "there was something to kill: {puts}");
                break;
            }
        }
    }
}

#[tokio::test]
async fn small_ranges_become_large_ones_at_whatever_step_that_ends() {
    let (world, (_dir, key)) = (World::new(), key());
    let store = world.open().await;
    let account = alice(&store).await;
    let there = Faulty::new();
    let mut archiver = archiver(&store, &there, &key).await.unwrap();
    let mut rolled = Rolled::default();
    for round in 1.. {
        for n in 0..36 {
            deliver(&store, account, &mail(n)).await;
            archiver.step().await.unwrap();
        }
        let lineage = store.identity().lineage.clone();
        let whole = Repository::open(there.objects(), &key).await.unwrap();
        let before = whole.ranges(&lineage, None).await.unwrap().len();
        let dying = there.dying_after(round * 9, round % 2 == 0);
        let repository = Repository::open(dying.objects(), &key).await.unwrap();
        let died = roll_up(&repository, &lineage, Duration::ZERO).await.is_err();
        check(&store, &there, &key).await;
        let again = roll_up(&whole, &lineage, Duration::ZERO).await.unwrap();
        rolled = Rolled { made: rolled.made + again.made, gone: rolled.gone + again.gone };
        check(&store, &there, &key).await;
        let after = whole.ranges(&lineage, None).await.unwrap();
        assert!(after.len() + 30 < before, "{before} became {}", after.len());
        assert_eq!(roll_up(&whole, &lineage, Duration::ZERO).await.unwrap(), Rolled::default());
        if !died {
            assert!(round > 2, "there was something to end");
            break;
        }
    }
    assert!(rolled.gone > 0, "{rolled:?}");
    // Who begins anew lists what is new, and goes on.
    let mut again = self::archiver(&store, &there, &key).await.unwrap();
    assert_eq!(all(&mut again).await.unwrap(), 0);
    let into = world.dir.path().join("new");
    let done = recovered(&there, &key, Target::Latest, &into).await.unwrap();
    assert_eq!(done.recovered.state_hash, store.view().await.unwrap().state_hash().unwrap());
}

#[tokio::test]
async fn two_that_archive_at_one_time_overlap_and_never_conflict() {
    for seed in 0..4 {
        let mut random = StdRng::seed_from_u64(seed);
        let (world, there, (_dir, key)) = (World::new(), Faulty::new(), key());
        let store = world.open().await;
        let account = alice(&store).await;
        let mut two = [
            archiver(&store, &there, &key).await.unwrap(),
            archiver(&store, &there, &key).await.unwrap(),
        ];
        for n in 0..30 {
            let which = random.random_range(0..2);
            match random.random_range(0..4) {
                0 => drop(deliver(&store, account, &mail(n)).await),
                1 => two[which] = archiver(&store, &there, &key).await.unwrap(),
                _ => drop(two[which].step().await.unwrap()),
            }
        }
        for archiver in &mut two {
            all(archiver).await.unwrap();
        }
        check(&store, &there, &key).await;
    }
}

#[tokio::test]
async fn another_history_is_refused() {
    let (one, two, there) = (World::new(), World::new(), Faulty::new());
    let store = one.open().await;
    alice(&store).await;
    all(&mut archiver(&store, &there, &KeyWish::Plain).await.unwrap()).await.unwrap();
    // A copy of its node.toml beside another log, or an older image of its disk.
    let other = two.open().await;
    alice(&other).await;
    other.shutdown().await;
    drop(other);
    two.wait_until_free().await;
    std::fs::copy(one.data().join("node.toml"), two.data().join("node.toml")).unwrap();
    let other = two.open().await;
    let opened = archiver(&other, &there, &KeyWish::Plain).await;
    assert!(matches!(opened.unwrap_err(), RepoError::OtherHistory(_)));
}

fn settings(key: KeyWish) -> Settings {
    Settings {
        place: Place::path("/nowhere"),
        key,
        interval: Duration::from_millis(1),
        feeder: Feeder::Follower,
        alarm_lag: Duration::ZERO,
        mark_every: Duration::ZERO,
        base_every: Duration::ZERO,
        checks: Checks::default(),
        expiring: Expiring::default(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_goes_on_while_the_repository_fails_and_nothing_is_skipped() {
    let (world, there, (_dir, key)) = (World::new(), Faulty::new(), key());
    let store = world.open().await;
    let account = alice(&store).await;
    let watcher = Watcher::default();
    let work =
        run(store.clone(), settings(key.clone()), watcher.clone(), None, Some(there.objects()));
    let work = tokio::spawn(work);
    until("the archive is so far", || watcher.status().state == ArchiveState::Feeding).await;
    there.faults.errors.store(u64::MAX, Ordering::SeqCst);
    three_mails(&store, account).await;
    until("the archive is so far", || watcher.status().state == ArchiveState::Failing).await;
    let lag = |status: &redoubt_snapshot::archive::ArchiveStatus| status.lag_records;
    until("the archive is so far", || {
        lag(&watcher.status()) >= 4 && watcher.status().error.is_some()
    })
    .await;
    let alarmed = || store.alarms().active().iter().any(|alarm| alarm.kind == AlarmKind::Archive);
    until("the alarm", alarmed).await;
    assert_eq!(count(&store, account, INBOX).await, 4);
    there.faults.errors.store(0, Ordering::SeqCst);
    until("the archive is so far", || watcher.status().lag_records == 0 && !alarmed()).await;
    // The log says how far the archive has come, and the archive gets that too.
    let says = || store.local_view().unwrap().archived().unwrap();
    until("the archive is so far", || says().is_some_and(|archived| archived.index > LogIndex(3)))
        .await;
    until("the archive is so far", || watcher.status().index == Some(store.applied())).await;
    work.abort();
    drop(work.await);
    check(&store, &there, &key).await;
}

#[tokio::test]
async fn without_a_key_there_is_an_alarm_and_no_octet() {
    let (world, there) = (World::new(), Faulty::new());
    let store = world.open().await;
    let watcher = Watcher::default();
    let objects = Some(there.objects());
    let work = tokio::spawn(run(store.clone(), settings(KeyWish::Absent), watcher, None, objects));
    let said = |text: &str| store.alarms().active().iter().any(|alarm| alarm.text.contains(text));
    until("the archive is so far", || said("redoubt backup keys init")).await;
    work.abort();
    drop(work.await);
    assert_eq!(there.objects().list("", None).await.unwrap(), []);
}

async fn recovered(
    there: &Faulty,
    key: &KeyWish,
    target: Target,
    into: &std::path::Path,
) -> Result<redoubt_snapshot::recover::Done, RecoverError> {
    let repository = Repository::open(there.objects(), key).await?;
    let lineage = lineage(&repository, None).await?;
    let plan = plan(&repository, &lineage, target, &mut |_| {}).await?;
    recover(&repository, &plan, into, Wishes::default(), &mut |_| {}).await
}

async fn opened(data: &std::path::Path) -> Mailstore {
    let mut options = Options::new(data);
    options.bases = Some(Arc::new(BaseDir::new(Arc::new(RealDisk), data.join("shards/0/base"))));
    loop {
        match Mailstore::open(options.clone()).await {
            // The threads of a store that was dropped may hold the directory a moment longer.
            Err(OpenError::InUse { .. }) => a_moment().await,
            opened => return opened.unwrap(),
        }
    }
}

#[tokio::test]
async fn a_recovery_is_the_state_then_as_a_history_of_its_own() {
    let (world, there, (_dir, key)) = (World::new(), Faulty::new(), key());
    let store = world.open().await;
    let account = alice(&store).await;
    let mut moments = Vec::new();
    for n in 0..3 {
        let arrival = deliver(&store, account, &mail(n)).await;
        let view = store.view().await.unwrap();
        moments.push((view.index(), view.state_hash().unwrap(), arrival));
    }
    deliver(&store, account, &mail_with_attachment(60_000)).await;
    all(&mut archiver(&store, &there, &key).await.unwrap()).await.unwrap();
    let before = store.view().await.unwrap().mailbox(account, INBOX).unwrap().unwrap();
    for (messages, (index, hash, arrival)) in (1..).zip(&moments) {
        let into = world.dir.path().join(format!("at-{index}"));
        let done = recovered(&there, &key, Target::Index(*index), &into).await.unwrap();
        assert_eq!((done.recovered.index, done.recovered.state_hash), (*index, *hash));
        assert_eq!(done.missing, 0);
        let new = opened(&into).await;
        let inbox = new.view().await.unwrap().mailbox(account, INBOX).unwrap().unwrap();
        assert_eq!(inbox.messages, messages);
        assert!(inbox.uid_next >= u64::from(arrival.uid.get()) + (1 << 20));
        assert_ne!(inbox.uid_validity, before.uid_validity);
        assert_ne!(new.identity().lineage, store.identity().lineage);
        assert_ne!(new.identity().node, store.identity().node);
        assert!(new.applied() > LogIndex(index.0 + (1 << 32)));
        // The newest stands in for what was lost, under its UID.
        let view = new.view().await.unwrap();
        let (mailbox, uid) = view.placements_of(account, arrival.email).unwrap()[0];
        assert_eq!(u64::from(uid.get()), u64::from(arrival.uid.get()) + 1);
        let again = redoubt_log::record::Arrival { mailbox, uid, ..*arrival };
        assert_eq!(
            read_back(&new, account, &again).await,
            read_back(&store, account, arrival).await
        );
        drop(view);
        assert_eq!(new.check(10).await.unwrap(), []);
        // It takes mail, and is archived beside the old history.
        let arrival = deliver(&new, account, &mail(100)).await;
        assert!(arrival.uid.get() > 1 << 20);
        new.shutdown().await;
    }
}

#[tokio::test]
async fn a_recovered_history_is_rebuilt_and_archived_like_any_other() {
    let (world, there, (_dir, key)) = (World::new(), Faulty::new(), key());
    let store = world.open().await;
    let account = alice(&store).await;
    three_mails(&store, account).await;
    all(&mut archiver(&store, &there, &key).await.unwrap()).await.unwrap();
    let into = world.dir.path().join("new");
    recovered(&there, &key, Target::Latest, &into).await.unwrap();
    let new = opened(&into).await;
    deliver(&new, account, &mail(50)).await;
    let hash = new.view().await.unwrap().state_hash().unwrap();
    new.shutdown().await;
    drop(new);
    std::fs::remove_dir_all(into.join("shards/0/views")).unwrap();
    let new = opened(&into).await;
    assert_eq!(new.view().await.unwrap().state_hash().unwrap(), hash);
    assert_eq!(count(&new, account, INBOX).await, 5);
    let view = new.view().await.unwrap();
    assert_eq!(view.lineage().unwrap().unwrap().from, store.identity().lineage);
    assert!(
        view.nodes()
            .unwrap()
            .iter()
            .any(|(node, row)| { *node == store.identity().node && row.removed.is_some() })
    );
}

#[tokio::test]
async fn what_is_not_empty_is_refused_and_what_is_outside_is_named() {
    let (world, there, (_dir, key)) = (World::new(), Faulty::new(), key());
    let store = world.open().await;
    alice(&store).await;
    all(&mut archiver(&store, &there, &key).await.unwrap()).await.unwrap();
    let full = recovered(&there, &key, Target::Latest, world.data()).await;
    assert!(matches!(full.unwrap_err(), RecoverError::NotEmpty(_)));
    let beyond = Target::Index(LogIndex(store.applied().0 + 1));
    let into = world.dir.path().join("new");
    let beyond = recovered(&there, &key, beyond, &into).await.unwrap_err();
    assert!(matches!(beyond, RecoverError::Plan(PlanError::Outside { .. })), "{beyond}");
    assert!(!into.exists());
}

/// Every object in turn is removed, cut, and one of its bits flipped.
#[tokio::test]
async fn each_object_that_is_not_as_it_was_is_named_and_recovery_leaves_nothing() {
    let (world, there, (_dir, key)) = (World::new(), Faulty::new(), key());
    let store = world.open().await;
    let account = alice(&store).await;
    let mut archiver = archiver(&store, &there, &key).await.unwrap();
    all(&mut archiver).await.unwrap();
    three_mails(&store, account).await;
    all(&mut archiver).await.unwrap();
    let objects = there.objects();
    let into = world.dir.path().join("new");
    each_damaged(&objects, async |damaged, _| {
        let found = match Repository::open(objects.clone(), &key).await {
            Err(_) => BTreeSet::from([damaged.to_string()]),
            Ok(repository) => {
                let report = verify(&repository, Level::Data, None).await.unwrap();
                report.findings.into_iter().map(|finding| finding.object).collect()
            }
        };
        let named = found.iter().any(|found| damaged.starts_with(found.as_str()));
        assert!(named, "{damaged} is not among {found:?}");
        let refused = recovered(&there, &key, Target::Latest, &into).await;
        assert!(refused.is_err(), "{damaged}");
        assert_eq!(std::fs::read_dir(world.dir.path()).unwrap().count(), 1, "{damaged}");
    })
    .await;
    recovered(&there, &key, Target::Latest, &into).await.unwrap();
}
