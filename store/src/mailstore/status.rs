//! Numbers for whoever watches the node.

use redoubt_log::blob::BlobStats;
use redoubt_log::id::LogIndex;
use redoubt_log::raft;
use redoubt_log::segment::SegmentStats;

use super::compare::Verdict;
use super::latency::ProposalStats;
use super::{Inner, ScrubStatus};
use crate::alarms::Alarm;

/// Numbers of one node's store. What counts from the start counts from that of the process.
#[derive(Debug, Clone)]
pub struct StoreStatus {
    /// The replica: leader, term, last, committed and applied entry, why it stopped.
    pub node: raft::Status,
    /// The last entry applied to the views.
    pub applied: Option<LogIndex>,
    /// Committed entries that are not applied yet.
    pub apply_lag: u64,
    /// Records applied since the start.
    pub records: u64,
    /// Records proposed here, and how long each took.
    pub proposals: ProposalStats,
    /// The log's batches and syncs.
    pub log: SegmentStats,
    /// Blobs and their syncs.
    pub blobs: BlobStats,
    /// Bytes free on the disk.
    pub disk_free: u64,
    /// Bytes below which nothing may grow.
    pub disk_reserve: u64,
    /// Index of the newest checkpoint that was taken since the start.
    pub checkpoint: Option<LogIndex>,
    /// What somebody has to look after.
    pub alarms: Vec<Alarm>,
    /// How the scrub is.
    pub scrub: ScrubStatus,
    /// What came of comparing replicas the last time.
    pub compared: Option<Verdict>,
}

impl Inner {
    pub(super) fn status(&self) -> StoreStatus {
        let node = self.node.status();
        let applied = self.progress.applied();
        let entries = |index: Option<LogIndex>| index.map_or(0, |index| index.0 + 1);
        let (disk_free, disk_reserve) = self.reserve.seen();
        StoreStatus {
            apply_lag: entries(node.committed).saturating_sub(entries(applied)),
            node,
            applied,
            records: self.progress.records(),
            proposals: self.proposals.stats(),
            log: self.node.log_stats(),
            blobs: self.blobs.stats(),
            disk_free,
            disk_reserve,
            checkpoint: self.checkpoints.newest(),
            alarms: self.alarms.active(),
            scrub: self.scrubber.status(),
            compared: self.comparer.last(),
        }
    }
}
