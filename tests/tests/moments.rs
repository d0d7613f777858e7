//! At random moments of random histories time travel, a copy and a recovery out of the
//! repository each are what the model says was there, UIDs and flags included; what a recovery
//! makes of it is what the model makes of its records; and what was held last is held.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![allow(unreachable_pub)]

mod operations;
mod worlds;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, LazyLock};

use operations::{Step, steps};
use proptest::prelude::*;
use redoubt_log::blob::{BlobOptions, BlobStore};
use redoubt_log::chain::{self, Head};
use redoubt_log::disk::RealDisk;
use redoubt_log::disk::sim::SimDisk;
use redoubt_log::id::*;
use redoubt_log::raft::{EntryKind, LogEntry, LogId, begin_log};
use redoubt_log::record::*;
use redoubt_log::segment::{SegmentLog, SegmentOptions};
use redoubt_snapshot::BaseDir;
use redoubt_snapshot::plan::{Plan, Target, lineage, plan};
use redoubt_snapshot::recover::{Done as Recovered, Wishes, recover, replay};
use redoubt_snapshot::repo::pack::Draft;
use redoubt_snapshot::repo::range::Range;
use redoubt_snapshot::repo::{KeyWish, Objects, Repository};
use redoubt_store::apply::{Position, apply};
use redoubt_store::check::check;
use redoubt_store::mailstore::{Binding, Mailstore, Options, Replay, only_account, renewal};
use redoubt_store::storage::MemStorage;
use redoubt_store::view::View;
use redoubt_tests::model::{HoldM, Model, State, agree};
use tokio::runtime::Runtime;
use worlds::{Logged, World, copy, kinds};

const LINEAGE: &str = "0123456789abcdef0123456789abcdef";

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// What random records name, by its hash.
static CONTENT: LazyLock<BTreeMap<BlobId, [u8; 8]>> = LazyLock::new(|| {
    let all = (0..2_000u64).chain(1_000_000..1_001_000).map(u64::to_le_bytes);
    all.map(|octets| (BlobId::of(&octets), octets)).collect()
});

/// A history's log: a first entry, a group of one node, then the records.
fn entries(world: &World) -> Vec<LogEntry> {
    let (id, time, payload) = (LogId { term: Term(0), index: LogIndex(0) }, Timestamp(0), "");
    let kind = EntryKind::Blank;
    let content = chain::content(payload.as_bytes());
    let mut head = Head::default();
    head.push(time, &chain::leaf(id.term, id.index, kind as u8, time, &content));
    let (chain, payload, position) = (head.chain, payload.into(), 0);
    let first = LogEntry { id, kind, time, stamp: time, payload, chain, position };
    let options = SegmentOptions { segment_bytes: 4 << 20, ..SegmentOptions::default() };
    let disk = Arc::new(SimDisk::new(1));
    let (log, _) = SegmentLog::open(disk, Path::new("/log"), options).unwrap();
    let records: Vec<Record> = world.log.iter().map(|logged| logged.record.clone()).collect();
    let last = begin_log(&log, id, head, NodeId(1), &records).unwrap();
    let rest = log.read(LogIndex(1)..LogIndex(last.index.0 + 1), usize::MAX).unwrap();
    log.close().unwrap();
    let all: Vec<LogEntry> = std::iter::once(first).chain(rest).collect();
    assert!((0..).zip(&all).all(|(n, entry)| entry.id.index == LogIndex(n)));
    for logged in &world.log {
        assert_eq!(all[logged.index.0 as usize].time, logged.time);
    }
    all
}

/// The repository that an archive would have made, in ranges of these lengths.
async fn archived(world: &World, cuts: &[usize]) -> Repository {
    let objects = Objects::in_memory();
    let repository = Repository::open_or_make(objects, &KeyWish::Plain).await.unwrap();
    repository.put_secret(LINEAGE, &[7; 32]).await.unwrap();
    content(world, &repository).await;
    let (mut before, mut time_before) = (Hash::default(), Timestamp(0));
    let mut rest = &entries(world)[..];
    for cut in cuts.iter().cycle() {
        let (some, more) = rest.split_at((*cut).min(rest.len()));
        let Some(last) = some.last() else { break };
        let range = Range { before, time_before, entries: some.to_vec() };
        repository.put_range(LINEAGE, &range).await.unwrap();
        (before, time_before, rest) = (last.chain, last.time, more);
    }
    repository
}

/// All content that records name and that can be had.
async fn content(world: &World, repository: &Repository) {
    let named: BTreeSet<BlobId> =
        world.log.iter().flat_map(|logged| logged.record.blobs()).collect();
    let dir = tempfile::tempdir().unwrap();
    let options = BlobOptions::default();
    let (store, _) = BlobStore::open(Arc::new(RealDisk), dir.path(), options).unwrap();
    let mut draft = Draft::new(false);
    for octets in named.iter().filter_map(|id| CONTENT.get(id)) {
        let exported = store.export(&store.put(octets).unwrap().id).unwrap();
        draft.add(&exported.head, 0, &exported.body).unwrap();
    }
    if !draft.is_empty() {
        repository.put_pack(draft).await.unwrap();
    }
}

/// Holds, their ends, and what their queries come to among the steps.
fn hold(world: &mut World, n: u64) {
    let account = AccountId(1 + n % 4);
    let domain = ["example.org", "example.net"][(n % 2) as usize].to_owned();
    let query = |over| HoldScope::Query(HoldQuery { over, text: "subject:report".into() });
    let scope = match n % 5 {
        0 => HoldScope::Domain(domain),
        1 => query(HoldOver::Domain(domain)),
        2 => query(HoldOver::All),
        3 => query(HoldOver::Accounts(vec![account, AccountId(9)])),
        _ => HoldScope::Account(account),
    };
    let hold = HoldId(n / 22);
    let change = match n % 11 {
        3 => Change::HoldSet(HoldSet { delay: n % 3, ..HoldSet::over(scope) }),
        5 => judge(world, n),
        7 => Change::HoldRelease(HoldRelease { hold, delay: n % 2 }),
        8 => Change::HoldStays(HoldStays { hold }),
        9 => Change::HoldEnd(HoldEnd { hold }),
        _ => return,
    };
    drop(world.submit(change));
}

/// Every other email of an account is held by a query.
fn judge(world: &World, n: u64) -> Change {
    let (view, account) = (world.view(), AccountId(1 + n % 4));
    let holds = view.holds_over(account).unwrap();
    let queries = holds.iter().filter(|hold| hold.terms.scope.query().is_some());
    let hold = queries.map(|hold| hold.id).min().unwrap_or(HoldId(1));
    let emails = view.unjudged(hold, account, 3).unwrap();
    let nothing = EmailId { sequence: Sequence(1 << 40), ordinal: 0 };
    let marks = emails.iter().step_by(2).map(|email| (*email, Held::Matches)).collect();
    let upto = emails.last().copied().unwrap_or(nothing);
    let after = view.judged(hold, account).unwrap().upto;
    Change::HoldMarks(HoldMarks { hold, judged: vec![Judged { account, after, upto, marks }] })
}

fn world(steps: &[Step]) -> World {
    let mut world = World::dense();
    for (n, step) in (1..).zip(steps) {
        world.step(n, step);
        hold(&mut world, n);
    }
    world
}

struct Scene {
    world: World,
    repository: Repository,
    binding: Binding,
}

impl Scene {
    fn plan(&self, target: Target) -> Plan {
        RUNTIME.block_on(async {
            let lineage = lineage(&self.repository, None).await.unwrap();
            plan(&self.repository, &lineage, target, &mut |_| {}).await.unwrap()
        })
    }

    /// The state of a moment, from the repository alone.
    fn state(&self, plan: &Plan) -> Replay<MemStorage> {
        let state = Replay::new(MemStorage::new(), Head::default()).unwrap();
        RUNTIME.block_on(replay(&self.repository, &plan.stages, state, &mut |_| {})).unwrap()
    }

    /// What binds whoever goes back there, from the repository alone.
    fn bound(&self, plan: &Plan, state: &Replay<MemStorage>) -> Binding {
        let later = Replay::new(state.storage().clone(), state.head().clone()).unwrap();
        let later = RUNTIME.block_on(replay(&self.repository, &plan.later, later, &mut |_| {}));
        Binding::of(&later.unwrap().view().unwrap()).unwrap()
    }

    fn at(&self, index: LogIndex, hash: Hash) {
        let then = &self.world.model.past[&index];
        agree(&self.world.view().at(index), then);
        let plan = self.plan(Target::Index(index));
        let mut state = self.state(&plan);
        assert_eq!(state.state_hash().unwrap(), hash);
        let view = state.view().unwrap();
        agree(&view, then);
        let earlier = LogIndex(1 + index.0 / 2);
        if let Some(then) = self.world.model.past.get(&earlier) {
            agree(&view.at(earlier), then);
        }
        let binding = self.bound(&plan, &state);
        assert_eq!(binding, self.binding);
        self.parts(index, &state);
        state.leap().unwrap();
        self.renewed(index, state, &binding);
    }

    /// One account's part is what the model says of that account, then and earlier.
    fn parts(&self, index: LogIndex, state: &Replay<MemStorage>) {
        let then = &self.world.model.past[&index];
        for id in then.accounts.keys().chain(then.deleted.keys()) {
            let mut part = MemStorage::new();
            only_account(state.storage(), &mut part, *id).unwrap();
            let view = View::new(Arc::new(part)).unwrap();
            assert_eq!(check(&view, &|_| Ok(()), 20).unwrap(), []);
            for at in [index, LogIndex(1 + index.0 / 2)] {
                if let Some(state) = self.world.model.past.get(&at) {
                    agree(&view.at(at), &part_of(&self.world.model, index, state, *id));
                }
            }
        }
    }

    /// The new history begins as the model says, and with nothing given twice.
    fn renewed(&self, index: LogIndex, state: Replay<MemStorage>, binding: &Binding) {
        let before = state.view().unwrap();
        let node = before.next_node().unwrap();
        let begin = NewLineage { from: LINEAGE.into(), index, to: "f".repeat(32), node };
        let changes = renewal(&before, begin, true, binding).unwrap();
        let mut model = self.world.model.as_of(index);
        model.holds = holds(&before);
        let (mut storage, mut at) = (state.storage().clone(), before.index().0);
        for change in changes {
            at += 1;
            let record = Record {
                stamp: Timestamp(0),
                operation: OperationId(u128::from(at).to_le_bytes()),
                actor: Actor::SYSTEM,
                why: Why::default(),
                change,
            };
            let (index, time) = (LogIndex(at), Timestamp(2_100_000_000_000));
            let position = Position { index, term: Term(9), time, mark: Vec::new() };
            let found = apply(&mut storage, &position, &record).unwrap().result;
            let expected = model.apply(index, time, &record).result;
            assert_eq!(kinds(&found), kinds(&expected), "{record:?}");
            // UIDs that are used up cannot stand in for others.
            let used_up = found == Err(Rejection::UidsExhausted);
            assert!(found.is_ok() || used_up, "{found:?}: {record:?}");
        }
        let after = View::new(Arc::new(storage)).unwrap();
        self.nobody_escapes(&before, &after);
        agree(&after, &model.now);
        agree(&after.at(index), &self.world.model.past[&index]);
        assert_eq!(check(&after, &|_| Ok(()), 20).unwrap(), []);
        nothing_twice(&before, &after, &model);
        let known = |hold: &redoubt_store::view::Hold| match hold.terms.scope.reach() {
            Reach::Accounts(all) => all.iter().any(|account| before.has_account(*account).unwrap()),
            _ => true,
        };
        let held: Vec<_> = self.binding.holds.iter().filter(|hold| known(hold)).cloned().collect();
        assert_eq!(after.holds().unwrap(), held);
        assert_eq!(after.next_hold().unwrap(), self.binding.next_hold);
    }

    /// Every account that was under a hold last, and is there, is under it.
    fn nobody_escapes(&self, before: &View, after: &View) {
        let last = self.world.view();
        for hold in last.holds().unwrap() {
            for account in last.reached_by(&hold).unwrap() {
                if before.has_account(account).unwrap() {
                    let over = after.holds_over(account).unwrap();
                    assert!(over.contains(&hold), "account {account} escaped {hold:?}");
                }
            }
        }
    }

    /// In the folder of a real node.
    fn on_disk(&self, index: LogIndex, hash: Hash) {
        let dir = tempfile::tempdir().unwrap();
        let into = dir.path().join("new");
        let plan = self.plan(Target::Index(index));
        let wishes = Wishes { missing: true, ..Wishes::default() };
        let done = RUNTIME.block_on(recover(&self.repository, &plan, &into, wishes, &mut |_| {}));
        let Recovered { recovered, missing, .. } = done.unwrap();
        assert_eq!((recovered.index, recovered.state_hash), (index, hash));
        RUNTIME.block_on(async {
            let mut options = Options::new(&into);
            let base = into.join("shards/0/base");
            options.bases = Some(Arc::new(BaseDir::new(Arc::new(RealDisk), base)));
            let store = Mailstore::open(options).await.unwrap();
            let view = store.view().await.unwrap();
            agree(&view.at(index), &self.world.model.past[&index]);
            let found = store.check(1000).await.unwrap();
            let lacking = found.iter().filter(|violation| violation.check == "blob").count();
            assert_eq!(found.len(), lacking, "{found:?}");
            assert!(missing > 0 || lacking == 0, "{found:?}");
            store.shutdown().await;
        });
    }
}

/// What is left of a state when only one account's part of its history up to an index is.
fn part_of(model: &Model, upto: LogIndex, state: &State, id: AccountId) -> State {
    let mut domains = BTreeSet::new();
    for state in model.past.range(..=upto).map(|(_, state)| state) {
        domains.extend(state.accounts.get(&id).map(|account| account.address.domain.clone()));
        let own = state.aliases.iter().filter(|(_, owner)| **owner == id);
        domains.extend(own.map(|(alias, _)| alias.domain.clone()));
    }
    let mut part = state.clone();
    part.domains.retain(|name, _| domains.contains(name));
    for settings in part.domains.values_mut() {
        settings.catch_all = settings.catch_all.filter(|account| *account == id);
    }
    part.accounts.retain(|account, _| *account == id);
    part.aliases.retain(|_, owner| *owner == id);
    part.deleted.clear();
    // Rules of capture, and what is counted by domain, are of no one account.
    part.rules.clear();
    part.domains_captured.clear();
    part.captured.retain(|account, _| *account == id);
    let mailboxes = part.accounts.values_mut().flat_map(|account| &mut account.mailboxes);
    let messages = mailboxes.flat_map(|mailbox| &mut mailbox.messages);
    messages.for_each(|message| message.readers.retain(|reader| *reader == id));
    part
}

fn holds(view: &View) -> BTreeMap<HoldId, HoldM> {
    let one = |hold: redoubt_store::view::Hold| {
        let redoubt_store::view::Hold { id, terms, set, at, releasing } = hold.clone();
        let stay = view.reached_by(&hold).unwrap().into_iter().collect();
        (id, HoldM { terms, set, at, releasing, stay, judged: BTreeMap::new() })
    };
    view.holds().unwrap().into_iter().map(one).collect()
}

/// Neither UIDs nor UIDVALIDITYs nor ids of mailboxes, of deleted accounts either.
fn nothing_twice(before: &View, after: &View, model: &Model) {
    for id in model.now.accounts.keys().chain(model.now.deleted.keys()) {
        for old in before.mailboxes(*id).unwrap() {
            let new = after.mailbox(*id, old.id).unwrap().unwrap();
            assert!(new.uid_validity > old.uid_validity, "{new:?}");
            let passed = old.uid_next + (1 << 20);
            assert!(new.uid_next >= passed || passed > u64::from(u32::MAX), "{new:?}");
        }
    }
}

fn at_random_moments(steps: &[Step], picks: &[u16], cuts: &[usize]) {
    let world = world(steps);
    let repository = RUNTIME.block_on(archived(&world, cuts));
    let binding = Binding::of(&world.view()).unwrap();
    let scene = Scene { world, repository, binding };
    let log = &scene.world.log;
    for pick in picks {
        let logged = &log[usize::from(*pick) % log.len()];
        scene.at(logged.index, logged.hash);
    }
    let Logged { index, time, hash, .. } = &log[usize::from(picks[0]) % log.len()];
    scene.on_disk(*index, *hash);
    let last = log.iter().rfind(|other| other.time <= *time).unwrap();
    assert_eq!(scene.plan(Target::Time(*time)).index, last.index);
    for id in scene.world.model.past[index].accounts.keys() {
        copy(&scene.world, *id, *index);
    }
    assert!(scene.plan(Target::Latest).is_latest());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, failure_persistence: None, max_shrink_iters: 60, ..Default::default() })]

    #[test]
    fn then_is_then_however_one_goes_back(
        steps in steps(70..130),
        picks in prop::collection::vec(any::<u16>(), 30),
        cuts in prop::collection::vec(1usize..40, 4),
    ) {
        at_random_moments(&steps, &picks, &cuts);
    }
}
