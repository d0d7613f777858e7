//! Who must not be believed: what peers show of their disks is noted as it comes,
//! and held against them when they come back with less. A node that has just
//! started asks the others before it gives or takes votes, since only they know
//! what its disk has forgotten.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use openraft::async_runtime::watch::WatchReceiver;
use tokio::time::Instant;

use crate::id::{NodeId, Term};
use crate::raft::hub::Hub;
use crate::raft::seen::{Life, Shown};
use crate::raft::types::from_raft;
use crate::raft::wire::{AppendHead, Lane, Refusal};
use crate::segment::LogId;

/// How long a voter may take to say what it knows of this node.
const LOOK: Duration = Duration::from_millis(1500);

/// After so long all members know of one that has joined.
const KNOWN: Duration = Duration::from_secs(1);

impl Hub {
    /// Whether an entry is in this log, near its end, and committed.
    pub(crate) fn is_committed(&self, id: LogId) -> bool {
        let committed = self
            .raft()
            .and_then(|raft| raft.metrics().borrow_watched().local_committed.map(from_raft));
        committed.is_some_and(|committed| id.index <= committed.index)
            && self.log.recent(id.index).is_some_and(|(here, _)| here == id)
    }

    /// Notes what a peer has shown that it has.
    pub(crate) fn shown(&self, peer: NodeId, life: Life, shown: &Shown) {
        if let Some(seen) = &self.seen {
            seen.note(peer, life, shown);
        }
    }

    /// Notes what a leader says that is durable in its own log.
    pub(crate) fn leader_has(
        &self,
        peer: NodeId,
        life: Life,
        head: &AppendHead,
        durable: Option<LogId>,
    ) {
        let leader = *head.vote.vote().leader_id();
        if leader.voted_for == peer.0 {
            self.shown(peer, life, &Shown::acked(Term(leader.term), durable));
        }
    }

    /// What a peer has acknowledged to the leader of a term.
    pub(crate) fn acked(&self, peer: NodeId, term: Term) -> Option<LogId> {
        self.seen.as_ref()?.acked(peer, term)
    }

    /// Keeps for good what was acknowledged and is committed by now.
    pub(crate) fn settle_seen(&self) {
        if let Some(seen) = &self.seen {
            seen.settle(&|id| self.is_committed(id));
        }
    }

    /// A peer has lost what it had acknowledged: it is spoken to no more.
    pub(crate) fn has_reverted(&self, node: NodeId, seen: LogId, said: Option<LogId>) -> Refusal {
        let refusal = Refusal::Restored { node, seen, said };
        self.condemn(node, &refusal);
        self.hang_up(node, &refusal.to_string());
        refusal
    }

    pub(crate) fn condemn(&self, node: NodeId, why: &Refusal) {
        if self.seen.as_ref().is_some_and(|seen| seen.condemn(node, why.clone())) {
            tracing::error!(%node, %why, "a node is refused");
        }
        self.refused.lock().insert(node, why.to_string());
        self.note_trouble(node, why);
    }

    /// Whether this node belongs to its group no more: as its own log says, or as all say
    /// that it hears.
    pub(crate) fn is_removed(&self) -> bool {
        if self.peers().is_none() {
            return false;
        }
        // Those who were asked before may not have known yet that it has joined.
        let known_by = self.member_since.get().map(|since| *since + KNOWN);
        known_by
            .is_some_and(|then| self.member(self.me()).is_none() || self.is_known_to_nobody(then))
    }

    /// Remembers since when this node has known itself to be a member.
    pub(crate) fn look_for_itself(&self) {
        if self.member_since.get().is_none() && self.member(self.me()).is_some() {
            let _ = self.member_since.set(Instant::now());
        }
    }

    /// Asks every other voter once, whether it answers or not.
    pub(crate) async fn look_around(self: Arc<Self>) {
        let voters: Vec<NodeId> = self.others().into_iter().filter(|n| self.is_voter(*n)).collect();
        let deadline = Instant::now() + LOOK;
        let asked = voters.into_iter().map(|voter| {
            let link = self.link(voter, Lane::Votes);
            async move { drop(link.conn(deadline).await) }
        });
        join_all(asked).await;
        self.looked.send_replace(true);
    }

    /// Resolves when the other voters were asked what they know of this node.
    pub(crate) async fn looked_around(&self) {
        let mut looked = self.looked.subscribe();
        drop(looked.wait_for(|looked| *looked).await);
    }
}
