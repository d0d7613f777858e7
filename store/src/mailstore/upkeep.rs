//! What is looked at every few seconds: the disk's reserve, the members' clocks,
//! and whether a mark is due at which replicas are compared.

use std::sync::Weak;
use std::time::Duration;

use redoubt_log::id::{LogIndex, NodeId, OperationId};
use redoubt_log::raft::ClusterMember;
use redoubt_log::record::{Actor, Change, CheckpointMark};

use super::compare::{Comparer, Verdict};
use super::{Inner, StoreError, WriteError};
use crate::alarms::AlarmKind;
use crate::hash::StateHash;
use crate::storage::applied;

/// How often.
const LOOK: Duration = Duration::from_secs(5);
/// How long a comparison may take.
const PATIENCE: Duration = Duration::from_secs(3600);
/// Clocks that are further apart are said.
const CLOCKS_MS: u64 = 2000;

/// Looks, for as long as the store is there.
pub(super) async fn run(store: Weak<Inner>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(inner) = store.upgrade() else { return };
        inner.watch_disk().await;
        inner.watch_clocks();
        inner.watch_members();
        if inner.comparer.mark_is_due(inner.compare_every)
            && let Err(error) = inner.mark_now().await
        {
            tracing::debug!(%error, "replicas are compared later");
        }
    }
}

impl Inner {
    async fn watch_disk(&self) {
        let reserve = self.reserve.clone();
        let room = self.work(move || reserve.room().ok()).await.ok().flatten();
        let room = room.filter(|(free, reserve)| free < reserve);
        let text = room.map(|(free, reserve)| {
            format!(
                "{free} bytes are free and {reserve} are kept in reserve: mail is deferred; free \
                 some space or enlarge the disk"
            )
        });
        self.alarms.set(AlarmKind::Disk, "disk", text);
    }

    fn watch_clocks(&self) {
        let members = self.node.cluster().members;
        for member in &members {
            let offset = member.clock_offset_ms.filter(|ms| ms.unsigned_abs() > CLOCKS_MS);
            let text = offset.map(|ms| {
                format!("its clock is {ms} ms from this node's: look at its time service")
            });
            self.alarms.set(AlarmKind::Clock, &format!("node {}", member.node), text);
        }
        self.alarms.set(AlarmKind::Clock, "this node", self.node.clock_trouble());
        self.alarms.retain(AlarmKind::Clock, |subject| {
            let of_member = |member: &ClusterMember| format!("node {}", member.node) == subject;
            subject == "this node" || members.iter().any(of_member)
        });
    }

    fn watch_members(&self) {
        let refused = self.node.refused();
        let subject = |node: NodeId| format!("node {node}");
        for (node, why) in &refused {
            self.alarms.raise(AlarmKind::Member, subject(*node), why);
        }
        self.alarms
            .retain(AlarmKind::Member, |of| refused.iter().any(|(node, _)| subject(*node) == of));
    }

    /// Proposes a mark: all nodes compare what they have where it stands in the log.
    pub(super) async fn mark_now(&self) -> Result<LogIndex, WriteError> {
        let storage = self.storage.clone();
        let read = move || {
            let rows = storage.snapshot()?;
            let index = applied(&rows)?.map_or(LogIndex(0), |applied| applied.index);
            Ok(CheckpointMark { index, state: StateHash::stored(&rows)?.digest() })
        };
        let mark: Result<CheckpointMark, StoreError> = self.work(read).await?;
        let change = Change::CheckpointMark(mark?);
        let outcome = self.propose(&Actor::SYSTEM, OperationId::random(), change).await?;
        Ok(outcome.index)
    }

    /// Compares all nodes as they are now.
    pub(super) async fn compare_now(&self) -> Result<Verdict, WriteError> {
        // Waiting begins before the mark is there, which alone nobody else would look at.
        let waiting = self.comparer.subscribe();
        let index = self.mark_now().await?;
        let ended = || WriteError::Unavailable("the comparison was given up".to_owned());
        let verdict = tokio::time::timeout(PATIENCE, Comparer::at(waiting, index)).await;
        verdict.ok().flatten().ok_or_else(ended)
    }
}
