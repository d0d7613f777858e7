//! Erasures: planned here, begun by one record, and then done behind the scene, piece by piece,
//! by whichever node leads. What each node does beyond its views is in `erased.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use redoubt_log::codec;
use redoubt_log::id::{AccountId, BlobId, EmailId, HoldId, OperationId};
use redoubt_log::record::{Actor, Change, EraseBegin, ErasePiece, Rejection};

use super::machine::Progress;
use super::{Inner, Mailstore, StoreError, WriteError, retention};
use crate::rows::{EmailData, ErasureRow, ErasureState};
use crate::view::View;

/// How long to wait after a failure, for example without a leader, and how often it looks.
const RETRY: Duration = Duration::from_secs(2);
/// Emails of one record: each may have many places and versions.
const PIECE: usize = 100;
/// Emails of one blob of a list.
const CHUNK: usize = 100_000;
/// Octets of salt before a small blob's own.
const SALT: usize = 16;
/// Referrers of a blob that are looked at.
const OTHERS: usize = 1000;

/// An erasure to begin.
#[derive(Debug, Clone)]
pub struct EraseAsked {
    /// Whose emails; a deleted account's, too.
    pub account: AccountId,
    /// Which.
    pub emails: Vec<EmailId>,
    /// What was asked for, with the reason, as JSON.
    pub asked: Vec<u8>,
    /// Whether it waits for a second person.
    pub review: bool,
}

/// What an erasure would do, as of now.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct ErasePlan {
    /// Emails that would go.
    pub emails: u64,
    /// Of these those that stand in a mailbox; the others only the history has.
    pub live: u64,
    /// Octets of the messages that would go.
    pub bytes: u64,
    /// Of the messages and envelopes that they have, those that die with them.
    pub dying: u64,
    /// Of these those that stay, since mail that is not named has them too.
    pub shared: u64,
    /// How many other accounts have these: a number, and no names.
    pub shared_with: u64,
    /// Emails that stay under each hold.
    pub held: BTreeMap<HoldId, u64>,
    /// Emails that are not there, or not any more.
    pub gone: u64,
}

impl ErasePlan {
    fn of(view: &View, account: AccountId, emails: &[EmailId]) -> Result<Self, StoreError> {
        let named: BTreeSet<EmailId> = emails.iter().copied().collect();
        let (mut plan, mut blobs, mut others) = (Self::default(), BTreeSet::new(), BTreeSet::new());
        let held = view.held_by(account)?;
        for email in &named {
            match (view.email_ever(account, *email)?, held) {
                (None, _) => plan.gone += 1,
                (Some(_), Some(hold)) => *plan.held.entry(hold).or_default() += 1,
                (Some(data), None) => {
                    plan.emails += 1;
                    plan.live += u64::from(view.email(account, *email)?.is_some());
                    plan.bytes = plan.bytes.saturating_add(data.size);
                    blobs.extend(blobs_of(&data));
                }
            }
        }
        for blob in blobs {
            let also = view.referrers(&blob, OTHERS)?.into_iter();
            let also = also.filter(|(of, email)| *of != account || !named.contains(email));
            let also: Vec<AccountId> = also.map(|(of, _)| of).collect();
            let count = if also.is_empty() { &mut plan.dying } else { &mut plan.shared };
            *count += 1;
            others.extend(also.into_iter().filter(|of| *of != account));
        }
        plan.shared_with = others.len() as u64;
        Ok(plan)
    }
}

fn blobs_of(data: &EmailData) -> impl Iterator<Item = BlobId> {
    std::iter::once(data.blob).chain(data.envelope)
}

impl Mailstore {
    /// What an erasure would do, as of now. Changes nothing.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub async fn plan_erasure(
        &self,
        account: AccountId,
        emails: Vec<EmailId>,
    ) -> Result<ErasePlan, StoreError> {
        let view = self.inner.view().await?;
        self.inner.work(move || ErasePlan::of(&view, account, &emails)).await?
    }

    /// Begins an erasure; whichever node leads does it behind the scene.
    /// [`View::erasure`] says how far it has come.
    ///
    /// # Errors
    /// [`WriteError`]
    pub async fn begin_erasure(
        &self,
        actor: &Actor,
        asked: EraseAsked,
    ) -> Result<OperationId, WriteError> {
        self.inner.begin_erasure(actor, asked).await
    }
}

/// Goes on with what is not done whenever an erasure begins, and when this node begins to lead,
/// for as long as the store is there. That two nodes do so about an election does no harm: a
/// piece says which emails it thinks are the next.
pub(super) async fn run(store: Weak<Inner>, progress: Arc<Progress>) {
    let Some(mut leader) = store.upgrade().map(|inner| inner.node.watch_leader()) else { return };
    loop {
        let Some(inner) = store.upgrade().filter(|inner| inner.trims) else { return };
        let done = inner.erase_all().await;
        drop(inner);
        if let Err(error) = done {
            tracing::debug!(%error, "erasures go on later");
        }
        tokio::select! {
            () = progress.erase_due.notified() => {}
            changed = leader.changed() => if changed.is_err() { return },
            // Who has just begun to lead does not know it for sure yet.
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}

impl Inner {
    async fn begin_erasure(
        &self,
        actor: &Actor,
        wish: EraseAsked,
    ) -> Result<OperationId, WriteError> {
        retention::count_references(self).await?;
        let EraseAsked { account, emails, asked, review } = wish;
        // What is put here stays until the record that names it is applied.
        let _using = self.blobs.using();
        let (ingest, count) = (self.ingest.clone(), emails.len() as u64);
        let store = move || -> Result<(BlobId, Vec<BlobId>), WriteError> {
            let unwritten = |error: codec::CodecError| WriteError::Invalid(error.to_string());
            let mut list = Vec::new();
            for some in emails.chunks(CHUNK) {
                list.push(ingest.salted(&codec::to_bytes(some).map_err(unwritten)?)?);
            }
            Ok((ingest.salted(&asked)?, list))
        };
        let (asked, list) = self.work(store).await??;
        let erasure = OperationId::random();
        let begin = EraseBegin { erasure, account, asked, list, emails: count, review };
        self.propose(actor, erasure, Change::EraseBegin(begin)).await?;
        Ok(erasure)
    }

    /// All pieces of all erasures that may go on; then what nobody has any more dies.
    async fn erase_all(&self) -> Result<(), WriteError> {
        if !self.node.is_leader() {
            return Ok(());
        }
        let view = self.view().await?;
        let all = self.work(move || view.erasures()).await??;
        if all.is_empty() {
            return Ok(());
        }
        for (erasure, row) in all {
            if row.state == ErasureState::Working {
                self.erase_one(erasure, row).await?;
            }
        }
        if self.lets_die().await? {
            retention::let_die(self).await?;
        }
        Ok(())
    }

    /// Whether a blob of something that was erased waits for its death.
    async fn lets_die(&self) -> Result<bool, WriteError> {
        let view = self.view().await?;
        let waits = move || Ok::<_, StoreError>(!view.unreferenced(None, 1)?.is_empty());
        Ok(self.work(waits).await??)
    }

    async fn erase_one(&self, erasure: OperationId, row: ErasureRow) -> Result<(), WriteError> {
        let (mut first, mut at) = (row.done, 0);
        for blob in &row.list {
            let octets = self.blob(blob)?;
            let emails: Vec<EmailId> = codec::from_bytes(octets.get(SALT..).unwrap_or_default())
                .map_err(|error| StoreError::Views(format!("an erasure's list: {error}")))?;
            let end = at + emails.len() as u64;
            while first < end {
                let from = usize::try_from(first.saturating_sub(at)).unwrap_or(usize::MAX);
                let rest = emails.get(from..).unwrap_or_default();
                let some = rest.get(..PIECE).unwrap_or(rest).to_vec();
                first += some.len() as u64;
                let done = first - some.len() as u64;
                self.erase_piece(erasure, row.account, done, some, &row.actor).await?;
            }
            at = end;
        }
        Ok(())
    }

    async fn erase_piece(
        &self,
        erasure: OperationId,
        account: AccountId,
        first: u64,
        emails: Vec<EmailId>,
        actor: &Actor,
    ) -> Result<(), WriteError> {
        let _turn = self.gates.enter(account).await;
        let piece = ErasePiece { erasure, account, first, emails };
        // Each time another operation: what was refused under a hold is asked for anew.
        match self.propose(actor, OperationId::random(), Change::ErasePiece(piece)).await {
            // Another node was there first.
            Err(WriteError::Rejected(Rejection::Erasure(why))) => {
                tracing::debug!(%erasure, why, "a piece was not the next one");
                Ok(())
            }
            other => other.map(drop),
        }
    }
}
