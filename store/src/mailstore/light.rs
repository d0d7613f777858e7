//! What a light voter applies the log to: nothing but how far it has come.

use std::sync::Arc;

use redoubt_log::raft::{AppliedState, Checkpoint, Committed, Fatal, LightState, StateMachine};
use redoubt_log::record::Outcome;

use super::Lock;
use super::machine::Progress;

/// No views.
#[derive(Debug)]
pub(super) struct LightMachine {
    state: LightState,
    progress: Arc<Progress>,
    /// The last to go: who gets it finds the log closed.
    _lock: Arc<Lock>,
}

impl LightMachine {
    pub(super) fn new(state: LightState, progress: Arc<Progress>, lock: Arc<Lock>) -> Self {
        Self { state, progress, _lock: lock }
    }

    fn tell(&mut self) -> Result<(), Fatal> {
        let state = self.state.applied()?;
        state.iter().for_each(|state| self.progress.set_applied(state.id.index));
        Ok(())
    }
}

impl StateMachine for LightMachine {
    fn applied(&mut self) -> Result<Option<AppliedState>, Fatal> {
        self.tell()?;
        self.state.applied()
    }

    fn apply(&mut self, entry: Committed) -> Result<Option<Outcome>, Fatal> {
        let outcome = self.state.apply(entry)?;
        self.tell()?;
        Ok(outcome)
    }

    fn has_outcomes(&self) -> bool {
        self.state.has_outcomes()
    }

    fn flush(&mut self) -> Result<(), Fatal> {
        self.state.flush()
    }

    fn checkpoint(&mut self) -> Result<Option<Checkpoint>, Fatal> {
        self.state.checkpoint()
    }

    fn installed(&mut self) -> Result<Option<Checkpoint>, Fatal> {
        self.state.installed()
    }

    fn install(&mut self, checkpoint: &Checkpoint) -> Result<(), Fatal> {
        self.state.install(checkpoint)?;
        self.tell()
    }
}
