//! A state that remembers the records that it was given.

use std::path::PathBuf;
use std::sync::{Arc, mpsc};

use parking_lot::Mutex;

use crate::chain::Head;
use crate::id::{LogIndex, OperationId};
use crate::raft::{AppliedState, Checkpoint, Committed, Fatal, StateMachine};
use crate::record::{Done, Outcome};

/// What was applied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) applied: Option<AppliedState>,
    pub(super) seen: Vec<(LogIndex, OperationId)>,
}

/// What a crash leaves of the views, and what they are now.
#[derive(Debug, Clone, Default)]
pub(super) struct Views(Arc<Mutex<(State, State)>>);

impl Views {
    /// A state that goes on from what was flushed.
    pub(super) fn toy(&self) -> Toy {
        let state = self.flushed();
        self.0.lock().1 = state.clone();
        Toy { views: self.clone(), state, fail_at: None, before: None, checkpoints: false }
    }

    pub(super) fn flushed(&self) -> State {
        self.0.lock().0.clone()
    }

    pub(super) fn now(&self) -> State {
        self.0.lock().1.clone()
    }

    /// As if the views had been flushed now.
    pub(super) fn flush(&self) {
        let mut views = self.0.lock();
        views.0 = views.1.clone();
    }

    /// For tests of views that do not fit the log.
    pub(super) fn set_flushed(&self, state: State) {
        self.0.lock().0 = state;
    }
}

/// The state machine.
pub(super) struct Toy {
    views: Views,
    state: State,
    /// The operation at which it fails.
    pub(super) fail_at: Option<OperationId>,
    /// Told when an entry with a record comes, and waited for.
    pub(super) before: Option<(mpsc::Sender<LogIndex>, mpsc::Receiver<()>)>,
    /// Whether it always has a checkpoint of where it is.
    pub(super) checkpoints: bool,
}

impl StateMachine for Toy {
    fn applied(&mut self) -> Result<Option<AppliedState>, Fatal> {
        Ok(self.state.applied.clone())
    }

    fn apply(&mut self, entry: Committed) -> Result<Option<Outcome>, Fatal> {
        let index = entry.entry.id.index;
        let state = entry.state();
        let outcome = match &entry.record {
            None => None,
            Some(record) => {
                if let Some((tell, go)) = &self.before {
                    tell.send(index).ok();
                    go.recv().ok();
                }
                if self.fail_at == Some(record.operation) {
                    return Err(Fatal::new("the toy is broken"));
                }
                self.state.seen.push((index, record.operation));
                Some(Outcome { index, time: entry.entry.time, result: Ok(Done::Unit) })
            }
        };
        self.state.applied = Some(state);
        self.views.0.lock().1 = self.state.clone();
        Ok(outcome)
    }

    fn flush(&mut self) -> Result<(), Fatal> {
        self.views.flush();
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<Option<Checkpoint>, Fatal> {
        let state = self.state.applied.clone().filter(|_| self.checkpoints);
        Ok(state.map(|state| Checkpoint {
            head: Head { chain: state.chain, time: state.time, ..Head::default() },
            state,
            location: PathBuf::from("/toy"),
        }))
    }

    fn install(&mut self, checkpoint: &Checkpoint) -> Result<(), Fatal> {
        self.state.applied = Some(checkpoint.state.clone());
        Ok(())
    }
}
