//! History floors, holds, and what goes because of them, against the model: a view at a floor
//! or above is exact, one below is refused, and nothing that a view shows is dead.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![allow(unreachable_pub)]

mod operations;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use operations::{Step, steps, to_record};
use proptest::prelude::*;
use redoubt_log::id::*;
use redoubt_log::record::*;
use redoubt_store::StateHash;
use redoubt_store::apply::{APPLY_VERSION, Position, apply};
use redoubt_store::check::check;
use redoubt_store::storage::{
    KeyRange, MemStorage, Order, Read, RocksOptions, RocksStorage, Storage, StorageError, Table,
    Visitor, Walker,
};
use redoubt_store::view::{TrimAt, View};
use redoubt_tests::model::{Model, agree_above, result_without_texts};

const SMALL: RocksOptions = RocksOptions { block_cache: 1 << 20, write_buffers: 1 << 20 };

/// What retention does between two steps, by small numbers.
#[derive(Debug, Clone)]
enum Act {
    Nothing,
    /// A floor so many entries ago; account 0 is the directory.
    Floor {
        account: u64,
        ago: u64,
    },
    Hold {
        account: u64,
    },
    Release {
        hold: u64,
    },
    Trim {
        account: u64,
        pieces: usize,
    },
    /// Some emails of an account, by a number, and one that there is not.
    Erase {
        account: u64,
        pick: u64,
    },
    /// Blobs that may die, and some that may not, as decided so many entries ago.
    Die {
        ago: u64,
        lie: u64,
    },
}

fn acts() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => Just(Act::Nothing),
        4 => (0u64..5, 0u64..60).prop_map(|(account, ago)| Act::Floor { account, ago }),
        1 => (0u64..5).prop_map(|account| Act::Hold { account }),
        2 => (0u64..5).prop_map(|hold| Act::Release { hold }),
        4 => (0u64..5, 1usize..9).prop_map(|(account, pieces)| Act::Trim { account, pieces }),
        3 => (0u64..9, 0u64..400).prop_map(|(ago, lie)| Act::Die { ago: ago.saturating_sub(6), lie }),
    ]
}

/// Two replicas, the model, and the log between them.
struct Run {
    memory: MemStorage,
    rocks: RocksStorage,
    model: Model,
    log: Vec<(Position, Record)>,
    clock: i64,
    _dir: tempfile::TempDir,
}

/// What the model has no opinion of is left out.
fn of_opinion(result: Result<Done, Rejection>) -> Result<Done, Rejection> {
    let result = match result_without_texts(result) {
        // What dies, and when it is to be decided again, is looked at in `Run::die`.
        Err(Rejection::HeldSince) => Done::Dead(Vec::new()),
        result => result?,
    };
    match result {
        Done::Trimmed(_) => Ok(Done::Trimmed(0)),
        Done::Dead(_) => Ok(Done::Dead(Vec::new())),
        Done::More(_) => Ok(Done::More(false)),
        done => Ok(done),
    }
}

impl Run {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let rocks = RocksStorage::open(dir.path(), &SMALL).unwrap();
        let (memory, model) = (MemStorage::new(), Model::new());
        Self { memory, rocks, model, log: Vec::new(), clock: 1_700_000_000_000, _dir: dir }
    }

    fn view(&self) -> View {
        View::new(Arc::new(self.memory.clone())).unwrap()
    }

    fn record(&mut self, record: Record) -> Result<Done, Rejection> {
        let index = LogIndex(self.log.len() as u64 + 1);
        let time = Timestamp(self.clock);
        let position = Position { index, term: Term(1), time, mark: Vec::new() };
        let outcome = apply(&mut self.memory, &position, &record).unwrap();
        assert_eq!(apply(&mut self.rocks, &position, &record).unwrap(), outcome);
        let expected = self.model.apply(index, time, &record);
        let (found, wanted) = (of_opinion(outcome.result.clone()), of_opinion(expected.result));
        assert_eq!(found, wanted, "{:?}", record.change);
        let hash = |reader: &dyn redoubt_store::storage::Read| StateHash::stored(reader).unwrap();
        assert_eq!(hash(&self.memory), hash(&self.rocks));
        self.log.push((position, record));
        outcome.result
    }

    fn change(&mut self, change: Change) -> Result<Done, Rejection> {
        let mut operation = [0xcc; 16];
        operation[..8].copy_from_slice(&(self.log.len() as u64).to_le_bytes());
        let operation = OperationId(operation);
        let (actor, why) = (Actor::SYSTEM, Why::default());
        self.record(Record { stamp: Timestamp(0), operation, actor, why, change })
    }

    fn act(&mut self, act: &Act) {
        let now = self.log.len() as u64;
        match *act {
            Act::Nothing => {}
            Act::Floor { account, ago } => {
                let floor = LogIndex(now.saturating_sub(ago));
                let (account, time) = (AccountId(account), Timestamp(now as i64));
                drop(self.change(Change::HistoryFloor(HistoryFloor { account, floor, time })));
            }
            Act::Hold { account } => {
                let scope = HoldScope::Account(AccountId(account));
                drop(self.change(Change::HoldSet(HoldSet::over(scope))));
            }
            Act::Release { hold } => {
                drop(self.change(Change::HoldRelease(HoldRelease::of(HoldId(hold)))));
            }
            Act::Trim { account, pieces } => self.trim(AccountId(account), pieces, 7),
            Act::Erase { account, pick } => self.erase(AccountId(account), pick),
            Act::Die { ago, lie } => self.die(now.saturating_sub(ago), lie),
        }
    }

    /// So many pieces of the work behind a floor, each of about so many rows.
    fn trim(&mut self, account: AccountId, pieces: usize, rows: usize) {
        let mut at = Some(TrimAt::default());
        for _ in 0..pieces {
            let Some(from) = at else { return };
            let (rows, next) = self.view().trimmable(account, from, rows).unwrap();
            at = next;
            if !rows.is_empty() {
                drop(self.change(Change::HistoryTrim(HistoryTrim { account, rows })));
            }
        }
    }

    /// Up to three emails, live or gone.
    fn erase(&mut self, account: AccountId, pick: u64) {
        let known = self.view().emails_ever(account, None, 1000).unwrap();
        let at = |n: u64| known.get((pick.wrapping_mul(7) + n) as usize % known.len().max(1));
        let mut emails: Vec<EmailId> = (0..3).filter_map(at).copied().collect();
        emails.push(EmailId { sequence: Sequence(pick), ordinal: 9 });
        emails.sort_unstable();
        emails.dedup();
        let mut erasure = OperationId([0xee; 16]);
        erasure.0[..8].copy_from_slice(&(self.log.len() as u64).to_le_bytes());
        let (list, asked) = (vec![BlobId([1; 32])], BlobId([2; 32]));
        let (count, review) = (emails.len() as u64, false);
        let begin = EraseBegin { erasure, account, asked, list, emails: count, review };
        if self.change(Change::EraseBegin(begin)).is_err() {
            return;
        }
        let piece = ErasePiece { erasure, account, first: 0, emails: emails.clone() };
        let Ok(Done::Erased(answers)) = self.change(Change::ErasePiece(piece)) else { panic!() };
        let view = self.view();
        for (email, answer) in emails.iter().zip(answers) {
            let gone = view.email_ever(account, *email).unwrap().is_none();
            assert_eq!(gone, !matches!(answer, Err(Rejection::Held(_))), "{answer:?}");
        }
    }

    fn die(&mut self, decided: u64, lie: u64) {
        let mut blobs = self.view().unreferenced(None, 5).unwrap();
        blobs.push(BlobId::of(&lie.to_le_bytes()));
        let named = blobs.clone();
        let record = BlobsDead { blobs, decided: LogIndex(decided) };
        let Ok(Done::Dead(answers)) = self.change(Change::BlobsDead(record)) else { return };
        for (blob, answer) in named.iter().zip(answers) {
            let died = self.view().dead_since(blob).unwrap().is_some();
            assert_eq!(answer.is_ok(), died);
            assert!(!died || !self.model.is_needed(blob), "{blob} is shown, and died");
        }
    }

    /// Raises the level, and counts what came before.
    fn raise(&mut self) {
        self.change(Change::Version(Version { apply: APPLY_VERSION })).unwrap();
        while self.view().references_counted().unwrap().is_none() {
            self.change(Change::CountReferences(CountReferences {})).unwrap();
        }
    }

    fn compare(&self) {
        let view = self.view();
        let rocks = View::new(Arc::new(self.rocks.snapshot().unwrap())).unwrap();
        let floors = &self.model.floors;
        agree_above(&view, &self.model.now, floors);
        agree_above(&rocks, &self.model.now, floors);
        for (n, (index, state)) in self.model.past.iter().enumerate() {
            agree_above(&view.at(*index), state, floors);
            if n % 16 == 0 {
                agree_above(&rocks.at(*index), state, floors);
            }
        }
        for (account, floor) in floors {
            assert_eq!(view.history_floor(*account).unwrap().unwrap().floor, *floor);
        }
        for (blob, _) in view.dead_blobs(None, 10_000).unwrap() {
            assert!(!self.model.is_needed(&blob), "{blob} is shown, and dead");
        }
        for view in [view, rocks] {
            assert_eq!(check(&view, &|_| Ok(()), 20).unwrap(), []);
        }
        let mut again = MemStorage::new();
        self.replay(&mut again);
        let stored = StateHash::stored(&self.memory).unwrap();
        assert_eq!(StateHash::stored(&again).unwrap(), stored);
        assert_eq!(StateHash::recompute(&self.rocks).unwrap(), stored);
    }

    fn replay(&self, storage: &mut impl Storage) {
        for (position, record) in &self.log {
            apply(storage, position, record).unwrap();
        }
    }
}

fn run(steps: &[(Step, Act)], raised: usize) -> Run {
    let mut run = Run::new();
    for (n, (step, act)) in steps.iter().enumerate() {
        if n == raised {
            run.raise();
        }
        run.clock += step.passes();
        let record = to_record(step, &run.model, n as u64);
        drop(run.record(record));
        if n >= raised {
            run.act(act);
        }
    }
    run
}

fn plans() -> impl Strategy<Value = Vec<(Step, Act)>> {
    steps(90..140).prop_flat_map(|steps| {
        let acts = prop::collection::vec(acts(), steps.len());
        acts.prop_map(move |acts| steps.clone().into_iter().zip(acts).collect())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3, failure_persistence: None, max_shrink_iters: 400, ..Default::default() })]

    #[test]
    fn views_at_the_floor_and_above_are_exact(plan in plans(), raised in 0usize..70) {
        run(&plan, if raised > 40 { 0 } else { raised }).compare();
    }

    /// Everything lets go at last: one version of each thing that is there is left.
    #[test]
    fn what_may_go_goes(plan in plans()) {
        let mut run = run(&plan, 0);
        for hold in 1..60 {
            run.act(&Act::Release { hold });
        }
        let accounts = run.model.now.accounts.len() as u64;
        for account in (1..=accounts).chain([0]) {
            run.act(&Act::Floor { account, ago: 60 });
            run.trim(AccountId(account), usize::MAX, 40);
            let mut at = Some(TrimAt::default());
            while let Some(from) = at {
                let (rows, next) = run.view().trimmable(AccountId(account), from, 40).unwrap();
                let newest = |row: &TrimRow| matches!(row, TrimRow::Record(_));
                assert_eq!(rows.iter().filter(|row| !newest(row)).count(), 0, "{rows:?}");
                at = next;
            }
        }
        run.compare();
        let decided = run.log.len() as u64;
        run.die(decided, 0);
        let left = run.view().unreferenced(None, 10_000).unwrap();
        let died = run.view().dead_blobs(None, 10_000).unwrap().len();
        prop_assert!(left.is_empty() || died > 0, "{} wait, {died} died", left.len());
        run.compare();
    }
}

impl Run {
    /// With an account, its only one.
    fn with_account() -> (Self, AccountId) {
        let mut run = Self::new();
        run.raise();
        let (domain, settings) = ("example.org".to_owned(), DomainSettings::default());
        run.change(Change::DomainAdd(DomainAdd { domain: domain.clone(), settings })).unwrap();
        let address = Address { local: "alice".into(), domain };
        let add = AccountAdd { address, settings: AccountSettings::default(), password: None };
        run.change(Change::AccountAdd(add)).unwrap();
        (run, AccountId(1))
    }

    fn append(&mut self, account: AccountId, count: u64) {
        let item = |n: u64| {
            let blob = BlobId::of(&[self.log.len() as u64, n].map(u64::to_le_bytes).concat());
            let thread = ThreadKeys { message_ids: Vec::new(), subject: ThreadKey([0; 16]) };
            let message = Message { blob, original: blob, size: 100, thread };
            let (received, flags, keywords) = (Timestamp(0), Flags::NONE, Vec::new());
            AppendItem { message, received, flags, keywords, uid: None, operation: None }
        };
        let items = (0..count).map(item).collect();
        let mailbox = MailboxId(1);
        self.change(Change::Append(Append { account, mailbox, items })).unwrap();
    }

    /// Some are flagged, the ones behind them expunged.
    fn work_on(&mut self, account: AccountId, first: u32, count: u32) {
        let uids = |first| (first..first + count).map(|uid| Uid::new(uid).unwrap()).collect();
        let (mailbox, reader) = (MailboxId(1), account);
        self.change(Change::SetFlags(SetFlags {
            account,
            mailbox,
            reader,
            uids: uids(first),
            how: FlagChange::Add,
            flags: Flags::SEEN,
            keywords: Vec::new(),
            unchanged_since: None,
        }))
        .unwrap();
        let expunge = Expunge { account, mailbox, uids: uids(first + count), only_deleted: false };
        self.change(Change::Expunge(expunge)).unwrap();
    }
}

/// Tables, and how many rows of them were looked at.
#[derive(Debug)]
struct Counted(MemStorage, AtomicU64);

impl Read for Counted {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.get(table, key)
    }

    fn visit(
        &self,
        table: Table,
        range: &KeyRange,
        order: Order,
        visitor: Visitor<'_>,
    ) -> Result<(), StorageError> {
        self.0.visit(table, range, order, &mut |key, value| {
            self.1.fetch_add(1, Ordering::Relaxed);
            visitor(key, value)
        })
    }

    fn walk(&self, table: Table, range: &KeyRange, walker: Walker<'_>) -> Result<(), StorageError> {
        self.0.walk(table, range, &mut |key, value| {
            self.1.fetch_add(1, Ordering::Relaxed);
            walker(key, value)
        })
    }
}

/// What SELECT with QRESYNC asks a mailbox of then: at the price of what has changed since what
/// the client knows, however long the history is.
#[test]
fn a_mailbox_of_then_resynchronises_without_its_whole_history() {
    let (mut run, account) = Run::with_account();
    (0..5).for_each(|_| run.append(account, 400));
    let known = run.log.len() as u64;
    run.work_on(account, 100, 5);
    let at = LogIndex(run.log.len() as u64);
    run.work_on(account, 300, 5);
    run.append(account, 1);
    let counted = Arc::new(Counted(run.memory.clone(), AtomicU64::new(0)));
    let view = View::new(counted.clone()).unwrap().at(at);
    let changes = view.changed_since(account, MailboxId(1), ModSeq(known)).unwrap();
    assert!(changes.complete);
    let uids =
        |first: u32| (first..first + 5).map(|uid| Uid::new(uid).unwrap()).collect::<Vec<_>>();
    assert_eq!(changes.changed.iter().map(|(uid, _)| *uid).collect::<Vec<_>>(), uids(100));
    assert_eq!(changes.vanished, uids(105));
    let changed = counted.1.swap(0, Ordering::Relaxed);
    assert!(changed < 200, "{changed} rows were looked at for 10 changes of 2,000 emails");
    let named = view.mailbox_named(account, "INBOX").unwrap().unwrap();
    let (there, unseen) = view.opened(account, named.id, account).unwrap();
    assert_eq!((there.len(), unseen.len()), (1995, 1990));
    let opened = counted.1.load(Ordering::Relaxed);
    assert!(opened < 300, "{opened} rows were looked at to open it");
}

#[test]
fn holds_keep_floors_where_they_are() {
    let (mut run, account) = Run::with_account();
    let floor = |floor| {
        let (floor, time) = (LogIndex(floor), Timestamp(0));
        Change::HistoryFloor(HistoryFloor { account, floor, time })
    };
    run.change(floor(2)).unwrap();
    assert_eq!(run.change(floor(1)), Err(Rejection::FloorBack(LogIndex(2))));
    let scope = HoldScope::Account(account);
    let held = run.change(Change::HoldSet(HoldSet::over(scope))).unwrap();
    let Done::Hold(hold) = held else { panic!("{held:?}") };
    assert_eq!(run.change(floor(3)), Err(Rejection::Held(hold)));
    assert_eq!(run.view().held_by(account).unwrap(), Some(hold));
    run.change(Change::HoldRelease(HoldRelease::of(hold))).unwrap();
    run.change(floor(3)).unwrap();
    assert_eq!(run.model.floors, BTreeMap::from([(account, LogIndex(3))]));
    run.compare();
}

/// What a hold keeps stays, and why is on record; what was erased before stays erased, whatever
/// holds say after going back.
#[test]
fn a_hold_beats_an_erasure_and_not_the_ledger() {
    let (mut run, account) = Run::with_account();
    run.append(account, 3);
    run.work_on(account, 1, 1);
    let emails = run.view().emails_ever(account, None, 10).unwrap();
    let scope = HoldScope::Account(account);
    let Ok(Done::Hold(hold)) = run.change(Change::HoldSet(HoldSet::over(scope))) else { panic!() };
    run.act(&Act::Erase { account: account.0, pick: 1 });
    let view = run.view();
    let (first, row) = view.erasures().unwrap()[0].clone();
    assert_eq!((row.kept, row.erased), (3, 0));
    let kept = view.erase_kept(first, None, 10).unwrap();
    assert!(kept.iter().all(|(_, why)| *why == Rejection::Held(hold)) && kept.len() == 3);
    let (erasure, begun) = (OperationId([7; 16]), Timestamp(5));
    let one = ErasuresKept { erasure, account, begun, emails: vec![emails[0]] };
    run.change(Change::ErasuresKept(one.clone())).unwrap();
    assert_eq!(run.view().erased_by(account, emails[0]).unwrap(), Some(erasure));
    assert!(run.view().email_ever(account, emails[0]).unwrap().is_none());
    assert!(run.view().email_ever(account, emails[1]).unwrap().is_some());
    // A second time changes nothing.
    run.change(Change::ErasuresKept(one)).unwrap();
    assert_eq!(run.view().erasure(erasure).unwrap().unwrap().erased, 1);
    run.change(Change::HoldRelease(HoldRelease::of(hold))).unwrap();
    run.act(&Act::Erase { account: account.0, pick: 1 });
    let ever = run.view().emails_ever(account, None, 10).unwrap();
    assert!(ever.is_empty(), "{ever:?}");
    assert_eq!(check(&run.view(), &|_| Ok(()), 20).unwrap(), []);
    let left = run.view().unreferenced(None, 10).unwrap();
    assert_eq!(left.len(), 3);
}
