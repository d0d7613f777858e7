//! What is left in deleted mailboxes goes in pieces, behind the scene. The list
//! of them is part of the state, so that a restart goes on where this one stopped.

use std::sync::{Arc, Weak};
use std::time::Duration;

use redoubt_log::id::{OperationId, Uid};
use redoubt_log::record::{AccountSweep, Actor, Change};

use super::machine::Progress;
use super::{Inner, MailboxRef, StoreError, WriteError};
use crate::keys::SWEPT_ACCOUNT;
use crate::view::View;

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
            // Who has just begun to lead does not know it for sure yet.
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}

impl Inner {
    /// Expunges until no deleted mailbox holds anything, for as long as this node leads.
    pub(super) async fn sweep_all(&self) -> Result<(), WriteError> {
        while self.node.is_leader() {
            let Some((mailbox, uids)) = self.next_to_sweep().await? else { return Ok(()) };
            let gone = match mailbox {
                Swept::Mailbox(mailbox) => {
                    !self.expunge(&Actor::SYSTEM, mailbox, uids, false).await?.is_empty()
                }
                Swept::Account(mailbox) => self.sweep_account(mailbox, uids).await?,
            };
            if !gone {
                return Err(WriteError::Unavailable("a sweep expunged nothing".to_owned()));
            }
        }
        Ok(())
    }

    /// False when the account came back, or was empty: the list of what is to be swept is
    /// then another one.
    async fn sweep_account(&self, at: MailboxRef, uids: Vec<Uid>) -> Result<bool, WriteError> {
        let MailboxRef { account, mailbox } = at;
        let sweep = Change::AccountSweep(AccountSweep { account, mailbox, uids });
        match self.propose(&Actor::SYSTEM, OperationId::random(), sweep).await {
            Ok(_) => Ok(true),
            Err(WriteError::Rejected(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn next_to_sweep(&self) -> Result<Option<(Swept, Vec<Uid>)>, WriteError> {
        let view = self.view().await?;
        Ok(self.work(move || next(&view)).await??)
    }
}

/// Why a mailbox is swept.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Swept {
    /// It was deleted.
    Mailbox(MailboxRef),
    /// Its account was.
    Account(MailboxRef),
}

/// What is to be swept next.
pub(crate) fn next(view: &View) -> Result<Option<(Swept, Vec<Uid>)>, StoreError> {
    let Some((account, mailbox)) = view.sweeps(1)?.into_iter().next() else {
        return Ok(None);
    };
    if mailbox != SWEPT_ACCOUNT {
        let uids = view.sweep_uids(account, mailbox, PIECE)?;
        return Ok(Some((Swept::Mailbox(MailboxRef { account, mailbox }), uids)));
    }
    let Some(mailbox) = view.first_filled(account)? else { return Ok(None) };
    let uids = view.sweep_uids(account, mailbox, PIECE)?;
    Ok(Some((Swept::Account(MailboxRef { account, mailbox }), uids)))
}
