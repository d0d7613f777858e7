//! The log applied while no replica runs: for rebuilding what is derived from it.

use bytes::Bytes;

use crate::id::LogIndex;
use crate::raft::apply::committed;
use crate::raft::state_machine::{Fatal, StateMachine};
use crate::raft::types::membership_of;
use crate::segment::{LogId, SegmentLog};

/// Bytes of entries that are read together.
const READ_BYTES: usize = 4 << 20;

/// Applies the entries above the machine's state up to and with `upto`, as a
/// replica would, and gives how many. Blocks.
///
/// # Errors
/// The log cannot be read, begins behind the machine's state or has another
/// chain there; or the machine says so.
pub fn replay(
    log: &SegmentLog,
    upto: Option<LogId>,
    machine: &mut dyn StateMachine,
) -> Result<u64, Fatal> {
    let applied = machine.applied()?;
    let mut membership = Bytes::new();
    let mut next = LogIndex(0);
    if let Some(state) = applied {
        let installed = machine.installed()?.is_some_and(|checkpoint| checkpoint.state == state);
        if installed && log.last().map(|last| last.index) < Some(state.id.index) {
            return Ok(0);
        }
        if log.chain_at(state.id.index).map_err(Fatal::new)? != state.chain {
            return Err(Fatal(format!("at {} the log has another chain than the views", state.id)));
        }
        membership = state.membership;
        next = LogIndex(state.id.index.0 + 1);
    }
    let (begin, end) = (next, LogIndex(upto.map_or(0, |id| id.index.0 + 1)));
    while next < end {
        for entry in log.read(next..end, READ_BYTES).map_err(Fatal::new)? {
            next = LogIndex(entry.id.index.0 + 1);
            membership = membership_of(&entry).map_err(Fatal::new)?.unwrap_or(membership);
            machine.apply(committed(entry, membership.clone())?)?;
        }
    }
    Ok(next.0 - begin.0)
}
