//! Who differs, of nodes that say what they have at one index. Pure.

use std::collections::BTreeMap;
use std::fmt;

use redoubt_log::id::{Hash, LogIndex, NodeId};
use serde::{Deserialize, Serialize};

use super::Summary;
use crate::alarms::AlarmKind;

/// What came of comparing nodes at an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Where they were compared.
    pub index: LogIndex,
    /// Nodes that have the same as most, this one included where it does.
    pub same: Vec<NodeId>,
    /// Those that did not answer in time.
    pub silent: Vec<NodeId>,
    /// Those that differ.
    pub differences: Vec<Difference>,
}

/// A node that has something else than the others at the same index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Which.
    pub node: NodeId,
    /// What differs: [`AlarmKind::State`] or [`AlarmKind::Chain`].
    pub kind: AlarmKind,
    /// Where.
    pub index: LogIndex,
    /// What is known of it.
    pub how: How,
    /// The first row that differs, where it was found.
    pub place: Option<String>,
    /// Whom to ask for that row.
    #[serde(skip)]
    pub(super) ask: Option<NodeId>,
}

/// How it is known that it is this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// Its rows do not have the hash that it kept with them.
    Itself,
    /// Most others agree with each other.
    Minority,
    /// There are only two opinions: it may be the other.
    Either,
}

/// An alarm's subject.
pub(super) fn subject(node: NodeId) -> String {
    format!("node {node}")
}

impl Difference {
    /// An alarm's subject.
    pub(super) fn subject(&self) -> String {
        subject(self.node)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, index, .. } = self;
        match self.how {
            How::Itself => write!(f, "node {node}'s rows do not have the hash kept with them")?,
            How::Minority => write!(f, "node {node} differs from the other nodes")?,
            How::Either => write!(f, "node {node} differs from another, either may be wrong,")?,
        }
        write!(f, " at index {index}")?;
        if let Some(place) = &self.place {
            write!(f, ": {place}")?;
        }
        match self.kind {
            AlarmKind::Chain => write!(
                f,
                "; its log is of another history: remove it and join it again under a new id"
            ),
            _ => write!(
                f,
                "; on that node: stop it, `redoubt rebuild`, start it; if it comes again, remove \
                 it and join it again"
            ),
        }
    }
}

/// Compares what nodes have. `me` finds the rows: where it is odd itself it asks
/// one of the others, else the odd one.
pub(super) fn judge(me: NodeId, ours: &Summary, others: &BTreeMap<NodeId, Summary>) -> Verdict {
    let mut all: BTreeMap<NodeId, &Summary> = others.iter().map(|(node, s)| (*node, s)).collect();
    all.insert(me, ours);
    let mut differences = Vec::new();
    let chains = all.iter().map(|(node, summary)| (*node, summary.chain)).collect();
    odd(&chains, AlarmKind::Chain, ours.index, How::Minority, &mut differences);
    let torn = |summary: &Summary| summary.rows != summary.kept;
    let rows = |keep: &dyn Fn(&Summary) -> bool| -> BTreeMap<NodeId, Hash> {
        let rows = all.iter().filter(|(_, summary)| keep(summary));
        rows.filter_map(|(node, summary)| Some((*node, summary.rows?))).collect()
    };
    let sound = rows(&|summary| !torn(summary));
    for node in rows(&torn).into_keys() {
        let (index, kind, how) = (ours.index, AlarmKind::State, How::Itself);
        differences.push(Difference { node, kind, index, how, place: None, ask: None });
    }
    odd(&sound, AlarmKind::State, ours.index, How::Minority, &mut differences);
    let is_odd = |node: &NodeId| differences.iter().any(|difference| difference.node == *node);
    let same: Vec<NodeId> = all.keys().filter(|node| !is_odd(node)).copied().collect();
    for difference in &mut differences {
        difference.ask = match difference.node == me {
            true => same.iter().chain(others.keys()).find(|node| **node != me).copied(),
            false => Some(difference.node),
        };
    }
    Verdict { index: ours.index, same, silent: Vec::new(), differences }
}

/// Those that have not what most have; all when there is no most.
fn odd(
    hashes: &BTreeMap<NodeId, Hash>,
    kind: AlarmKind,
    index: LogIndex,
    how: How,
    differences: &mut Vec<Difference>,
) {
    let count = |hash: &Hash| hashes.values().filter(|other| *other == hash).count();
    let most = hashes.values().max_by_key(|hash| count(hash)).copied();
    let decided = most.is_some_and(|most| count(&most) * 2 > hashes.len());
    if hashes.values().all(|hash| Some(*hash) == most) {
        return;
    }
    let how = if decided { how } else { How::Either };
    for (node, _) in hashes.iter().filter(|(_, hash)| !decided || Some(**hash) != most) {
        differences.push(Difference { node: *node, kind, index, how, place: None, ask: None });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use redoubt_log::id::Timestamp;

    use super::*;

    fn has(chain: u8, rows: u8, kept: u8) -> Summary {
        let hash = |n| Hash([n; 32]);
        Summary {
            index: LogIndex(9),
            time: Timestamp(1),
            chain: hash(chain),
            kept: Some(hash(kept)),
            rows: Some(hash(rows)),
            tables: Vec::new(),
        }
    }

    fn judged(ours: Summary, others: &[Summary]) -> Verdict {
        let others = others.iter().enumerate();
        let others = others.map(|(n, s)| (NodeId(n as u64 + 2), s.clone())).collect();
        judge(NodeId(1), &ours, &others)
    }

    fn odd_ones(verdict: &Verdict) -> Vec<(u64, AlarmKind, How, Option<u64>)> {
        let odd = verdict.differences.iter();
        odd.map(|d| (d.node.0, d.kind, d.how, d.ask.map(|node| node.0))).collect()
    }

    #[test]
    fn nobody_differs() {
        let verdict = judged(has(1, 1, 1), &[has(1, 1, 1), has(1, 1, 1)]);
        assert_eq!((verdict.same.len(), verdict.differences.len()), (3, 0));
        assert!(judged(has(1, 1, 1), &[]).differences.is_empty());
    }

    #[test]
    fn the_odd_one_of_three_is_named_by_all() {
        let verdict = judged(has(1, 1, 1), &[has(1, 1, 1), has(1, 2, 2)]);
        assert_eq!(odd_ones(&verdict), [(3, AlarmKind::State, How::Minority, Some(3))]);
        let verdict = judged(has(1, 2, 2), &[has(1, 1, 1), has(1, 1, 1)]);
        assert_eq!(odd_ones(&verdict), [(1, AlarmKind::State, How::Minority, Some(2))]);
        let verdict = judged(has(2, 1, 1), &[has(1, 1, 1), has(1, 1, 1)]);
        assert_eq!(odd_ones(&verdict), [(1, AlarmKind::Chain, How::Minority, Some(2))]);
        let text = verdict.differences[0].to_string();
        assert!(text.contains("node 1") && text.contains("index 9") && text.contains("join"));
    }

    #[test]
    fn of_two_the_one_that_differs_from_itself_or_either() {
        let verdict = judged(has(1, 1, 1), &[has(1, 2, 1)]);
        assert_eq!(odd_ones(&verdict), [(2, AlarmKind::State, How::Itself, Some(2))]);
        let verdict = judged(has(1, 2, 1), &[]);
        assert_eq!(odd_ones(&verdict), [(1, AlarmKind::State, How::Itself, None)]);
        let verdict = judged(has(1, 1, 1), &[has(1, 2, 2)]);
        let either = |node, ask| (node, AlarmKind::State, How::Either, Some(ask));
        assert_eq!(odd_ones(&verdict), [either(1, 2), either(2, 2)]);
    }
}
