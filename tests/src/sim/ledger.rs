//! What must hold at every moment, whoever looks: one history, one leader a
//! term, nothing acknowledged lost, nothing read that is older than what was
//! acknowledged or read before.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use redoubt_log::id::{Hash, LogIndex, NodeId, OperationId, Term, Timestamp};
use redoubt_log::raft::{AppliedState, Committed, LogEntry, LogId};
use redoubt_log::record::{Outcome, Record};
use redoubt_log::world::sim::Host;

/// The one history, and what was said of it. Clones are the same.
#[derive(Debug, Clone)]
pub struct Ledger(Arc<Mutex<Facts>>, Host);

#[derive(Debug, Default)]
struct Facts {
    history: BTreeMap<LogIndex, Applied>,
    logged: BTreeMap<(LogIndex, Term), (Hash, NodeId)>,
    leaders: BTreeMap<Term, NodeId>,
    acknowledged: BTreeMap<OperationId, Outcome>,
    /// Nothing older may be read any more.
    floor: Option<LogIndex>,
    broken: Option<String>,
    counts: Counts,
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
}

impl Ledger {
    /// An empty one; `host` gives the time for messages.
    pub fn new(host: Host) -> Self {
        Self(Arc::default(), host)
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
        let first = facts.history.entry(id.index).or_insert_with(|| applied.clone());
        first.state = first.state.or(state);
        let first = first.clone();
        drop(facts);
        self.1.note(id.index.0 ^ node.0.rotate_left(32));
        self.same(node, &first, id, chain, state);
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

    /// The chain after an entry that was applied somewhere.
    pub fn chain_at(&self, index: LogIndex) -> Option<Hash> {
        self.0.lock().history.get(&index).map(|applied| applied.chain)
    }
}
