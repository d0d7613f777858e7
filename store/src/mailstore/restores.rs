//! Restores: planned here, begun by one record, and then done behind the scene,
//! piece by piece, by whichever node leads. The list of those that are not done is
//! part of the state, and the plan lies in blobs that every node holds: so a
//! restart, or another leader, goes on where this one stopped.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use redoubt_log::id::{AccountId, BlobId, EmailId, LogIndex, OperationId};
use redoubt_log::record::{
    Actor, Change, Done, Flags, Keyword, MAX_CHANGES, Rejection, RestoreAudit, RestoreBegin,
    RestoreEmail, RestoreEnded, RestoreNow, RestoreOptions, RestorePiece, RestorePlace,
    RestoreStep, RestoreTo, Restored,
};

use super::machine::Progress;
use super::propose::answer;
use super::{Inner, MailboxRef, StoreError, WriteError};
use crate::restore::{Plan, PlanError, Summary, Wish, chunks, data, plan, read_chunk, take_piece};
use crate::rows::RestoreRow;
use crate::view::View;

/// How long to wait after a failure, for example without a leader.
const RETRY: Duration = Duration::from_secs(2);
/// Octets of salt before a small blob's own.
const SALT: usize = 16;

/// Why a restore did not begin.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RestoreError {
    /// There is no plan for it.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// It was not taken.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl From<StoreError> for RestoreError {
    fn from(error: StoreError) -> Self {
        Self::Write(error.into())
    }
}

/// An email of the history, as it is to stand in a mailbox.
#[derive(Debug, Clone)]
pub struct PastEmail {
    /// Which.
    pub email: EmailId,
    /// Its system flags from the start.
    pub flags: Flags,
    /// Its keywords from the start.
    pub keywords: Vec<Keyword>,
}

/// The part of a plan that is in memory.
#[derive(Debug, Default)]
struct Window {
    chunk: usize,
    first: u64,
    steps: Vec<RestoreStep>,
}

type Windows = HashMap<OperationId, Window>;

/// Goes on with what is not done whenever a restore begins, and when this node begins to lead,
/// for as long as the store is there. That two nodes do so about an election does no harm: a
/// piece says which steps it thinks are the next.
pub(super) async fn run(store: Weak<Inner>, progress: Arc<Progress>) {
    let Some(mut leader) = store.upgrade().map(|inner| inner.node.watch_leader()) else { return };
    loop {
        let Some(inner) = store.upgrade() else { return };
        let done = inner.restore_all().await;
        drop(inner);
        if let Err(error) = done {
            tracing::debug!(%error, "restores go on later");
            tokio::time::sleep(RETRY).await;
            continue;
        }
        tokio::select! {
            () = progress.restore_due.notified() => {}
            changed = leader.changed() => if changed.is_err() { return },
            // Who has just begun to lead does not know it for sure yet.
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}

impl Inner {
    /// What a wish would do, as of now.
    pub(super) async fn plan_restore(&self, wish: Wish) -> Result<(Plan, Summary), RestoreError> {
        let view = self.view().await?;
        let planned = move || {
            let plan = plan(&view, &wish)?;
            let summary = Summary::of(&view, &plan).map_err(PlanError::from)?;
            Ok::<_, PlanError>((plan, summary))
        };
        Ok(self.work(planned).await??)
    }

    /// Plans and begins; the id by which it is asked for.
    pub(super) async fn begin_restore(
        &self,
        actor: &Actor,
        wish: Wish,
        options: RestoreOptions,
    ) -> Result<OperationId, RestoreError> {
        let (plan, _) = self.plan_restore(wish.clone()).await?;
        let ingest = self.ingest.clone();
        let text = serde_json::to_vec(&wish).map_err(|e| WriteError::Invalid(e.to_string()))?;
        let store = move || -> Result<(Plan, BlobId, Vec<BlobId>), WriteError> {
            let wish = ingest.salted(&text)?;
            let chunks = chunks(&plan.steps)?;
            let blobs =
                chunks.iter().map(|chunk| ingest.salted(chunk)).collect::<Result<_, _>>()?;
            Ok((plan, wish, blobs))
        };
        let (plan, wish, blobs) = self.work(store).await??;
        let restore = OperationId::random();
        let begin = RestoreBegin {
            restore,
            account: plan.account,
            source: plan.source,
            mode: plan.mode,
            at: plan.at,
            until: plan.until,
            wish,
            plan: blobs,
            steps: plan.steps.len() as u64,
            options,
        };
        self.propose(actor, restore, Change::RestoreBegin(begin)).await?;
        Ok(restore)
    }

    /// Stops a restore; what was done stays.
    pub(super) async fn cancel_restore(
        &self,
        actor: &Actor,
        restore: OperationId,
    ) -> Result<(), WriteError> {
        let row = self.view().await?.restore(restore)?.ok_or_else(|| no_such(restore))?;
        let _turn = self.gates.enter(row.account).await;
        // Its last piece may have come between.
        let row = self.view().await?.restore(restore)?.ok_or_else(|| no_such(restore))?;
        self.end_restore(actor, restore, &row, RestoreEnded::Cancelled).await
    }

    async fn end_restore(
        &self,
        actor: &Actor,
        restore: OperationId,
        row: &RestoreRow,
        ended: RestoreEnded,
    ) -> Result<(), WriteError> {
        let audit = RestoreAudit {
            restore,
            account: row.account,
            wish: row.wish.unwrap_or_default(),
            plan: row.plan.clone(),
            counts: row.counts,
            ended,
        };
        self.propose(actor, OperationId::random(), Change::RestoreAudit(audit)).await?;
        Ok(())
    }

    /// One piece of each restore in turn, until none is left or this node leads no more.
    async fn restore_all(&self) -> Result<(), WriteError> {
        let mut windows = Windows::new();
        while self.node.is_leader() {
            let open = self.view().await?.restoring()?;
            if open.is_empty() {
                return Ok(());
            }
            windows.retain(|id, _| open.iter().any(|(_, open)| open == id));
            let (mut went_on, mut failed) = (false, None);
            for (account, restore) in open {
                match self.restore_piece(&mut windows, account, restore).await {
                    Ok(()) => went_on = true,
                    Err(error) => {
                        tracing::warn!(%restore, %error, "a restore does not go on");
                        failed = Some(error);
                    }
                }
            }
            if let Some(error) = failed.filter(|_| !went_on) {
                return Err(error);
            }
        }
        Ok(())
    }

    async fn restore_piece(
        &self,
        windows: &mut Windows,
        account: AccountId,
        restore: OperationId,
    ) -> Result<(), WriteError> {
        let _turn = self.gates.enter(account).await;
        let Some(row) = self.view().await?.restore(restore)? else { return Ok(()) };
        if row.ended.is_some() {
            return Ok(());
        }
        let actor = row.actor.clone();
        if row.done >= row.steps {
            return self.end_restore(&actor, restore, &row, RestoreEnded::Completed).await;
        }
        let window = windows.entry(restore).or_default();
        let steps = self.next_steps(window, &row).await?;
        let first = row.done;
        let piece = RestorePiece { restore, account: row.account, first, steps };
        let operation = piece_operation(restore, first);
        let mut done = self.propose(&actor, operation, Change::RestorePiece(piece.clone())).await;
        if matches!(done, Err(WriteError::Store(StoreError::Blob(..)))) {
            let piece = self.without_the_gone(piece, &row).await?;
            done = self.propose(&actor, operation, Change::RestorePiece(piece)).await;
        }
        match done {
            // Another node was there first.
            Err(WriteError::Rejected(Rejection::Restore(why))) => {
                tracing::debug!(%restore, why, "a piece was not the next one");
                Ok(())
            }
            other => other.map(drop),
        }
    }

    /// Emails that have left the history since the plan was made cannot come back, and their
    /// blobs may be gone: the record names one that is here in their place. Each such step
    /// fails by itself.
    async fn without_the_gone(
        &self,
        mut piece: RestorePiece,
        row: &RestoreRow,
    ) -> Result<RestorePiece, WriteError> {
        let (view, there) = (self.view().await?, row.plan.first().copied());
        let named = move || -> Result<RestorePiece, StoreError> {
            for step in &mut piece.steps {
                let RestoreStep::Email(email) = step else { continue };
                let data = data(&view, email.from, email.email);
                if data.map_err(|error| StoreError::Views(error.to_string()))?.is_none() {
                    (email.blob, email.envelope) = (there.unwrap_or(email.blob), None);
                }
            }
            Ok(piece)
        };
        Ok(self.work(named).await??)
    }

    /// The steps of the next record.
    async fn next_steps(
        &self,
        window: &mut Window,
        row: &RestoreRow,
    ) -> Result<Vec<RestoreStep>, WriteError> {
        loop {
            let skip = row.done.checked_sub(window.first).map_or(usize::MAX, |skip| skip as usize);
            if let Some(rest) = window.steps.get(skip..).filter(|rest| !rest.is_empty()) {
                let count = take_piece(rest);
                return Ok(rest.get(..count).unwrap_or_default().to_vec());
            }
            if skip == usize::MAX {
                *window = Window::default();
            }
            let ended = || StoreError::Views("a restore's plan ends before its steps".to_owned());
            let blob = row.plan.get(window.chunk).ok_or_else(ended)?;
            let octets = self.blob(blob)?;
            let steps = read_chunk(octets.get(SALT..).unwrap_or_default())?;
            window.first += window.steps.len() as u64;
            window.chunk += 1;
            window.steps = steps;
        }
    }

    /// What was asked for, as JSON; `None` of a restore that was done all at once.
    pub(super) fn restore_wish(&self, row: &RestoreRow) -> Result<Option<Wish>, StoreError> {
        let Some(blob) = row.wish else { return Ok(None) };
        let octets = self.blob(&blob)?;
        let wish = serde_json::from_slice(octets.get(SALT..).unwrap_or_default());
        wish.map(Some).map_err(|error| StoreError::Views(format!("a wish does not read: {error}")))
    }

    /// Some steps of a plan.
    pub(super) fn restore_steps(
        &self,
        row: &RestoreRow,
        from: u64,
        limit: usize,
    ) -> Result<Vec<RestoreStep>, StoreError> {
        let (mut first, mut found) = (0u64, Vec::new());
        for blob in &row.plan {
            let octets = self.blob(blob)?;
            let steps = read_chunk(octets.get(SALT..).unwrap_or_default())?;
            let count = steps.len() as u64;
            let skip = usize::try_from(from.saturating_sub(first)).unwrap_or(usize::MAX);
            found.extend(steps.into_iter().skip(skip).take(limit - found.len()));
            first += count;
            if found.len() >= limit {
                break;
            }
        }
        Ok(found)
    }

    pub(super) async fn restore_emails(
        &self,
        actor: &Actor,
        from: AccountId,
        at: Option<LogIndex>,
        to: MailboxRef,
        emails: Vec<PastEmail>,
        options: RestoreOptions,
    ) -> Result<Vec<Restored>, WriteError> {
        let mut answers = Vec::with_capacity(emails.len());
        for some in emails.chunks(MAX_CHANGES / 4) {
            let view = self.view().await?;
            let some = some.to_vec();
            let steps = self.work(move || steps_for(&view, from, to, some)).await??;
            let known: Vec<RestoreStep> = steps.iter().flatten().cloned().collect();
            let mut done = self.restore_now(actor, from, at, to, known, options).await?.into_iter();
            let gone = || Restored::Failed(Rejection::Gone);
            answers.extend(steps.into_iter().map(|step| match step {
                Some(_) => done.next().unwrap_or_else(gone),
                None => gone(),
            }));
        }
        Ok(answers)
    }

    async fn restore_now(
        &self,
        actor: &Actor,
        source: AccountId,
        at: Option<LogIndex>,
        to: MailboxRef,
        mut steps: Vec<RestoreStep>,
        options: RestoreOptions,
    ) -> Result<Vec<Restored>, WriteError> {
        let mut answers = Vec::with_capacity(steps.len());
        while !steps.is_empty() {
            let rest = steps.split_off(take_piece(&steps));
            let piece = std::mem::replace(&mut steps, rest);
            let restore = OperationId::random();
            let account = to.account;
            let now = RestoreNow { restore, account, source, at, steps: piece, options };
            let outcome = self.propose(actor, restore, Change::RestoreNow(now)).await?;
            answers.extend(answer(outcome, |done| match done {
                Done::Restored(answers) => Some(answers),
                _ => None,
            })?);
        }
        Ok(answers)
    }
}

/// The step that brings each email; `None` for one that the history does not know any more.
fn steps_for(
    view: &View,
    from: AccountId,
    to: MailboxRef,
    emails: Vec<PastEmail>,
) -> Result<Vec<Option<RestoreStep>>, WriteError> {
    let step = |PastEmail { email, flags, keywords }: PastEmail| {
        let data = data(view, from, email).map_err(|error| match error {
            PlanError::Store(error) => error,
            other => StoreError::Views(other.to_string()),
        })?;
        let to = RestoreTo::Mailbox(to.mailbox);
        let places = vec![RestorePlace { to, flags, keywords, copies: 1 }];
        Ok(data.map(|data| {
            let (blob, envelope, twin) = (data.blob, data.envelope, None);
            RestoreStep::Email(RestoreEmail { from, email, blob, envelope, twin, places })
        }))
    };
    emails.into_iter().map(step).collect()
}

/// The same piece is the same operation, whoever proposes it.
fn piece_operation(restore: OperationId, first: u64) -> OperationId {
    let hash = BlobId::of(&[&restore.0[..], &first.to_le_bytes()].concat());
    let mut operation = OperationId::default();
    operation.0.copy_from_slice(hash.0.split_at(16).0);
    operation
}

fn no_such(restore: OperationId) -> WriteError {
    Rejection::NotFound(format!("restore {restore}; `redoubt restore list` shows all")).into()
}
