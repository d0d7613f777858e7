//! Deliveries, copies, expunges, holds, floors and reclaim at random, against the model: what
//! lives, is held or may be shown reads on every octet, and when all is let go nothing else is
//! on the disk.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use proptest::prelude::*;
use redoubt_log::blob::{BlobOptions, BlobStore, IndexKind, PartEncoding, PartHint};
use redoubt_log::disk::sim::SimDisk;
use redoubt_log::id::*;
use redoubt_log::record::*;
use redoubt_log::segment::{SegmentLog, SegmentOptions};
use redoubt_store::apply::{APPLY_VERSION, Position, apply};
use redoubt_store::check::check;
use redoubt_store::mailstore::StoreError;
use redoubt_store::reclaim::{Reclaimer, State};
use redoubt_store::storage::MemStorage;
use redoubt_store::view::{TrimAt, View};
use redoubt_tests::model::Model;
use tokio::runtime::Runtime;

const ACCOUNTS: u64 = 3;
/// Different messages; more come than there are, so that some come again.
const MESSAGES: u8 = 20;

#[derive(Debug, Clone)]
enum Act {
    Deliver {
        message: u8,
        to: u8,
    },
    Append {
        message: u8,
        account: u64,
        mailbox: u32,
    },
    Copy {
        account: u64,
        from: u32,
        to: u32,
        leave: bool,
    },
    Expunge {
        account: u64,
        mailbox: u32,
        every: u64,
    },
    /// A floor so many entries ago, and the work behind it.
    Floor {
        account: u64,
        ago: u64,
    },
    Hold {
        account: u64,
    },
    Release,
    Die,
    Reclaim {
        share: u64,
    },
    /// The power goes off.
    Crash {
        worst: bool,
    },
}

fn acts() -> impl Strategy<Value = Act> {
    let (account, mailbox) = (|| 1..=ACCOUNTS, || 1u32..3);
    prop_oneof![
        8 => (0..MESSAGES, 0u8..8).prop_map(|(message, to)| Act::Deliver { message, to }),
        3 => (0..MESSAGES, account(), mailbox())
            .prop_map(|(message, account, mailbox)| Act::Append { message, account, mailbox }),
        3 => (account(), mailbox(), mailbox(), any::<bool>())
            .prop_map(|(account, from, to, leave)| Act::Copy { account, from, to, leave }),
        5 => (account(), mailbox(), 1u64..4)
            .prop_map(|(account, mailbox, every)| Act::Expunge { account, mailbox, every }),
        5 => (0..=ACCOUNTS, 0u64..20).prop_map(|(account, ago)| Act::Floor { account, ago }),
        1 => account().prop_map(|account| Act::Hold { account }),
        1 => Just(Act::Release),
        3 => Just(Act::Die),
        4 => prop_oneof![Just(1), Just(25), Just(60)].prop_map(|share| Act::Reclaim { share }),
        1 => any::<bool>().prop_map(|worst| Act::Crash { worst }),
    ]
}

/// The octets of a message: some small, some with an attachment that others have too, some of
/// them large.
fn message(n: u8) -> (Vec<u8>, Option<PartHint>) {
    let head = format!("Subject: {n}\r\n\r\n").into_bytes();
    let len = [0, 0, 900, 5_000, 20_000][usize::from(n % 5)];
    let seed = BlobId::of(&[n % 10]).0;
    let attachment: Vec<u8> = (0..len).map(|at| seed[at % 32] ^ (at / 32) as u8).collect();
    let hint =
        PartHint { start: head.len() as u64, len: len as u64, encoding: PartEncoding::Identity };
    ([head, attachment].concat(), (len > 0).then_some(hint))
}

/// What is applied, as one node has it.
#[derive(Debug, Default)]
struct Views(Mutex<MemStorage>);

impl State for Views {
    fn view(&self) -> Result<View, StoreError> {
        View::new(Arc::new(self.0.lock().clone()))
    }

    fn applied(&self) -> Option<LogIndex> {
        self.view().ok()?.applied().map(|applied| applied.index)
    }

    fn bound(&self) -> Option<LogIndex> {
        self.applied()
    }

    fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn pace(&self, _: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

struct Run {
    runtime: Runtime,
    disk: SimDisk,
    blobs: BlobStore,
    /// Nothing is on its way.
    log: SegmentLog,
    views: Arc<Views>,
    model: Model,
    entries: u64,
    holds: Vec<HoldId>,
    put: BTreeSet<BlobId>,
    /// Parts of messages that are no messages.
    parts: BTreeSet<BlobId>,
    /// The emails that are there, and those that were, and until when.
    live: BTreeMap<(AccountId, EmailId), BlobId>,
    left: Vec<(AccountId, LogIndex, BlobId)>,
    /// Whether the index was built anew: it then has forgotten parts again.
    rebuilt: bool,
}

fn open(disk: &SimDisk) -> BlobStore {
    let options = BlobOptions {
        pack_bytes: 64 << 10,
        large: 8 << 10,
        part_threshold: 512,
        level: 1,
        index: IndexKind::Memory,
        ..BlobOptions::default()
    };
    BlobStore::open(Arc::new(disk.clone()), Path::new("/blobs"), options).unwrap().0
}

impl Run {
    fn new(seed: u64) -> Self {
        let disk = SimDisk::new(seed);
        let options = SegmentOptions {
            segment_bytes: 64 << 10,
            tail_bytes: 16 << 10,
            batch_bytes: 8 << 10,
            idle_mark: None,
            ..SegmentOptions::default()
        };
        let empty = Arc::new(SimDisk::new(0));
        let (log, _) = SegmentLog::open(empty, Path::new("/log"), options).unwrap();
        let mut run = Self {
            runtime: Runtime::new().unwrap(),
            blobs: open(&disk),
            log,
            disk,
            views: Arc::default(),
            model: Model::new(),
            entries: 0,
            holds: Vec::new(),
            put: BTreeSet::new(),
            parts: BTreeSet::new(),
            live: BTreeMap::new(),
            left: Vec::new(),
            rebuilt: false,
        };
        run.begin();
        run
    }

    fn begin(&mut self) {
        self.change(Change::Version(Version { apply: APPLY_VERSION })).unwrap();
        let (domain, settings) = ("example.org".to_owned(), DomainSettings::default());
        self.change(Change::DomainAdd(DomainAdd { domain: domain.clone(), settings })).unwrap();
        for n in 1..=ACCOUNTS {
            let address = Address { local: format!("user{n}"), domain: domain.clone() };
            let settings = AccountSettings::default();
            self.change(Change::AccountAdd(AccountAdd { address, settings, password: None }))
                .unwrap();
            let (account, parent, name) = (AccountId(n), None, "other".to_owned());
            let create = MailboxCreate { account, parent, name, special_use: None };
            self.change(Change::MailboxCreate(create)).unwrap();
        }
    }

    fn view(&self) -> View {
        self.views.view().unwrap()
    }

    fn change(&mut self, change: Change) -> Result<Done, Rejection> {
        self.entries += 1;
        let (index, time) = (LogIndex(self.entries), Timestamp(self.entries as i64 * 1000));
        let mut operation = OperationId([7; 16]);
        operation.0[..8].copy_from_slice(&self.entries.to_le_bytes());
        let (actor, why) = (Actor::SYSTEM, Why::default());
        let record = Record { stamp: time, operation, actor, why, change };
        let position = Position { index, term: Term(1), time, mark: Vec::new() };
        let outcome = apply(&mut *self.views.0.lock(), &position, &record).unwrap();
        self.model.apply(index, time, &record);
        self.model.past.clear();
        let accounts = self.model.now.accounts.iter();
        let live = accounts.flat_map(|(id, account)| {
            account.emails.iter().map(|(email, data)| ((*id, *email), data.blob))
        });
        let before = std::mem::replace(&mut self.live, live.collect());
        let left = before.into_iter().filter(|(email, _)| !self.live.contains_key(email));
        self.left.extend(left.map(|((account, _), blob)| (account, index, blob)));
        outcome.result
    }

    /// As whoever brings mail does: it is durable before the record is.
    fn put(&mut self, n: u8) -> Message {
        let (octets, hint) = message(n);
        let hints: Vec<PartHint> = hint.into_iter().collect();
        let blob = self.blobs.put_message(&octets, &hints).unwrap().id;
        self.blobs.wait_durable(&[blob]).unwrap();
        self.put.insert(blob);
        let part = hints.first().map(|hint| BlobId::of(&octets[hint.start as usize..]));
        self.put.extend(part);
        self.parts.extend(part);
        let thread = ThreadKeys { message_ids: Vec::new(), subject: ThreadKey([n; 16]) };
        Message { blob, original: blob, size: octets.len() as u64, thread }
    }

    fn act(&mut self, act: &Act) {
        match *act {
            Act::Deliver { message, to } => self.deliver(message, to),
            Act::Append { message, account, mailbox } => {
                let (account, mailbox) = (AccountId(account), MailboxId(mailbox));
                let item = AppendItem {
                    message: self.put(message),
                    received: Timestamp(1),
                    flags: Flags::NONE,
                    keywords: Vec::new(),
                    uid: None,
                    operation: None,
                };
                let append = Append { account, mailbox, items: vec![item] };
                drop(self.change(Change::Append(append)));
            }
            Act::Copy { account, from, to, leave } => self.copy(account, from, to, leave),
            Act::Expunge { account, mailbox, every } => {
                let uids = (1..400).step_by(every as usize).filter_map(Uid::new).collect();
                let (account, mailbox) = (AccountId(account), MailboxId(mailbox));
                let expunge = Expunge { account, mailbox, uids, only_deleted: false };
                drop(self.change(Change::Expunge(expunge)));
            }
            Act::Floor { account, ago } => self.floor(AccountId(account), ago),
            Act::Hold { account } => {
                let scope = HoldScope::Account(AccountId(account));
                if let Ok(Done::Hold(hold)) = self.change(Change::HoldSet(HoldSet::over(scope))) {
                    self.holds.push(hold);
                }
            }
            Act::Release => {
                if let Some(hold) = self.holds.pop() {
                    self.change(Change::HoldRelease(HoldRelease::of(hold))).unwrap();
                }
            }
            Act::Die => self.die(),
            Act::Reclaim { share } => self.reclaim(share),
            Act::Crash { worst } => self.crash(worst),
        }
    }

    /// To nobody, too: then all that came may go.
    fn deliver(&mut self, message: u8, to: u8) {
        let message = self.put(message);
        let envelope = self.blobs.put(&self.entries.to_le_bytes()).unwrap().id;
        self.blobs.wait_durable(&[envelope]).unwrap();
        self.put.insert(envelope);
        let to = (1..=ACCOUNTS + 1).filter(|n| to >> (n % 4) & 1 == 1);
        let recipient = |account| Recipient {
            account: AccountId(account),
            mailbox: MailboxId(1),
            operation: None,
            flags: Flags::NONE,
            keywords: Vec::new(),
        };
        let (received, recipients) = (Timestamp(1), to.map(recipient).collect());
        let deliver = Deliver { message, received, envelope, recipients };
        drop(self.change(Change::Deliver(deliver)));
    }

    fn copy(&mut self, account: u64, from: u32, to: u32, leave: bool) {
        let (account, from, to) = (AccountId(account), MailboxId(from), MailboxId(to));
        let there = self.view().placements(account, from, account, Uid::MIN, Uid::MAX, 5).unwrap();
        let items = there.iter().map(|p| Placed { uid: p.uid, email: p.email }).collect();
        drop(match leave {
            true => self.change(Change::Copy(Copy { account, from, to, items })),
            false => self.change(Change::Move(Move { account, from, to, items })),
        });
    }

    fn floor(&mut self, account: AccountId, ago: u64) {
        let (floor, time) = (LogIndex(self.entries.saturating_sub(ago)), Timestamp(0));
        drop(self.change(Change::HistoryFloor(HistoryFloor { account, floor, time })));
        let mut at = Some(TrimAt::default());
        while let Some(from) = at {
            let (rows, next) = self.view().trimmable(account, from, 500).unwrap();
            at = next;
            if !rows.is_empty() {
                drop(self.change(Change::HistoryTrim(HistoryTrim { account, rows })));
            }
        }
    }

    fn die(&mut self) {
        let (blobs, decided) = (self.view().unreferenced(None, 500).unwrap(), self.view().index());
        if !blobs.is_empty() {
            drop(self.change(Change::BlobsDead(BlobsDead { blobs, decided })));
        }
    }

    fn reclaim(&mut self, share: u64) {
        let (blobs, log, state) = (self.blobs.clone(), self.log.clone(), self.views.clone());
        let reclaimer = Reclaimer { blobs, log, state, share };
        self.runtime.block_on(reclaimer.round()).unwrap();
        self.compare();
    }

    fn crash(&mut self, worst: bool) {
        self.disk = if worst { self.disk.worst() } else { self.disk.crash() };
        (self.blobs, self.rebuilt) = (open(&self.disk), true);
        self.compare();
    }

    /// Everything that somebody may ask for is here, every octet of it.
    fn compare(&self) {
        let shown = self.left.iter().filter(|(account, at, _)| *at > self.model.floor(*account));
        let needed: BTreeSet<BlobId> =
            shown.map(|(_, _, blob)| *blob).chain(self.live.values().copied()).collect();
        for n in 0..MESSAGES {
            let (octets, _) = message(n);
            let blob = BlobId::of(&octets);
            if needed.contains(&blob) {
                let read = self.blobs.reader(&blob).and_then(|reader| reader.read_all(1 << 20));
                assert!(read.as_ref().is_ok_and(|read| *read == octets), "message {n}: {read:?}");
            }
        }
        let there = |blob: &BlobId| match self.blobs.reader(blob) {
            Ok(reader) => reader.read_all(1 << 20).map(drop).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        assert_eq!(check(&self.view(), &there, 20).unwrap(), []);
        assert_eq!(self.blobs.stats().damaged, 0);
    }

    /// Nothing is held, and all that was is let go.
    fn let_go(&mut self) {
        while !self.holds.is_empty() {
            self.act(&Act::Release);
        }
        for account in (1..=ACCOUNTS).chain([0]) {
            self.floor(AccountId(account), 1);
        }
        self.die();
        assert_eq!(self.view().unreferenced(None, 10).unwrap(), []);
    }

    /// What every blob that is there is needed for.
    fn needed(&self) -> BTreeSet<BlobId> {
        let view = self.view();
        let named = self.put.iter().filter(|blob| !view.referrers(blob, 1).unwrap().is_empty());
        let named: BTreeSet<BlobId> = named.copied().collect();
        let parts = named.iter().flat_map(|blob| {
            let head = self.blobs.exporter(blob).unwrap().head().clone();
            head.parts
        });
        parts.chain(named.iter().copied()).collect()
    }

    /// Whether a frame of one of these is in a pack: every frame carries its blob's id.
    fn are_in_packs(&self, blobs: &[BlobId]) -> bool {
        let first: BTreeSet<&[u8]> = blobs.iter().map(|blob| &blob.0[..8]).collect();
        let files = self.disk.files().into_iter();
        let mut packs = files.filter(|path| path.extension().is_some_and(|e| e == "pack"));
        packs.any(|path| self.disk.bytes(&path).unwrap().windows(8).any(|w| first.contains(w)))
    }

    /// Packs are sealed by a thread of their own, when nobody waits for it.
    fn reclaim_all(&mut self) {
        let needed = self.needed();
        let spared = |blob: &BlobId| self.rebuilt && self.parts.contains(blob);
        let gone = self.put.difference(&needed).filter(|blob| !spared(blob));
        let gone: Vec<BlobId> = gone.copied().collect();
        for _ in 0..200 {
            self.reclaim(0);
            let ids = self.blobs.ids(None, 100_000).unwrap().into_iter();
            let spared = |blob: &BlobId| self.rebuilt && self.parts.contains(blob);
            let ids: BTreeSet<_> =
                ids.filter(|blob| needed.contains(blob) || !spared(blob)).collect();
            if ids == needed && !self.are_in_packs(&gone) {
                return;
            }
            std::thread::yield_now();
        }
        let left: Vec<_> = gone.into_iter().filter(|blob| self.are_in_packs(&[*blob])).collect();
        panic!("what nobody needs is still in the packs: {left:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, max_shrink_iters: 300, ..Default::default() })]

    #[test]
    fn what_is_needed_reads_and_nothing_else_stays(
        plan in prop::collection::vec(acts(), 60..120),
        seed in 0u64..1000,
    ) {
        let mut run = Run::new(seed);
        for act in &plan { let b = std::time::Instant::now(); run.act(act); if b.elapsed().as_millis() > 300 { eprintln!("DEBUG {act:?} {:?}", b.elapsed()); } }
        run.compare();
        run.let_go();
        run.reclaim_all();
        run.crash(true);
    }
}
