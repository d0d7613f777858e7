//! The state machine of a node, and the ledger beside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use redoubt_log::id::NodeId;
use redoubt_log::raft::{AppliedState, Checkpoint, Committed, Fatal, StateMachine};
use redoubt_log::record::{Change, Done, Outcome};
use redoubt_log::world::sim::Host;
use redoubt_store::sim::SimViews;

use super::ledger::Ledger;

/// What the log is applied to, with somebody who looks on.
pub(super) struct Watched {
    pub(super) node: NodeId,
    pub(super) light: bool,
    /// Counts the snapshots that are installed.
    pub(super) installed: Arc<AtomicU64>,
    pub(super) machine: Box<dyn StateMachine>,
    pub(super) views: SimViews,
    pub(super) ledger: Ledger,
    pub(super) main: Host,
}

impl Watched {
    /// The state's hash, where there is a state.
    fn hash(&self) -> Result<Option<redoubt_log::id::Hash>, Fatal> {
        match self.light {
            true => Ok(None),
            false => self.views.state_hash().map(Some).map_err(Fatal::new),
        }
    }
}

impl StateMachine for Watched {
    fn applied(&mut self) -> Result<Option<AppliedState>, Fatal> {
        self.machine.applied()
    }

    fn apply(&mut self, entry: Committed) -> Result<Option<Outcome>, Fatal> {
        let outcome = self.machine.apply(entry.clone())?;
        self.ledger.applied(self.node, &entry, self.hash()?);
        if let (Some(record), Some(outcome)) = (&entry.record, &outcome)
            && let (Change::BlobsDead(dead), Ok(Done::Dead(answers))) =
                (&record.change, &outcome.result)
        {
            self.ledger.died(outcome.index, &dead.blobs, answers);
        }
        // Views are flushed when they like.
        if !self.light && self.main.pick(0..24) == 0 {
            self.views.flush();
        }
        Ok(outcome)
    }

    fn level(&mut self) -> Result<u32, Fatal> {
        self.machine.level()
    }

    fn has_outcomes(&self) -> bool {
        self.machine.has_outcomes()
    }

    fn flush(&mut self) -> Result<(), Fatal> {
        self.machine.flush()
    }

    fn checkpoint(&mut self) -> Result<Option<Checkpoint>, Fatal> {
        self.machine.checkpoint()
    }

    fn installed(&mut self) -> Result<Option<Checkpoint>, Fatal> {
        self.machine.installed()
    }

    fn install(&mut self, checkpoint: &Checkpoint) -> Result<(), Fatal> {
        self.machine.install(checkpoint)?;
        self.installed.fetch_add(1, Ordering::Relaxed);
        self.ledger.installed(self.node, &checkpoint.state, self.hash()?);
        Ok(())
    }
}
