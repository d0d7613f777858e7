//! Checkpoints, and the log purged behind them: more eagerly than any node would,
//! so that whoever was away for a moment needs a snapshot.

use std::time::Duration;

use redoubt_log::id::LogIndex;
use redoubt_log::world::sim::Host;

use super::machine::Running;

/// How long a purge is waited for: Raft puts it off while a peer reads there.
const PATIENCE: Duration = Duration::from_secs(2);

/// Looks after a node's disk for as long as it runs.
pub(super) async fn keep(host: Host, running: Running) {
    while running.node.status().stopped.is_none() {
        host.rest(Duration::from_millis(host.pick(200..1500))).await;
        if let Some(bases) = &running.bases {
            // What fails on a bad disk is tried again, as in a node.
            drop(bases.take().await);
        }
        if let Some(upto) = purgeable(&host, &running) {
            drop(tokio::time::timeout(PATIENCE, running.node.purge(upto)).await);
        }
    }
}

/// A checkpoint covers it, and nobody fetches an older one.
fn purgeable(host: &Host, running: &Running) -> Option<LogIndex> {
    let status = running.node.status();
    let covered = match &running.bases {
        Some(bases) => {
            let bases = bases.list().ok()?;
            bases.get(host.pick(0..2) as usize)?.state.id.index
        }
        None => status.applied?.id.index,
    };
    let upto = covered.min(running.node.snapshot_floor().unwrap_or(covered));
    (Some(upto) > status.purged.map(|id| id.index)).then_some(upto)
}
