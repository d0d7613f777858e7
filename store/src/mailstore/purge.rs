//! How far the log may be purged, where it is not kept for ever: to a verified
//! checkpoint, and not past what anybody needs who may come back.

use std::time::Duration;

use redoubt_log::id::LogIndex;
use redoubt_log::raft::Cluster;

use super::Inner;
use super::checkpoints::KEPT;
use crate::alarms::AlarmKind;
use crate::keys::DIRECTORY;

/// Who was heard within this is there.
const PRESENT: Duration = Duration::from_secs(10);

/// What is done with the log behind checkpoints.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KeepLog {
    /// It is kept for ever.
    #[default]
    Forever,
    /// It is purged up to the older of the two checkpoints that are kept.
    SinceCheckpoint,
}

impl Inner {
    /// No further than the archive has the log and the blobs that it names. That takes room:
    /// said when it becomes short.
    pub(super) fn behind_the_archive(&self, wanted: LogIndex) -> LogIndex {
        let has = self.archive_needs();
        self.alarms.set(AlarmKind::Disk, "archive", kept_alarm(has, wanted, self.reserve.seen()));
        wanted.min(has)
    }

    /// Purges what nobody needs any more, after a checkpoint was taken.
    pub(super) async fn purge_log(&self) {
        if self.keep_log == KeepLog::Forever {
            return;
        }
        let Some(upto) = self.purgeable() else { return };
        match self.node.purge(upto).await {
            Ok(()) => tracing::info!(%upto, "the log is purged up to a checkpoint"),
            Err(error) => tracing::warn!(%error, "the log is not purged"),
        }
    }

    fn purgeable(&self) -> Option<LogIndex> {
        let bases = self.checkpoints.bases()?.list().ok()?;
        // With the newest damaged, the one before it and the log still rebuild the views.
        let base = bases.get(KEPT - 1)?.index();
        let (absent, here) = (self.keep_log_for.max(PRESENT), self.opened.elapsed());
        let needed = needed_by_members(&self.node.cluster(), absent, here)?;
        let floor = self.node.snapshot_floor().unwrap_or(base);
        let wanted = base.min(needed).min(floor);
        if self.is_any_hold_set() {
            return None;
        }
        let upto = self.behind_the_archive(wanted);
        let purged = self.node.status().purged.map(|id| id.index);
        (Some(upto) > purged).then_some(upto)
    }
}

impl Inner {
    /// A hold keeps the log, too: who did what to what is held is told by it.
    fn is_any_hold_set(&self) -> bool {
        let held = self.local_view().and_then(|view| view.held_by(DIRECTORY));
        // A light node has no views, and what it has others have too.
        held.is_ok_and(|hold| hold.is_some())
    }
}

/// What an operator must know where the archive, which has the log up to an entry, keeps it
/// from going up to another, with so many bytes free and so many kept.
fn kept_alarm(has: LogIndex, wanted: LogIndex, room: (u64, u64)) -> Option<String> {
    let (free, reserve) = room;
    (has < wanted && free < reserve.saturating_mul(2)).then(|| {
        format!(
            "the log, and mail that nobody keeps any more, stay from entry {} on, for the backup \
             repository has not got them, and the disk is getting full: see to it that the \
             archive goes on (`redoubt archive status`), or enlarge the disk",
            has.0.saturating_add(1)
        )
    })
}

/// The entry up to which every member has the log that is there, or was lately.
/// One that was silent for longer gets a snapshot when it comes back. `None` while one
/// is not known. Who was never heard was silent for as long as this node is here.
fn needed_by_members(cluster: &Cluster, absent: Duration, here: Duration) -> Option<LogIndex> {
    let others = cluster.members.iter().filter(|member| member.node != cluster.node);
    let mut needed = LogIndex(u64::MAX);
    for member in others {
        match member.last_contact {
            None if here < absent => return None,
            Some(silent) if silent < absent => needed = needed.min(member.matched?),
            _ => {}
        }
    }
    Some(needed)
}

#[cfg(test)]
mod tests {
    use redoubt_log::id::{NodeId, Term};
    use redoubt_log::raft::{ClusterMember, Role};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn member(node: u64, matched: Option<u64>, silent: Option<Duration>) -> ClusterMember {
        ClusterMember {
            node: NodeId(node),
            address: String::new(),
            role: Role::Voter,
            light: false,
            matched: matched.map(LogIndex),
            applied: None,
            lag_records: None,
            lag: None,
            last_contact: silent,
            incarnation: None,
            level: None,
            version: None,
            clock_offset_ms: None,
            growth_allowed: None,
            trouble: None,
        }
    }

    fn needed(others: Vec<ClusterMember>) -> Option<LogIndex> {
        needed_after(HOUR, others)
    }

    fn needed_after(here: Duration, others: Vec<ClusterMember>) -> Option<LogIndex> {
        let members = [vec![member(1, Some(1), None)], others].concat();
        let (node, term, leader) = (NodeId(1), Term(1), None);
        let cluster = Cluster { node, term, leader, level: 2, changing: false, members };
        needed_by_members(&cluster, 24 * HOUR, here)
    }

    #[test]
    fn who_may_come_back_keeps_the_log_for_a_day() {
        let two = || member(2, Some(50), Some(Duration::ZERO));
        assert_eq!(needed(vec![]), Some(LogIndex(u64::MAX)));
        assert_eq!(needed(vec![two()]), Some(LogIndex(50)));
        assert_eq!(needed(vec![two(), member(3, Some(9), Some(23 * HOUR))]), Some(LogIndex(9)));
        assert_eq!(needed(vec![two(), member(3, Some(9), Some(25 * HOUR))]), Some(LogIndex(50)));
    }

    #[test]
    fn nothing_is_purged_while_a_member_is_not_known() {
        assert_eq!(needed(vec![member(2, Some(50), None)]), None);
        assert_eq!(needed(vec![member(2, None, Some(HOUR))]), None);
        // It was gone before this node came.
        let gone = vec![member(2, Some(50), Some(HOUR)), member(3, Some(9), None)];
        assert_eq!(needed_after(25 * HOUR, gone), Some(LogIndex(50)));
    }

    #[test]
    fn what_the_archive_keeps_is_said_when_room_is_short() {
        let alarm = |has, free| kept_alarm(LogIndex(has), LogIndex(9), (free, 100));
        assert!(alarm(4, 199).is_some_and(|text| text.contains("from entry 5 on")));
        assert_eq!(alarm(4, 200), None);
        assert_eq!(alarm(9, 0), None);
        assert_eq!(alarm(u64::MAX, 0), None);
    }
}
