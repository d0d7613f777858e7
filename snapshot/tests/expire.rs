//! What is old goes, and nothing else: over objects that fail, beside an archive at work.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod carry;
mod faults;
#[path = "../../store/tests/support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use carry::*;
use faults::Faulty;
use redoubt_log::disk::RealDisk;
use redoubt_log::id::{AccountId, LogIndex};
use redoubt_snapshot::BaseDir;
use redoubt_snapshot::archive::{
    ArchiveStatus, Archiver, Checks, Expiring, Feeder, Settings, Watcher, roll_up, run as archive,
};
use redoubt_snapshot::expire::{ExpireError, Keep, Plan, Wishes, expire, plan};
use redoubt_snapshot::plan::{self as recovery, Target};
use redoubt_snapshot::recover::recover;
use redoubt_snapshot::repo::base::Description;
use redoubt_snapshot::repo::sweep::GRACE;
use redoubt_snapshot::repo::{KeyWish, Place, Repository};
use redoubt_snapshot::verify::{Level, Status, verify_restored};
use redoubt_store::mailstore::Mailstore;
use support::*;

fn newest(count: usize) -> Wishes {
    let keep = Keep { window: None, bases: Some(count) };
    Wishes { keep, grace: Duration::ZERO, ..Wishes::default() }
}

async fn run(there: &Faulty, key: &KeyWish, wishes: &Wishes) -> Result<Plan, ExpireError> {
    let repository = Repository::open(there.objects(), key).await?;
    let plan = plan(&repository, wishes).await?;
    expire(&repository, &plan, &mut |_, _| {}).await?;
    Ok(plan)
}

async fn names(there: &Faulty, folder: &str) -> BTreeSet<String> {
    let listed = there.objects().list(folder, None).await.unwrap();
    listed.into_iter().map(|object| object.name).collect()
}

/// Three bases, with mail before, between and behind them.
async fn three_bases(
    world: &World,
    there: &Faulty,
    key: &KeyWish,
) -> (Mailstore, Archiver, [Description; 3]) {
    let store = world.open().await;
    let account = alice(&store).await;
    let mut archiver = archiver(&store, there, key).await.unwrap();
    let mut bases = Vec::new();
    for n in 0..3 {
        some_mail(&store, account, 3 + n).await;
        deliver(&store, account, &mail_with_attachment(20_000 * (n + 1))).await;
        all(&mut archiver).await;
        bases.push(base(&archiver).await.unwrap());
    }
    some_mail(&store, account, 2).await;
    all(&mut archiver).await;
    (store, archiver, bases.try_into().unwrap())
}

#[tokio::test]
async fn what_is_old_goes_and_every_moment_that_stays_can_be_had() {
    let (world, there, (_dir, key)) = (world(), Faulty::new(), key());
    let (store, _, bases) = three_bases(&world, &there, &key).await;
    let nothing = run(&there, &key, &newest(9)).await.unwrap();
    assert!(nothing.is_empty() && nothing.bytes() == 0, "{nothing:?}");
    let dry = Repository::open(there.objects(), &key).await.unwrap();
    let before = names(&there, "").await;
    let planned = plan(&dry, &newest(2)).await.unwrap();
    assert_eq!(names(&there, "").await, before, "a plan changes nothing");
    let done = run(&there, &key, &newest(2)).await.unwrap();
    assert_eq!(done, planned);
    assert_eq!(done.bases, BTreeSet::from([bases[0].name().name(&bases[0].lineage)]));
    assert!(!done.ranges.is_empty() && !done.later.is_empty() && done.now.is_empty(), "{done:?}");
    let report = verified(&there, &key, Level::Data).await;
    assert_eq!(report.findings, []);
    let history = &report.histories[0];
    assert_eq!((history.status, history.spans.len()), (Status::Ok, 1));
    assert_eq!(
        (history.spans[0].first, history.spans[0].last),
        (bases[1].index(), store.applied())
    );
    // What nothing named goes with the next run, and the sweep that named it.
    let again = run(&there, &key, &newest(2)).await.unwrap();
    assert_eq!(again.now.keys().collect::<Vec<_>>(), done.later.keys().collect::<Vec<_>>());
    let left = names(&there, "").await;
    assert!(done.later.keys().all(|name| !left.contains(name)));
    assert_eq!(names(&there, "sweeps").await.len(), 1);
    assert!(run(&there, &key, &newest(2)).await.unwrap().is_empty());
    let repository = Repository::open(there.objects(), &key).await.unwrap();
    let report = verify_restored(&repository, None, world.dir.path()).await.unwrap();
    assert_eq!(report.findings, []);
    let restored = report.restored.unwrap();
    assert_eq!(restored.state_hash, store.view().await.unwrap().state_hash().unwrap());
    assert!(restored.compared >= 2, "{restored:?}");
    // The moments that stay are recovered, and those before are not.
    let lineage = store.identity().lineage.clone();
    for (at, name) in [(bases[1].index(), "first"), (store.applied(), "last")] {
        let plan =
            recovery::plan(&repository, &lineage, Target::Index(at), &mut |_| {}).await.unwrap();
        let into = world.dir.path().join(name);
        let done =
            recover(&repository, &plan, &into, Default::default(), &mut |_| {}).await.unwrap();
        assert_eq!(done.recovered.index, at);
    }
    let before = Target::Index(LogIndex(bases[1].index().0 - 1));
    assert!(recovery::plan(&repository, &lineage, before, &mut |_| {}).await.is_err());
}

#[tokio::test]
async fn a_history_that_another_without_a_base_goes_on_from_stays() {
    let (world, there, (_dir, key)) = (world(), Faulty::new(), key());
    let (store, _, _) = three_bases(&world, &there, &key).await;
    let lineage = store.identity().lineage.clone();
    let repository = Repository::open(there.objects(), &key).await.unwrap();
    let plan = recovery::plan(&repository, &lineage, Target::Latest, &mut |_| {}).await.unwrap();
    let into = world.dir.path().join("new");
    recover(&repository, &plan, &into, Default::default(), &mut |_| {}).await.unwrap();
    store.shutdown().await;
    let mut options = world.options.clone();
    options.data.clone_from(&into);
    let bases = BaseDir::new(Arc::new(RealDisk), into.join("shards/0/base"));
    options.bases = Some(Arc::new(bases));
    let new = Mailstore::open(options).await.unwrap();
    let mut archiver = carry::archiver(&new, &there, &key).await.unwrap();
    all(&mut archiver).await;
    let wishes = Wishes { history: Some(lineage), force: true, ..newest(1) };
    let refused = run(&there, &key, &wishes).await;
    assert!(matches!(refused, Err(ExpireError::NoSuch(_))), "{refused:?}");
    assert!(run(&there, &key, &newest(1)).await.unwrap().is_empty());
    base(&archiver).await.unwrap();
    run(&there, &key, &wishes).await.unwrap();
    run(&there, &key, &newest(1)).await.unwrap();
    let report = verified(&there, &key, Level::Data).await;
    assert_eq!((report.histories.len(), report.findings), (1, vec![]));
    new.shutdown().await;
}

#[tokio::test]
async fn killed_after_each_step_nothing_is_half_there_and_the_next_run_goes_on() {
    for answer_lost in [false, true] {
        let mut steps = 0;
        loop {
            steps += 1;
            let (world, there, (_dir, key)) = (world(), Faulty::new(), key());
            let (store, _, bases) = three_bases(&world, &there, &key).await;
            // Content that nothing names is there from the beginning.
            run(&there, &key, &newest(2)).await.unwrap();
            let dying = there.dying_after(steps * 4, answer_lost);
            let died = run(&dying, &key, &newest(1)).await.is_err();
            let between = verified(&there, &key, Level::Data).await;
            assert_eq!(between.findings, [], "after {steps}");
            let span = &between.histories[0].spans;
            assert_eq!(span.last().unwrap().last, store.applied());
            run(&there, &key, &newest(1)).await.unwrap();
            run(&there, &key, &newest(1)).await.unwrap();
            let after = verified(&there, &key, Level::Data).await;
            assert_eq!(after.findings, []);
            assert_eq!(after.histories[0].spans[0].first, bases[2].index());
            assert_eq!(names(&there, "taken").await.len(), 1);
            assert!(run(&there, &key, &newest(1)).await.unwrap().is_empty());
            store.shutdown().await;
            if !died {
                break;
            }
        }
        assert!(steps > 1, "there was something to kill");
    }
}

#[tokio::test]
async fn an_archive_at_work_that_counts_on_what_goes_keeps_it() {
    let (ended, there, (_dir, key)) = (world(), Faulty::new(), key());
    let old = ended.open().await;
    let account = alice(&old).await;
    deliver(&old, account, &mail_with_attachment(33_000)).await;
    all(&mut archiver(&old, &there, &key).await.unwrap()).await;
    let lineage = old.identity().lineage.clone();
    old.shutdown().await;
    // The archive of another history knows that the attachment is there.
    let world = world();
    let (store, mut archiver, _) = three_bases(&world, &there, &key).await;
    let all_of_it = |force| Wishes {
        history: Some(lineage.clone()),
        force,
        grace: Duration::ZERO,
        ..Wishes::default()
    };
    let refused = run(&there, &key, &all_of_it(false)).await;
    assert!(matches!(refused, Err(ExpireError::Needed(_))), "{refused:?}");
    let done = run(&there, &key, &all_of_it(true)).await.unwrap();
    assert!(!done.later.is_empty() && done.histories.len() == 1, "{done:?}");
    // It has not looked since, and the attachment comes.
    deliver(&store, account, &mail_with_attachment(33_000)).await;
    all(&mut archiver).await;
    let again = run(&there, &key, &newest(9)).await.unwrap();
    assert_eq!(again.spared.len(), 1, "{again:?}");
    let report = verified(&there, &key, Level::Data).await;
    assert_eq!((report.histories.len(), report.findings), (1, vec![]));
    // One that looks sends it anew, and nothing is spared for ever.
    let only = Wishes { history: Some(store.identity().lineage.clone()), ..all_of_it(true) };
    assert!(run(&there, &key, &only).await.is_err(), "the newest history stays");
}

#[tokio::test]
async fn what_is_needed_is_refused_without_force_and_pins_stay() {
    let (world, there, (_dir, key)) = (world(), Faulty::new(), key());
    let (store, _, bases) = three_bases(&world, &there, &key).await;
    let repository = Repository::open(there.objects(), &key).await.unwrap();
    let lineage = bases[0].lineage.clone();
    repository.pin(&lineage, &bases[0].name()).await.unwrap();
    run(&there, &key, &newest(1)).await.unwrap();
    run(&there, &key, &newest(1)).await.unwrap();
    let report = verified(&there, &key, Level::Data).await;
    assert_eq!(report.findings, []);
    let spans: Vec<_> =
        report.histories[0].spans.iter().map(|span| (span.first, span.last)).collect();
    let pinned = bases[0].index();
    assert_eq!(spans, [(pinned, pinned), (bases[2].index(), store.applied())]);
    assert!(report.histories[0].bases[0].pinned);
    let this = |base: &Description, force| Wishes {
        base: Some((lineage.clone(), base.name())),
        force,
        grace: Duration::ZERO,
        ..Wishes::default()
    };
    let refused = run(&there, &key, &this(&bases[2], false)).await;
    assert!(matches!(refused, Err(ExpireError::Needed(_))), "{refused:?}");
    assert!(run(&there, &key, &this(&bases[0], true)).await.is_err(), "it is pinned");
    repository.unpin(&lineage, &bases[0].name()).await.unwrap();
    run(&there, &key, &this(&bases[0], false)).await.unwrap();
    run(&there, &key, &this(&bases[2], true)).await.unwrap();
    let report = verified(&there, &key, Level::Files).await;
    assert_eq!((report.histories[0].status, report.histories[0].bases.len()), (Status::Error, 0));
}

#[tokio::test]
async fn nothing_goes_where_what_would_stay_is_damaged() {
    let (world, there, (_dir, key)) = (world(), Faulty::new(), key());
    let (_store, _, bases) = three_bases(&world, &there, &key).await;
    let piece = bases[2].pieces().last().unwrap().name.name();
    there.objects().delete(&piece).await.unwrap();
    let before = names(&there, "").await;
    let refused = run(&there, &key, &newest(1)).await;
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(names(&there, "").await, before);
}

/// Lets an archive work until its status is as wanted.
async fn works(
    store: &Mailstore,
    (there, key): (&Faulty, &KeyWish),
    checks: Checks,
    expiring: Expiring,
    wanted: impl Fn(&ArchiveStatus) -> bool,
) -> ArchiveStatus {
    let watcher = Watcher::default();
    let settings = Settings {
        place: Place::path("/nowhere"),
        key: key.clone(),
        interval: Duration::from_millis(1),
        feeder: Feeder::Any,
        alarm_lag: Duration::from_secs(60),
        mark_every: Duration::from_secs(60),
        base_every: Duration::ZERO,
        checks,
        expiring,
    };
    let work = archive(store.clone(), settings, watcher.clone(), None, Some(there.objects()));
    let reached = async {
        until("the archive is so far", || wanted(&watcher.status())).await;
    };
    let in_time = tokio::time::timeout(Duration::from_secs(60), async {
        tokio::select! {
            () = work => {}
            () = reached => {}
        }
    });
    in_time.await.unwrap();
    watcher.status()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_need_not_stay_goes_by_itself_but_not_while_damage_was_found() {
    let (world, there, (_dir, key)) = (world(), Faulty::new(), key());
    let (store, _, bases) = three_bases(&world, &there, &key).await;
    let place = (&there, &key);
    let checks = |millis| Checks { every: Duration::from_millis(millis), ..Checks::default() };
    let keep = Keep { window: None, bases: Some(1) };
    let expiring = Expiring { every: Duration::from_millis(1), keep };
    // Of a base that may go.
    let newest: BTreeSet<String> = bases[2].pieces().map(|piece| piece.name.name()).collect();
    let pieces = bases[1].pieces().map(|piece| piece.name.name());
    let lost = pieces.into_iter().find(|piece| !newest.contains(piece)).unwrap();
    let octets = there.objects().get(&lost).await.unwrap();
    there.objects().delete(&lost).await.unwrap();
    let found =
        |status: &ArchiveStatus| status.verify.last.as_ref().is_some_and(|last| last.findings > 0);
    works(&store, place, checks(1), Expiring::default(), found).await;
    let before = names(&there, "bases").await;
    let waits = |status: &ArchiveStatus| status.expire.error.is_some();
    let status = works(&store, place, checks(3_600_000), expiring, waits).await;
    assert_eq!((status.expire.last, names(&there, "bases").await), (None, before.clone()));
    there.objects().create(&lost, octets).await.unwrap();
    let ran = |status: &ArchiveStatus| status.expire.last.is_some();
    let status = works(&store, place, checks(1), expiring, ran).await;
    assert_eq!((before.len(), names(&there, "bases").await.len()), (3, 1), "{status:?}");
    assert_eq!(store.alarms().active(), []);
}

#[tokio::test]
async fn of_two_at_one_time_one_gives_up() {
    let (world, there, (_dir, key)) = (world(), Faulty::new(), key());
    three_bases(&world, &there, &key).await;
    let repository = Repository::open(there.objects(), &key).await.unwrap();
    let plans = [
        plan(&repository, &newest(2)).await.unwrap(),
        plan(&repository, &newest(1)).await.unwrap(),
    ];
    expire(&repository, &plans[0], &mut |_, _| {}).await.unwrap();
    let second = expire(&repository, &plans[1], &mut |_, _| {}).await;
    assert!(matches!(second, Err(ExpireError::Busy)), "{second:?}");
    assert_eq!(verified(&there, &key, Level::Data).await.findings, []);
    assert!(LogIndex(0) < plans[1].floors.values().copied().max().unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_verifies_meanwhile_finds_nothing_wrong() {
    let (world, there, (_dir, key)) = (world(), Faulty::new(), key());
    let (store, mut archiver, _) = three_bases(&world, &there, &key).await;
    let (eyes, its_key) = (there.clone(), key.clone());
    let work = tokio::spawn(async move {
        let lineage = store.identity().lineage.clone();
        let repository = Repository::open(there.objects(), &key).await.unwrap();
        for round in 0..4 {
            for n in 0..33 {
                deliver(&store, AccountId(1), &mail(100 + n)).await;
                archiver.step().await.unwrap();
            }
            roll_up(&repository, &lineage, Duration::ZERO).await.unwrap();
            base(&archiver).await.unwrap();
            // With a day between, as it is: nobody verifies for so long.
            let wishes = Wishes { grace: GRACE, ..newest(2 - round % 2) };
            run(&there, &key, &wishes).await.unwrap();
        }
    });
    let mut looks = 0;
    while !work.is_finished() {
        assert_eq!(verified(&eyes, &its_key, Level::Data).await.findings, []);
        looks += 1;
    }
    work.await.unwrap();
    assert!(looks > 2, "{looks}");
    assert_eq!(verified(&eyes, &its_key, Level::Data).await.findings, []);
}
