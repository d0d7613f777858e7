//! Whether a peer's log and this one are one history. What was committed here is
//! never cut off because a peer says otherwise: the shard stops and says why.

use crate::id::LogIndex;
use crate::raft::hub::Hub;
use crate::raft::types::decode_vote;
use crate::raft::wire::{AppendHead, Received};
use crate::segment::LogId;

impl Hub {
    /// Whether entries of a leader go on from this log.
    ///
    /// # Errors
    /// Why the two are not one history: this shard must stop.
    pub(crate) fn check_history(
        &self,
        head: &AppendHead,
        entries: &[Received],
    ) -> Result<(), String> {
        if let (Some(prev), Some(chain)) = (head.prev, head.prev_chain)
            && let Some((here, ours)) = self.log.recent(prev.index)
            && here == prev
            && ours != chain
        {
            return Err(differ(prev));
        }
        // What a leader of the past says is refused by its vote.
        if self.is_of_the_past(head) {
            return Ok(());
        }
        let committed = self.log.committed().map(|id| id.index);
        entries.iter().try_for_each(|entry| self.check_committed(entry, committed))
    }

    fn is_of_the_past(&self, head: &AppendHead) -> bool {
        let vote = head.vote.vote();
        let ours = self.log.vote().and_then(|bytes| decode_vote(&bytes).ok());
        ours.is_some_and(|ours| vote.leader_id().term < ours.leader_id().term)
    }

    fn check_committed(&self, entry: &Received, committed: Option<LogIndex>) -> Result<(), String> {
        if Some(entry.id.index) > committed {
            return Ok(());
        }
        match self.log.recent(entry.id.index) {
            Some(here) if here != (entry.id, entry.chain) => Err(differ(entry.id)),
            _ => Ok(()),
        }
    }
}

fn differ(at: LogId) -> String {
    format!(
        "the leader's log and this one differ at {at}, though it is the same entry or committed \
         here: one of the two is damaged. Nothing was cut off. Compare both with a third node, \
         remove the wrong one and join it again under a new id"
    )
}
