//! What is left in deleted mailboxes goes in pieces, behind the scene. The list
//! of them is part of the state, so that a restart goes on where this one stopped.

use std::sync::{Arc, Weak};
use std::time::Duration;

use redoubt_log::id::Uid;
use redoubt_log::record::Actor;
use tokio::sync::Notify;

use super::{Inner, MailboxRef, WriteError};

/// Placements expunged by one record: small enough to let others go in between.
const PIECE: usize = 500;
/// How long to wait after a failure, for example without a leader.
const RETRY: Duration = Duration::from_secs(5);

/// Sweeps whenever it is woken, and once at the start, for as long as the store is there.
pub(super) async fn run(store: Weak<Inner>, wake: Arc<Notify>) {
    loop {
        let Some(inner) = store.upgrade() else { return };
        let swept = inner.sweep_all().await;
        drop(inner);
        match swept {
            Ok(()) => wake.notified().await,
            Err(error) => {
                tracing::debug!(%error, "deleted mailboxes are swept later");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

impl Inner {
    /// Expunges until no deleted mailbox holds anything.
    pub(super) async fn sweep_all(&self) -> Result<(), WriteError> {
        while let Some((mailbox, uids)) = self.next_to_sweep().await? {
            let gone = self.expunge(&Actor::SYSTEM, mailbox, uids, false).await?;
            if gone.is_empty() {
                return Err(WriteError::Unavailable("a sweep expunged nothing".to_owned()));
            }
        }
        Ok(())
    }

    async fn next_to_sweep(&self) -> Result<Option<(MailboxRef, Vec<Uid>)>, WriteError> {
        let view = self.view().await?;
        let next = move || {
            let Some((account, mailbox)) = view.sweeps(1)?.into_iter().next() else {
                return Ok(None);
            };
            let uids = view.sweep_uids(account, mailbox, PIECE)?;
            Ok(Some((MailboxRef { account, mailbox }, uids)))
        };
        self.work(next).await?
    }
}
