//! What must hold at every moment, whoever looks: one history, one leader a
//! term, nothing acknowledged lost, nothing read that is older than what was
//! acknowledged or read before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use redoubt_log::id::{BlobId, Hash, LogIndex, NodeId, OperationId, Term, Timestamp};
use redoubt_log::raft::{AppliedState, Committed, LogEntry, LogId};
use redoubt_log::record::{Outcome, Record, Rejection};
use redoubt_log::world::sim::Host;

/// How far the log's time may be ahead of the true one, where all clocks show that.
const AHEAD_MS: i64 = 1;

/// The one history, and what was said of it. Clones are the same.
#[derive(Debug, Clone)]
pub struct Ledger(Arc<Mutex<Facts>>, Host);

#[derive(Debug, Default)]
struct Facts {
    history: BTreeMap<LogIndex, Applied>,
    logged: BTreeMap<(LogIndex, Term), (Hash, NodeId)>,
    leaders: BTreeMap<Term, NodeId>,
    acknowledged: BTreeMap<OperationId, Outcome>,
    /// The entries by which blobs died last.
    deaths: BTreeMap<BlobId, LogIndex>,
    /// Whether the nodes' clocks are never set wrong.
    true_clocks: bool,
    /// Nothing older may be read any more.
    floor: Option<LogIndex>,
    broken: Option<String>,
    counts: Counts,
}

impl Facts {
    /// What is wrong with an entry's time: the log's time never moves back, and is never
    /// ahead of clocks that are right.
    fn wrong_time(&self, index: LogIndex, time: Timestamp, now: Timestamp) -> Option<String> {
        let before = self.history.range(..index).next_back().map(|(_, entry)| entry.time);
        let behind =
            self.history.range(index..).nth(usize::from(self.history.contains_key(&index)));
        let behind = behind.map(|(_, entry)| entry.time);
        if before > Some(time) || behind.is_some_and(|behind| behind < time) {
            return Some(format!("the log's time goes back: {before:?}, {time:?}, {behind:?}"));
        }
        let ahead = time.0 - now.0;
        (self.true_clocks && ahead > AHEAD_MS)
            .then(|| format!("its time is {ahead} ms ahead of every clock"))
    }
}

/// An entry as the first node applied it.
#[derive(Debug, Clone)]
pub struct Applied {
    /// Its id.
    pub id: LogId,
    /// Its effective time.
    pub time: Timestamp,
    /// Its record, if it has one.
    pub record: Option<Record>,
    chain: Hash,
    /// After it, once a node with views has said so.
    state: Option<Hash>,
}

/// How much a run has seen, so that a test can tell that it saw enough.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records acknowledged.
    pub acknowledged: u64,
    /// Proposals whose fate was not known at first.
    pub unknown: u64,
    /// Linearizable reads that were answered.
    pub reads: u64,
    /// Terms with a leader.
    pub terms: u64,
    /// Entries that every node went through, one by one.
    pub applied: u64,
    /// Nodes that came up again.
    pub restarts: u64,
    /// Faults, each kind once.
    pub faults: u64,
    /// Changes of the members that were done.
    pub changes: u64,
    /// Snapshots installed.
    pub snapshots: u64,
    /// Crashes of nodes to which a snapshot was on its way.
    pub interrupted: u64,
    /// Records, and raised levels, that were refused while a member did not know them.
    pub refused: u64,
    /// Programs exchanged for newer or older ones.
    pub exchanged: u64,
    /// Nodes that came back with an older disk than they had, and were refused.
    pub restored: u64,
    /// Blobs that died.
    pub died: u64,
    /// Packs that went with their dead.
    pub packs_removed: u64,
}

impl Ledger {
    /// An empty one; `host` has the true time.
    pub fn new(host: Host, true_clocks: bool) -> Self {
        let facts = Facts { true_clocks, ..Facts::default() };
        Self(Arc::new(Mutex::new(facts)), host)
    }

    /// Something that must never be has happened.
    pub fn violation(&self, what: impl ToString) {
        let at = self.1.elapsed();
        let mut facts = self.0.lock();
        facts.broken.get_or_insert_with(|| format!("after {at:?}: {}", what.to_string()));
    }

    /// The first violation.
    pub fn broken(&self) -> Option<String> {
        self.0.lock().broken.clone()
    }

    /// A node has applied an entry, and its state has this hash, if it has one.
    pub fn applied(&self, node: NodeId, entry: &Committed, state: Option<Hash>) {
        let LogEntry { id, time, chain, .. } = entry.entry;
        let mut facts = self.0.lock();
        facts.counts.applied += 1;
        let applied = Applied { id, time, record: entry.record.clone(), chain, state };
        let wrong = facts.wrong_time(id.index, time, self.1.time_of_day());
        let first = facts.history.entry(id.index).or_insert_with(|| applied.clone());
        first.state = first.state.or(state);
        let first = first.clone();
        drop(facts);
        self.1.note(id.index.0 ^ node.0.rotate_left(32));
        if let Some(wrong) = wrong {
            self.violation(format!("node {node} applied {id}, {wrong}"));
        }
        self.same(node, &first, id, chain, state);
    }

    /// Blobs died by an entry.
    pub fn died(&self, index: LogIndex, blobs: &[BlobId], answers: &[Result<(), Rejection>]) {
        let mut facts = self.0.lock();
        for (blob, _) in blobs.iter().zip(answers).filter(|(_, answer)| answer.is_ok()) {
            if facts.deaths.get(blob) < Some(&index) {
                facts.deaths.insert(*blob, index);
                facts.counts.died += 1;
            }
        }
    }

    /// Whether a blob died behind an entry: who has that need not have it.
    pub fn died_after(&self, blob: &BlobId, index: LogIndex) -> bool {
        self.0.lock().deaths.get(blob) > Some(&index)
    }

    /// A node has a snapshot in place of its state.
    pub fn installed(&self, node: NodeId, at: &AppliedState, state: Option<Hash>) {
        let mut facts = self.0.lock();
        facts.counts.snapshots += 1;
        let first = facts.history.get(&at.id.index).cloned();
        drop(facts);
        match first {
            Some(first) => self.same(node, &first, at.id, at.chain, state),
            None => {
                self.violation(format!("node {node} got a snapshot of {}, applied nowhere", at.id))
            }
        }
    }

    fn same(&self, node: NodeId, first: &Applied, id: LogId, chain: Hash, state: Option<Hash>) {
        if (first.id, first.chain) != (id, chain) {
            self.violation(format!("node {node} applied {id} where another applied {}", first.id));
        } else if state.is_some() && first.state != state {
            self.violation(format!("node {node} has another state than others after {id}"));
        }
    }

    /// A node has this entry in its log, committed or not.
    pub fn logged(&self, node: NodeId, entry: &LogEntry) {
        let key = (entry.id.index, entry.id.term);
        let first = *self.0.lock().logged.entry(key).or_insert((entry.chain, node));
        if first.0 != entry.chain {
            self.violation(format!("the logs of {node} and {} differ up to {}", first.1, entry.id));
        }
    }

    /// Somebody says who leads.
    pub fn leads(&self, term: Term, leader: NodeId) {
        let first = *self.0.lock().leaders.entry(term).or_insert(leader);
        if first != leader {
            self.violation(format!("term {term} has two leaders: {first} and {leader}"));
        }
    }

    /// A client was told that its record is committed and applied.
    pub fn acknowledged(&self, operation: OperationId, outcome: &Outcome) {
        let mut facts = self.0.lock();
        facts.counts.acknowledged += 1;
        facts.floor = facts.floor.max(Some(outcome.index));
        let of = facts.history.get(&outcome.index).and_then(|e| e.record.as_ref());
        let right = of.is_some_and(|record| record.operation == operation);
        let same =
            facts.acknowledged.entry(operation).or_insert_with(|| outcome.clone()) == outcome;
        drop(facts);
        if !right {
            self.violation(format!("{} was acknowledged, and is not that record", outcome.index));
        } else if !same {
            self.violation(format!("a retry of {} had another outcome", outcome.index));
        }
    }

    /// The least that a read which begins now must see.
    pub fn floor(&self) -> Option<LogIndex> {
        self.0.lock().floor
    }

    /// A read that began at `floor` saw the state at `seen`.
    pub fn read(&self, node: NodeId, floor: Option<LogIndex>, seen: Option<LogIndex>) {
        if seen < floor {
            let what = format!("node {node} read {seen:?} when {floor:?} was acknowledged or read");
            return self.violation(what);
        }
        let mut facts = self.0.lock();
        facts.counts.reads += 1;
        facts.floor = facts.floor.max(seen);
    }

    /// Counts something.
    pub fn count(&self, what: impl FnOnce(&mut Counts)) {
        what(&mut self.0.lock().counts);
    }

    /// How much was seen.
    pub fn counts(&self) -> Counts {
        let facts = self.0.lock();
        Counts { terms: facts.leaders.len() as u64, ..facts.counts }
    }

    /// The committed entries, by index.
    pub fn history(&self) -> Vec<Applied> {
        self.0.lock().history.values().cloned().collect()
    }

    /// The blobs of records up to and with an entry that did not die behind theirs.
    pub fn blobs_upto(&self, index: LogIndex) -> BTreeSet<BlobId> {
        let facts = self.0.lock();
        let upto = facts.history.range(..=index);
        let named = upto.flat_map(|(at, applied)| {
            let blobs = applied.record.iter().flat_map(Record::blobs);
            blobs.map(|blob| (blob, *at))
        });
        let alive = |(blob, at): &(BlobId, LogIndex)| facts.deaths.get(blob).is_none_or(|d| d < at);
        named.filter(alive).map(|(blob, _)| blob).collect()
    }

    /// The chain after an entry that was applied somewhere.
    pub fn chain_at(&self, index: LogIndex) -> Option<Hash> {
        self.0.lock().history.get(&index).map(|applied| applied.chain)
    }
}
