//! What a recovery makes: a history that can be archived and recovered again, bound by what was
//! held last, of all accounts or of one; and one that was cut short goes on.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod carry;
mod faults;
#[path = "../../store/tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use faults::Faulty;
use redoubt_log::chain;
use redoubt_log::disk::RealDisk;
use redoubt_log::id::{AccountId, Hash, HoldId, LogIndex, OperationId, Term, Timestamp, Uid};
use redoubt_log::raft::{EntryKind, LogEntry, LogId};
use redoubt_log::record::{
    AccountDelete, AccountSettings, Actor, Address, AliasAdd, Arrival, Change, DomainSet,
    DomainSettings, Done, FlagChange, Flags, HistoryFloor, HoldRelease, HoldScope, HoldSet,
    MailboxCreate, Rejection, SetFlags,
};
use redoubt_snapshot::BaseDir;
use redoubt_snapshot::archive::Archiver;
use redoubt_snapshot::plan::{Plan, PlanError, Target, lineage, plan};
use redoubt_snapshot::recover::{Done as Recovered, RecoverError, Wishes, recover};
use redoubt_snapshot::repo::base::{Description, PieceRef};
use redoubt_snapshot::repo::range::Range;
use redoubt_snapshot::repo::{KeyWish, Repository};
use redoubt_store::mailbox::INBOX;
use redoubt_store::mailstore::{Layout, Lock, Mailstore, OpenError, Options, WriteError};
use redoubt_store::view::View;
use support::*;

/// A store and the repository of all that it ever was.
struct Scene {
    world: World,
    there: Faulty,
}

impl Scene {
    async fn new() -> (Self, Mailstore, AccountId) {
        let scene = Self { world: carry::world(), there: Faulty::new() };
        let store = scene.world.open().await;
        let account = alice(&store).await;
        (scene, store, account)
    }

    async fn repository(&self) -> Repository {
        Repository::open_or_make(self.there.objects(), &KeyWish::Plain).await.unwrap()
    }

    async fn archive(&self, store: &Mailstore) {
        let mut archiver = Archiver::open(store.clone(), self.repository().await).await.unwrap();
        while archiver.step().await.unwrap().entries > 0 {}
        assert_eq!(archiver.reached().unwrap().index, store.applied());
    }

    /// All is archived, and the state with it.
    async fn base(&self, store: &Mailstore) -> Description {
        self.archive(store).await;
        let archiver = Archiver::open(store.clone(), self.repository().await).await.unwrap();
        let base = carry::base(&archiver).await.unwrap();
        self.archive(store).await;
        base
    }

    async fn remove(&self, wanted: impl Fn(&str) -> bool) {
        let objects = self.there.objects();
        for object in objects.list("", None).await.unwrap() {
            if wanted(&object.name) {
                objects.delete(&object.name).await.unwrap();
            }
        }
    }

    async fn plan(&self, wish: Option<&str>, target: Target) -> Result<Plan, PlanError> {
        let repository = self.repository().await;
        let lineage = lineage(&repository, wish).await?;
        plan(&repository, &lineage, target, &mut |_| {}).await
    }

    async fn recover(&self, target: Target, wishes: Wishes, name: &str) -> (Mailstore, Recovered) {
        let plan = self.plan(None, target).await.unwrap();
        let done = self.try_recover(&plan, wishes, name).await.unwrap();
        let store = opened(&self.world.dir.path().join(name)).await;
        assert_eq!(store.check(20).await.unwrap(), []);
        (store, done)
    }

    async fn try_recover(
        &self,
        plan: &Plan,
        wishes: Wishes,
        name: &str,
    ) -> Result<Recovered, RecoverError> {
        let into = self.world.dir.path().join(name);
        recover(&self.repository().await, plan, &into, wishes, &mut |_| {}).await
    }
}

async fn opened(data: &Path) -> Mailstore {
    let mut options = Options::new(data);
    options.bases = Some(Arc::new(BaseDir::new(Arc::new(RealDisk), data.join("shards/0/base"))));
    Mailstore::open(options).await.unwrap()
}

async fn hash(store: &Mailstore) -> Hash {
    store.view().await.unwrap().state_hash().unwrap()
}

fn lineage_of(store: &Mailstore) -> String {
    store.identity().lineage.clone()
}

#[tokio::test]
async fn a_recovered_history_is_recovered_again_and_again() {
    let (scene, old, account) = Scene::new().await;
    for n in 0..3 {
        deliver(&old, account, &mail(n)).await;
    }
    let kept = old.applied();
    deliver(&old, account, &mail(3)).await;
    scene.archive(&old).await;
    let (first, _) = scene.recover(Target::Index(kept), Wishes::default(), "first").await;
    deliver(&first, account, &mail(50)).await;
    scene.archive(&first).await;
    let said = (first.applied(), hash(&first).await);
    let (second, done) = scene.recover(Target::Latest, Wishes::default(), "second").await;
    assert_eq!((done.recovered.index, done.recovered.state_hash), said);
    assert_eq!(count(&second, account, INBOX).await, 4);
    let view = second.view().await.unwrap();
    assert_eq!(view.lineage().unwrap().unwrap().from, lineage_of(&first));
    // Mail of the first history is where it was, also in the past.
    assert_eq!(view.at(kept).mailbox(account, INBOX).unwrap().unwrap().messages, 3);
    let arrival = deliver(&second, account, &mail_with_attachment(60_000)).await;
    assert!(arrival.uid.get() > 2 << 20, "{arrival:?}");
    scene.archive(&second).await;
    let (third, _) = scene.recover(Target::Latest, Wishes::default(), "third").await;
    let view = third.view().await.unwrap();
    let (mailbox, uid) = view.placements_of(account, arrival.email).unwrap()[0];
    let again = Arrival { mailbox, uid, ..arrival };
    assert_eq!(
        read_back(&third, account, &again).await,
        read_back(&second, account, &arrival).await
    );
    // Each is on the way, by its own indexes; what the second left of the first is not.
    for (index, of) in [(kept, &old), (LogIndex(kept.0 - 1), &old), (said.0, &first)] {
        let plan = scene.plan(None, Target::Index(index)).await.unwrap();
        assert_eq!((plan.index, plan.lineage), (index, lineage_of(of)));
        assert_eq!(plan.newest, second.applied());
    }
    let left = Target::Index(LogIndex(kept.0 + 1));
    assert!(matches!(scene.plan(None, left).await, Err(PlanError::Outside { .. })));
    let plan = scene.plan(Some(&lineage_of(&old)), left).await.unwrap();
    assert_eq!((plan.index, plan.newest), (LogIndex(kept.0 + 1), old.applied()));
}

/// A cut-off part of the history in the middle is named, and nothing is made.
#[tokio::test]
async fn a_history_without_the_one_that_it_goes_on_from_is_refused() {
    let (scene, old, account) = Scene::new().await;
    deliver(&old, account, &mail(0)).await;
    scene.archive(&old).await;
    let (first, _) = scene.recover(Target::Latest, Wishes::default(), "first").await;
    scene.archive(&first).await;
    let objects = scene.there.objects();
    for object in objects.list(&format!("log/{}", lineage_of(&old)), None).await.unwrap() {
        objects.delete(&object.name).await.unwrap();
    }
    let refused = scene.plan(Some(&lineage_of(&first)), Target::Latest).await.unwrap_err();
    assert!(matches!(refused, PlanError::Gap { index: LogIndex(0), .. }), "{refused}");
}

#[tokio::test]
async fn a_recovery_begins_with_the_newest_base_that_serves() {
    let (scene, store, account) = Scene::new().await;
    carry::some_mail(&store, account, 3).await;
    let first = scene.base(&store).await;
    carry::some_mail(&store, account, 3).await;
    let second = scene.base(&store).await;
    deliver(&store, account, &mail_with_attachment(60_000)).await;
    scene.archive(&store).await;
    let said = (store.applied(), hash(&store).await);
    let begins = |plan: &Plan| plan.base.as_ref().map(|base| base.index());
    let (new, done) = scene.recover(Target::Latest, Wishes::default(), "new").await;
    assert_eq!((done.recovered.index, done.recovered.state_hash), said);
    assert!(done.entries < 20, "{done:?}");
    assert_eq!(count(&new, account, INBOX).await, 4);
    let then = new.view().await.unwrap().at(first.index());
    assert_eq!(then.mailbox(account, INBOX).unwrap().unwrap().messages, 3);
    for target in [Target::Index(first.index()), Target::Time(first.time())] {
        let plan = scene.plan(None, target).await.unwrap();
        assert_eq!((begins(&plan), plan.index), (Some(first.index()), first.index()));
    }
    let at_base = scene.plan(None, Target::Index(first.index())).await.unwrap();
    let done = scene.try_recover(&at_base, Wishes::default(), "at-base").await.unwrap();
    assert_eq!((done.entries, done.recovered.state_hash), (0, first.manifest.state_hash));
    // One that is damaged is passed over and named; what is expired is not needed.
    let own = |piece: &&PieceRef| !first.pieces().any(|other| other == *piece);
    let piece = second.pieces().find(own).unwrap().name.name();
    scene.remove(|name| name == piece).await;
    let plan = scene.plan(None, Target::Latest).await.unwrap();
    assert_eq!(begins(&plan), Some(first.index()));
    assert!(plan.damaged.iter().any(|what| what.contains(&piece)), "{:?}", plan.damaged);
    let old = format!("log/{}/{:020}-", lineage_of(&store), 0);
    scene.remove(|name| name.starts_with(&old)).await;
    scene.try_recover(&plan, Wishes::default(), "later").await.unwrap();
    let before = Target::Index(LogIndex(first.index().0 - 1));
    let refused = scene.plan(None, before).await.unwrap_err();
    assert!(matches!(refused, PlanError::Outside { .. } | PlanError::Gap { .. }), "{refused}");
}

#[tokio::test]
async fn a_recovered_history_with_a_base_needs_no_other() {
    let (scene, old, account) = Scene::new().await;
    carry::some_mail(&old, account, 3).await;
    scene.archive(&old).await;
    let (first, _) = scene.recover(Target::Latest, Wishes::default(), "first").await;
    let base = scene.base(&first).await;
    deliver(&first, account, &mail(9)).await;
    scene.archive(&first).await;
    let lineage = lineage_of(&old);
    scene.remove(|name| name.contains(&lineage)).await;
    let (second, done) = scene.recover(Target::Latest, Wishes::default(), "second").await;
    assert_eq!(done.recovered.state_hash, hash(&first).await);
    assert_eq!(count(&second, account, INBOX).await, 4);
    let before = Target::Index(LogIndex(base.index().0 - 1));
    assert!(scene.plan(None, before).await.is_err());
}

#[tokio::test]
async fn two_at_one_place_do_not_take_it_from_each_other() {
    let (scene, store, _) = Scene::new().await;
    scene.archive(&store).await;
    let plan = scene.plan(None, Target::Latest).await.unwrap();
    let place = scene.world.dir.path().join(".new.recovering");
    let busy = Lock::take(&Layout::new(&place)).unwrap();
    let refused = scene.try_recover(&plan, Wishes::default(), "new").await.unwrap_err();
    assert!(matches!(refused, RecoverError::Store(OpenError::InUse { .. })), "{refused}");
    assert!(place.join("LOCK").exists());
    drop(busy);
    scene.try_recover(&plan, Wishes::default(), "new").await.unwrap();
}

async fn hold(store: &Mailstore, account: AccountId) -> HoldId {
    let scope = HoldScope::Account(account);
    match submit(store, Change::HoldSet(HoldSet::over(scope))).await.unwrap() {
        Done::Hold(hold) => hold,
        other => panic!("{other:?}"),
    }
}

/// What came of a floor over an account.
async fn floor(store: &Mailstore, account: AccountId) -> Result<Done, Rejection> {
    let change = HistoryFloor { account, floor: LogIndex(1), time: Timestamp(0) };
    let (actor, operation) = (&Actor::SYSTEM, OperationId::random());
    match store.submit(actor, operation, Change::HistoryFloor(change)).await {
        Err(WriteError::Rejected(rejection)) => Err(rejection),
        outcome => outcome.unwrap().result,
    }
}

#[tokio::test]
async fn what_was_held_last_is_held_whatever_the_moment() {
    let (scene, store, alice) = Scene::new().await;
    let bob = add_account(&store, "bob", AccountSettings::default()).await;
    let first = hold(&store, alice).await;
    let then = store.applied();
    let second = hold(&store, bob).await;
    submit(&store, Change::HoldRelease(HoldRelease::of(first))).await.unwrap();
    let carol = add_account(&store, "carol", AccountSettings::default()).await;
    hold(&store, carol).await;
    let fourth = hold(&store, bob).await;
    submit(&store, Change::HoldRelease(HoldRelease::of(fourth))).await.unwrap();
    scene.archive(&store).await;
    let (new, done) = scene.recover(Target::Index(then), Wishes::default(), "new").await;
    assert_eq!(done.holds_over_none, 1, "carol was not there yet");
    let held = |view: View| {
        let holds = view.holds().unwrap();
        holds.into_iter().map(|hold| (hold.id, hold.terms.scope)).collect::<Vec<_>>()
    };
    assert_eq!(held(new.view().await.unwrap()), [(second, HoldScope::Account(bob))]);
    assert_eq!(floor(&new, bob).await, Err(Rejection::Held(second)));
    assert_eq!(floor(&new, alice).await, Ok(Done::Unit));
    // No id of the lost part is given again.
    assert_eq!(hold(&new, alice).await, HoldId(fourth.0 + 1));
    // The same out of the history that goes on from there, to a moment before all of it.
    scene.archive(&new).await;
    let earlier = Target::Index(LogIndex(then.0 - 1));
    let (again, _) = scene.recover(earlier, Wishes::default(), "again").await;
    assert_eq!(held(again.view().await.unwrap()), held(new.view().await.unwrap()));
}

#[tokio::test]
async fn holds_behind_damage_are_told_to_be_unknown() {
    let (scene, store, account) = Scene::new().await;
    scene.archive(&store).await;
    let then = store.applied();
    let first = hold(&store, account).await;
    scene.archive(&store).await;
    let known = store.applied();
    hold(&store, account).await;
    scene.archive(&store).await;
    let objects = scene.there.objects();
    let newest = objects.list("log", None).await.unwrap().pop().unwrap();
    objects.delete(&newest.name).await.unwrap();
    objects.create(&newest.name, "cut".into()).await.unwrap();
    let plan = scene.plan(None, Target::Index(then)).await.unwrap();
    assert_eq!(plan.blind, Some(LogIndex(known.0 + 1)));
    assert!(!plan.is_latest());
    scene.try_recover(&plan, Wishes::default(), "new").await.unwrap();
    let new = opened(&scene.world.dir.path().join("new")).await;
    let held: Vec<HoldId> =
        new.view().await.unwrap().holds().unwrap().iter().map(|hold| hold.id).collect();
    assert_eq!(held, [first]);
}

/// An entry of a newer program, or of a fault that somebody goes back from.
#[tokio::test]
async fn what_cannot_be_applied_later_is_no_reason_to_refuse() {
    let (scene, store, account) = Scene::new().await;
    let then = store.applied();
    let held = hold(&store, account).await;
    scene.archive(&store).await;
    let (last, kind, payload) = (store.applied(), EntryKind::Record, "no record");
    let head = store.node().head_at(last).unwrap();
    let id = LogId { term: Term(9), index: LogIndex(last.0 + 1) };
    let content = chain::content(payload.as_bytes());
    let leaf = chain::leaf(id.term, id.index, kind as u8, head.time, &content);
    let (time, stamp, position) = (head.time, head.time, head.tree.size());
    let (chain, payload) = (chain::link(&head.chain, &leaf), payload.into());
    let entry = LogEntry { id, kind, time, stamp, payload, chain, position };
    let range = Range { before: head.chain, time_before: head.time, entries: vec![entry] };
    scene.repository().await.put_range(&lineage_of(&store), &range).await.unwrap();
    let latest = scene.plan(None, Target::Latest).await.unwrap();
    let refused = scene.try_recover(&latest, Wishes::default(), "new").await.unwrap_err();
    assert!(matches!(refused, RecoverError::Store(_)), "{refused}");
    assert!(!scene.world.dir.path().join(".new.recovering").exists());
    let (new, done) = scene.recover(Target::Index(then), Wishes::default(), "new").await;
    assert_eq!(done.blind, Some(id.index));
    assert_eq!(new.view().await.unwrap().held_by(account).unwrap(), Some(held));
}

#[tokio::test]
async fn deleted_accounts_and_new_mailboxes_pass_over_what_was_given() {
    let (scene, store, account) = Scene::new().await;
    let arrival = deliver(&store, account, &mail(0)).await;
    let before = store.view().await.unwrap().mailbox(account, INBOX).unwrap().unwrap();
    submit(&store, Change::AccountDelete(AccountDelete { account })).await.unwrap();
    scene.archive(&store).await;
    let (new, _) = scene.recover(Target::Latest, Wishes::default(), "new").await;
    let view = new.view().await.unwrap();
    assert_eq!(view.account(account).unwrap(), None);
    let inbox = view.mailbox(account, INBOX).unwrap().unwrap();
    assert_eq!(inbox.uid_next, u64::from(arrival.uid.get()) + 1 + (1 << 20));
    assert!(inbox.uid_validity > before.uid_validity);
    let bob = add_account(&new, "bob", AccountSettings::default()).await;
    scene.archive(&new).await;
    let (again, _) = scene.recover(Target::Latest, Wishes::default(), "again").await;
    let create =
        MailboxCreate { account: bob, parent: None, name: "New".to_owned(), special_use: None };
    match submit(&again, Change::MailboxCreate(create)).await.unwrap() {
        Done::Mailbox(id, validity) => {
            assert!(id.0 > 1 << 20, "{id}");
            let others = again.view().await.unwrap().mailboxes(bob).unwrap();
            let others = others.iter().filter(|mailbox| mailbox.id != id);
            assert!(others.into_iter().all(|mailbox| mailbox.uid_validity < validity));
        }
        other => panic!("{other:?}"),
    }
}

/// Alice's and bob's mail, some of it the same.
async fn two_accounts(store: &Mailstore, alice: AccountId) -> AccountId {
    let bob = add_account(store, "bob", AccountSettings::default()).await;
    let settings = DomainSettings { catch_all: Some(bob), ..DomainSettings::default() };
    let domain = DOMAIN.to_owned();
    submit(store, Change::DomainSet(DomainSet { domain, settings })).await.unwrap();
    let alias = Address { local: "al".to_owned(), domain: DOMAIN.to_owned() };
    submit(store, Change::AliasAdd(AliasAdd { alias, account: alice })).await.unwrap();
    let both = || {
        let to = |account, address| recipient(account, address, None);
        vec![to(alice, "alice@example.org"), to(bob, "bob@example.org")]
    };
    deliver_to(store, &mail_with_attachment(60_000), both()).await.unwrap();
    deliver(store, alice, &mail(1)).await;
    let to_bob = vec![recipient(bob, "bob@example.org", None)];
    deliver_to(store, &mail(2), to_bob).await.unwrap();
    bob
}

#[tokio::test]
async fn one_account_comes_back_and_nothing_of_another() {
    let (scene, store, alice) = Scene::new().await;
    let bob = two_accounts(&store, alice).await;
    let then = store.applied();
    let flags = SetFlags {
        account: alice,
        mailbox: INBOX,
        reader: alice,
        uids: vec![Uid::MIN],
        how: FlagChange::Add,
        flags: Flags::FLAGGED,
        keywords: vec!["$Work".to_owned()],
        unchanged_since: None,
    };
    submit(&store, Change::SetFlags(flags)).await.unwrap();
    let held = hold(&store, alice).await;
    hold(&store, bob).await;
    scene.archive(&store).await;
    let account = |local: &str| Wishes {
        account: Some(Address { local: local.to_owned(), domain: DOMAIN.to_owned() }),
        ..Wishes::default()
    };
    let (new, done) = scene.recover(Target::Latest, account("alice"), "new").await;
    let (old, view) = (store.view().await.unwrap(), new.view().await.unwrap());
    let ids: Vec<AccountId> = view.accounts(None, 10).unwrap().iter().map(|a| a.id).collect();
    assert_eq!(ids, [alice]);
    let placements =
        |view: &View| view.placements(alice, INBOX, alice, Uid::MIN, Uid::MAX, 10).unwrap();
    assert_eq!(placements(&view.at(done.recovered.index)), placements(&old));
    assert_eq!(placements(&view.at(then)), placements(&old.at(then)));
    for placement in placements(&view) {
        assert_eq!(new.blob(&placement.blob).unwrap(), store.blob(&placement.blob).unwrap());
    }
    assert_eq!(view.login("al", DOMAIN).unwrap().unwrap().id, alice);
    assert!(
        view.login("bob", DOMAIN).unwrap().is_none() && view.login("x", DOMAIN).unwrap().is_none()
    );
    assert_eq!(view.holds().unwrap().iter().map(|hold| hold.id).collect::<Vec<_>>(), [held]);
    let of_bob = old.placements(bob, INBOX, bob, Uid::MIN, Uid::MAX, 9);
    let own = of_bob.unwrap().pop().unwrap();
    assert!(store.blobs().contains(&own.blob).unwrap());
    assert!(!new.blobs().contains(&own.blob).unwrap(), "bob's own mail");
    assert_eq!(new.blobs().ids(None, 100).unwrap().len() as u64, done.blobs);
    // It lives: mail comes, and the history of one account is archived like any other.
    deliver(&new, alice, &mail(9)).await;
    scene.archive(&new).await;
    assert_eq!(new.check(10).await.unwrap(), []);
    let refused = scene.plan(Some(&lineage_of(&new)), Target::Latest).await.unwrap_err();
    assert!(matches!(refused, PlanError::Gap { .. }), "{refused}");
    scene.base(&new).await;
    let plan = scene.plan(Some(&lineage_of(&new)), Target::Latest).await.unwrap();
    let done = scene.try_recover(&plan, Wishes::default(), "again").await.unwrap();
    assert_eq!(done.recovered.state_hash, hash(&new).await);
    // Nobody goes on from one account's part by mistake.
    let plan = scene.plan(None, Target::Latest).await.unwrap();
    assert_eq!(plan.lineage, lineage_of(&store));
    let nobody = scene.try_recover(&plan, account("nobody"), "nobody").await.unwrap_err();
    assert!(matches!(nobody, RecoverError::NoAccount { .. }), "{nobody}");
    assert!(!scene.world.dir.path().join("nobody").exists());
    assert!(!scene.world.dir.path().join(".nobody.recovering").exists());
}

/// The repository goes away after each number of answers; the next try ends well.
#[tokio::test]
async fn one_that_was_cut_short_goes_on_with_what_it_had() {
    let (scene, store, account) = Scene::new().await;
    for n in 0..4 {
        deliver(&store, account, &mail_with_attachment(30_000 * (n + 1))).await;
        scene.archive(&store).await;
    }
    let plan = scene.plan(None, Target::Latest).await.unwrap();
    let faults = &scene.there.faults;
    let repository = scene.repository().await;
    let before = faults.calls.load(Ordering::SeqCst);
    let into = scene.world.dir.path().join("whole");
    recover(&repository, &plan, &into, Wishes::default(), &mut |_| {}).await.unwrap();
    let whole = faults.calls.load(Ordering::SeqCst) - before;
    let mut kept = 0;
    for calls in (3..whole).step_by(3) {
        let name = format!("cut-{calls}");
        let into = scene.world.dir.path().join(&name);
        let place = scene.world.dir.path().join(format!(".{name}.recovering"));
        let repository = scene.repository().await;
        faults.calls_left.store(calls, Ordering::SeqCst);
        let cut = recover(&repository, &plan, &into, Wishes::default(), &mut |_| {}).await;
        faults.calls_left.store(u64::MAX, Ordering::SeqCst);
        let cut = cut.unwrap_err();
        assert!(matches!(cut, RecoverError::Repository(_)), "{cut}");
        assert!(!into.exists());
        kept += u64::from(place.join("shards/0/blobs").exists());
        let (new, done) = scene.recover(Target::Latest, Wishes::default(), &name).await;
        assert_eq!(done.missing, 0);
        assert_eq!(count(&new, account, INBOX).await, 4);
        assert!(!place.exists());
        new.shutdown().await;
    }
    assert!(kept > 0, "of {whole} calls some were about content");
}
