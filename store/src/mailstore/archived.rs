//! What the backup repository holds, where one is configured: the log is not purged
//! past it, and deliveries can wait for it.

use std::sync::Arc;
use std::time::Duration;

use redoubt_log::id::LogIndex;
use redoubt_log::record::Change;
use tokio::sync::{Notify, watch};

use super::{Inner, WriteError};

/// Tells the store how far the archive has come. Clones are one.
#[derive(Debug, Clone)]
pub struct ArchiveGate {
    /// The last index archived by this process and 1, 0 for none.
    reached: Arc<watch::Sender<u64>>,
    /// Woken when somebody begins to wait.
    wanted: Arc<Notify>,
    /// How long a delivery waits for the archive; `None` is not at all.
    patience: Option<Duration>,
}

impl ArchiveGate {
    /// With a patience mail that comes in is acknowledged only when it is archived.
    pub fn new(patience: Option<Duration>) -> Self {
        let (reached, wanted) = (Arc::new(watch::Sender::new(0)), Arc::default());
        Self { reached, wanted, patience }
    }

    /// Everything up to an index is archived.
    pub fn reached(&self, index: LogIndex) {
        let next = index.0.saturating_add(1);
        self.reached.send_if_modified(|reached| {
            let grows = next > *reached;
            *reached = next.max(*reached);
            grows
        });
    }

    /// Resolves when somebody waits for the archive.
    pub async fn wanted(&self) {
        self.wanted.notified().await;
    }

    async fn passed(&self, index: LogIndex) -> Result<(), WriteError> {
        let Some(patience) = self.patience else { return Ok(()) };
        let mut reached = self.reached.subscribe();
        self.wanted.notify_one();
        let there = reached.wait_for(|reached| *reached > index.0);
        match tokio::time::timeout(patience, there).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(WriteError::Unknown(
                "the message is stored, and not in the backup repository yet".to_owned(),
            )),
        }
    }
}

impl Inner {
    /// What brings mail waits until it is archived, where that is asked for.
    pub(super) async fn archived(&self, brings: bool, index: LogIndex) -> Result<(), WriteError> {
        match self.archive_gate.as_ref().filter(|_| brings) {
            Some(gate) => gate.passed(index).await,
            None => Ok(()),
        }
    }

    /// Up to where the log may be purged for the archive's sake.
    pub(super) fn archive_needs(&self) -> LogIndex {
        if self.archive_gate.is_none() {
            return LogIndex(u64::MAX);
        }
        let archived = self.local_view().ok().and_then(|view| view.archived().ok()?);
        archived.map_or(LogIndex(0), |archived| archived.index)
    }
}

/// Whether a record brings mail that is not there yet.
pub(crate) fn brings_mail(change: &Change) -> bool {
    let delivered = matches!(change, Change::Deliver(_) | Change::DeliverCaptured(_));
    delivered || matches!(change, Change::Append(_) | Change::Capture(_))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_waits_goes_on_when_the_archive_is_there_and_not_for_ever() {
        let gate = ArchiveGate::new(Some(Duration::from_secs(9)));
        assert!(matches!(gate.passed(LogIndex(0)).await, Err(WriteError::Unknown(_))));
        gate.reached(LogIndex(5));
        gate.reached(LogIndex(3));
        gate.passed(LogIndex(5)).await.unwrap();
        let waiting = tokio::spawn({
            let gate = gate.clone();
            async move { gate.passed(LogIndex(6)).await }
        });
        tokio::task::yield_now().await;
        gate.reached(LogIndex(6));
        waiting.await.unwrap().unwrap();
        ArchiveGate::new(None).passed(LogIndex(99)).await.unwrap();
    }
}
