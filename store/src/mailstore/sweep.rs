//! What is left in deleted mailboxes goes in pieces, behind the scene. The list
//! of them is part of the state, so that a restart goes on where this one stopped.

use std::sync::{Arc, Weak};
use std::time::Duration;

use redoubt_log::id::Uid;
use redoubt_log::record::Actor;

use super::machine::Progress;
use super::{Inner, MailboxRef, WriteError};

/// Placements expunged by one record: small enough to let others go in between.
const PIECE: usize = 500;
/// How long to wait after a failure, for example without a leader.
const RETRY: Duration = Duration::from_secs(5);

/// Sweeps whenever it is woken, once when this node begins to lead, for as long as the store is
/// there. Only the leader sweeps; that two of them do so about an election does no harm, since
/// what one record expunged is gone for the next.
pub(super) async fn run(store: Weak<Inner>, progress: Arc<Progress>) {
    let Some(mut leader) = store.upgrade().map(|inner| inner.node.watch_leader()) else { return };
    loop {
        let Some(inner) = store.upgrade() else { return };
        let swept = inner.sweep_all().await;
        drop(inner);
        if let Err(error) = swept {
            tracing::debug!(%error, "deleted mailboxes are swept later");
            tokio::time::sleep(RETRY).await;
            continue;
        }
        tokio::select! {
            () = progress.sweep_due.notified() => {}
            changed = leader.changed() => if changed.is_err() { return },
        }
    }
}

impl Inner {
    /// Expunges until no deleted mailbox holds anything, for as long as this node leads.
    pub(super) async fn sweep_all(&self) -> Result<(), WriteError> {
        while self.node.is_leader() {
            let Some((mailbox, uids)) = self.next_to_sweep().await? else { return Ok(()) };
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
